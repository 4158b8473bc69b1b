package status

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/plan"
)

// TestStalled tells what passes by itself from what waits for somebody.
func TestStalled(t *testing.T) {
	t.Parallel()

	creating := connection.Verdictf(connection.Creating, "it is being created")
	notFound := connection.Verdictf(connection.RoleNotFound, "there is no such role")
	connected := connection.Verdict{Reason: connection.Connected}
	proceeding := Condition{Type: Stalled, Status: False, Reason: "Proceeding"}

	cases := map[string]struct {
		reason    string
		verdicts  []connection.Verdict
		errors    field.ErrorList
		connected string
		stalled   Condition
	}{
		"Connected": {
			reason:    "nothing blocks",
			verdicts:  []connection.Verdict{connected},
			connected: "Connected", stalled: proceeding,
		},
		"Creating": {
			reason:    "it passes by itself, and what is said of it changes no more than when it is done",
			verdicts:  []connection.Verdict{connected, creating},
			connected: "Creating", stalled: proceeding,
		},
		"Blocked": {
			reason:    "somebody has to do something, whatever goes on beside it",
			verdicts:  []connection.Verdict{creating, notFound},
			connected: "Creating", stalled: Condition{Type: Stalled, Status: True, Reason: "RoleNotFound", Message: "api/awsRole: RoleNotFound: there is no such role"},
		},
		"Mistake": {
			reason:    "a mistake stays until it is mended, also where all connections work",
			verdicts:  []connection.Verdict{connected},
			errors:    field.ErrorList{field.Invalid(field.NewPath("spec"), "x", "no")},
			connected: "InvalidField", stalled: Condition{Type: Stalled, Status: True, Reason: "InvalidField", Message: `spec: Invalid value: "x": no`},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			svc := plan.Service{ServiceEntry: &claim.ServiceEntry{Service: claim.Service{Name: "api"}}}
			for _, v := range tc.verdicts {
				svc.Connections = append(svc.Connections, plan.Connection{ID: claim.ConnectionID{Type: claim.TypeAWSRole}, Verdict: v})
			}
			got := map[string]Condition{}
			for _, c := range Conditions(&claim.Claim{Errors: tc.errors}, &plan.Plan{Services: []plan.Service{svc}}) {
				got[c.Type] = c
			}
			if diff := cmp.Diff(tc.stalled, got[Stalled]); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(tc.connected, got[Connected].Reason); diff != "" {
				t.Errorf("%s: reason of Connected, -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
