package fn

import (
	"maps"
	"strings"
	"testing"
)

// TestInterruptedCreation holds that a provider which doesn't know how a creation ended,
// since it was stopped or the API server was away, is told to go on: it would wait for
// a person, and until then delete nothing either.
func TestInterruptedCreation(t *testing.T) {
	t.Parallel()

	const (
		pending   = "crossplane.io/external-create-pending"
		succeeded = "crossplane.io/external-create-succeeded"
		message   = "cannot determine creation result - remove the crossplane.io/external-create-pending annotation if it is safe to proceed"
	)
	unsynced := map[string]any{"conditions": []any{
		map[string]any{"type": "Ready", "status": "False", "reason": "Creating"},
		map[string]any{"type": "Synced", "status": "False", "reason": "ReconcileError", "message": message},
	}}
	synced := map[string]any{"conditions": []any{
		map[string]any{"type": "Ready", "status": "True"},
		map[string]any{"type": "Synced", "status": "True"},
	}}
	for name, tc := range map[string]struct {
		reason string
		status map[string]any
		// ended is when the provider has written down that the creation ended.
		ended string
		edit  func(*cluster)

		// annotation after one reconcile, and whether the object is there after that
		// and after the next.
		annotation string
		kept, then bool
	}{
		"Interrupted": {"it goes on", unsynced, "", func(*cluster) {}, "", true, true},
		"AtWork":      {"it is the provider that takes the annotation's word for something", synced, "", func(*cluster) {}, "2026-11-28T15:56:54Z", true, true},
		"GoesOn":      {"its status is of before", unsynced, "2026-11-28T15:56:55Z", func(*cluster) {}, "2026-11-28T15:56:54Z", true, true},
		"Revoked": {"its provider must be able to delete it", unsynced, "", func(c *cluster) {
			c.setSettings(strings.Replace(allSettings, `identity: "*"`, `identity: none`, 1))
		}, "", true, false},
		"Left":          {"its provider must be able to delete it", unsynced, "", func(c *cluster) { c.setServices(service("api")) }, "", true, false},
		"LeftAndAtWork": {"its provider finishes what it has begun before it can delete it", synced, "", func(c *cluster) { c.setServices(service("api")) }, "2026-11-28T15:56:54Z", true, false},
		"Unreadable":    {"a claim that can't be read keeps what it has", unsynced, "", func(c *cluster) { c.xr["spec"].(map[string]any)["services"] = "none" }, "", true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, service("api", azureConnection), allSettings)
			c.settle()
			key := c.keys("FederatedIdentityCredential")[0]
			there := func() bool { return c.composed[key] != nil }
			o := c.composed[key]
			annotations := maps.Clone(o["metadata"].(map[string]any)["annotations"].(map[string]any))
			annotations[pending], annotations[succeeded] = "2026-11-28T15:56:54Z", tc.ended
			o["metadata"].(map[string]any)["annotations"], o["status"] = annotations, tc.status
			tc.edit(c)
			c.reconcile()
			want(t, tc.kept, there(), "there, "+tc.reason)
			want(t, tc.annotation, str(c.composed[key], "metadata", "annotations", pending), "annotation, "+tc.reason)
			if tc.status["conditions"].([]any)[1].(map[string]any)["status"] == "False" && name == "Interrupted" {
				want(t, "Creating", c.reason("api", "azureManagedIdentity"), "reason")
			}

			// The provider begins again, and nobody else writes its annotation.
			if there() {
				c.composed[key]["status"] = synced
				c.composed[key]["metadata"].(map[string]any)["annotations"].(map[string]any)[pending] = "2026-11-28T15:57:54Z"
				c.composed[key]["metadata"].(map[string]any)["annotations"].(map[string]any)[succeeded] = "2026-11-28T15:57:55Z"
			}
			c.reconcile()
			want(t, tc.then, there(), "there after the next, "+tc.reason)
			if tc.then {
				want(t, "2026-11-28T15:57:54Z", str(c.composed[key], "metadata", "annotations", pending), "annotation after the next")
			}
		})
	}
}

// TestInterruptedUntilSeen holds that what lets a provider go on stays until it has: one
// whose watch was away, as while the API server restarts, sees what an object is
// afterwards, and not what it was in between.
func TestInterruptedUntilSeen(t *testing.T) {
	t.Parallel()

	const (
		pending = "crossplane.io/external-create-pending"
		resumed = "serviceconnections.io/resumed"
		begun   = "2026-11-28T15:56:54Z"
		again   = "2026-11-28T15:57:54Z"
	)
	c := newCluster(t, service("api", azureConnection), allSettings)
	c.settle()
	key := c.keys("FederatedIdentityCredential")[0]
	annotation := func(name string) string { return str(c.composed[key], "metadata", "annotations", name) }
	interrupt := func(at string) {
		o := c.composed[key]
		annotations := maps.Clone(o["metadata"].(map[string]any)["annotations"].(map[string]any))
		annotations[pending] = at
		o["metadata"].(map[string]any)["annotations"] = annotations
		o["status"] = map[string]any{"conditions": []any{
			map[string]any{"type": "Ready", "status": "False", "reason": "Creating"},
			map[string]any{"type": "Synced", "status": "False", "reason": "ReconcileError", "message": "cannot determine creation result - remove the " + pending + " annotation if it is safe to proceed"},
		}}
	}

	interrupt(begun)
	for range 3 {
		c.reconcile()
		want(t, "", annotation(pending), "what the provider waits for")
		want(t, begun, annotation(resumed), "what it sees")
		want(t, "Creating", c.reason("api", "azureManagedIdentity"), "reason")
	}

	interrupt(again)
	c.reconcile()
	want(t, "", annotation(pending), "what the provider waits for the second time")
	want(t, again, annotation(resumed), "what it sees the second time")

	c.composed[key]["status"] = map[string]any{"conditions": []any{
		map[string]any{"type": "Ready", "status": "True"},
		map[string]any{"type": "Synced", "status": "True"},
	}}
	c.reconcile()
	want(t, "", annotation(resumed), "what is left once it has gone on")
	want(t, "Connected", c.reason("api", "azureManagedIdentity"), "reason once it has gone on")
}
