package server

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// resources of one object that is a string of so many bytes.
func resources(size int) *fnv1.Resources {
	return &fnv1.Resources{Items: []*fnv1.Resource{{Resource: &structpb.Struct{Fields: map[string]*structpb.Value{"s": structpb.NewStringValue(strings.Repeat("x", size))}}}}}
}

func TestLargeWorkloadsAreLeftOut(t *testing.T) {
	t.Parallel()

	const limit = 64 << 10
	cases := map[string]struct {
		reason   string
		required map[string]*fnv1.Resources
		want     []string
		code     codes.Code
	}{
		"Fit": {
			reason:   "What fits is read, dispensable or not.",
			required: map[string]*fnv1.Resources{"dispensable": resources(10), "needed": resources(10)},
			want:     []string{"dispensable", "needed"},
		},
		"TooLarge": {
			reason:   "What is too large together is read without what is dispensable, and the rest is there whole.",
			required: map[string]*fnv1.Resources{"dispensable1": resources(limit), "dispensable2": resources(3 * limit), "needed": resources(limit / 2)},
			want:     []string{"needed"},
		},
		"TooManyValues": {
			reason: "So is what holds too many values, although it is small enough.",
			required: map[string]*fnv1.Resources{"needed": resources(10), "dispensable": {Items: []*fnv1.Resource{
				{Resource: dense(2 * limit / bytesPerValue).GetInput()},
			}}},
			want: []string{"needed"},
		},
		"NeededIsTooLarge": {
			reason:   "What can't be done without is refused where it is too large by itself.",
			required: map[string]*fnv1.Resources{"needed": resources(maxLightened * limit)},
			code:     codes.ResourceExhausted,
		},
		"FarTooLarge": {
			reason:   "Nobody needs to send this much.",
			required: map[string]*fnv1.Resources{"dispensable": resources((maxLightening + 1) * limit)},
			code:     codes.ResourceExhausted,
		},
		"LongName": {
			reason:   "A name that is longer than any of the function's isn't its own.",
			required: map[string]*fnv1.Resources{"dispensable" + strings.Repeat("x", 2*longestName): resources(maxLightened * limit)},
			code:     codes.ResourceExhausted,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			sent := request(t)
			sent.RequiredResources = tc.required
			s, got, err := call(t, sent, limit)
			if diff := cmp.Diff(tc.code.String(), status.Code(err).String()); diff != "" {
				t.Fatalf("\n%s\nRunFunction(...): -want, +got:\n%s\n%v", tc.reason, diff, err)
			}
			if err != nil {
				return
			}
			maps.DeleteFunc(sent.GetRequiredResources(), func(name string, _ *fnv1.Resources) bool { return !slices.Contains(tc.want, name) })
			if req := receive(t, "the request", got); !proto.Equal(sent, req) {
				t.Errorf("\n%s\nRunFunction(...): want %v of what was required, and all else, got %v", tc.reason, tc.want, slices.Sorted(maps.Keys(req.GetRequiredResources())))
			}
			left := map[bool]string{true: "1", false: "0"}[len(tc.want) == 1]
			if _, body := s.get(t, "/metrics"); !strings.Contains(body, "\nfunction_requests_lightened_total "+left+"\n") {
				t.Errorf("\n%s\n/metrics: want %s lightened requests:\n%s", tc.reason, left, body)
			}
		})
	}
}

// call a function whose requests have so many bytes at most, and what it has got.
func call(t *testing.T, req *fnv1.RunFunctionRequest, most int) (s *running, got <-chan *fnv1.RunFunctionRequest, err error) {
	t.Helper()
	as := make(chan *fnv1.RunFunctionRequest, 1)
	s = serve(t, func(ctx context.Context, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
		as <- req
		return echo(ctx, req)
	}, func(o *Options) { o.MaxReceiveBytes = most })
	_, err = fnv1.NewFunctionRunnerServiceClient(s.dial(t, insecure.NewCredentials())).RunFunction(t.Context(), req)
	return s, as, err
}

// claimOf a policy beside something else, and composed resources.
func claimOf(policy, other *structpb.Value) *fnv1.RunFunctionRequest {
	object := func(fields map[string]*structpb.Value) *structpb.Value {
		return structpb.NewStructValue(&structpb.Struct{Fields: fields})
	}
	spec := object(map[string]*structpb.Value{"services": structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{object(map[string]*structpb.Value{"policy": policy, "other": other})}})})
	return &fnv1.RunFunctionRequest{
		Meta: &fnv1.RequestMeta{Tag: "tag"},
		Observed: &fnv1.State{
			Composite: &fnv1.Resource{Resource: &structpb.Struct{Fields: map[string]*structpb.Value{"spec": spec}}},
			Resources: map[string]*fnv1.Resource{"a": {Resource: &structpb.Struct{Fields: map[string]*structpb.Value{"policy": structpb.NewStringValue(strings.Repeat("x", largestPolicy))}}}},
		},
		Context: &structpb.Struct{Fields: map[string]*structpb.Value{"policy": structpb.NewStringValue(strings.Repeat("x", largestPolicy))}},
	}
}

func TestLargePoliciesAreLeftOut(t *testing.T) {
	t.Parallel()

	const limit = 1 << 20
	small, left := structpb.NewStringValue("small"), structpb.NewStringValue("too large to be read")
	lists := dense(2 * limit / bytesPerValue).GetInput().GetFields()["l"]
	deep := small
	for range maxDepth / 2 {
		deep = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{deep}})
	}
	cases := map[string]struct {
		reason string
		sent   *fnv1.RunFunctionRequest
		want   *fnv1.RunFunctionRequest
		code   codes.Code
	}{
		"ManyValues":       {reason: "The claim is read with a policy that can't be one.", sent: claimOf(lists, small), want: claimOf(left, small)},
		"ManyBytes":        {reason: "So it is where the policy has more bytes than a request.", sent: claimOf(structpb.NewStringValue(strings.Repeat("x", 3*limit)), small), want: claimOf(left, small)},
		"Deep":             {reason: "So it is where it is nested more deeply than protobuf reads.", sent: claimOf(deep, small), want: claimOf(left, small)},
		"SmallPolicyStays": {reason: "A policy that IAM may take stays, whatever else is too large.", sent: claimOf(small, lists), code: codes.ResourceExhausted},
		"NothingIsLarge":   {reason: "What fits is read as it is.", sent: claimOf(structpb.NewStringValue(strings.Repeat("x", 2*largestPolicy)), small), want: claimOf(structpb.NewStringValue(strings.Repeat("x", 2*largestPolicy)), small)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, got, err := call(t, tc.sent, limit)
			if diff := cmp.Diff(tc.code.String(), status.Code(err).String()); diff != "" {
				t.Fatalf("\n%s\nRunFunction(...): -want, +got:\n%s\n%v", tc.reason, diff, err)
			}
			if err == nil && !proto.Equal(tc.want, receive(t, "the request", got)) {
				t.Errorf("\n%s\nRunFunction(...): want all else as it was sent", tc.reason)
			}
		})
	}
}

// TestUnreadIsLeftOut of composed resources, of nothing else, and only where it must.
func TestUnreadIsLeftOut(t *testing.T) {
	t.Parallel()

	const limit = 64 << 10
	composed := func(of ...string) *fnv1.RunFunctionRequest {
		s := &structpb.Struct{Fields: map[string]*structpb.Value{"spec": structpb.NewStringValue("spec"), "done": structpb.NewBoolValue(true), "n": structpb.NewNumberValue(1)}}
		owned := &structpb.Struct{Fields: map[string]*structpb.Value{"f:spec": structpb.NewNullValue()}}
		for _, name := range of {
			v := structpb.NewStringValue(strings.Repeat("x", limit/2))
			if name == "status" {
				s.Fields["status"] = v
			} else {
				owned.Fields[name] = v
			}
		}
		entry := structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{"manager": structpb.NewStringValue("m"), "fieldsV1": structpb.NewStructValue(owned)}})
		s.Fields["metadata"] = structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{"managedFields": structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{entry}})}})
		r := &fnv1.Resource{Resource: s, ConnectionDetails: map[string][]byte{"a": {1}}, Ready: fnv1.Ready_READY_TRUE}
		return &fnv1.RunFunctionRequest{
			Meta:     &fnv1.RequestMeta{Tag: "tag"},
			Observed: &fnv1.State{Composite: &fnv1.Resource{Resource: &structpb.Struct{Fields: map[string]*structpb.Value{"status": structpb.NewStringValue("status")}}}, Resources: map[string]*fnv1.Resource{"a": r, "b": r}},
		}
	}
	cases := map[string]struct {
		reason     string
		sent, want *fnv1.RunFunctionRequest
		code       codes.Code
	}{
		"TooLarge": {reason: "What isn't read makes no request too large.", sent: composed("status", "f:status"), want: composed()},
		"Fits":     {reason: "What fits is read whole.", sent: func() *fnv1.RunFunctionRequest { r := composed("status"); delete(r.Observed.Resources, "b"); return r }(), want: func() *fnv1.RunFunctionRequest { r := composed("status"); delete(r.Observed.Resources, "b"); return r }()},
		"IsRead":   {reason: "What is read stays, and may be twice as much as where nothing is left out.", sent: composed("f:other"), want: composed("f:other")},
		"Read":     {reason: "Beyond that it is refused.", sent: composed("f:other", "f:more"), code: codes.ResourceExhausted},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, got, err := call(t, tc.sent, limit)
			if diff := cmp.Diff(tc.code.String(), status.Code(err).String()); diff != "" {
				t.Fatalf("\n%s\nRunFunction(...): -want, +got:\n%s\n%v", tc.reason, diff, err)
			}
			if err == nil {
				if req := receive(t, "the request", got); !proto.Equal(tc.want, req) {
					t.Errorf("\n%s\nRunFunction(...): want %.200v, got %.200v", tc.reason, tc.want, req)
				}
			}
		})
	}
}

// FuzzLighten holds that no bytes make more than is allowed, and that a request loses
// nothing but what is dispensable. The second is asked of requests as protobuf writes
// them: other bytes can mean the same, and come out shorter.
func FuzzLighten(f *testing.F) {
	observed := func(fields ...string) *fnv1.RunFunctionRequest {
		s := &structpb.Struct{Fields: map[string]*structpb.Value{}}
		for _, name := range fields {
			s.Fields[name] = structpb.NewStringValue(name)
		}
		return &fnv1.RunFunctionRequest{Observed: &fnv1.State{Resources: map[string]*fnv1.Resource{"a": {Resource: s}}}}
	}
	labelled := observed()
	labelled.Observed.Composite = &fnv1.Resource{Resource: &structpb.Struct{Fields: map[string]*structpb.Value{"metadata": structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{"labels": structpb.NewStringValue(strings.Repeat("l", 200))}})}}}
	asked := &fnv1.RunFunctionRequest{RequiredResources: map[string]*fnv1.Resources{"needed": {Items: []*fnv1.Resource{observed("spec", "status").GetObserved().GetResources()["a"]}}}}
	for _, req := range []*fnv1.RunFunctionRequest{{}, dense(3), {RequiredResources: map[string]*fnv1.Resources{"dispensable": resources(3), "needed": resources(3)}}, observed("spec", "status"), labelled, asked} {
		b, err := proto.Marshal(req)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, true)
		f.Add(b, false)
	}
	f.Add([]byte{0x30, 0xff, 0x00}, false) // A field that isn't known, and longer than it must be.
	descriptor := (&fnv1.RunFunctionRequest{}).ProtoReflect().Descriptor()
	f.Fuzz(func(t *testing.T, b []byte, dispensable bool) {
		const most = 1 << 10
		l := newLightener(descriptor, func(name string) bool { return dispensable && name == "dispensable" }, unreadStatus)
		if got, _, err := l.read(bytes.NewReader(b), len(b), nil, most, largestPolicy); err == nil && len(got) > most+prefixBytes {
			t.Errorf("read(%x): %d bytes are more than %d", b, len(got), most)
		}

		want, req := &fnv1.RunFunctionRequest{}, &fnv1.RunFunctionRequest{}
		if (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(b, want) != nil {
			return
		}
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(want)
		if err != nil {
			t.Fatalf("Marshal(%v): %v", want, err)
		}
		got, _, err := l.read(bytes.NewReader(b), len(b), nil, most, largestPolicy)
		if err != nil {
			if len(b) <= most || !errors.Is(err, errTooLarge) {
				t.Errorf("read(%x): %d bytes, where %d are taken: %v", b, len(b), most, err)
			}
			return
		}
		if err := proto.Unmarshal(got, req); err != nil {
			t.Fatalf("read(%x): %v", b, err)
		}
		if dispensable {
			delete(want.GetRequiredResources(), "dispensable")
			delete(want.GetExtraResources(), "dispensable") //nolint:staticcheck // Crossplane before 2.0 sends it.
		}
		leaveUnread(want)
		if !proto.Equal(want, req) {
			t.Errorf("read(%x): want %v, got %v", b, want, req)
		}
	})
}

// leaveUnread out of a request, as unreadStatus says it.
func leaveUnread(req *fnv1.RunFunctionRequest) {
	var leave func(v *structpb.Value, path []string)
	leave = func(v *structpb.Value, path []string) {
		for _, item := range v.GetListValue().GetValues() {
			leave(item, path)
		}
		fields := v.GetStructValue().GetFields()
		for name, value := range fields {
			at := append(slices.Clip(path), name)
			bytes := protowire.SizeTag(1) + protowire.SizeBytes(len(name)) + protowire.SizeTag(2) + protowire.SizeBytes(proto.Size(value))
			switch unread, within := unreadStatus(at, bytes); {
			case unread:
				delete(fields, name)
			case within:
				leave(value, at)
			}
		}
	}
	leave(structpb.NewStructValue(req.GetObserved().GetComposite().GetResource()), []string{"composite"})
	for key, composed := range req.GetObserved().GetResources() {
		leave(structpb.NewStructValue(composed.GetResource()), []string{"composed", key})
	}
	for _, required := range []map[string]*fnv1.Resources{req.GetRequiredResources(), req.GetExtraResources()} { //nolint:staticcheck // Crossplane before 2.0 sends it.
		for name, of := range required {
			for _, item := range of.GetItems() {
				leave(structpb.NewStructValue(item.GetResource()), []string{"required", name})
			}
		}
	}
}

// unreadStatus is what the function of these tests doesn't read: the status, and what
// managed fields say of it. Of the composite resource it doesn't read large labels.
func unreadStatus(path []string, size int) (unread, within bool) {
	if path[0] == "composite" {
		return slices.Equal(path[1:], []string{"metadata", "labels"}) && size > 100, slices.Equal(path[1:], []string{"metadata"})
	}
	switch p := strings.Join(path[2:], "."); p {
	case "status", "metadata.managedFields.fieldsV1.f:status":
		return true, false
	case "metadata", "metadata.managedFields", "metadata.managedFields.fieldsV1":
		return false, true
	default:
		return false, false
	}
}
