package e2e

import (
	"testing"

	"github.com/serviceconnections/function-service-connections/fn/claim"
)

func TestAWSRole(t *testing.T) {
	t.Parallel()
	eachMode(t, func(team *team) {
		team.connect(`
- name: api
  connections:
  - {type: awsRole, role: my-app-s3-access}
`)
		team.awaitReason("api", claim.TypeAWSRole, "Connected")
		team.awaitReady()
		team.apply(deployment("api"))
		if pod := team.awaitPod("api"); pod.Spec.ServiceAccountName != "shop-api" {
			team.t.Errorf("the pod runs as %q, want shop-api", pod.Spec.ServiceAccountName)
		}
	})
}
