package fn

import (
	"testing"
)

// TestRounds counts the calls that a claim takes on its way: the function asks for all
// that it can know of, or Crossplane calls it again for each round of questions.
func TestRounds(t *testing.T) {
	t.Parallel()

	const services = `
- name: api
  connections: [` + awsConnection + `, ` + gcpConnection + `]
- name: worker
  connections: [` + azureConnection + `, ` + sqlConnection + `]
`
	c := newCluster(t, services, allSettings)
	c.add(deployment("api", ""))
	c.add(deployment("worker", ""))
	c.referToSettings()

	c.reconcile()
	// What is known of the claim alone, what the settings say, and once more with that.
	want(t, 3, c.calls, "calls of the first reconcile")
	for range 5 {
		before := len(c.keys("PodIdentityAssociation"))
		c.provide()
		c.reconcile()
		want(t, 1, c.calls, "calls of a later reconcile")
		if before == 0 && len(c.keys("PodIdentityAssociation")) == 0 {
			t.Error("the association isn't composed by the run that finds its role")
		}
	}
	want(t, "Connected", c.reason("api", "awsRole"), "reason")
}
