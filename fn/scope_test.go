package fn

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	"github.com/serviceconnections/function-service-connections/fn/settings"
	"github.com/serviceconnections/function-service-connections/input/v1beta1"
)

// TestScopeOfSettings holds which change of the settings revokes. That the cluster is of
// another account, subscription, project or name takes nothing from what runs: what was
// granted and published stays until what is asked for now works, or for good where the
// claim names the old one in full. What a list takes back goes all the same.
func TestScopeOfSettings(t *testing.T) {
	t.Parallel()
	other := "33333333-1111-1111-1111-111111111111"
	cases := map[string]struct {
		reason     string
		settings   string
		connection string
		kind       string
		from, to   string

		// grants of the kind once the providers have settled, two where old pods may use
		// the old one, and once the pods are replaced.
		settled, replaced int

		// revoke by the lists of the new settings, from and to.
		revoke [2]string
	}{
		"Project": {
			reason: "an id is an account of another project now", connection: sqlConnection, kind: "ServiceAccountIAMMember",
			from: "projectId: my-project-123456", to: "projectId: new-project-123456\n  workloadPool: my-project-123456.svc.id.goog", settled: 2, replaced: 1,
			revoke: [2]string{"{name: sql-client, namespaces: [team-a]}", "{name: sql-client, namespaces: [team-b]}"},
		},
		"ProjectOfAnEmail": {
			reason: "the claim names the account in full", connection: gcpConnection, kind: "ServiceAccountIAMMember",
			from: "projectId: my-project-123456", to: "projectId: new-project-123456\n  workloadPool: my-project-123456.svc.id.goog", settled: 1, replaced: 1,
			revoke: [2]string{"  - {name: sql-client, namespaces: [team-a]}\n", ""},
		},
		"Subscription": {
			reason: "an identity is one of another subscription now", connection: azureConnection, kind: "FederatedIdentityCredential",
			from: "subscriptionId: 11111111-1111-1111-1111-111111111111", to: "subscriptionId: " + other, settled: 1, replaced: 1,
			revoke: [2]string{`identity: "*"`, "identity: none"},
		},
		"Account": {
			reason: "a role is one of another account now, and the association is changed in place", connection: awsConnection, kind: "PodIdentityAssociation",
			from: `accountId: "123456789012"`, to: `accountId: "999999999999"`, settled: 1, replaced: 1,
			revoke: [2]string{`"my-app-*"`, `"your-app-*"`},
		},
		"ClusterOfEKS": {
			reason: "an association is of a cluster", connection: awsConnection, kind: "PodIdentityAssociation",
			from: "clusterName: prod-eu", to: "clusterName: prod-eu-2", settled: 1, replaced: 1,
			revoke: [2]string{`"my-app-*"`, `"your-app-*"`},
		},
		"Cluster": {
			reason: "a role that is created has the cluster's name in its own", connection: createdRole, kind: "Role", settings: creating(createList),
			from: "cluster: {name: prod-eu}", to: "cluster: {name: prod-eu-2}", settled: 2, replaced: 1,
			revoke: [2]string{"createRoles: {namespaces: [team-a]", "createRoles: {namespaces: [team-b]"},
		},
		"Pool": {
			reason: "a member is of a pool", connection: gcpConnection, kind: "ServiceAccountIAMMember",
			from: "projectId: my-project-123456", to: "projectId: my-project-123456\n  workloadPool: other-project-123456.svc.id.goog", settled: 1, replaced: 1,
			revoke: [2]string{"{name: sql-client, namespaces: [team-a]}", "{name: sql-client, namespaces: [team-b]}"},
		},
		"Region": {
			reason: "an association is of a region", connection: awsConnection, kind: "PodIdentityAssociation",
			from: "region: eu-west-1", to: "region: eu-west-2", settled: 2, replaced: 1,
			revoke: [2]string{`"my-app-*"`, `"your-app-*"`},
		},
		"Issuer": {
			reason: "a credential is for an issuer", connection: azureConnection, kind: "FederatedIdentityCredential",
			from: "222222222222/x/", to: "222222222222/y/", settled: 1, replaced: 1,
			revoke: [2]string{`identity: "*"`, "identity: none"},
		},
		"ProviderConfigOfAWS": {
			reason: "other credentials are for the same objects", connection: awsConnection, kind: "PodIdentityAssociation",
			from: "clusterName: prod-eu", to: "clusterName: prod-eu\n  providerConfigRef: {name: other}", settled: 1, replaced: 1,
			revoke: [2]string{`"my-app-*"`, `"your-app-*"`},
		},
		"ProviderConfigOfAzure": {
			reason: "other credentials are for the same objects", connection: azureConnection, kind: "FederatedIdentityCredential",
			from: "tenantId:", to: "providerConfigRef: {name: other}\n  tenantId:", settled: 1, replaced: 1,
			revoke: [2]string{`identity: "*"`, "identity: none"},
		},
		"ProviderConfigOfGoogle": {
			reason: "other credentials are for the same objects", connection: gcpConnection, kind: "ServiceAccountIAMMember",
			from: "projectId: my-project-123456", to: "projectId: my-project-123456\n  providerConfigRef: {name: other}", settled: 1, replaced: 1,
			revoke: [2]string{"{name: sql-client, namespaces: [team-a]}", "{name: sql-client, namespaces: [team-b]}"},
		},
	}
	for name, tc := range cases {
		before := cmp.Or(tc.settings, allSettings)
		after := strings.Replace(before, tc.from, tc.to, 1)
		if after == before {
			t.Fatalf("%s: %q isn't in the settings", name, tc.from)
		}
		running := func(t *testing.T) *cluster {
			t.Helper()
			c := newCluster(t, service("api", tc.connection), before)
			c.add(deployment("api", ""))
			c.settle()
			c.restarted("v1")
			return c
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := running(t)
			was, gets := c.keys(tc.kind), podGets(c)
			c.setSettings(after)
			for range 3 {
				if deleted := c.reconcile(); len(deleted) > 0 {
					t.Errorf("%s: while nothing new is ready, it deletes %v", tc.reason, deleted)
				}
			}
			for _, key := range was {
				want(t, true, slices.Contains(c.keys(tc.kind), key), key+" stays, "+tc.reason)
			}
			for _, k := range []string{"ServiceAccount", "label azure.workload.identity/use", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "sidecar sc-cloud-sql-proxy"} {
				want(t, gets[k], podGets(c)[k], k+" of the next pod, "+tc.reason)
			}
			if name == "Account" {
				c.clouds.Settings = &settings.Settings{Settings: v1beta1.Settings{AWS: &v1beta1.AWS{Partition: "aws", AccountID: "999999999999"}}}
			}
			c.settle()
			want(t, tc.settled, len(c.keys(tc.kind)), "grants once all is ready, "+tc.reason)
			c.restarted("v2")
			want(t, tc.replaced, len(c.keys(tc.kind)), "grants once the pods are replaced, "+tc.reason)
			want(t, true, c.ready(), "ready")
		})
		t.Run(name+"/Revoked", func(t *testing.T) {
			t.Parallel()
			c := running(t)
			revoked := strings.Replace(after, tc.revoke[0], tc.revoke[1], 1)
			if revoked == after {
				t.Fatalf("%q isn't in the settings", tc.revoke[0])
			}
			c.setSettings(revoked)
			c.reconcile()
			want(t, []string{}, append([]string{}, c.keys(tc.kind)...), "grants that a list takes back")
		})
	}
}

// TestScopeIsNoWayAround holds that what a list of another account, subscription or
// project granted goes with that list, although the cluster's own has the same name.
func TestScopeIsNoWayAround(t *testing.T) {
	t.Parallel()
	const other = "33333333-1111-1111-1111-111111111111"
	cases := map[string]struct {
		reason     string
		connection string
		kind       string
		before     string
		after      string
	}{
		"TargetOfAnotherAccount": {
			reason:     "a role to chain into was allowed by its own pattern, never as the cluster's",
			connection: `{type: awsRole, role: my-app-s3, targetRoleArn: "arn:aws:iam::210987654321:role/my-app-theirs"}`,
			kind:       "PodIdentityAssociation",
			before:     allSettings,
			after:      strings.Replace(allSettings, `, {pattern: "arn:aws:iam::210987654321:role/*", namespaces: [team-a]}`, "", 1),
		},
		"IdentityOfAnotherSubscription": {
			reason:     "an identity was allowed by a rule of its subscription, and made by that one's ProviderConfig",
			connection: `{type: azureManagedIdentity, identityName: shop-identity, resourceGroup: rg-shop, subscriptionId: ` + other + `}`,
			kind:       "FederatedIdentityCredential",
			before:     strings.Replace(allSettings, "  allowedIdentities: [", "  subscriptions: [{subscriptionId: "+other+", providerConfigRef: {name: other}}]\n  allowedIdentities: [{subscriptionId: "+other+`, resourceGroup: "rg-*", identity: "*", namespaces: ["team-*"]}, `, 1),
			after:      allSettings,
		},
		"AccountOfAnotherProject": {
			reason:     "an account was registered by its e-mail, and isn't of the pool's project",
			connection: strings.Replace(gcpConnection, "@my-project", "@their-project", 1),
			kind:       "ServiceAccountIAMMember",
			before:     strings.Replace(allSettings, "  serviceAccounts:\n", "  serviceAccounts:\n  - {name: sql-client@their-project-123456.iam.gserviceaccount.com, namespaces: [team-a]}\n", 1),
			after:      allSettings,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, service("api", tc.connection), tc.before)
			c.add(deployment("api", ""))
			c.settle()
			want(t, 1, len(c.keys(tc.kind)), "grants")
			c.setSettings(tc.after)
			c.reconcile()
			want(t, 0, len(c.keys(tc.kind)), "grants, "+tc.reason)
		})
	}
	t.Run("RoleOfAnotherAccountInModeIRSA", func(t *testing.T) {
		t.Parallel()
		c := newCluster(t, service("api", awsConnection), inIRSA(allSettings))
		c.add(deployment("api", ""))
		c.settle()
		want(t, plainARN, podGets(c)["AWS_ROLE_ARN"], "role of the pods")
		c.setSettings(strings.Replace(inIRSA(allSettings), `accountId: "123456789012"`, `accountId: "999999999999"`, 1))
		c.reconcile()
		want(t, "", podGets(c)["AWS_ROLE_ARN"], "role of the pods: nothing tells that it was of the cluster's account")
		want(t, "", str(c.only("ServiceAccount"), "metadata", "annotations", "eks.amazonaws.com/role-arn"), "annotation")
	})
}
