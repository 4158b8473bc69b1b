package fn

import (
	"testing"
	"time"
)

// TestSecondLook holds that Crossplane comes back at once after an injection was
// published. What happens to the pods is told by what changes after that, and nothing
// else need happen before a team follows the restart that it reads.
func TestSecondLook(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		reason   string
		workload string

		// want of the first look, the second, and one at rest.
		want [3]time.Duration
		// current says that no pod is older, which the second look tells.
		current bool
	}{
		"ItRuns": {
			reason:   "the second look sees the template that pods have by now",
			workload: deployment("api", ""),
			want:     [3]time.Duration{ttlChanged, ttlReady, ttlReady},
		},
		"ItIsNotThere": {
			reason:  "if it still isn't there, all its pods will have the injection",
			want:    [3]time.Duration{ttlChanged, ttlReady, ttlReady},
			current: true,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, service("api", diskConnection), allSettings)
			c.add(cacheStorage)
			if tc.workload != "" {
				c.add(tc.workload)
			}
			published := func() bool { return str(c.service("api"), "injection", "hash") != "" }
			for range 10 {
				c.reconcile()
				if published() {
					break
				}
				c.provide()
			}
			want(t, true, published(), "the injection is published")

			var got [3]time.Duration
			for i := range got {
				got[i] = c.rsp.GetMeta().GetTtl().AsDuration()
				c.reconcile()
			}
			want(t, tc.want, got, "Crossplane comes back after, "+tc.reason)
			current, _ := c.service("api")["rollout"].(map[string]any)["current"].(bool)
			want(t, tc.current, current, "no pod is older")
		})
	}
}
