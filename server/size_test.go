package server

import (
	"context"
	"strings"
	"testing"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/crossplane/function-sdk-go/response"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/testing/protocmp"
)

// TestResponseSize calls as Crossplane does, with a client that has gRPC's own
// limit.
func TestResponseSize(t *testing.T) {
	t.Parallel()

	// large response, whose size in bytes is that of the text and some more.
	large := func(size int) functionFunc {
		return func(_ context.Context, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
			rsp := response.To(req, response.DefaultTTL)
			rsp.Desired = &fnv1.State{Resources: map[string]*fnv1.Resource{strings.Repeat("x", size): {}}}
			return rsp, nil
		}
	}
	cases := map[string]struct {
		reason string
		size   int
		want   []*fnv1.Result
	}{
		"Fits": {
			reason: "A response that Crossplane takes is left alone.",
			size:   maxSendBytes - 100,
		},
		"TooLarge": {
			reason: "Crossplane would only say that a message is larger than max. A fatal result says which and what to do, and deletes nothing.",
			size:   maxSendBytes,
			want: []*fnv1.Result{{
				Severity: fnv1.Severity_SEVERITY_FATAL,
				Message:  "cannot answer: the response to a request of 7 bytes has 4194332 bytes, and Crossplane takes 4194304 at most; nothing was changed; split the composite resource into several, or let the pipeline's earlier steps compose less",
				Target:   fnv1.Target_TARGET_COMPOSITE.Enum(),
			}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			conn := serve(t, large(tc.size), nil).dial(t, insecure.NewCredentials())
			rsp, err := fnv1.NewFunctionRunnerServiceClient(conn).RunFunction(t.Context(), &fnv1.RunFunctionRequest{Meta: &fnv1.RequestMeta{Tag: "tag"}})
			if err != nil {
				t.Fatalf("\n%s\nRunFunction(...): %v", tc.reason, err)
			}
			if diff := cmp.Diff(tc.want, rsp.GetResults(), protocmp.Transform()); diff != "" {
				t.Errorf("\n%s\nRunFunction(...): -want, +got results:\n%s", tc.reason, diff)
			}
			if tc.want != nil && rsp.GetDesired() != nil {
				t.Errorf("\n%s\nRunFunction(...): want nothing desired, got %v", tc.reason, rsp.GetDesired())
			}
			if got := rsp.GetMeta().GetTag(); got != "tag" {
				t.Errorf("\n%s\nRunFunction(...): want the request's tag, got %q", tc.reason, got)
			}
		})
	}
}
