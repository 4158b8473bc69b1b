package fn

import (
	"strings"
	"testing"
)

// TestNotClaimedNextStep holds that the message says what to do in this
// Composition, and not in another.
func TestNotClaimedNextStep(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason string
		source map[string]any
		want   string
	}{
		"Claim": {
			reason: "only a claim has a namespace here",
			want:   `ServiceConnection "shop" belongs to no namespace, which is part of every trust; create it through its claim`,
		},
		"SourceNamespace": {
			reason: "the Composition says where the namespace stands, and there is no claim to create",
			source: map[string]any{"namespace": "spec.teamNamespace"},
			want:   `ServiceConnection "shop" belongs to no namespace, which is part of every trust; set spec.teamNamespace`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, service("api", awsConnection), allSettings)
			c.xr["metadata"] = map[string]any{"name": "shop", "uid": xrUID}
			if tc.source != nil {
				c.input["source"] = tc.source
			}
			c.reconcile()
			for _, condition := range c.rsp.GetConditions() {
				if condition.GetType() == "Valid" && condition.GetMessage() != tc.want {
					t.Errorf("%s:\nwant %s\ngot  %s", tc.reason, tc.want, strings.TrimSpace(condition.GetMessage()))
				}
			}
		})
	}
}
