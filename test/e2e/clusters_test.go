package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/test/e2e/cloud"
	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
)

// TestTwoClusters holds that two clusters with the same namespaces and claims,
// in one cloud, never meet on an object of it: neither overwrites, adopts or
// deletes what the other has.
func TestTwoClusters(t *testing.T) {
	t.Parallel()
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			twoClusters(t, mode)
		})
	}
}

func twoClusters(t *testing.T, mode controlplane.Mode) {
	t.Helper()
	c := disturbedCluster(t, mode)
	one := withSettings(t, mode)
	c.shareCloud(t, one.cloud)
	two := lonely(t, c, one.namespace)
	two.deadline = disturbedDeadline

	shared := func(data map[string]any) { section(data, "gcp")["sharedWorkloadPool"] = true }
	one.changeSettings(shared)
	two.changeSettings(func(data map[string]any) {
		shared(data)
		section(data, "cluster")["name"] = "two"
		section(data, "aws")["clusterName"] = "two"
		section(data, "azure")["oidcIssuer"] = "https://oidc.example.org/clusters/two/"
	})

	one.connect(everything)
	one.awaitReady()
	first := one.contents()
	two.connect(everything)
	two.awaitReady()
	// The binding has no room for the cluster's name: it is one for both.
	want := append(slices.Clone(first), "association two ", "https://oidc.example.org/clusters/two/")
	one.awaitContents("what the first had, and as much for the second", want...)
	ours, writes := one.objects(), len(one.cloud.Writes())

	two.connect("- name: api\n  connections: [{type: disk, config: {diskName: uploads}}]")
	two.awaitConnectedCount("1/1")
	one.awaitContents("all that the first has, and the binding", first...)
	two.connect(everything)
	two.awaitReason("api", claim.TypeAzureManagedIdentity, "Connected")
	two.awaitReady()
	two.deleteNow()
	two.eventually("the second claim is gone", two.noClaim)
	one.awaitContents("all that the first has, and the binding", first...)

	one.awaitReconcile()
	one.awaitReady()
	for _, o := range ours {
		one.untouched("nothing happened to the first cluster's claim", o)
	}
	for _, w := range one.cloud.Writes()[writes:] {
		if strings.Contains(w, "member") {
			t.Errorf("a binding that is shared was written: %s", w)
		}
	}
}

// shareCloud of another cluster for one test.
func (c *cluster) shareCloud(t *testing.T, shared *cloud.Cloud) {
	t.Helper()
	own := c.cloud
	use := func(cl *cloud.Cloud) {
		t.Helper()
		if err := c.StopProviders(controlplane.AllProviders()...); err != nil {
			t.Error(err)
		}
		c.cloud = cl
		if err := c.runProviders(controlplane.AllProviders()...); err != nil {
			t.Error(err)
		}
	}
	use(shared)
	t.Cleanup(func() { use(own) })
}
