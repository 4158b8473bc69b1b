package fn

import (
	"strings"
	"testing"
)

const (
	otherAzureConnection = `{type: azureManagedIdentity, identityName: other-identity, resourceGroup: rg-shop}`

	rolloutCRD = `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: rollouts.argoproj.io}, status: {conditions: [{type: Established, status: "True"}]}}`
)

// TestPodsAreReplaced holds that a superseded credential goes when the workload's
// own controller says that no old pod is left, and not before.
func TestPodsAreReplaced(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		reason           string
		apiVersion, kind string
		spec             string
		// status while half of the pods are old, and once none is.
		halfway, done string
		// advice half-way, where somebody must do something.
		advice string
	}{
		"PausedDeployment": {
			"a paused rollout has replaced nothing", "apps/v1", "Deployment", `paused: true, replicas: 3, `,
			`{observedGeneration: 2, replicas: 3, updatedReplicas: 0, readyReplicas: 3}`, `{observedGeneration: 2, replicas: 3, updatedReplicas: 3}`, "kubectl -n team-a rollout resume deployment/api",
		},
		"StuckDeployment": {
			"new pods that don't start replace nothing", "apps/v1", "Deployment", `replicas: 3, `,
			`{observedGeneration: 2, replicas: 4, updatedReplicas: 1, conditions: [{type: Progressing, status: "False", reason: ProgressDeadlineExceeded}]}`, `{observedGeneration: 2, replicas: 3, updatedReplicas: 3}`, "",
		},
		"UnseenDeployment": {
			"its controller may not have seen the new template yet", "apps/v1", "Deployment", `replicas: 3, `,
			`{observedGeneration: 1, replicas: 3, updatedReplicas: 3}`, `{observedGeneration: 2, replicas: 3, updatedReplicas: 3}`, "",
		},
		"PartitionedStatefulSet": {
			"pods below the partition stay", "apps/v1", "StatefulSet", `replicas: 3, updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 1}}, `,
			`{observedGeneration: 2, currentRevision: a, updateRevision: b, replicas: 3, updatedReplicas: 2}`, `{observedGeneration: 2, currentRevision: b, updateRevision: b, replicas: 3, updatedReplicas: 3}`, "kubectl -n team-a rollout restart statefulset/api, with 0 for the partition 1 of its updateStrategy, below which pods stay as they are",
		},
		"StatefulSetOnDelete": {
			"somebody deletes its pods one by one", "apps/v1", "StatefulSet", `replicas: 3, updateStrategy: {type: OnDelete}, `,
			`{observedGeneration: 2, currentRevision: a, updateRevision: b, replicas: 3, updatedReplicas: 2}`, `{observedGeneration: 2, currentRevision: a, updateRevision: b, replicas: 3, updatedReplicas: 3}`, "kubectl -n team-a rollout restart statefulset/api, then delete its pods one by one, which its updateStrategy OnDelete leaves as they are",
		},
		"DaemonSet": {
			"a node still has an old pod", "apps/v1", "DaemonSet", ``,
			`{observedGeneration: 2, desiredNumberScheduled: 3, updatedNumberScheduled: 2}`, `{observedGeneration: 2, desiredNumberScheduled: 3, updatedNumberScheduled: 3}`, "",
		},
		"CanaryRollout": {
			"most pods are of the stable ReplicaSet", "argoproj.io/v1alpha1", "Rollout", `replicas: 10, `,
			`{observedGeneration: "2", phase: Paused, stableRS: a, currentPodHash: b, replicas: 10, updatedReplicas: 1}`, `{observedGeneration: "2", phase: Healthy, stableRS: b, currentPodHash: b, replicas: 10, updatedReplicas: 10}`, "",
		},
		"BlueGreenRollout": {
			"the old ReplicaSet stays for a while after the switch", "argoproj.io/v1alpha1", "Rollout", `replicas: 2, strategy: {blueGreen: {activeService: api}}, `,
			`{observedGeneration: "2", phase: Healthy, stableRS: b, currentPodHash: b, replicas: 4, updatedReplicas: 2}`, `{observedGeneration: "2", phase: Healthy, stableRS: b, currentPodHash: b, replicas: 2, updatedReplicas: 2}`, "",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			workload := func(generation, version, status string) string {
				return `{apiVersion: ` + tc.apiVersion + `, kind: ` + tc.kind + `, metadata: {name: api, namespace: team-a, generation: ` + generation + `}, spec: {` + tc.spec + `template: {metadata: {labels: {v: ` + version + `}}, spec: {containers: [{name: app, image: x}]}}}, status: ` + status + `}`
			}
			before := strings.NewReplacer("observedGeneration: 2", "observedGeneration: 1", `observedGeneration: "2"`, `observedGeneration: "1"`).Replace(tc.done)
			c := newCluster(t, workloadService(tc.apiVersion, tc.kind, azureConnection), allSettings)
			c.add(rolloutCRD)
			c.add(workload("1", "one", before))
			c.settle()
			c.setServices(workloadService(tc.apiVersion, tc.kind, otherAzureConnection))
			c.settle()
			want(t, 2, len(c.keys("FederatedIdentityCredential")), "credentials before a restart")
			want(t, true, str(c.service("api"), "restart") != "", "restart is told")

			c.add(workload("2", "two", tc.halfway))
			c.settle()
			want(t, 2, len(c.keys("FederatedIdentityCredential")), "credentials half-way: "+tc.reason)
			want(t, true, hasNote(c, "Superseded"), "note of what is waited for")
			want(t, tc.advice, str(c.service("api"), "restart"), "restart half-way, when it was followed")

			c.add(workload("2", "one", tc.halfway))
			c.settle()
			want(t, true, str(c.service("api"), "restart") != "", "restart is told again once it was undone")

			c.add(workload("2", "two", tc.done))
			c.settle()
			want(t, 1, len(c.keys("FederatedIdentityCredential")), "credentials once no old pod is left")
			want(t, "", str(c.service("api"), "restart"), "restart once no old pod is left")
		})
	}
}

// TestRenderedPodsAreReplaced holds the same for a workload that the pipeline
// renders: a new template only begins to replace its pods.
func TestRenderedPodsAreReplaced(t *testing.T) {
	t.Parallel()
	c := rendering(t, service("api", azureConnection), deployment("api", ""))
	c.settle()
	c.setServices(service("api", otherAzureConnection))
	c.composed["workload"]["status"] = map[string]any{"replicas": 2.0, "updatedReplicas": 1.0}
	c.settle()
	want(t, str(c.service("api"), "injection", "hash"), injectionOf(c.pods()), "injection of the template")
	want(t, 2, len(c.keys("FederatedIdentityCredential")), "credentials while an old pod runs")
	c.composed["workload"]["status"] = map[string]any{"replicas": 1.0, "updatedReplicas": 1.0}
	c.settle()
	want(t, 1, len(c.keys("FederatedIdentityCredential")), "credentials once none does")
}

// TestPodsNobodySees holds that what isn't seen isn't gone, and that the team's
// word is taken for it.
func TestPodsNobodySees(t *testing.T) {
	t.Parallel()
	statefulSet := `{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: api, namespace: team-a, uid: one}, spec: {replicas: 3, template: {spec: {containers: [{name: app, image: x}]}}}}`
	cases := map[string]struct {
		reason           string
		apiVersion, kind string
		settings         string
		before, after    string
	}{
		"ByLabels":    {reason: "pods may name their service by labels, without a workload of its name", apiVersion: "apps/v1", kind: "Deployment"},
		"NotRead":     {reason: "the settings say that workloads aren't read", apiVersion: "apps/v1", kind: "Deployment", settings: allSettings + "\nworkload: {inspect: false}\n", before: deployment("api", "")},
		"Orphaned":    {reason: "kubectl delete --cascade=orphan leaves pods, which a StatefulSet of the name takes up", apiVersion: "apps/v1", kind: "StatefulSet", before: statefulSet, after: strings.Replace(statefulSet, "uid: one", "uid: two", 1)},
		"WorkloadRef": {reason: "a Rollout that refers to a Deployment has no template of its own", apiVersion: "argoproj.io/v1alpha1", kind: "Rollout", before: `{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: api, namespace: team-a}, spec: {workloadRef: {kind: Deployment, name: api}}, status: {replicas: 3}}`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.settings == "" {
				tc.settings = allSettings
			}
			c := newCluster(t, workloadService(tc.apiVersion, tc.kind, azureConnection), tc.settings)
			c.add(rolloutCRD)
			if tc.before != "" {
				c.add(tc.before)
			}
			c.settle()
			c.setServices(workloadService(tc.apiVersion, tc.kind, otherAzureConnection))
			c.settle()
			if tc.after != "" {
				c.add(tc.after)
				c.settle()
			}
			want(t, 2, len(c.keys("FederatedIdentityCredential")), "credentials: "+tc.reason)

			hash := str(c.service("api"), "injection", "hash")
			c.xr["metadata"].(map[string]any)["annotations"] = map[string]any{"serviceconnections.io/pods-replaced": "another," + hash}
			c.settle()
			want(t, 1, len(c.keys("FederatedIdentityCredential")), "credentials once the team has said that no old pod is left")
		})
	}
}

// TestPodsReplacedKeepsNothing holds that the team's word can't hold on to what is
// revoked.
func TestPodsReplacedKeepsNothing(t *testing.T) {
	t.Parallel()
	c := newCluster(t, service("api", azureConnection), allSettings)
	c.add(deployment("api", ""))
	c.settle()
	c.xr["metadata"].(map[string]any)["annotations"] = map[string]any{"serviceconnections.io/pods-replaced": str(c.service("api"), "injection", "hash")}
	c.setSettings(strings.Replace(allSettings, `identity: "*"`, `identity: none`, 1))
	c.settle()
	want(t, 0, len(c.keys("FederatedIdentityCredential")), "credentials after revocation")
}
