package e2e

import (
	"testing"

	"github.com/serviceconnections/function-service-connections/fn/claim"
)

// TestKept holds that an object whose connection can't be worked out right now
// is put back exactly as it is: no byte of it changes, and neither do the owners
// of its fields, of which the provider and the team may be some.
func TestKept(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason  string
		disturb func(data map[string]any)
		typ     claim.ConnectionType
		as      string
	}{
		"AWS":    {reason: "no aws section", disturb: func(data map[string]any) { delete(data, "aws") }, typ: claim.TypeAWSRole, as: "CloudNotConfigured"},
		"Azure":  {reason: "no azure section", disturb: func(data map[string]any) { delete(data, "azure") }, typ: claim.TypeAzureManagedIdentity, as: "CloudNotConfigured"},
		"Google": {reason: "no gcp section", disturb: func(data map[string]any) { delete(data, "gcp") }, typ: claim.TypeCloudSQL, as: "CloudNotConfigured"},
		"Disks":  {reason: "a disk in use leaves the list", disturb: func(data map[string]any) { data["disks"] = []any{} }, typ: claim.TypeDisk, as: "Connected"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			alone(t, func(tm *team) {
				tm.connect(everything)
				tm.awaitReady()
				tm.ownFields()
				ours, lines := tm.objects(), tm.contents()
				before := tm.awaitInjection("api")

				tm.changeSettings(tc.disturb)
				tm.awaitReason("api", tc.typ, tc.as)
				tm.awaitReconcile()
				for _, o := range ours {
					tm.untouched(tc.reason, o)
				}
				tm.awaitContents("the same as before", lines...)

				tm.changeSettings(func(map[string]any) {})
				tm.awaitReady()
				for _, o := range ours {
					tm.untouched(tc.reason+", and it comes back", o)
				}
				if after := tm.awaitInjection("api"); after != before {
					tm.t.Errorf("the injection %s became %s", before, after)
				}
			})
		})
	}
}

// ownFields of every composed object by somebody else, who must keep them.
func (t *team) ownFields() {
	t.t.Helper()
	for _, o := range t.objects() {
		t.kubectl("kubectl " + scope(o) + " label --field-manager=somebody " + kubectlName(o) + " theirs=kept")
		t.kubectl("kubectl " + scope(o) + " annotate --field-manager=somebody " + kubectlName(o) + " example.org/theirs=kept")
	}
}
