package fn

import (
	"maps"
	"slices"
	"strings"
	"testing"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/google/go-cmp/cmp"
)

// rendering is a cluster in which an earlier step of the pipeline renders the
// workload.
func rendering(t *testing.T, services, workload string) *cluster {
	t.Helper()
	c := newCluster(t, services, allSettings)
	c.add(`{apiVersion: v1, kind: ServiceAccount, metadata: {name: shared, namespace: team-a}}`)
	c.render("workload", workload)
	return c
}

// render an object in an earlier step, which is ready as that step says.
func (c *cluster) render(key, y string) {
	c.t.Helper()
	if c.desired == nil {
		c.desired = &fnv1.State{Resources: map[string]*fnv1.Resource{}}
	}
	c.desired.Resources[key] = &fnv1.Resource{Resource: toStruct(c.t, fromYAML(c.t, y)), Ready: fnv1.Ready_READY_TRUE}
}

const job = `
apiVersion: batch/v1
kind: Job
metadata: {name: api, namespace: team-a}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: app, image: a}]}}}
`

// pods of the composed workload.
func (c *cluster) pods() map[string]any {
	spec, _ := c.composed["workload"]["spec"].(map[string]any)
	template, _ := spec["template"].(map[string]any)
	return template
}

func injectionOf(template map[string]any) string {
	return str(template, "metadata", "annotations", "serviceconnections.io/injection")
}

// TestRendered holds what becomes of workloads that an earlier step renders.
func TestRendered(t *testing.T) {
	t.Parallel()

	otherAzure := strings.Replace(azureConnection, "shop-identity", "other-identity", 1)
	replicaSet := strings.Replace(deployment("api", ""), "kind: Deployment", "kind: ReplicaSet", 1)
	cases := map[string]struct {
		reason   string
		services string
		workload string
		check    func(*testing.T, *cluster)
	}{
		"JobWaits": {
			reason:   "a Job can't change once it runs, so it isn't created before its injection is complete",
			services: workloadService("batch/v1", "Job", azureConnection),
			workload: job,
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.reconcile()
				want(t, 0, len(c.keys("Job")), "Jobs while the identity isn't known")
				want(t, true, hasNote(c, "WorkloadWithheld"), "note WorkloadWithheld")
				c.settle()
				want(t, 1, len(c.keys("Job")), "Jobs")
				want(t, "true", str(c.pods(), "metadata", "labels", "azure.workload.identity/use"), "label")
			},
		},
		"JobOfAServiceThatLeft": {
			reason:   "its pods can't be changed back",
			services: workloadService("batch/v1", "Job", awsConnection),
			workload: job,
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.settle()
				was := c.pods()
				c.setServices("[]")
				c.settle()
				if diff := cmp.Diff(was, c.pods()); diff != "" {
					t.Errorf("the Job's template changed: -was, +is:\n%s", diff)
				}
			},
		},
		"JobIsRefused": {
			reason:   "what can't come by itself isn't waited for",
			services: workloadService("batch/v1", "Job", `{type: awsRole, role: admin}`),
			workload: job,
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.settle()
				want(t, 1, len(c.keys("Job")), "Jobs")
				want(t, "NotAllowed", c.reason("api", "awsRole"), "reason")
			},
		},
		"JobStays": {
			reason:   "a changed injection of a Job that runs would be refused by the API server for ever",
			services: workloadService("batch/v1", "Job", azureConnection),
			workload: job,
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.settle()
				was := c.pods()
				c.setServices(workloadService("batch/v1", "Job", azureConnection, awsConnection))
				c.settle()
				if diff := cmp.Diff(was, c.pods()); diff != "" {
					t.Errorf("the Job's template changed: -was, +is:\n%s", diff)
				}
				want(t, `recreate Job "api" in namespace "team-a"`, str(c.service("api"), "restart"), "restart")
				delete(c.composed, "workload")
				c.settle()
				want(t, str(c.service("api"), "injection", "hash"), injectionOf(c.pods()), "injection of the new Job")
				want(t, "", str(c.service("api"), "restart"), "restart of the new Job")
			},
		},
		"DeploymentRollsOut": {
			reason:   "a Deployment takes a new injection by itself, and then the old credential may go",
			services: service("api", azureConnection),
			workload: deployment("api", ""),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.settle()
				c.setServices(service("api", otherAzure))
				c.settle()
				want(t, str(c.service("api"), "injection", "hash"), injectionOf(c.pods()), "injection")
				want(t, "", str(c.service("api"), "restart"), "restart")
				want(t, 1, len(c.keys("FederatedIdentityCredential")), "credentials")
			},
		},
		"ReplicaSetDoesNot": {
			reason:   "its pods stay as they are, also where it is made anew and takes them up, so the old credential must",
			services: workloadService("apps/v1", "ReplicaSet", azureConnection),
			workload: replicaSet,
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				const command = "kubectl -n team-a scale replicaset/api --replicas=0, then back once its pods are gone"
				c.settle()
				c.setServices(workloadService("apps/v1", "ReplicaSet", otherAzure))
				c.settle()
				want(t, 2, len(c.keys("FederatedIdentityCredential")), "credentials")
				want(t, command, str(c.service("api"), "restart"), "restart")
				c.composed["workload"]["metadata"].(map[string]any)["uid"] = "new"
				c.settle()
				want(t, 2, len(c.keys("FederatedIdentityCredential")), "credentials of a ReplicaSet that is made anew")
				c.render("workload", strings.Replace(replicaSet, "replicas: 1", "replicas: 0", 1))
				c.composed["workload"]["status"] = map[string]any{"replicas": 0.0}
				c.settle()
				c.settle()
				want(t, 1, len(c.keys("FederatedIdentityCredential")), "credentials once its pods are gone")
				want(t, "", str(c.service("api"), "restart"), "restart once its pods are gone")
			},
		},
		"OnDelete": {
			reason:   "somebody must delete the pods of this strategy",
			services: workloadService("apps/v1", "StatefulSet", azureConnection),
			workload: strings.Replace(strings.Replace(deployment("api", ""), "kind: Deployment", "kind: StatefulSet", 1), "replicas: 1", "updateStrategy: {type: OnDelete}", 1),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.settle()
				c.setServices(workloadService("apps/v1", "StatefulSet", otherAzure))
				c.settle()
				want(t, 2, len(c.keys("FederatedIdentityCredential")), "credentials")
				want(t, true, strings.Contains(str(c.service("api"), "restart"), "delete its pods"), "restart tells to delete pods")
				c.composed["workload"]["status"] = map[string]any{"currentRevision": "api-1", "updateRevision": "api-2", "replicas": 1.0, "updatedReplicas": 1.0}
				c.settle()
				want(t, 1, len(c.keys("FederatedIdentityCredential")), "credentials once all pods are of the new revision")
				want(t, "", str(c.service("api"), "restart"), "restart once all pods are of the new revision")
			},
		},
		"BrokenEdit": {
			reason:   "an edit that can't be worked out doesn't take away what runs",
			services: service("api", awsConnection),
			workload: deployment("api", ""),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.settle()
				was := c.pods()
				for name, services := range map[string]string{
					"no such ServiceAccount": "- {name: api, serviceAccountName: typo, connections: [" + awsConnection + "]}",
					"no such container":      "- {name: api, containers: [typo], connections: [" + awsConnection + "]}",
					"malformed":              service("api", `{type: awsRole, role: "no spaces allowed"}`),
					"not allowed":            service("api", `{type: awsRole, role: admin}`),
				} {
					c.setServices(services)
					c.settle()
					if diff := cmp.Diff(was, c.pods()); diff != "" {
						t.Errorf("%s: the pods changed: -were, +are:\n%s", name, diff)
					}
				}
				c.setServices(service("api", diskConnection))
				c.add(cacheStorage)
				c.settle()
				if n := len(list(c.pods(), "spec", "volumes")); n != 1 {
					t.Errorf("%d volumes once the claim is right, want the disk's alone", n)
				}
			},
		},
		"NewConnectionIsBroken": {
			reason:   "a connection that never worked holds nothing back",
			services: service("api", awsConnection),
			workload: deployment("api", ""),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.settle()
				c.setServices(service("api", awsConnection, `{type: azureManagedIdentity, identityName: "not valid", resourceGroup: rg}`))
				c.render("workload", strings.Replace(deployment("api", ""), "image: x", "image: new", 1))
				c.settle()
				want(t, "new", str(list(c.pods(), "spec", "containers")[0].(map[string]any), "image"), "image")
			},
		},
		"Revoked": {
			reason:   "what is taken away leaves the pods",
			services: service("api", awsConnection),
			workload: deployment("api", ""),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.settle()
				c.setSettings(strings.Replace(allSettings, `"my-app-*"`, `"your-app-*"`, 1))
				c.settle()
				want(t, "", injectionOf(c.pods()), "injection")
			},
		},
		"RolloutRefersToItsPods": {
			reason:   "a Rollout without a template gets its injection as its pods are created",
			services: workloadService("argoproj.io/v1alpha1", "Rollout", awsConnection),
			workload: `{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: api, namespace: team-a}, spec: {workloadRef: {kind: Deployment, name: api}}}`,
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.settle()
				want(t, "Admission", str(c.service("api"), "delivery"), "delivery")
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := rendering(t, tc.services, tc.workload)
			tc.check(t, c)
			if t.Failed() {
				t.Log(tc.reason)
			}
		})
	}
}

// workloadService is service api with a workload of a kind.
func workloadService(apiVersion, kind string, connections ...string) string {
	return "- {name: api, workload: {apiVersion: " + apiVersion + ", kind: " + kind + ", name: api}, connections: [" + strings.Join(connections, ", ") + "]}\n"
}

func hasNote(c *cluster, reason string) bool {
	return slices.ContainsFunc(list(c.service("api"), "notes"), func(n any) bool { return n.(map[string]any)["reason"] == reason })
}

// TestOtherStepsKeys holds that a composed resource of an earlier step is that
// step's, even where its key or kind looks like one of ours.
func TestOtherStepsKeys(t *testing.T) {
	t.Parallel()
	c := newCluster(t, service("api", `{type: disk, config: {diskName: scratch}}`, awsConnection), allSettings)
	theirs := map[string]string{
		"disk.scratch":            `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: theirs, namespace: team-a}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 5Gi}}}}`,
		"api.role.rbac":           `{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: theirs, namespace: team-a}, rules: []}`,
		"shop-api.serviceaccount": `{apiVersion: v1, kind: ServiceAccount, metadata: {name: theirs, namespace: team-a}}`,
	}
	for key, y := range theirs {
		c.render(key, y)
	}
	for range 3 {
		c.reconcile()
		for key, y := range theirs {
			got := c.rsp.GetDesired().GetResources()[key]
			if diff := cmp.Diff(fromYAML(t, y), got.GetResource().AsMap()); diff != "" || got.GetReady() != fnv1.Ready_READY_TRUE {
				t.Errorf("%q of an earlier step changed, ready %v: -want, +got:\n%s", key, got.GetReady(), diff)
			}
		}
	}
	want(t, "NameConflict", c.reason("api", "awsRole"), "reason of the role, whose ServiceAccount has no key")

	c.desired = &fnv1.State{}
	deleted := c.reconcile()
	if !slices.Contains(deleted, "api.role.rbac") {
		t.Errorf("deleted %v, want the RBAC Role that its step let go", deleted)
	}
	if left := slices.Sorted(maps.Keys(c.composed)); slices.Contains(left, "api.role.rbac") {
		t.Errorf("left %v", left)
	}
}
