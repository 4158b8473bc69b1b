package fn

import (
	"strings"
	"testing"
)

// exclusionSettings allow all that TestExclusion grants.
const exclusionSettings = `
cluster: {name: prod-eu}
aws:
  accountId: "123456789012"
  region: eu-west-1
  clusterName: prod-eu
  allowedRoles: [{pattern: "my-app-*", namespaces: [team-a]}, {pattern: "arn:aws:iam::210987654321:role/*", namespaces: [team-a]}]
  createRoles: {namespaces: [team-a], permissionsBoundaryArn: "arn:aws:iam::123456789012:policy/boundary", allowedPolicyArns: ["arn:*"], allowInlinePolicies: true}
azure:
  subscriptionId: 11111111-1111-1111-1111-111111111111
  tenantId: 22222222-2222-2222-2222-222222222222
  oidcIssuer: https://eastus.oic.prod-aks.azure.com/22222222-2222-2222-2222-222222222222/x/
  allowedIdentities: [{resourceGroup: "rg-*", identity: "*", namespaces: ["team-*"]}]
gcp:
  projectId: my-project-123456
  serviceAccounts: [{name: sql-client, namespaces: [team-a]}]
`

// TestExclusion holds that what a list excludes is revoked: whatever other lists are
// absent, and whatever became of the claim.
func TestExclusion(t *testing.T) {
	t.Parallel()

	created := `{type: awsRole, role: uploads, create: {policyArns: ["arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"], policy: {Version: "2012-10-17", Statement: [{Effect: Allow, Action: "s3:*", Resource: "*"}]}}}`
	const (
		allowedRoles = `  allowedRoles: [{pattern: "my-app-*", namespaces: [team-a]}, {pattern: "arn:aws:iam::210987654321:role/*", namespaces: [team-a]}]` + "\n"
		createRoles  = `  createRoles: {namespaces: [team-a], permissionsBoundaryArn: "arn:aws:iam::123456789012:policy/boundary", allowedPolicyArns: ["arn:*"], allowInlinePolicies: true}` + "\n"
		identities   = `[{resourceGroup: "rg-*", identity: "*", namespaces: ["team-*"]}]`
		accounts     = `[{name: sql-client, namespaces: [team-a]}]`
	)
	grants := map[string]struct {
		connection string
		kind       string

		// change of the settings that excludes it, as old and new texts.
		change []string
	}{
		"Role":                           {connection: awsConnection, kind: "PodIdentityAssociation", change: []string{allowedRoles, "  allowedRoles: []\n"}},
		"RoleWithoutCreateRoles":         {connection: awsConnection, kind: "PodIdentityAssociation", change: []string{allowedRoles, "  allowedRoles: []\n", createRoles, ""}},
		"Target":                         {connection: `{type: awsRole, role: my-app-s3, targetRoleArn: "arn:aws:iam::210987654321:role/data"}`, kind: "PodIdentityAssociation", change: []string{`{pattern: "arn:aws:iam::210987654321:role/*", namespaces: [team-a]}`, ""}},
		"TargetOfCreated":                {connection: `{type: awsRole, role: uploads, create: {}, targetRoleArn: "arn:aws:iam::210987654321:role/data"}`, kind: "PodIdentityAssociation", change: []string{allowedRoles, "  allowedRoles: []\n"}},
		"TargetOfCreatedWithoutThatList": {connection: `{type: awsRole, role: uploads, create: {}, targetRoleArn: "arn:aws:iam::210987654321:role/data"}`, kind: "PodIdentityAssociation", change: []string{allowedRoles, "  allowedRoles: []\n", createRoles, ""}},
		"Created":                        {connection: created, kind: "Role", change: []string{createRoles, "  createRoles: {namespaces: [team-b], permissionsBoundaryArn: \"arn:aws:iam::123456789012:policy/boundary\"}\n"}},
		"CreatedWithoutAllowedRoles":     {connection: created, kind: "Role", change: []string{createRoles, "  createRoles: {namespaces: [team-b], permissionsBoundaryArn: \"arn:aws:iam::123456789012:policy/boundary\"}\n", allowedRoles, ""}},
		"Policies":                       {connection: created, kind: "RolePolicyAttachment", change: []string{`allowedPolicyArns: ["arn:*"], allowInlinePolicies: true`, "allowedPolicyArns: [], allowInlinePolicies: false"}},
		"PolicyDocument":                 {connection: created, kind: "Policy", change: []string{`allowedPolicyArns: ["arn:*"], allowInlinePolicies: true`, "allowInlinePolicies: false"}},
		"Identity":                       {connection: azureConnection, kind: "FederatedIdentityCredential", change: []string{identities, "[]"}},
		"Account":                        {connection: gcpConnection, kind: "ServiceAccountIAMMember", change: []string{accounts, "[]"}},
		"SQLAccount":                     {connection: sqlConnection, kind: "ServiceAccountIAMMember", change: []string{accounts, "[]"}},
		"AccountOfNobody":                {connection: gcpConnection, kind: "ServiceAccountIAMMember", change: []string{accounts, "[{name: sql-client, namespaces: [team-b]}]"}},
	}
	claims := map[string]func(c *cluster, connection string){
		"AsItWas":       func(*cluster, string) {},
		"NoList":        func(c *cluster, _ string) { unreadable(c) },
		"NoSpec":        func(c *cluster, _ string) { c.xr["spec"] = map[string]any{} },
		"MisspeltField": func(c *cluster, connection string) { c.setServices("- {name: api, conections: [" + connection + "]}") },
		"MisspeltType": func(c *cluster, connection string) {
			c.setServices(strings.Replace(service("api", connection), "{type: ", "{type: x", 1))
		},
		"InvalidConnection": func(c *cluster, connection string) {
			c.setServices(strings.Replace(service("api", connection), "{type: ", "{nonsense: 1, type: ", 1))
		},
		"MisnamedService": func(c *cluster, connection string) { c.setServices(service("Api", connection)) },
		"TwiceTheSame": func(c *cluster, connection string) {
			c.setServices(service("api", connection) + service("api", connection))
		},
	}
	for name, g := range grants {
		for was, edit := range claims {
			t.Run(name+"/"+was, func(t *testing.T) {
				t.Parallel()

				c := newCluster(t, service("api", g.connection), exclusionSettings)
				c.settle()
				if len(c.keys(g.kind)) == 0 {
					t.Fatalf("no %s is granted: %v", g.kind, c.rsp)
				}
				edit(c, g.connection)
				c.setSettings(strings.NewReplacer(g.change...).Replace(exclusionSettings))
				for range 3 {
					c.reconcile()
				}
				if left := c.keys(g.kind); len(left) > 0 {
					t.Errorf("%s is excluded, and stays where the claim is %s: %v", name, was, left)
				}
			})
		}
	}
}
