package server

import (
	"context"
	"testing"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/crossplane/function-sdk-go/response"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/serviceconnections/function-service-connections/test/decoded"
)

// dense request of empty lists in a list.
func dense(n int) *fnv1.RunFunctionRequest {
	l := make([]*structpb.Value, n)
	for i := range l {
		l[i] = structpb.NewListValue(&structpb.ListValue{})
	}
	return &fnv1.RunFunctionRequest{Input: &structpb.Struct{Fields: map[string]*structpb.Value{"l": structpb.NewListValue(&structpb.ListValue{Values: l})}}}
}

// TestRequestValues sends requests of many small values.
func TestRequestValues(t *testing.T) {
	t.Parallel()
	conn := serve(t, functionFunc(func(_ context.Context, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
		return response.To(req, response.DefaultTTL), nil
	}), nil).dial(t, insecure.NewCredentials())

	const most = 4 << 20 / bytesPerValue
	cases := map[string]struct {
		reason string
		values int
		want   *status.Status
	}{
		"Most": {
			reason: "A request may hold as many values as its largest size is said to have room for.",
			values: most,
			want:   status.New(codes.OK, ""),
		},
		"TooMany": {
			reason: "One more is told to the caller, who learns how many there may be.",
			values: most + 1,
			want: status.New(codes.ResourceExhausted, "cannot read a request of 932083 bytes: its maps and lists hold more than 233016 values or are nested too deeply, "+
				"and so would take too much memory; nothing was changed; split the composite resource into several, or start the function with a larger --max-recv-message-size"),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := fnv1.NewFunctionRunnerServiceClient(conn).RunFunction(t.Context(), dense(tc.values-1))
			if diff := cmp.Diff(tc.want.String(), status.Convert(err).String()); diff != "" {
				t.Errorf("\n%s\nRunFunction(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// FuzzValues holds that as many values are counted as are decoded at least: of a
// field that is there twice the last counts, but both take memory.
func FuzzValues(f *testing.F) {
	for _, req := range []*fnv1.RunFunctionRequest{{}, dense(3), {
		Observed: &fnv1.State{Resources: map[string]*fnv1.Resource{"a": {Resource: &structpb.Struct{Fields: map[string]*structpb.Value{
			"string": structpb.NewStringValue("x"), "map": structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{"null": structpb.NewNullValue()}}),
		}}}}},
	}} {
		b, err := proto.Marshal(req)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	layout := layoutOf((&fnv1.RunFunctionRequest{}).ProtoReflect().Descriptor())
	f.Fuzz(func(t *testing.T, b []byte) {
		req := &fnv1.RunFunctionRequest{}
		got := layout.values(b, len(b), maxDepth)
		if got > len(b)/leastPerValue {
			t.Errorf("values(%x): want %d at most, got %d", b, len(b)/leastPerValue, got)
		}
		if proto.Unmarshal(b, req) != nil {
			return
		}
		if want := decoded.Values(req); got < want {
			t.Errorf("values(%x): want %d at least, got %d", b, want, got)
		}
	})
}
