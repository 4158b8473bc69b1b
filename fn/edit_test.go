package fn

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/serviceconnections/function-service-connections/fn/decoded"
)

// TestEdits holds what an edit of the claim, the settings or the cluster keeps,
// lets go, and tells.
func TestEdits(t *testing.T) {
	t.Parallel()

	const otherAzure = `{type: azureManagedIdentity, identityName: other-identity, resourceGroup: rg-shop}`
	cases := map[string]struct {
		reason string
		before string
		named  bool
		edit   func(*cluster)
		check  func(*testing.T, *cluster)
	}{
		"IdentityChangesWhileTheWorkloadRuns": {
			reason: "running pods use the old credential until they restart",
			before: service("api", azureConnection),
			edit: func(c *cluster) {
				c.setServices(service("api", otherAzure))
				c.settle()
			},
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				want(t, 2, len(c.keys("FederatedIdentityCredential")), "credentials before the restart")
				want(t, "kubectl -n team-a rollout restart deployment/api", str(c.service("api"), "restart"), "restart")
				c.add(strings.Replace(deployment("api", ""), "labels: {app: x}", "labels: {app: x}, annotations: {kubectl.kubernetes.io/restartedAt: now}", 1))
				c.settle()
				want(t, 1, len(c.keys("FederatedIdentityCredential")), "credentials after the restart")
				want(t, "", str(c.service("api"), "restart"), "restart after the restart")
				want(t, "Connected", c.reason("api", "azureManagedIdentity"), "reason")
			},
		},
		"IdentitySwitchesWhenTheCredentialIsReady": {
			reason: "the annotation names an identity only once it works",
			before: service("api", azureConnection),
			edit: func(c *cluster) {
				c.setServices(service("api", otherAzure))
				c.reconcile()
				for _, k := range c.keys("UserAssignedIdentity") {
					o := c.composed[k]
					if o["status"] == nil {
						o["status"] = map[string]any{"atProvider": map[string]any{"clientId": "client-of-other-identity", "id": str(o, "metadata", "annotations", "crossplane.io/external-name")}}
					}
				}
				c.reconcile()
			},
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				want(t, "client-of-shop-identity", str(c.only("ServiceAccount"), "metadata", "annotations", "azure.workload.identity/client-id"), "client id before the credential is ready")
				c.provide()
				c.reconcile()
				want(t, "client-of-other-identity", str(c.only("ServiceAccount"), "metadata", "annotations", "azure.workload.identity/client-id"), "client id")
			},
		},
		"RoleChangesInPlace": {
			reason: "an association takes another role without being replaced",
			before: service("api", awsConnection),
			edit: func(c *cluster) {
				c.setServices(service("api", `{type: awsRole, role: my-app-other}`))
				c.settle()
			},
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				want(t, "arn:aws:iam::123456789012:role/my-app-other", str(c.only("PodIdentityAssociation"), "spec", "forProvider", "roleArn"), "role")
			},
		},
		"RoleChangesToOneThatIsNotAllowed": {
			reason: "an edit never strips what is granted: the old role is still allowed",
			before: service("api", awsConnection),
			edit: func(c *cluster) {
				c.setServices(service("api", `{type: awsRole, role: admin}`))
				c.settle()
			},
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				want(t, "NotAllowed", c.reason("api", "awsRole"), "reason")
				want(t, "arn:aws:iam::123456789012:role/my-app-s3", str(c.only("PodIdentityAssociation"), "spec", "forProvider", "roleArn"), "role")
			},
		},
		"ListRevokes": {
			reason: "a list that excludes what is granted withdraws it, with annotation and injection",
			before: service("api", sqlConnection, azureConnection, awsConnection),
			edit: func(c *cluster) {
				s := strings.Replace(allSettings, `allowedRoles: [{pattern: "my-app-*", namespaces: [team-a]}, {pattern: "arn:aws:iam::210987654321:role/*", namespaces: [team-a]}]`, "allowedRoles: []", 1)
				s = strings.Replace(s, `[{resourceGroup: "rg-*", identity: "*", namespaces: ["team-*"]}]`, "[]", 1)
				c.setSettings(strings.ReplaceAll(s, "name: sql-client, namespaces: [team-a]", "name: sql-client, namespaces: [team-b]"))
				c.settle()
			},
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				for _, kind := range []string{"PodIdentityAssociation", "FederatedIdentityCredential", "ServiceAccountIAMMember"} {
					want(t, 0, len(c.keys(kind)), kind)
				}
				as := c.only("ServiceAccount")["metadata"].(map[string]any)["annotations"].(map[string]any)
				if diff := cmp.Diff(map[string]any{
					"serviceconnections.io/needed-by":         "api",
					"crossplane.io/composition-resource-name": "shop-api.serviceaccount",
				}, as); diff != "" {
					t.Errorf("annotations: -want, +got:\n%s", diff)
				}
				if i, ok := c.service("api")["injection"]; ok {
					t.Errorf("the injection %v is still published", i)
				}
			},
		},
		"ListRevokesWhatABrokenClaimHolds": {
			reason: "a broken claim must not escape revocation",
			before: service("api", awsConnection),
			edit: func(c *cluster) {
				c.setServices(service("api", `{type: awsRole, role: "not a role"}`))
				c.settle()
				if len(c.keys("PodIdentityAssociation")) != 1 {
					c.t.Error("a broken claim lost its association")
				}
				c.setSettings(strings.Replace(allSettings, `"my-app-*"`, `"your-app-*"`, 1))
				c.settle()
			},
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				want(t, 0, len(c.keys("PodIdentityAssociation")), "associations")
			},
		},
		"ListGoesAbsent": {
			reason: "an absent list revokes nothing, and warns",
			before: service("api", awsConnection, azureConnection),
			edit: func(c *cluster) {
				c.setSettings(cutLine(cutLine(allSettings, "allowedRoles"), "allowedIdentities"))
				c.settle()
			},
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				for _, typ := range []string{"awsRole", "azureManagedIdentity"} {
					want(t, "Connected", c.reason("api", typ), "reason of "+typ)
					want(t, "AllowListAbsent", warning(c, typ), "warning of "+typ)
				}
			},
		},
		"CloudLeavesTheSettings": {
			reason: "a section that is gone keeps what it granted",
			before: service("api", awsConnection),
			edit: func(c *cluster) {
				c.setSettings(cutSection(allSettings, "aws"))
				c.settle()
			},
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				want(t, "CloudNotConfigured", c.reason("api", "awsRole"), "reason")
				want(t, 1, len(c.keys("PodIdentityAssociation")), "associations")
			},
		},
		"OneOfTwoUsersLeaves": {
			reason: "a shared binding stays while anybody needs it",
			before: service("api", sqlConnection, gcpConnection),
			edit: func(c *cluster) {
				c.setServices(service("api", gcpConnection))
				c.settle()
			},
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				want(t, 1, len(c.keys("ServiceAccountIAMMember")), "members")
				want(t, "api/gcpServiceAccount", str(c.only("ServiceAccountIAMMember"), "metadata", "annotations", "serviceconnections.io/needed-by"), "needs")
			},
		},
		"ConnectionLeaves": {
			reason: "what a connection alone needed goes with it",
			before: service("api", awsConnection, azureConnection),
			edit: func(c *cluster) {
				c.setServices(service("api", azureConnection))
				c.settle()
			},
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				want(t, 0, len(c.keys("PodIdentityAssociation")), "associations")
				want(t, 1, len(c.keys("FederatedIdentityCredential")), "credentials")
			},
		},
		"ConflictIsReordered": {
			reason: "the observed value wins a conflict, whatever the order of the list",
			named:  true,
			before: "- {name: web, serviceAccountName: shared, connections: [" + awsConnection + "]}",
			edit: func(c *cluster) {
				c.setServices("- {name: api, serviceAccountName: shared, connections: [{type: awsRole, role: my-app-other}]}\n" +
					"- {name: web, serviceAccountName: shared, connections: [" + awsConnection + "]}")
				c.settle()
			},
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				want(t, "ServiceAccountConflict", c.reason("api", "awsRole"), "reason of the newcomer")
				want(t, "Connected", c.reason("web", "awsRole"), "reason of the holder")
				want(t, "arn:aws:iam::123456789012:role/my-app-s3", str(c.only("PodIdentityAssociation"), "spec", "forProvider", "roleArn"), "role")
			},
		},
		"SessionTagsAreDisabled": {
			reason: "the association is changed in place, the pods need no restart, and what is taken out of the claim goes again",
			before: service("api", awsConnection),
			edit: func(c *cluster) {
				c.setServices(service("api", `{type: awsRole, role: my-app-s3, disableSessionTags: true}`))
				c.settle()
			},
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				want(t, true, decoded.At(c.only("PodIdentityAssociation"), "spec", "forProvider", "disableSessionTags"), "disableSessionTags")
				want(t, "Connected", c.reason("api", "awsRole"), "reason")
				c.setServices(service("api", awsConnection))
				c.settle()
				want(t, nil, decoded.At(c.only("PodIdentityAssociation"), "spec", "forProvider", "disableSessionTags"), "disableSessionTags after it left")
				want(t, "Connected", c.reason("api", "awsRole"), "reason")
			},
		},
		"ServiceAccountIsNamedLater": {
			reason: "running pods refresh their tokens through the ServiceAccount they have",
			named:  true,
			before: service("api", awsConnection),
			edit: func(c *cluster) {
				c.setServices("- {name: api, serviceAccountName: shared, connections: [" + awsConnection + "]}")
				c.settle()
			},
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				want(t, 1, len(c.keys("ServiceAccount")), "ServiceAccounts")
				want(t, 2, len(c.keys("PodIdentityAssociation")), "associations before the restart")
				c.add(strings.Replace(deployment("api", ""), "{app: x}", "{app: x, v: new}", 1))
				c.settle()
				want(t, 1, len(c.keys("PodIdentityAssociation")), "associations after the restart")
				want(t, 1, len(c.keys("ServiceAccount")), "ServiceAccounts after the restart")
			},
		},
		"ServiceAccountIsNamedByAnotherService": {
			reason: "a composed ServiceAccount stays while any service runs as it",
			before: service("api", awsConnection) + "- {name: web, serviceAccountName: shop-api, connections: [" + awsConnection + "]}",
			edit: func(c *cluster) {
				c.setServices("- {name: web, serviceAccountName: shop-api, connections: [" + awsConnection + "]}")
				c.settle()
			},
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				want(t, []string{"shop-api.serviceaccount"}, c.keys("ServiceAccount"), "ServiceAccounts")
				want(t, 1, len(c.keys("PodIdentityAssociation")), "associations")
				want(t, "Connected", c.reason("web", "awsRole"), "reason")
			},
		},
		"DiskChangesItsName": {
			reason: "data goes only with its connection",
			before: service("api", `{type: disk, config: {diskName: scratch}}`),
			edit: func(c *cluster) {
				c.setServices(service("api", diskConnection))
				c.settle()
			},
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				want(t, []string{"disk.scratch"}, c.keys("PersistentVolumeClaim"), "volume claims")
				want(t, "Connected", c.reason("api", "disk"), "reason")
				c.setServices(service("api", awsConnection))
				c.settle()
				want(t, 0, len(c.keys("PersistentVolumeClaim")), "volume claims after the connection left")
			},
		},
		"DiskPolicyChanges": {
			reason: "a disk keeps the form it was created in",
			before: service("api", `{type: disk, config: {diskName: scratch}}`),
			edit: func(c *cluster) {
				c.setSettings(strings.Replace(allSettings, "deletionPolicy: Delete", "deletionPolicy: Retain", 1))
				c.settle()
			},
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				want(t, []string{"disk.scratch"}, c.keys("PersistentVolumeClaim"), "volume claims")
				want(t, 0, len(c.keys("Object")), "Objects")
				want(t, "DiskPolicyPinned", warning(c, "disk"), "warning")
			},
		},
		"DiskLeavesTheSettings": {
			reason: "a disk in use stays, with its mount",
			before: service("api", `{type: disk, config: {diskName: uploads}}`),
			edit: func(c *cluster) {
				c.setSettings(cutLine(allSettings, "uploads"))
				c.settle()
			},
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				want(t, 1, len(c.keys("Object")), "Objects")
				want(t, "Connected", c.reason("api", "disk"), "reason")
				want(t, "DiskPolicyPinned", warning(c, "disk"), "warning")
			},
		},
		"DiskIsNoLongerForTheNamespace": {
			reason: "the mount leaves, the data stays",
			before: service("api", `{type: disk, config: {diskName: uploads}}`, awsConnection),
			edit: func(c *cluster) {
				c.setSettings(strings.Replace(allSettings, `name: uploads, namespaces: ["*"]`, `name: uploads, namespaces: [team-b]`, 1))
				c.settle()
			},
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				want(t, 1, len(c.keys("Object")), "Objects")
				want(t, "DiskNotRegistered", c.reason("api", "disk"), "reason")
				for _, v := range list(c.service("api"), "injection", "volumes") {
					if str(v.(map[string]any), "name") == "sc-disk" {
						t.Error("the disk is still mounted")
					}
				}
			},
		},
		"DiskShrinks": {
			reason: "a volume claim only grows, and keeps what can't change",
			before: service("api", `{type: disk, config: {diskName: uploads}}`),
			edit: func(c *cluster) {
				c.setSettings(strings.Replace(allSettings, "size: 20Gi, storageClassName: gp3", "size: 5Gi, storageClassName: gp2", 1))
				c.settle()
			},
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				spec := c.only("Object")["spec"].(map[string]any)["forProvider"].(map[string]any)["manifest"].(map[string]any)["spec"].(map[string]any)
				want(t, "20Gi", str(spec, "resources", "requests", "storage"), "size")
				want(t, "gp3", str(spec, "storageClassName"), "class")
				want(t, "DiskPolicyPinned", warning(c, "disk"), "warning")
			},
		},
		"ServiceAccountIsDeletedByHand": {
			reason: "what is missing for a moment withdraws no injection",
			before: service("api", awsConnection),
			edit: func(c *cluster) {
				delete(c.composed, "shop-api.serviceaccount")
				c.reconcile()
			},
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				want(t, "shop-api", str(c.service("api"), "injection", "serviceAccountName"), "injected ServiceAccount")
				c.settle()
				want(t, "Connected", c.reason("api", "awsRole"), "reason")
			},
		},
		"ProviderGoesAway": {
			reason: "a provider that is uninstalled withdraws no injection",
			before: service("api", azureConnection),
			edit: func(c *cluster) {
				for _, k := range append(c.keys("UserAssignedIdentity"), c.keys("FederatedIdentityCredential")...) {
					delete(c.composed, k)
				}
				c.remove("CustomResourceDefinition", "userassignedidentities.managedidentity.azure.m.upbound.io")
				c.remove("CustomResourceDefinition", "federatedidentitycredentials.managedidentity.azure.m.upbound.io")
				c.settle()
			},
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				want(t, "ProviderNotInstalled", c.reason("api", "azureManagedIdentity"), "reason")
				want(t, "true", str(c.service("api"), "injection", "labels", "azure.workload.identity/use"), "injected label")
			},
		},
		"WorkloadCanNotBeRead": {
			reason: "where nobody can tell whether pods restarted, the old credential stays",
			before: service("api", azureConnection),
			edit: func(c *cluster) {
				c.setSettings(allSettings + "workload: {inspect: false}\n")
				c.setServices(service("api", otherAzure))
				c.settle()
			},
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				want(t, 2, len(c.keys("FederatedIdentityCredential")), "credentials")
				if !slices.ContainsFunc(list(c.service("api"), "notes"), func(n any) bool { return n.(map[string]any)["reason"] == "Superseded" }) {
					t.Errorf("notes %v don't say Superseded", c.service("api")["notes"])
				}
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, tc.before, allSettings)
			c.add(cacheStorage)
			c.add(deployment("api", ""))
			if tc.named {
				c.add(`{apiVersion: v1, kind: ServiceAccount, metadata: {name: shared, namespace: team-a}}`)
			}
			c.settle()
			tc.edit(c)
			tc.check(t, c)
			if t.Failed() {
				t.Log(tc.reason)
			}
		})
	}
}

func want(t *testing.T, want, got any, what string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: -want, +got:\n%s", what, diff)
	}
}

// warning of a connection of service api, the first one.
func warning(c *cluster, typ string) string {
	for _, v := range list(c.connection("api", typ), "warnings") {
		if w, _ := v.(map[string]any); w["reason"] != "" {
			r, _ := w["reason"].(string)
			return r
		}
	}
	return ""
}
