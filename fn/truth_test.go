package fn

import (
	"maps"
	"strings"
	"testing"
)

// TestRestartIsTold holds that pods which are older than their injection are told to
// restart, whatever is the matter with a connection that they never had.
func TestRestartIsTold(t *testing.T) {
	t.Parallel()
	const command = "kubectl -n team-a rollout restart deployment/api"
	c := newCluster(t, service("api", azureConnection, `{type: awsRole, role: admin}`), allSettings)
	c.add(deployment("api", ""))
	c.settle()
	want(t, "Connected", c.reason("api", "azureManagedIdentity"), "reason of what works")
	want(t, "NotAllowed", c.reason("api", "awsRole"), "reason of what doesn't")
	want(t, command, str(c.service("api"), "restart"), "restart")
	c.restarted("v1")
	want(t, "", str(c.service("api"), "restart"), "restart once it is followed")

	// What is taken back, and leaves nothing, is no reason to restart.
	c.setServices(service("api", azureConnection))
	c.settle()
	c.setSettings(strings.Replace(allSettings, `identity: "*"`, "identity: none", 1))
	c.settle()
	want(t, "NotAllowed", c.reason("api", "azureManagedIdentity"), "reason once it is revoked")
	want(t, "", str(c.service("api"), "restart"), "restart once all is revoked")
}

// TestRestartOfOnDelete holds that what the status says to do with pods that nobody
// replaces is right: once it is followed, the advice goes, and what only old pods
// could use does.
func TestRestartOfOnDelete(t *testing.T) {
	t.Parallel()
	for kind, statuses := range map[string][3]string{
		"StatefulSet": {
			"{currentRevision: api-1, updateRevision: api-1, replicas: 3, updatedReplicas: 3}",
			"{currentRevision: api-1, updateRevision: api-2, replicas: 3, updatedReplicas: 2}",
			"{currentRevision: api-1, updateRevision: api-2, replicas: 3, updatedReplicas: 3}",
		},
		"DaemonSet": {
			"{desiredNumberScheduled: 3, updatedNumberScheduled: 3}",
			"{desiredNumberScheduled: 3, updatedNumberScheduled: 2}",
			"{desiredNumberScheduled: 3, updatedNumberScheduled: 3}",
		},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			workload := func(restarted, status string) string {
				return `{apiVersion: apps/v1, kind: ` + kind + `, metadata: {name: api, namespace: team-a, uid: d1}, spec: {replicas: 3, updateStrategy: {type: OnDelete}, template: {metadata: {labels: {app: x}, annotations: {kubectl.kubernetes.io/restartedAt: "` + restarted + `"}}, spec: {containers: [{name: app, image: x}]}}}, status: ` + status + `}`
			}
			advice := "kubectl -n team-a rollout restart " + strings.ToLower(kind) + "/api, then delete its pods one by one, which its updateStrategy OnDelete leaves as they are"
			c := newCluster(t, workloadService("apps/v1", kind, azureConnection), allSettings)
			c.add(workload("never", statuses[0]))
			c.settle()
			c.setServices(workloadService("apps/v1", kind, strings.Replace(azureConnection, "shop-identity", "other-identity", 1)))
			c.settle()
			want(t, advice, str(c.service("api"), "restart"), "restart")
			c.add(workload("now", statuses[1]))
			c.settle()
			want(t, advice, str(c.service("api"), "restart"), "restart while an old pod is left")
			want(t, 2, len(c.keys("FederatedIdentityCredential")), "credentials while an old pod is left")
			c.add(workload("now", statuses[2]))
			c.settle()
			want(t, "", str(c.service("api"), "restart"), "restart once all pods are deleted")
			want(t, 1, len(c.keys("FederatedIdentityCredential")), "credentials once all pods are deleted")
		})
	}
}

// TestFrozenTemplate holds that a team is told where the pipeline's changes of a
// workload don't reach its pods, and that they do once what is wrong is mended.
func TestFrozenTemplate(t *testing.T) {
	t.Parallel()
	const fixed = "fix-of-a-leak"
	cases := map[string]struct {
		reason string
		broken string
		told   string
	}{
		"InjectionIsRefused": {
			reason: "pods of a new template would get nothing",
			broken: "- {name: api, containers: [typo], connections: [" + azureConnection + ", " + sqlConnection + "]}",
			told:   "TemplateFrozen",
		},
		"Misread": {
			reason: "what the service asks for can't be told",
			broken: "- {name: api, conections: [" + azureConnection + ", " + sqlConnection + "]}",
			told:   "InvalidField",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := rendering(t, service("api", azureConnection, sqlConnection), deployment("api", ""))
			c.settle()
			image := func() string { return str(list(c.pods(), "spec", "containers")[0].(map[string]any), "image") }
			c.setServices(tc.broken)
			c.render("workload", strings.Replace(deployment("api", ""), "image: x", "image: "+fixed, 1))
			c.settle()
			want(t, "x", image(), "image, "+tc.reason)
			told := false
			for _, n := range list(c.service("api"), "notes") {
				note := n.(map[string]any)
				told = told || note["reason"] == tc.told && strings.Contains(str(note, "message"), `Deployment "api" keeps the pod template that it runs with`)
			}
			if !told {
				t.Errorf("%s, and nobody is told: %v", tc.reason, c.service("api")["notes"])
			}
			c.setServices(service("api", azureConnection, sqlConnection))
			c.settle()
			want(t, fixed, image(), "image once it is mended")
			want(t, false, hasNote(c, tc.told), "note once it is mended")
		})
	}
}

// TestFrozenTemplateOfAMisspeltWorkload holds that a template which is frozen stays so
// when its service can't be told from others, although nothing is published for it.
func TestFrozenTemplateOfAMisspeltWorkload(t *testing.T) {
	t.Parallel()
	const (
		workload  = "workload: {apiVersion: apps/v1, kind: StatefulSet, name: api}"
		forbidden = `{type: awsRole, role: forbidden}`
		disk      = `{type: disk, config: {diskName: scratch}}`
	)
	statefulSet := strings.Replace(deployment("api", ""), "kind: Deployment", "kind: StatefulSet", 1)
	c := rendering(t, "- {name: api, "+workload+", connections: ["+forbidden+", "+disk+"]}", statefulSet)
	c.settle()
	mounts := func() string { return injectionOf(c.pods()) }
	was := mounts()
	want(t, true, was != "", "its pods mount the disk")

	c.setServices("- {name: api, " + workload + ", connections: [" + forbidden + "]}")
	c.settle()
	want(t, true, hasNote(c, "TemplateFrozen"), "frozen, since the role can't be worked out")
	want(t, true, c.service("api")["injection"] == nil, "nothing is published")

	c.setServices("- {name: api, worklod" + strings.TrimPrefix(workload, "workload") + ", connections: [" + forbidden + ", " + disk + "]}")
	c.settle()
	want(t, was, mounts(), "injection of the template while its workload is misspelt")

	c.setServices("- {name: api, " + workload + ", connections: [" + forbidden + ", " + disk + "]}")
	c.settle()
	want(t, was, mounts(), "injection of the template once it is mended")
}

// TestPaused holds that pausing a managed resource, as a platform team does for
// maintenance, breaks no connection that works, that the team is told, and that one
// which was never ready isn't called so.
func TestPaused(t *testing.T) {
	t.Parallel()
	paused := func(ready string) map[string]any {
		return map[string]any{"conditions": []any{
			map[string]any{"type": "Synced", "status": "False", "reason": "ReconcilePaused", "message": "Reconciliation is paused either through the `spec.managementPolicies` or the pause annotation"},
			map[string]any{"type": "Ready", "status": ready},
		}}
	}
	for kind, typ := range map[string]string{
		"PodIdentityAssociation":      "awsRole",
		"FederatedIdentityCredential": "azureManagedIdentity",
		"ServiceAccountIAMMember":     "gcpServiceAccount",
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, service("api", awsConnection, azureConnection, gcpConnection), allSettings)
			c.add(deployment("api", ""))
			c.settle()
			c.restarted("v1")
			before := podGets(c)
			o := c.only(kind)
			maps.Copy(o["status"].(map[string]any), paused("True"))
			c.reconcile()
			want(t, "Connected", c.reason("api", typ), "reason")
			want(t, "Paused", warning(c, typ), "warning")
			want(t, true, c.ready(), "ready")
			want(t, before["hash"], podGets(c)["hash"], "injection")
			maps.Copy(o["status"].(map[string]any), paused("False"))
			c.reconcile()
			want(t, "Creating", c.reason("api", typ), "reason of one that wasn't ready")
		})
	}
}
