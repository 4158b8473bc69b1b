package fn

import (
	"strings"
	"testing"
)

// TestMistakeKeepsNothingRevoked holds that a service which stays as it was, because of
// a mistake in the claim, isn't called connected by what the settings take back, and that
// its next pods don't get it.
func TestMistakeKeepsNothingRevoked(t *testing.T) {
	t.Parallel()

	irsa := strings.Replace(allSettings, "  clusterName: prod-eu", "  mode: IRSA\n  oidcIssuer: https://oidc.eks.eu-west-1.amazonaws.com/id/ABC", 1)
	const roles = `allowedRoles: [{pattern: "my-app-*", namespaces: [team-a]}, {pattern: "arn:aws:iam::210987654321:role/*", namespaces: [team-a]}]`
	for name, tc := range map[string]struct {
		connection, typ, settings, old, now string
		beside                              string
	}{
		"PodIdentity": {awsConnection, "awsRole", allSettings, roles, "allowedRoles: []", ""},
		"IRSA":        {awsConnection, "awsRole", irsa, roles, "allowedRoles: []", ""},
		"Azure":       {azureConnection, "azureManagedIdentity", allSettings, `identity: "*"`, `identity: none`, ""},
		"BesideADisk": {awsConnection, "awsRole", irsa, roles, "allowedRoles: []", diskConnection},
	} {
		for _, rendered := range []bool{false, true} {
			delivery := map[bool]string{false: "Admission", true: "Desired"}[rendered]
			t.Run(name+"/"+delivery, func(t *testing.T) {
				t.Parallel()

				connections := strings.TrimSuffix(tc.connection+", "+tc.beside, ", ")
				c := newCluster(t, service("api", connections), tc.settings)
				c.add(cacheStorage)
				if rendered {
					c.render("workload", deployment("api", ""))
				}
				c.settle()
				if c.reason("api", tc.typ) != "Connected" {
					t.Fatalf("%s is %q at first", tc.typ, c.reason("api", tc.typ))
				}

				c.setServices("- {name: api, conections: [" + connections + "]}")
				c.reconcile()
				want(t, true, c.connection("api", tc.typ)["ready"] == true, "ready while only the claim is misspelt")
				c.setSettings(strings.Replace(tc.settings, tc.old, tc.now, 1))
				for run := range 4 {
					c.reconcile()
					if run == 0 {
						want(t, "NotAllowed", c.reason("api", tc.typ), "reason")
					}
					// Once nothing is published, nothing is left to stay as it was.
					want(t, false, c.connection("api", tc.typ)["ready"] == true, "ready")
					injection, _ := c.service("api")["injection"].(map[string]any)
					want(t, tc.beside != "", injection != nil, "published injection")
					if strings.Contains(toStruct(t, c.service("api")).String(), "AWS_") {
						t.Errorf("pods still get the role: %v", injection)
					}
					if rendered && strings.Contains(toStruct(t, c.pods()).String(), "AWS_") {
						t.Errorf("the rendered workload still has the role: %v", c.pods())
					}
				}
			})
		}
	}
}

// TestMistakeTellsWhatIsGone: a service that stays as it was isn't called connected once
// nothing grants it anything any more.
func TestMistakeTellsWhatIsGone(t *testing.T) {
	t.Parallel()

	c := newCluster(t, service("api", awsConnection), allSettings)
	c.settle()
	c.setServices("- {name: api, conections: [" + awsConnection + "]}")
	for _, key := range c.keys("PodIdentityAssociation") {
		delete(c.composed, key)
	}
	c.reconcile()
	want(t, false, c.connection("api", "awsRole")["ready"] == true, "ready")
	want(t, "Creating", c.reason("api", "awsRole"), "reason")
}
