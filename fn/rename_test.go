package fn

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestRenames holds that a service which goes on under another name takes nothing from
// its pods, as they run on: what they were made with stays until the workload's
// controller says that none of them is left.
func TestRenames(t *testing.T) {
	t.Parallel()

	const backend = "- {name: backend, workload: {name: api}, "
	cases := map[string]struct {
		reason   string
		settings string
		before   string
		edit     func(*cluster)

		// stays of what was composed for the service by its old name, and goes once
		// its pods are replaced.
		stays, goes []string
	}{
		"AfterItsInjectionWasWithdrawn": {
			reason:   "its pods run as the ServiceAccount still, although nothing is published for them any more",
			settings: strings.Replace(allSettings, `"my-app-*"`, `"your-app-*"`, 1),
			before:   service("api", awsConnection, diskConnection),
			edit: func(c *cluster) {
				c.setServices(service("api", awsConnection))
				c.reconcile()
				c.setServices(backend + "connections: [" + awsConnection + "]}")
			},
			stays: []string{"shop-api.serviceaccount"},
		},
		"OntoWhatWorks": {
			reason:   "that its new ServiceAccount works at once doesn't replace its pods",
			settings: allSettings,
			before:   service("api", awsConnection) + "- {name: web, serviceAccountName: mine, connections: [" + awsConnection + "]}",
			edit: func(c *cluster) {
				c.setServices(backend + "serviceAccountName: mine, connections: [" + awsConnection + "]}\n- {name: web, serviceAccountName: mine, connections: [" + awsConnection + "]}")
			},
			stays: []string{"shop-api.association.df86318b5fa44363", "shop-api.serviceaccount"},
			goes:  []string{"shop-api.association.df86318b5fa44363"},
		},
		"SwappedOntoWhatWorks": {
			reason:   "its name is another service's now, which isn't what its pods are of",
			settings: allSettings,
			before:   service("api", awsConnection) + "- {name: web, serviceAccountName: mine, connections: [" + awsConnection + "]}",
			edit: func(c *cluster) {
				c.setServices(backend + "serviceAccountName: mine, connections: [" + awsConnection + "]}\n- {name: api, workload: {name: web}, serviceAccountName: mine, connections: []}")
			},
			stays: []string{"shop-api.association.df86318b5fa44363", "shop-api.serviceaccount"},
			goes:  []string{"shop-api.association.df86318b5fa44363"},
		},
		"OfAnOrphanedWorkload": {
			reason:   "a workload that was deleted may have left its pods",
			settings: allSettings,
			before:   service("api", awsConnection) + "- {name: web, serviceAccountName: mine, connections: [" + awsConnection + "]}",
			edit: func(c *cluster) {
				c.remove("Deployment", "api")
				c.reconcile()
				c.setServices(backend + "serviceAccountName: mine, connections: [" + awsConnection + "]}\n- {name: web, serviceAccountName: mine, connections: [" + awsConnection + "]}")
			},
			stays: []string{"shop-api.association.df86318b5fa44363", "shop-api.serviceaccount"},
		},
		"WhileItsWorkloadWasMisspelt": {
			reason:   "what its pods are of was known before the mistake",
			settings: allSettings,
			before:   service("api", awsConnection),
			edit: func(c *cluster) {
				c.setServices("- {name: api, worklod: {name: api}, connections: [" + awsConnection + "]}")
				c.reconcile()
				c.xr["spec"].(map[string]any)["services"] = "none"
				c.reconcile()
				c.setServices(backend + "connections: [" + awsConnection + "]}")
			},
			stays: []string{"shop-api.association.df86318b5fa44363", "shop-api.serviceaccount"},
			goes:  []string{"shop-api.association.df86318b5fa44363"},
		},
		"WithoutConnectionsWhileItsWorkloadWasMisspelt": {
			reason:   "what its pods are of was known before the mistake",
			settings: allSettings,
			before:   service("api", awsConnection),
			edit: func(c *cluster) {
				c.setServices("- {name: api, connections: []}")
				c.reconcile()
				c.setServices("- {name: api, worklod: {name: api}, connections: []}")
				c.reconcile()
				c.xr["spec"].(map[string]any)["services"] = "none"
				c.reconcile()
				c.setServices(backend + "connections: []}")
			},
			stays: []string{"shop-api.serviceaccount"},
		},
		"WithAnotherDisk": {
			reason:   "what holds data goes only when its workload has no disk any more",
			settings: allSettings,
			before:   service("api", `{type: disk, config: {diskName: uploads}}`),
			edit: func(c *cluster) {
				c.setServices(backend + "connections: [{type: disk, config: {diskName: scratch}}]}")
			},
			stays: []string{"disk.uploads", "shop-api.serviceaccount"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, tc.before, tc.settings)
			c.add(`{apiVersion: v1, kind: ServiceAccount, metadata: {name: mine, namespace: team-a, uid: mine}}`)
			c.add(cacheStorage)
			c.add(deployment("api", ""))
			c.add(deployment("web", ""))
			c.settle()
			c.restarted("v1")
			was := maps.Clone(c.composed)
			tc.edit(c)
			for range 4 {
				if deleted := c.reconcile(); len(deleted) > 0 {
					t.Errorf("%s: %v went", tc.reason, deleted)
				}
				c.provide()
			}
			for _, key := range tc.stays {
				if was[key] == nil || c.composed[key] == nil {
					t.Errorf("%s: %q isn't there; before %v", tc.reason, key, was[key] != nil)
				}
			}
			c.restarted("v2")
			for _, key := range tc.stays {
				if want := !slices.Contains(tc.goes, key); want != (c.composed[key] != nil) {
					t.Errorf("%q once the pods are replaced: %t, want %t", key, !want, want)
				}
			}
		})
	}
}
