package fn

import (
	"testing"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/google/go-cmp/cmp"
)

// TestUnknownFields holds that a field which this version doesn't know is told,
// and that nothing of what is there goes because of it.
func TestUnknownFields(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason   string
		services string
		want     string // Reason of the connection.
	}{
		"Service": {
			reason:   "what a service asks for in vain says nothing of its connections, which go on",
			services: `[{name: api, holdPods: true, connections: [` + awsConnection + `]}]`,
			want:     "Connected",
		},
		"Connection": {
			reason:   "what a connection asks for in vain it doesn't have, and keeps what it had",
			services: `[{name: api, connections: [{type: awsRole, role: my-app-s3, creates: {}}]}]`,
			want:     "InvalidField",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, service("api", awsConnection), allSettings)
			c.settle()
			c.setServices(tc.services)
			if deleted := c.reconcile(); len(deleted) > 0 {
				t.Errorf("%s: deleted %v", tc.reason, deleted)
			}
			got := map[string]any{"reason": c.reason("api", "awsRole"), "ready": c.rsp.GetDesired().GetComposite().GetReady()}
			for _, condition := range c.rsp.GetConditions() {
				if condition.GetType() == "Valid" {
					got["valid"] = condition.GetStatus()
				}
			}
			want := map[string]any{"reason": tc.want, "ready": fnv1.Ready_READY_FALSE, "valid": fnv1.Status_STATUS_CONDITION_FALSE}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
