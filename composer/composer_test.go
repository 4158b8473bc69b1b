package composer

import (
	"context"
	"strconv"
	"strings"
	"testing"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/structpb"
)

// A function that answers by the number of the call.
type function struct {
	fnv1.UnimplementedFunctionRunnerServiceServer

	calls  int
	answer func(call int, req *fnv1.RunFunctionRequest) *fnv1.RunFunctionResponse
}

func (f *function) RunFunction(_ context.Context, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
	f.calls++
	return f.answer(f.calls, req), nil
}

func desire(t *testing.T, objects map[string]map[string]any) *fnv1.State {
	t.Helper()
	s := &fnv1.State{Resources: map[string]*fnv1.Resource{}}
	for key, o := range objects {
		encoded, err := structpb.NewStruct(o)
		if err != nil {
			t.Fatal(err)
		}
		s.Resources[key] = &fnv1.Resource{Resource: encoded}
	}
	return s
}

func configMap(name string) map[string]any {
	return map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name}}
}

func TestReconcile(t *testing.T) {
	t.Parallel()

	type want struct {
		deleted, composed []string
		calls             int
		err               string
	}
	cases := map[string]struct {
		reason string
		fixed  map[string]bool
		answer func(call int, req *fnv1.RunFunctionRequest) *fnv1.RunFunctionResponse
		want   want
	}{
		"Undesired": {
			reason: "Crossplane deletes what a function doesn't desire any more, and makes what is new.",
			answer: func(int, *fnv1.RunFunctionRequest) *fnv1.RunFunctionResponse {
				return &fnv1.RunFunctionResponse{Desired: desire(t, map[string]map[string]any{"new": configMap("new")})}
			},
			want: want{deleted: []string{"old"}, composed: []string{"new"}, calls: 1},
		},
		"Fatal": {
			reason: "A fatal result stops Crossplane before it deletes anything.",
			answer: func(int, *fnv1.RunFunctionRequest) *fnv1.RunFunctionResponse {
				return &fnv1.RunFunctionResponse{Results: []*fnv1.Result{{Severity: fnv1.Severity_SEVERITY_FATAL, Message: "no"}}}
			},
			want: want{composed: []string{"old"}, calls: 1},
		},
		"Fixed": {
			reason: "Of what a file holds, the file says how it is.",
			fixed:  map[string]bool{"old": true},
			answer: func(int, *fnv1.RunFunctionRequest) *fnv1.RunFunctionResponse { return &fnv1.RunFunctionResponse{} },
			want:   want{composed: []string{"old"}, calls: 1},
		},
		"Requirements": {
			reason: "A function that asks for something is called again with it.",
			answer: func(_ int, req *fnv1.RunFunctionRequest) *fnv1.RunFunctionResponse {
				rsp := &fnv1.RunFunctionResponse{Requirements: &fnv1.Requirements{Resources: map[string]*fnv1.ResourceSelector{
					"it": {ApiVersion: "v1", Kind: "ConfigMap", Match: &fnv1.ResourceSelector_MatchName{MatchName: "there"}},
				}}}
				if len(req.GetRequiredResources()["it"].GetItems()) == 1 {
					rsp.Desired = desire(t, map[string]map[string]any{"old": configMap("old"), "more": configMap("more")})
				}
				return rsp
			},
			want: want{composed: []string{"more", "old"}, calls: 2},
		},
		"NeverStable": {
			reason: "A function that asks for something else on each call is a bug.",
			answer: func(call int, _ *fnv1.RunFunctionRequest) *fnv1.RunFunctionResponse {
				return &fnv1.RunFunctionResponse{Requirements: &fnv1.Requirements{Resources: map[string]*fnv1.ResourceSelector{
					strconv.Itoa(call): {ApiVersion: "v1", Kind: "ConfigMap", Match: &fnv1.ResourceSelector_MatchName{MatchName: "x"}},
				}}}
			},
			want: want{composed: []string{"old"}, calls: 6, err: "still requires more"},
		},
		"EmptyStatus": {
			reason: "The API server refuses a status in which a list has lost all that it had.",
			answer: func(int, *fnv1.RunFunctionRequest) *fnv1.RunFunctionResponse {
				d := desire(t, map[string]map[string]any{"old": configMap("old"), "xr": {"status": map[string]any{"services": []any{}}}})
				d.Composite = d.GetResources()["xr"]
				delete(d.GetResources(), "xr")
				return &fnv1.RunFunctionResponse{Desired: d}
			},
			want: want{composed: []string{"old"}, calls: 1, err: "status.services is empty"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &function{answer: tc.answer}
			c := &Composer{
				Function: f, Fixed: tc.fixed,
				Composite: map[string]any{"apiVersion": "example.org/v1", "kind": "XR", "metadata": map[string]any{"name": "x", "uid": "u"}},
				Composed:  map[string]map[string]any{"old": configMap("old")},
				Lookup: func(s *fnv1.ResourceSelector) map[string]any {
					if s.GetMatchName() == "there" {
						return configMap("there")
					}
					return nil
				},
			}
			_, deleted, err := c.Reconcile(t.Context())
			got := want{deleted: deleted, calls: f.calls}
			for _, key := range []string{"more", "new", "old"} {
				if c.Composed[key] != nil {
					got.composed = append(got.composed, key)
				}
			}
			if err != nil && strings.Contains(err.Error(), tc.want.err) {
				got.err = tc.want.err
			} else if err != nil {
				got.err = err.Error()
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(want{})); diff != "" {
				t.Errorf("\n%s\nReconcile(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
