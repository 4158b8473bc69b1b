package fn

import (
	"slices"
	"strings"
	"testing"
)

const (
	noGoogleList = "no Google list"
	noAzureList  = "no Azure list"
)

// lists of settings that a platform team took away.
func without(list string) string {
	switch list {
	case noGoogleList:
		return cutLine(cutLine(allSettings, "  serviceAccounts:"), "-client, namespaces")
	default:
		return cutLine(allSettings, "allowedIdentities")
	}
}

// restarted is the workload after kubectl rollout restart.
func (c *cluster) restarted(version string) {
	c.add(strings.Replace(deployment("api", ""), "{app: x}", "{app: x, v: "+version+"}", 1))
	c.settle()
}

// TestGuards holds what must never happen, whatever is edited: one team using
// what it may not, something taken from pods that still use it, or a revoked
// identity that stays.
func TestGuards(t *testing.T) {
	t.Parallel()

	const (
		sharedAPI = "- {name: api, serviceAccountName: shared, connections: ["
		sharedWeb = "- {name: web, serviceAccountName: shared, connections: ["

		otherAzureConnection = `{type: azureManagedIdentity, identityName: other-identity, resourceGroup: rg-shop}`

		otherSQL = `{type: cloudSql, config: {cloudSqlConnectionName: "my-project-123456:europe-west1:db", cloudSqlDatabasePort: 5432, cloudSqlServiceAccount: other-client}}`
	)
	cases := map[string]struct {
		reason   string
		services string
		settings string
		check    func(*testing.T, *cluster)
	}{
		"AnnotationIsNoGrant": {
			reason:   "a team can annotate a ServiceAccount as any Google account, and with no list nothing new is granted",
			services: "- {name: api, serviceAccountName: mine, connections: [" + gcpConnection + "]}",
			settings: without(noGoogleList),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.add(`{apiVersion: v1, kind: ServiceAccount, metadata: {name: mine, namespace: team-a, annotations: {iam.gke.io/gcp-service-account: sql-client@my-project-123456.iam.gserviceaccount.com}}}`)
				c.settle()
				want(t, "NotAllowed", c.reason("api", "gcpServiceAccount"), "reason")
				want(t, 0, len(c.keys("ServiceAccountIAMMember")), "members")
			},
		},
		"AnnotationOfAnotherIdentityIsNoGrant": {
			reason:   "with no list an edit to another identity is refused, and the one in use stays",
			services: service("api", azureConnection),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.settle()
				was := c.keys("FederatedIdentityCredential")
				c.setSettings(without(noAzureList))
				c.setServices(service("api", `{type: azureManagedIdentity, identityName: victim, resourceGroup: rg-admin}`))
				c.settle()
				want(t, "NotAllowed", c.reason("api", "azureManagedIdentity"), "reason")
				want(t, was, c.keys("FederatedIdentityCredential"), "credentials")
				want(t, "client-of-shop-identity", str(c.only("ServiceAccount"), "metadata", "annotations", "azure.workload.identity/client-id"), "client id")
			},
		},
		"SharerThatIsRefusedStillNeeds": {
			reason:   "an association stays while a refused connection of the claim still has it, although its other user leaves",
			services: sharedAPI + awsConnection + "]}\n" + sharedWeb + awsConnection + "]}",
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.settle()
				c.setServices(sharedAPI + awsConnection + "]}\n" + sharedWeb + `{type: awsRole, role: admin}]}`)
				c.settle()
				c.setServices(sharedWeb + `{type: awsRole, role: admin}]}`)
				c.settle()
				want(t, "NotAllowed", c.reason("web", "awsRole"), "reason")
				want(t, 1, len(c.keys("PodIdentityAssociation")), "associations")
			},
		},
		"SharerThatIsInvalidStillNeeds": {
			reason:   "so does a binding",
			services: service("api", sqlConnection, gcpConnection),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.settle()
				broken := `{type: gcpServiceAccount, serviceAccountEmail: broken}`
				c.setServices(service("api", sqlConnection, broken))
				c.settle()
				c.setServices(service("api", broken))
				c.settle()
				want(t, 1, len(c.keys("ServiceAccountIAMMember")), "members")
			},
		},
		"SharerOfADiskThatChangesItsName": {
			reason:   "data stays while a disk connection of its user is in the claim",
			services: service("api", `{type: disk, config: {diskName: scratch}}`) + service("web", `{type: disk, config: {diskName: scratch}}`),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.settle()
				c.setServices(service("api", diskConnection) + service("web", `{type: disk, config: {diskName: scratch}}`))
				c.settle()
				c.setServices(service("api", diskConnection))
				c.settle()
				want(t, []string{"disk.scratch"}, c.keys("PersistentVolumeClaim"), "volume claims")
			},
		},
		"SharerThatMovedAwayAndHasNotRestarted": {
			reason:   "running pods use the association of the ServiceAccount they were made with",
			services: sharedAPI + awsConnection + "]}\n" + sharedWeb + awsConnection + "]}",
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.settle()
				c.restarted("v1")
				c.setServices(service("api", awsConnection) + sharedWeb + awsConnection + "]}")
				c.settle()
				c.setServices(service("api", awsConnection))
				c.settle()
				want(t, 2, len(c.keys("PodIdentityAssociation")), "associations before the restart")
				c.restarted("v2")
				want(t, 1, len(c.keys("PodIdentityAssociation")), "associations after the restart")
			},
		},
		"SharerThatJoinsADiskThatIsKept": {
			reason:   "data stays for whoever has come to use it, although the settings say no more what it should be",
			services: service("api", `{type: disk, config: {diskName: scratch}}`),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.settle()
				c.setSettings(cutLine(allSettings, "name: scratch"))
				c.setServices(service("api", `{type: disk, config: {diskName: scratch}}`) + service("web", `{type: disk, config: {diskName: scratch}}`))
				c.settle()
				c.setServices(service("web", `{type: disk, config: {diskName: scratch}}`))
				c.settle()
				want(t, []string{"disk.scratch"}, c.keys("PersistentVolumeClaim"), "volume claims")
			},
		},
		"SharerThatJoinsAServiceAccountThatIsKept": {
			reason:   "a ServiceAccount stays for the service that has come to run as it",
			services: service("api", awsConnection),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.settle()
				web := "- {name: web, serviceAccountName: shop-api, connections: [" + awsConnection + "]}\n"
				c.setServices(sharedAPI + awsConnection + "]}\n" + web)
				c.settle()
				c.setServices(web)
				c.settle()
				want(t, []string{"shop-api.serviceaccount"}, c.keys("ServiceAccount"), "ServiceAccounts")
			},
		},
		"ConflictAfterAMove": {
			reason:   "the identity that a ServiceAccount acts as wins, whatever was granted before and whatever comes first",
			services: service("api", azureConnection) + "- {name: web, serviceAccountName: shop-api, connections: [" + otherAzureConnection + "]}\n",
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				api, web := service("api", azureConnection), "- {name: web, serviceAccountName: shop-api, connections: ["+otherAzureConnection+"]}\n"
				c.setServices(web + api)
				c.settle()
				c.setServices(api + strings.Replace(web, "shop-api", "shared", 1))
				c.settle()
				for _, services := range []string{api + web, web + api} {
					c.setServices(services)
					c.settle()
					want(t, "client-of-shop-identity", str(c.composed["shop-api.serviceaccount"], "metadata", "annotations", "azure.workload.identity/client-id"), "client id")
					want(t, "ServiceAccountConflict", c.reason("web", "azureManagedIdentity"), "reason of web")
				}
			},
		},
		"AnnotationThatIsMissing": {
			reason:   "a connection that injects nothing is not in an injection only because nothing is missing from it",
			services: "- {name: api, serviceAccountName: shared, connections: [" + diskConnection + ", " + gcpConnection + "]}",
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.settle()
				c.reconcile()
				injection, _ := c.service("api")["injection"].(map[string]any)
				if injection == nil || injection["complete"] == true {
					t.Errorf("injection %v, want one that isn't complete", injection)
				}
			},
		},
		"RevokedAnnotationBesideASupersededGrant": {
			reason:   "the annotation names the identity that pods act as, and goes when that is revoked",
			services: service("api", sqlConnection),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				shared := strings.Replace(allSettings, "projectId: my-project-123456", "projectId: my-project-123456\n  sharedWorkloadPool: true", 1)
				c.setSettings(shared)
				c.settle()
				c.setServices(service("api", otherSQL))
				c.settle()
				want(t, "other-client@my-project-123456.iam.gserviceaccount.com", str(c.only("ServiceAccount"), "metadata", "annotations", "iam.gke.io/gcp-service-account"), "annotation")
				c.setSettings(cutLine(shared, "other-client"))
				c.settle()
				want(t, "", str(c.only("ServiceAccount"), "metadata", "annotations", "iam.gke.io/gcp-service-account"), "annotation after it was revoked")
			},
		},
		"RevokedAnnotationOfAKeptServiceAccount": {
			reason:   "a ServiceAccount that is only kept for running pods loses what is revoked, too",
			services: service("api", sqlConnection),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.settle()
				c.setServices("- {name: api, serviceAccountName: shared, connections: [" + sqlConnection + "]}")
				c.settle()
				c.setSettings(cutLine(allSettings, "sql-client"))
				c.settle()
				want(t, "", str(c.only("ServiceAccount"), "metadata", "annotations", "iam.gke.io/gcp-service-account"), "annotation")
			},
		},
		"CaseOfAnAzureIdentity": {
			reason:   "Azure knows no case in names, so another case is the same credential: two would delete each other",
			services: service("api", azureConnection),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.settle()
				was, spec := c.keys("FederatedIdentityCredential"), str(c.only("FederatedIdentityCredential"), "spec", "forProvider", "parentId")
				c.setServices(service("api", strings.Replace(azureConnection, "rg-shop", "RG-Shop", 1)))
				c.settle()
				want(t, was, c.keys("FederatedIdentityCredential"), "credentials")
				want(t, spec, str(c.only("FederatedIdentityCredential"), "spec", "forProvider", "parentId"), "identity, which can't be changed in place")
				want(t, "Connected", c.reason("api", "azureManagedIdentity"), "reason")
			},
		},
		"ClaimThatLoses": {
			reason:   "a claim whose binding another claim has gives its pods nothing of it",
			services: service("api", sqlConnection, awsConnection),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.reconcile()
				name := str(c.only("ServiceAccountIAMMember"), "metadata", "name")
				c.composed = map[string]map[string]any{}
				c.xr["status"] = nil
				delete(c.xr, "status")
				c.add(`{apiVersion: cloudplatform.gcp.m.upbound.io/v1beta1, kind: ServiceAccountIAMMember, metadata: {name: ` + name + `, namespace: team-a, ownerReferences: [{controller: true, uid: other, name: cart}]}}`)
				c.settle()
				want(t, "ServiceAccountConflict", c.reason("api", "cloudSql"), "reason")
				want(t, 0, len(list(c.service("api"), "injection", "initContainers")), "sidecars")
				want(t, "", str(c.only("ServiceAccount"), "metadata", "annotations", "iam.gke.io/gcp-service-account"), "annotation")
				want(t, "Connected", c.reason("api", "awsRole"), "reason of the other connection")
			},
		},
		"RoleThatIsNotObservedAnyMore": {
			reason:   "an association keeps the ARN that was observed: the literal one lacks the path",
			services: service("api", awsConnection),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.settle()
				role := c.keys("Role")[0]
				status, _ := c.composed[role]["status"].(map[string]any)
				status["atProvider"] = map[string]any{"arn": "arn:aws:iam::123456789012:role/teams/a/my-app-s3"}
				c.reconcile()
				delete(c.composed, role)
				c.reconcile()
				want(t, "arn:aws:iam::123456789012:role/teams/a/my-app-s3", str(c.only("PodIdentityAssociation"), "spec", "forProvider", "roleArn"), "role")
			},
		},
		"OneOfTwoIsNotAnnotated": {
			reason:   "a connection whose annotation is missing isn't published because another one is",
			services: "- {name: api, serviceAccountName: shared, connections: [" + awsConnection + ", " + sqlConnection + "]}",
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.settle()
				c.reconcile()
				want(t, "ServiceAccountNotAnnotated", c.reason("api", "cloudSql"), "reason")
				want(t, 0, len(list(c.service("api"), "injection", "initContainers")), "sidecars, which would wait for a token for ever")
			},
		},
		"NoRestartIntoNothing": {
			reason:   "a restart while a connection is refused would strip pods that work",
			services: service("api", awsConnection),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.settle()
				c.restarted("v1")
				c.setServices(service("api", `{type: awsRole, role: admin}`))
				c.settle()
				want(t, "", str(c.service("api"), "restart"), "restart")
			},
		},
		"PoolBecomesShared": {
			reason:   "a binding that other clusters have come to use is not deleted, even where it is superseded already",
			services: service("api", sqlConnection),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.settle()
				old := c.keys("ServiceAccountIAMMember")[0]
				c.setServices(service("api", otherSQL))
				c.settle()
				c.setSettings(strings.Replace(allSettings, "projectId: my-project-123456", "projectId: my-project-123456\n  sharedWorkloadPool: true", 1))
				c.reconcile()
				spec, _ := c.composed[old]["spec"].(map[string]any)
				if policies, _ := spec["managementPolicies"].([]any); len(policies) == 0 || slices.Contains(policies, any("Delete")) {
					t.Errorf("management policies of the superseded binding are %v, want no Delete", policies)
				}
			},
		},
		"OtherVersionOfAProvider": {
			reason:   "to ask for a kind in a version that isn't served fails the whole reconcile",
			services: service("api", sqlConnection, awsConnection),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.add(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: serviceaccountiammembers.cloudplatform.gcp.m.upbound.io}
spec: {versions: [{name: v1alpha1, served: true}, {name: v1beta1, served: false}]}
status: {conditions: [{type: Established, status: "True"}]}
`)
				c.settle()
				want(t, "ProviderNotInstalled", c.reason("api", "cloudSql"), "reason")
				want(t, "Connected", c.reason("api", "awsRole"), "reason of the other connection")
				for key := range c.required {
					if strings.HasPrefix(key, "ServiceAccountIAMMember|") {
						t.Errorf("%s is required", key)
					}
				}
			},
		},
		"BeingDeleted": {
			reason:   "what somebody has deleted is not connected, although it is still there",
			services: service("api", awsConnection),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.settle()
				metadata, _ := c.only("PodIdentityAssociation")["metadata"].(map[string]any)
				metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
				c.reconcile()
				want(t, "Creating", c.reason("api", "awsRole"), "reason")
			},
		},
		"WorkloadStaysWithItsHolder": {
			reason:   "an edit of the ServiceAccount hands the workload to nobody else",
			services: service("api", awsConnection),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.settle()
				web := "- {name: web, workload: {name: api}, connections: [" + azureConnection + "]}\n"
				c.setServices(web + service("api", awsConnection))
				c.settle()
				want(t, "WorkloadConflict", c.reason("web", "azureManagedIdentity"), "reason of the newcomer")
				c.setServices(web + "- {name: api, serviceAccountName: shared, connections: [" + awsConnection + "]}")
				c.settle()
				want(t, "WorkloadConflict", c.reason("web", "azureManagedIdentity"), "reason of the newcomer after the edit")
			},
		},
		"WorkloadIsRenamed": {
			reason:   "what is remembered of one workload says nothing about the pods of another",
			services: service("api", awsConnection),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.settle()
				c.restarted("v1")
				want(t, "", str(c.service("api"), "restart"), "restart")
				c.add(deployment("other", ""))
				c.setServices("- {name: api, workload: {name: other}, connections: [" + awsConnection + "]}")
				c.settle()
				want(t, "kubectl -n team-a rollout restart deployment/other", str(c.service("api"), "restart"), "restart of the other workload")
			},
		},
		"RestartThatIsSeenLate": {
			reason:   "a restart for the injection before counts for that one only, though it is seen after the next is published",
			services: service("api", awsConnection),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.settle()
				c.setServices("- name: api\n  connections:\n  - " + awsConnection + "\n  - " + azureConnection + "\n")
				c.reconcile()
				c.provide()
				c.reconcile()
				c.restarted("v1")
				want(t, "kubectl -n team-a rollout restart deployment/api", str(c.service("api"), "restart"), "restart")
				c.restarted("v2")
				want(t, "", str(c.service("api"), "restart"), "restart after the restart")
			},
		},
		"CronJobThatRuns": {
			reason:   "a run that began with the injection is no reason to wait",
			services: workloadService("batch/v1", "CronJob", awsConnection),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				const cron = `{apiVersion: batch/v1, kind: CronJob, metadata: {name: api, namespace: team-a}, spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: a}]}}}}}`
				c.add(cron + `}`)
				c.settle()
				c.add(cron + `, status: {active: [{name: api-1}]}}`)
				c.settle()
				rollout, _ := c.service("api")["rollout"].(map[string]any)
				want(t, any(true), rollout["current"], "current")
			},
		},
		"CronJobThatChanges": {
			reason:   "a run goes on with the pods that it has, whatever becomes of the template",
			services: workloadService("batch/v1", "CronJob", gcpConnection),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				cron := func(image, active string) {
					c.add(`{apiVersion: batch/v1, kind: CronJob, metadata: {name: api, namespace: team-a}, spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: a, image: ` + image + `}]}}}}}, status: {active: ` + active + `}}`)
				}
				cron("v1", "[]")
				c.settle()
				old := c.keys("ServiceAccountIAMMember")
				cron("v1", "[{name: api-1}]")
				c.setServices(workloadService("batch/v1", "CronJob", `{type: gcpServiceAccount, serviceAccountEmail: other-client@my-project-123456.iam.gserviceaccount.com}`))
				c.settle()
				cron("v2", "[{name: api-1}]")
				c.settle()
				want(t, true, slices.Contains(c.keys("ServiceAccountIAMMember"), old[0]), "the run still has its binding")
				cron("v2", "[]")
				c.settle()
				want(t, false, slices.Contains(c.keys("ServiceAccountIAMMember"), old[0]), "it still has it after the run")
			},
		},
		"NoMoreInspecting": {
			reason:   "what was remembered while workloads were read is still so when they are read again",
			services: service("api", awsConnection),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.settle()
				c.restarted("v1")
				c.setSettings(allSettings + "workload: {inspect: false}\n")
				c.settle()
				c.setSettings(allSettings)
				c.settle()
				want(t, "", str(c.service("api"), "restart"), "restart")
			},
		},
		"ServiceAccountIsAwayForAMoment": {
			reason:   "the pods have what they had, so nobody must restart them",
			services: "- {name: api, serviceAccountName: shared, connections: [" + gcpConnection + "]}",
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				const annotated = `{apiVersion: v1, kind: ServiceAccount, metadata: {name: shared, namespace: team-a, annotations: {iam.gke.io/gcp-service-account: sql-client@my-project-123456.iam.gserviceaccount.com}}}`
				c.add(annotated)
				c.settle()
				hash := str(c.service("api"), "injection", "hash")
				c.remove("ServiceAccount", "shared")
				c.settle()
				want(t, hash, str(c.service("api"), "injection", "hash"), "hash while it is away")
				want(t, "ServiceAccountNotFound", c.reason("api", "gcpServiceAccount"), "reason")
			},
		},
		"OrderOfContainers": {
			reason:   "the order of names says nothing to pods",
			services: "- {name: api, containers: [a, b], connections: [" + awsConnection + "]}",
			settings: allSettings + "workload: {inspect: false}\n",
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.settle()
				hash := str(c.service("api"), "injection", "hash")
				c.setServices("- {name: api, containers: [b, a], connections: [" + awsConnection + "]}")
				c.settle()
				want(t, hash, str(c.service("api"), "injection", "hash"), "hash")
			},
		},
		"IncompleteClaim": {
			reason:   "an injection of a claim that holds something unreadable is not all of it",
			services: service("api", awsConnection, `{type: future}`),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.settle()
				injection, _ := c.service("api")["injection"].(map[string]any)
				if injection == nil || injection["complete"] == true {
					t.Errorf("injection %v, want one that isn't complete", injection)
				}
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings := tc.settings
			if settings == "" {
				settings = allSettings
			}
			c := newCluster(t, tc.services, settings)
			c.add(cacheStorage)
			c.add(deployment("api", ""))
			c.add(`{apiVersion: v1, kind: ServiceAccount, metadata: {name: shared, namespace: team-a}}`)
			tc.check(t, c)
			if t.Failed() {
				t.Log(tc.reason)
			}
		})
	}
}
