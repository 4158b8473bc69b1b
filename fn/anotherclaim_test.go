package fn

import (
	"fmt"
	"strings"
	"testing"
)

// another claim of the namespace, named cart.
func another(t *testing.T, services, settings string) *cluster {
	t.Helper()
	c := newCluster(t, services, settings)
	c.xr["metadata"] = map[string]any{"name": "cart", "namespace": "team-a", "uid": "99999999-2222-3333-4444-555555555555"}
	return c
}

// TestOfAnotherClaim holds that what another claim has composed is used only with a
// word of whose it is, since it goes with that claim, and that no advice makes two
// claims fight over it.
func TestOfAnotherClaim(t *testing.T) {
	t.Parallel()

	otherAzure := strings.Replace(azureConnection, "shop-identity", "other-identity", 1)
	otherGoogle := strings.Replace(gcpConnection, "sql-client", "other-client", 1)
	otherRole := strings.Replace(awsConnection, "my-app-s3", "my-app-other", 1)
	named := func(connection string) string {
		return "- {name: web, serviceAccountName: shop-api, connections: [" + connection + "]}"
	}
	cases := map[string]struct {
		reason       string
		theirs, ours string
		settings     string
		typ          string
		want         string
		message      string
	}{
		"Disk": {
			reason: "its data goes with the other claim's connection",
			theirs: scratchConnection, ours: service("web", scratchConnection), settings: allSettings, typ: "disk",
			want: "Connected", message: `PersistentVolumeClaim "scratch" belongs to "shop"`,
		},
		"ServiceAccount": {
			reason: "pods that run as it can't be made once the other claim has given it up",
			theirs: scratchConnection, ours: named(awsConnection), settings: allSettings, typ: "awsRole",
			want: "Connected", message: `ServiceAccount "shop-api" belongs to "shop"`,
		},
		"AzureIdentity": {
			reason: "to annotate it would take the identity from the other claim's pods, which would take it back",
			theirs: azureConnection, ours: named(otherAzure), settings: allSettings, typ: "azureManagedIdentity",
			want: "ServiceAccountConflict", message: "use another serviceAccountName",
		},
		"GoogleAccount": {
			reason: "so with Google's annotation",
			theirs: gcpConnection, ours: named(otherGoogle), settings: allSettings, typ: "gcpServiceAccount",
			want: "ServiceAccountConflict", message: "use another serviceAccountName",
		},
		"RoleInModeIRSA": {
			reason: "and with AWS's",
			theirs: awsConnection, ours: named(otherRole), settings: inIRSA(allSettings), typ: "awsRole",
			want: "ServiceAccountConflict", message: "use another serviceAccountName",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newCluster(t, service("api", tc.theirs), tc.settings)
			a.settle()
			b := another(t, tc.ours, tc.settings)
			for _, kind := range []string{"ServiceAccount", "PersistentVolumeClaim"} {
				for _, k := range a.keys(kind) {
					b.objects[objectKey(a.composed[k])] = a.composed[k]
				}
			}
			b.settle()
			want(t, tc.want, b.reason("web", tc.typ), "reason")
			if warnings := fmt.Sprint(b.connection("web", tc.typ)["warnings"]); !strings.Contains(warnings, "OfAnotherClaim") {
				t.Errorf("%s: warnings %s, want OfAnotherClaim", tc.reason, warnings)
			}
			if told := fmt.Sprint(b.connection("web", tc.typ)); !strings.Contains(told, tc.message) || strings.Contains(told, "--overwrite") {
				t.Errorf("%s: %s; want %q in it, and no command to overwrite", tc.reason, told, tc.message)
			}
		})
	}
}

// TestTakenByAnotherClaim holds that nobody is advised to share what another claim
// has composed, and so would take away.
func TestTakenByAnotherClaim(t *testing.T) {
	t.Parallel()
	c := newCluster(t, service("api", awsConnection), allSettings)
	c.add(`{apiVersion: v1, kind: ServiceAccount, metadata: {name: shop-api, namespace: team-a, ownerReferences: [{uid: other, name: cart, controller: true}]}}`)
	c.settle()
	want(t, "ServiceAccountTaken", c.reason("api", "awsRole"), "reason")
	if m := str(c.connection("api", "awsRole"), "message"); !strings.Contains(m, `belongs to "cart"`) || strings.Contains(m, "to share it") {
		t.Errorf("message: %s", m)
	}
}

// TestQuoted holds that a command in a message is safe to copy: a role's path may
// hold what a shell would run.
func TestQuoted(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "- {name: api, serviceAccountName: mine, connections: [{type: awsRole, role: 'arn:aws:iam::210987654321:role/$(id)/x'}]}", inIRSA(allSettings))
	c.add(`{apiVersion: v1, kind: ServiceAccount, metadata: {name: mine, namespace: team-a}}`)
	c.settle()
	if m := str(c.connection("api", "awsRole"), "message"); !strings.Contains(m, `role-arn='arn:aws:iam::210987654321:role/$(id)/x'`) {
		t.Errorf("the command isn't quoted for a shell: %s", m)
	}
}

// TestExcludedTarget holds that a list takes back the role that a created one chains
// into, whether or not the settings still say who may create roles.
func TestExcludedTarget(t *testing.T) {
	t.Parallel()
	chained := `{type: awsRole, role: uploads, targetRoleArn: "arn:aws:iam::210987654321:role/their-role", create: {policyArns: ["` + readOnlyARN + `"]}}`
	for name, settings := range map[string]string{"createRoles": creating(createList), "no createRoles": allSettings} {
		c := newCluster(t, service("api", chained), creating(createList))
		c.add(deployment("api", ""))
		c.settle()
		want(t, 1, len(c.keys("PodIdentityAssociation")), name+": associations before")
		c.setSettings(strings.Replace(settings, `allowedRoles: [{pattern: "my-app-*", namespaces: [team-a]}, {pattern: "arn:aws:iam::210987654321:role/*", namespaces: [team-a]}]`, "allowedRoles: []", 1))
		c.settle()
		want(t, 0, len(c.keys("PodIdentityAssociation")), name+": associations that chain into what the list excludes")
	}
}
