package fn

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// podGets is what pods of service api get, as far as it tells what they connect to.
func podGets(c *cluster) map[string]string {
	in, _ := c.service("api")["injection"].(map[string]any)
	if in == nil {
		in, _ = c.service("backend")["injection"].(map[string]any)
	}
	got := map[string]string{"ServiceAccount": str(in, "serviceAccountName"), "hash": str(in, "hash")}
	for _, v := range list(in, "env") {
		e := v.(map[string]any)
		got[str(e, "name")] = str(e, "value")
	}
	for _, v := range list(in, "volumes") {
		m := v.(map[string]any)
		got["volume "+str(m, "name")] = str(m, "persistentVolumeClaim", "claimName")
	}
	for _, v := range list(in, "initContainers") {
		got["sidecar "+str(v.(map[string]any), "name")] = ""
	}
	labels, _ := in["labels"].(map[string]any)
	for k := range labels {
		got["label "+k] = ""
	}
	return got
}

// trusting makes all observed roles have a trust policy.
func (c *cluster) trusting(policy string) {
	for _, k := range c.keys("Role") {
		if at, ok := fieldAt(c.composed[k], []string{"status", "atProvider"}).(map[string]any); ok {
			at["assumeRolePolicy"] = policy
		}
	}
}

const (
	podIdentityTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`
	noTrust          = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
)

// TestHold holds that what is published stays, to the byte, while what is to
// replace it doesn't work; that it gives way once that works; and that revoking
// takes it all the same.
func TestHold(t *testing.T) {
	t.Parallel()

	irsa := inIRSA(allSettings)
	mine := `{apiVersion: v1, kind: ServiceAccount, metadata: {name: mine, namespace: team-a, annotations: {azure.workload.identity/client-id: client-of-shop-identity, azure.workload.identity/tenant-id: 22222222-2222-2222-2222-222222222222}}}`
	cases := map[string]struct {
		reason   string
		settings string
		services string

		// edit that doesn't work, what the providers do then, and what mends it.
		edit         func(*cluster)
		then         func(*cluster)
		verdict, typ string
		mend         func(*cluster)

		// revoke what is held.
		revoke func(*cluster)
		gone   string
	}{
		"ServiceAccountThatIsNotThere": {
			reason:   "pods would be refused that name one which isn't there",
			services: service("api", diskConnection, sqlConnection),
			edit: func(c *cluster) {
				c.setServices("- {name: api, serviceAccountName: typo, connections: [" + diskConnection + ", " + sqlConnection + "]}")
			},
			typ: "cloudSql", verdict: "ServiceAccountNotFound",
			mend: func(c *cluster) {
				c.setServices(service("api", diskConnection, sqlConnection))
			},
			revoke: func(c *cluster) {
				c.setSettings(strings.Replace(allSettings, "name: sql-client", "name: nobody", 1))
			},
			gone: "sidecar sc-cloud-sql-proxy",
		},
		"DiskThatIsNotRegistered": {
			reason:   "a misspelt name takes no disk from the next pod",
			services: service("api", diskConnection),
			edit:     func(c *cluster) { c.setServices(service("api", `{type: disk, config: {diskName: cache-storag}}`)) },
			typ:      "disk", verdict: "DiskNotRegistered",
			mend: func(c *cluster) { c.setServices(service("api", diskConnection)) },
			revoke: func(c *cluster) {
				c.setSettings(strings.Replace(allSettings, "{name: cache-storage, namespaces: [team-a]}", "{name: cache-storage, namespaces: [team-b]}", 1))
			},
			gone: "volume sc-disk",
		},
		"SettingsWithoutACloud": {
			reason:   "a section that is gone can't have been meant to take the proxy from the next pod",
			services: service("api", sqlConnection),
			edit:     func(c *cluster) { c.setSettings(cutSection(allSettings, "gcp")) },
			typ:      "cloudSql", verdict: "CloudNotConfigured",
			mend: func(c *cluster) { c.setSettings(allSettings) },
		},
		"SomebodyReplacedTheServiceAccount": {
			reason:   "what runs has its mounts still",
			services: service("api", diskConnection),
			edit: func(c *cluster) {
				delete(c.composed, "shop-api.serviceaccount")
				c.add(`{apiVersion: v1, kind: ServiceAccount, metadata: {name: shop-api, namespace: team-a}}`)
			},
			typ: "disk", verdict: "ServiceAccountTaken",
			mend: func(c *cluster) { c.remove("ServiceAccount", "shop-api") },
		},
		"RoleThatDoesNotTrust": {
			reason:   "the function knows that the new role lets nobody in",
			settings: irsa,
			services: service("api", awsConnection),
			edit:     func(c *cluster) { c.setServices(service("api", `{type: awsRole, role: my-app-other}`)) },
			then: func(c *cluster) {
				for _, k := range c.keys("Role") {
					if o := c.composed[k]; str(o, "metadata", "annotations", "crossplane.io/external-name") == "my-app-other" {
						o["status"].(map[string]any)["atProvider"].(map[string]any)["assumeRolePolicy"] = noTrust
					}
				}
			},
			typ: "awsRole", verdict: "TrustMissingPrincipal",
			mend: func(c *cluster) { c.setServices(service("api", awsConnection)) },
			revoke: func(c *cluster) {
				c.setSettings(strings.Replace(irsa, `pattern: "my-app-*"`, `pattern: "my-app-other"`, 1))
			},
			gone: "AWS_ROLE_ARN",
		},
		"ModeWithoutItsProvider": {
			reason:   "a mode that nothing serves yet takes nothing from the one before",
			settings: irsa,
			services: service("api", awsConnection),
			edit: func(c *cluster) {
				c.remove("CustomResourceDefinition", "podidentityassociations.eks.aws.m.upbound.io")
				c.setSettings(allSettings)
			},
			typ: "awsRole", verdict: "ProviderNotInstalled",
			mend: func(c *cluster) { c.setSettings(irsa) },
		},
		"ModeThatTheRoleDoesNotTrust": {
			reason:   "the role's trust policy is of the mode before",
			services: service("api", awsConnection),
			edit:     func(c *cluster) { c.setSettings(irsa) },
			then:     func(c *cluster) { c.trusting(podIdentityTrust) },
			typ:      "awsRole", verdict: "TrustMissingPrincipal",
			mend: func(c *cluster) { c.setSettings(allSettings) },
		},
		"ServiceAccountWithoutItsGrant": {
			reason:   "the new ServiceAccount has no credential yet",
			services: service("api", azureConnection),
			edit: func(c *cluster) {
				c.add(mine)
				c.setServices("- {name: api, serviceAccountName: mine, connections: [" + azureConnection + "]}")
			},
			then: func(c *cluster) {
				for _, k := range c.keys("FederatedIdentityCredential") {
					if strings.HasPrefix(k, "mine.") {
						c.composed[k]["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Synced", "status": "False", "message": "Too many Federated Identity Credentials"}}}
					}
				}
			},
			typ: "azureManagedIdentity", verdict: "TooManyCredentials",
			mend: func(c *cluster) { c.setServices(service("api", azureConnection)) },
			revoke: func(c *cluster) {
				c.setSettings(strings.Replace(allSettings, `identity: "*"`, `identity: none`, 1))
			},
			gone: "label azure.workload.identity/use",
		},
		"ContainerThatIsNotThere": {
			reason:   "the workload can't take the new injection",
			services: service("api", awsConnection),
			edit: func(c *cluster) {
				c.setServices("- {name: api, containers: [typo], connections: [" + awsConnection + "]}")
			},
			typ: "awsRole", verdict: "ContainerNotFound",
			mend: func(c *cluster) { c.setServices(service("api", awsConnection)) },
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.settings == "" {
				tc.settings = allSettings
			}
			if tc.then == nil {
				tc.then = func(*cluster) {}
			}
			settle := func(c *cluster) {
				for range 6 {
					c.reconcile()
					c.provide()
					tc.then(c)
				}
			}
			c := newCluster(t, tc.services, tc.settings)
			c.add(cacheStorage)
			c.add(deployment("api", ""))
			settle(c)
			was, grants := podGets(c), len(c.composed)

			tc.edit(c)
			settle(c)
			want(t, tc.verdict, c.reason("api", tc.typ), "verdict")
			if diff := cmp.Diff(was, podGets(c)); diff != "" {
				t.Errorf("%s: what the next pod gets, -was, +is:\n%s", tc.reason, diff)
			}
			if len(c.composed) < grants && name != "SomebodyReplacedTheServiceAccount" {
				t.Errorf("%d composed objects, fewer than the %d that pods use", len(c.composed), grants)
			}
			steady := c.snapshot()
			settle(c)
			want(t, steady, c.snapshot(), "a steady state")

			if tc.revoke != nil {
				tc.revoke(c)
				settle(c)
				if v, there := podGets(c)[tc.gone]; there && v == was[tc.gone] {
					t.Errorf("%q is held although a list revokes it: %q", tc.gone, v)
				}
				c.setSettings(tc.settings)
			}
			tc.mend(c)
			settle(c)
			want(t, "Connected", c.reason("api", tc.typ), "verdict once it is mended")
			if diff := cmp.Diff(was, podGets(c)); diff != "" {
				t.Errorf("what the next pod gets once it is mended, -was, +is:\n%s", diff)
			}
		})
	}
}

// TestHoldGivesWay holds that a successor which works takes over, and that the
// grants of before go once no old pod is left.
func TestHoldGivesWay(t *testing.T) {
	t.Parallel()
	t.Run("AnotherServiceAccount", func(t *testing.T) {
		t.Parallel()
		c := newCluster(t, service("api", sqlConnection), allSettings)
		c.add(deployment("api", ""))
		c.settle()
		c.setServices("- {name: api, serviceAccountName: mine, connections: [" + sqlConnection + "]}")
		c.settle()
		want(t, "shop-api", podGets(c)["ServiceAccount"], "ServiceAccount while mine doesn't exist")
		c.add(`{apiVersion: v1, kind: ServiceAccount, metadata: {name: mine, namespace: team-a, annotations: {iam.gke.io/gcp-service-account: sql-client@my-project-123456.iam.gserviceaccount.com}}}`)
		c.settle()
		want(t, "mine", podGets(c)["ServiceAccount"], "ServiceAccount once it works")
		want(t, 2, len(c.keys("ServiceAccountIAMMember")), "members while old pods run")
		c.restarted("v2")
		want(t, 1, len(c.keys("ServiceAccountIAMMember")), "members once they are replaced")
		want(t, "Connected", c.reason("api", "cloudSql"), "verdict")
	})
	t.Run("AwayFromOneOfTheTeam", func(t *testing.T) {
		t.Parallel()
		c := newCluster(t, "- {name: api, serviceAccountName: mine, connections: ["+gcpConnection+"]}", allSettings)
		c.add(`{apiVersion: v1, kind: ServiceAccount, metadata: {name: mine, namespace: team-a, annotations: {iam.gke.io/gcp-service-account: sql-client@my-project-123456.iam.gserviceaccount.com}}}`)
		c.add(deployment("api", ""))
		c.settle()
		want(t, "mine", podGets(c)["ServiceAccount"], "ServiceAccount")
		c.setServices(service("api", gcpConnection))
		for range 4 {
			c.reconcile()
			want(t, "mine", podGets(c)["ServiceAccount"], "ServiceAccount while the composed one is granted nothing")
		}
		c.settle()
		want(t, "shop-api", podGets(c)["ServiceAccount"], "ServiceAccount once it is granted the same")
	})
	t.Run("AnotherName", func(t *testing.T) {
		t.Parallel()
		c := newCluster(t, service("api", awsConnection, azureConnection), allSettings)
		c.add(deployment("api", ""))
		c.settle()
		c.restarted("v1")
		was := podGets(c)
		c.setServices("- {name: backend, workload: {name: api}, connections: [" + awsConnection + ", " + azureConnection + "]}")
		if deleted := c.reconcile(); len(deleted) > 0 {
			t.Errorf("renaming the service deletes %v, as which its pods run", deleted)
		}
		if diff := cmp.Diff(was, podGets(c)); diff != "" {
			t.Errorf("what the next pod gets, -was, +is:\n%s", diff)
		}
		c.settle()
		want(t, "shop-backend", podGets(c)["ServiceAccount"], "ServiceAccount once its grants are ready")
		want(t, 2, len(c.keys("PodIdentityAssociation")), "associations while old pods run")
		c.restarted("v2")
		want(t, 1, len(c.keys("PodIdentityAssociation")), "associations once they are replaced")
		want(t, 1, len(c.keys("FederatedIdentityCredential")), "credentials once they are replaced")
	})
	t.Run("AnotherNameAndMore", func(t *testing.T) {
		t.Parallel()
		c := newCluster(t, service("api", gcpConnection), allSettings)
		c.add(cacheStorage)
		c.add(deployment("api", ""))
		c.settle()
		c.restarted("v1")
		c.setServices("- {name: backend, workload: {name: api}, connections: [" + gcpConnection + ", " + diskConnection + "]}")
		for range 4 {
			c.reconcile()
			want(t, "shop-api", podGets(c)["ServiceAccount"], "ServiceAccount while the new one is granted nothing, although the disk works")
		}
		c.settle()
		want(t, "shop-backend", podGets(c)["ServiceAccount"], "ServiceAccount once it is granted the same")
	})
	t.Run("AnotherRoleInPlace", func(t *testing.T) {
		t.Parallel()
		c := newCluster(t, service("api", awsConnection), allSettings)
		c.add(deployment("api", ""))
		c.settle()
		c.setServices(service("api", `{type: awsRole, role: my-app-other}`))
		for range 4 {
			c.reconcile()
			c.provide()
			c.trusting(noTrust)
		}
		want(t, plainARN, str(c.only("PodIdentityAssociation"), "spec", "forProvider", "roleArn"), "role of the association while the new one lets nobody in")
		for range 4 {
			c.reconcile()
			c.trusting(podIdentityTrust)
			c.provide()
			c.trusting(podIdentityTrust)
		}
		want(t, strings.Replace(plainARN, "my-app-s3", "my-app-other", 1), str(c.only("PodIdentityAssociation"), "spec", "forProvider", "roleArn"), "role of the association once the new one does")
	})
}
