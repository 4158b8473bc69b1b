package fn

import (
	"testing"
	"time"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/structpb"
)

// TestUnwatched plays both kinds of Crossplane to a claim at rest: the one that hands
// over what the last reconcile required, and watches it; and an older one, which has to
// be asked anew in every reconcile, and of which nobody learns that an allow-list has
// changed until the next one.
func TestUnwatched(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		reason string

		// calls of one reconcile, each with as many of the required resources.
		calls []int

		// responsive is what Crossplane says of its watches, empty for nothing.
		responsive string
		want       time.Duration
	}{
		"Watched": {
			reason: "a Crossplane that watches what the function reads tells it at once, and is left alone until then",
			calls:  []int{all},
			want:   10 * time.Minute,
		},
		"Unwatched": {
			reason: "where nothing is watched, a revocation is seen within a minute",
			calls:  []int{0, all},
			want:   time.Minute,
		},
		"UnwatchedInRounds": {
			reason: "so it is where what is read says what else to read",
			calls:  []int{0, 1, all},
			want:   time.Minute,
		},
		"Listens": {
			reason: "one that listens is left alone", responsive: "True",
			calls: []int{all},
			want:  10 * time.Minute,
		},
		"Deaf": {
			reason: "one that hears only some of what happens, since a team wrote too often, may miss a revocation", responsive: "False",
			calls: []int{all},
			want:  time.Minute,
		},
		"SeededInPart": {
			reason: "a Crossplane that had to be asked for something may watch none of it yet",
			calls:  []int{1, all},
			want:   time.Minute,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, service("api", awsConnection, diskConnection), allSettings)
			c.add(cacheStorage)
			c.settle()
			if tc.responsive != "" {
				status := c.xr["status"].(map[string]any)
				conditions, _ := status["conditions"].([]any)
				status["conditions"] = append(conditions, map[string]any{"type": "Ready", "status": "False"}, map[string]any{"type": "Responsive", "status": tc.responsive, "reason": "WatchCircuitOpen"})
			}
			req := c.request()
			others := &structpb.Struct{Fields: map[string]*structpb.Value{"example.org/theirs": structpb.NewStringValue("kept")}}
			req.Context, _ = proto.Clone(others).(*structpb.Struct)
			answers := req.GetRequiredResources()
			if len(answers) < 2 {
				t.Fatalf("the claim requires %d resources, too few for the test", len(answers))
			}

			rsp := &fnv1.RunFunctionResponse{Context: req.GetContext()}
			for _, n := range tc.calls {
				req.RequiredResources = some(answers, n)
				req.Context = rsp.GetContext()
				var err error
				if rsp, err = c.fn.RunFunction(t.Context(), req); err != nil {
					t.Fatal(err)
				}
			}

			if got := rsp.GetMeta().GetTtl().AsDuration(); got != tc.want {
				t.Errorf("%s: Crossplane comes back after %s, want %s", tc.reason, got, tc.want)
			}
			if diff := cmp.Diff(others, rsp.GetContext(), protocmp.Transform()); diff != "" {
				t.Errorf("later steps must find the context as it was: -want, +got:\n%s", diff)
			}
		})
	}
}

// all of the required resources.
const all = -1

func some(answers map[string]*fnv1.Resources, n int) map[string]*fnv1.Resources {
	given := map[string]*fnv1.Resources{}
	for name, r := range answers {
		if n != all && len(given) == n {
			break
		}
		given[name] = r
	}
	return given
}
