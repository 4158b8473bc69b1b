package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
)

// A settled team has a connection of each type, a Deployment, a ServiceAccount
// of its own, and a volume claim that is retained.
type settled struct {
	*team

	// theirs must outlive everything that is done to the claim.
	theirs []*unstructured.Unstructured

	// ours are composed.
	ours map[string]*unstructured.Unstructured
}

func settle(tm *team) settled {
	tm.t.Helper()
	tm.apply(serviceAccount("own") + "\n---\n" + deployment("api"))
	tm.connect(everything)
	tm.awaitReady()
	tm.restartIfAsked("api")
	s := settled{team: tm, ours: tm.objects()}
	for _, o := range []struct{ apiVersion, kind, name string }{
		{"apps/v1", "Deployment", "api"},
		{"v1", "ServiceAccount", "own"},
		{"v1", "PersistentVolumeClaim", "uploads"},
	} {
		u := tm.get(o.apiVersion, o.kind, o.name)
		if u == nil {
			tm.t.Fatalf("there is no %s %s", o.kind, o.name)
		}
		s.theirs = append(s.theirs, u)
	}
	return s
}

// intact fails the test if anything of the team's is gone.
func (s settled) intact(reason string) {
	s.t.Helper()
	for _, o := range s.theirs {
		s.same(reason, o)
	}
}

// all of what is composed is there, but for some kinds.
func (s settled) all(reason string, but ...string) {
	s.t.Helper()
	for _, o := range s.ours {
		if !slices.Contains(but, o.GetKind()) {
			s.same(reason, o)
		}
	}
}

// TestSafetyOfEdits holds that what the team made, and what holds its data,
// outlives every edit of its claim, and that nothing else is deleted than what
// left.
func TestSafetyOfEdits(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		edit   func(settled)
	}{
		"ClaimDeleted": {
			reason: "the claim takes along what it granted, and no more",
			edit: func(s settled) {
				s.deleteNow()
				for _, o := range s.ours {
					s.awaitGone(o)
				}
				s.awaitContents("nothing")
			},
		},
		"DiskRemoved": {
			reason: "only the disk's Object leaves",
			edit: func(s settled) {
				lines := s.contents()
				s.connect(without(everything, "type: disk"))
				s.awaitConnectedCount("4/4")
				s.awaitNumber("Object", 0)
				s.all("its connection is in the claim", "Object")
				s.awaitContents("the same as before", lines...)
			},
		},
		"RoleRemoved": {
			reason: "only what grants the role leaves",
			edit: func(s settled) {
				s.connect(without(everything, "type: awsRole"))
				s.awaitConnectedCount("4/4")
				s.awaitNumber("PodIdentityAssociation", 0)
				s.awaitNumber("Role", 0)
				s.all("its connection is in the claim", "PodIdentityAssociation", "Role")
			},
		},
		"LastServiceRemoved": {
			reason: "an empty list of services takes away all that was granted",
			edit: func(s settled) {
				s.connect("- name: other\n  connections: [{type: disk, config: {diskName: scratch}}]")
				s.awaitConnectedCount("1/1")
				for _, o := range s.ours {
					s.awaitGone(o)
				}
				s.awaitContents("nothing")
			},
		},
		"ServiceRenamed": {
			reason: "a renamed service is another one, whose pods come by the restart that the status asks for",
			edit: func(s settled) {
				s.connect(strings.Replace(everything, "name: api", "name: backend\n  workload: {name: api}", 1))
				s.awaitInjection("backend")
				s.awaitReason("backend", claim.TypeAzureManagedIdentity, "Connected")
				s.awaitReason("backend", claim.TypeCloudSQL, "Connected")
				s.restart("backend")
				s.eventually("pods run as the new ServiceAccount", s.pod("api", "shop-backend"))
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachMode(t, func(tm *team) {
				s := settle(tm)
				tc.edit(s)
				s.intact(tc.reason)
			})
		})
	}
}

// TestSafetyOfSettings holds that settings that can't be read delete nothing,
// and say so on the claim.
func TestSafetyOfSettings(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason  string
		disturb func(*team)
		message string
	}{
		"UnknownField": {
			reason:  "a field that isn't known is an error that names it",
			disturb: func(t *team) { t.changeSettings(func(data map[string]any) { section(data, "aws")["rolez"] = "x" }) },
			message: "rolez",
		},
		"Deleted": {
			reason: "settings that are gone are no settings that forbid",
			disturb: func(t *team) {
				u, err := t.Get(t.t.Context(), "apiextensions.crossplane.io/v1beta1", "EnvironmentConfig", "", "cluster-settings")
				if err != nil {
					t.t.Fatal(err)
				}
				if err := t.Client.Delete(t.t.Context(), u); err != nil {
					t.t.Fatal(err)
				}
			},
			message: `EnvironmentConfig "cluster-settings" does not exist`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			alone(t, func(tm *team) {
				s := settle(tm)
				lines := s.contents()
				tc.disturb(tm)
				tm.awaitCondition("SettingsResolved", "False", tc.message)
				s.intact(tc.reason)
				for _, o := range s.ours {
					tm.untouched(tc.reason, o)
				}
				// New pods get what the last good settings gave.
				tm.kubectl("kubectl -n " + tm.namespace + " rollout restart deployment/api")
				tm.awaitConnected("api", "shop-api")
				tm.awaitContents("the same as before", lines...)

				tm.changeSettings(func(map[string]any) {})
				tm.awaitCondition("SettingsResolved", "True", "")
				tm.awaitReady()
				for _, o := range s.ours {
					tm.untouched(tc.reason, o)
				}
			})
		})
	}
}

// TestSafetyOfProviders holds that a provider that is uninstalled takes along
// its own resources and nothing else.
func TestSafetyOfProviders(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason, provider string
		typ              claim.ConnectionType
		kinds            []string
		as               string
	}{
		"Kubernetes": {
			reason: "the volume claim that an Object made is retained, and used as it is", provider: controlplane.ProviderKubernetes,
			typ: claim.TypeDisk, kinds: []string{"Object"}, as: "Connected",
		},
		"AWS": {
			reason: "the others stay", provider: controlplane.ProviderAWS,
			typ: claim.TypeAWSRole, kinds: []string{"Role", "PodIdentityAssociation"}, as: "ProviderNotInstalled",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disturb(t, func(tm *team) {
				s := settle(tm)
				tm.uninstall(tc.provider)
				tm.eventually("the claim tells that the provider is gone", func(ctx context.Context) error {
					// Crossplane tells it first, where it waits for kinds that it has
					// read before, for two minutes each, and doesn't ask the function.
					u, err := tm.composite(ctx)
					if err != nil || u == nil {
						return errors.Join(err, fmt.Errorf("it is gone"))
					}
					if hasCondition(u, "Synced", "False", "", "cannot get composed resource") == nil {
						return nil
					}
					s, err := tm.serviceOf(ctx, "shop", "api")
					if err != nil {
						return err
					}
					for _, c := range s.Connections {
						if c.Type == tc.typ && c.Reason == tc.as {
							return nil
						}
					}
					return fmt.Errorf("connections are %v", s.Connections)
				})
				tm.awaitReason("api", claim.TypeGCPServiceAccount, "Connected")
				s.intact(tc.reason)
				s.all(tc.reason, tc.kinds...)
				tm.install(tc.provider)
				tm.awaitReason("api", tc.typ, "Connected")
				tm.awaitReady()
				s.intact(tc.reason)
				s.all(tc.reason, tc.kinds...)
			})
		})
	}
}

// TestSafetyOfRights holds that a right that is taken from Crossplane is told on
// the claim, and deletes nothing.
func TestSafetyOfRights(t *testing.T) {
	t.Parallel()
	disturb(t, func(tm *team) {
		t := tm.t
		tm.connect("- name: api\n  connections:\n  - {type: awsRole, role: my-app-s3-access}\n  - {type: disk, config: {diskName: scratch}}")
		tm.awaitReady()
		ours := tm.objects()

		role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "crossplane:function-service-connections"}}
		if err := tm.Client.Delete(t.Context(), role); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := tm.ApplyFiles(context.Background(), "package/cluster/rbac.yaml"); err != nil {
				t.Error(err)
			}
		})
		tm.eventually("Crossplane has lost the right", tm.may(
			controlplane.Namespace+"/crossplane", false, authorizationv1.ResourceAttributes{Verb: "patch", Resource: "persistentvolumeclaims"}))
		tm.connect("- name: api\n  connections:\n  - {type: awsRole, role: my-app-other}\n  - {type: disk, config: {diskName: scratch}}")
		tm.eventually("Crossplane tells what it may not do", func(ctx context.Context) error {
			// A claim shows that its conditions aren't known, and its composite
			// resource shows why.
			u, err := tm.composite(ctx)
			if err != nil || u == nil {
				return errors.Join(err, fmt.Errorf("it is gone"))
			}
			return hasCondition(u, "Synced", "False", "", "persistentvolumeclaims")
		})
		for _, o := range ours {
			if o.GetKind() != "Role" {
				tm.same("a right that is missing deletes nothing", o)
			}
		}

		if err := tm.ApplyFiles(t.Context(), "package/cluster/rbac.yaml"); err != nil {
			t.Fatal(err)
		}
		tm.awaitCondition("Synced", "True", "")
		tm.awaitContents("the new role", "my-app-other")
		tm.awaitReady()
		for _, o := range ours {
			if o.GetKind() != "Role" {
				tm.same("it goes on with what was there", o)
			}
		}
	})
}

// TestForeign holds that what exists already is never adopted or changed.
func TestForeign(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason   string
		exists   func(*team)
		services string
		typ      claim.ConnectionType
		as       string
		message  string

		// foreign object, unless it is in the cloud.
		apiVersion, kind, name string
		lines                  func(*team) []string
	}{
		"ServiceAccount": {
			reason:   "a ServiceAccount of our name may have rights, and pods of others",
			exists:   func(t *team) { t.apply(serviceAccount("shop-api")) },
			services: "- name: api\n  connections: [{type: awsRole, role: my-app-s3-access}]",
			typ:      claim.TypeAWSRole, as: "ServiceAccountTaken", message: "set services[api].serviceAccountName: shop-api to share it",
			apiVersion: "v1", kind: "ServiceAccount", name: "shop-api",
		},
		"RetainedVolumeClaim": {
			reason:   "a volume claim that is there already is used as it is, whatever the settings would create",
			exists:   func(t *team) { t.apply(fmt.Sprintf(foreignVolumeClaim, "uploads")) },
			services: "- name: api\n  connections: [{type: disk, config: {diskName: uploads}}]",
			typ:      claim.TypeDisk, as: "Connected",
			apiVersion: "v1", kind: "PersistentVolumeClaim", name: "uploads",
		},
		"ComposedVolumeClaim": {
			reason:   "a volume claim that goes with its connection would go with its data",
			exists:   func(t *team) { t.apply(fmt.Sprintf(foreignVolumeClaim, "scratch")) },
			services: "- name: api\n  connections: [{type: disk, config: {diskName: scratch}}]",
			typ:      claim.TypeDisk, as: "Connected",
			apiVersion: "v1", kind: "PersistentVolumeClaim", name: "scratch",
		},
		"Association": {
			reason: "AWS refuses a second association, and the first is somebody's",
			exists: func(t *team) {
				t.cloud.AddAssociation("one", t.namespace, "shop-api", "arn:aws:iam::123456789012:role/by-hand")
			},
			services: "- name: api\n  connections: [{type: awsRole, role: my-app-s3-access}]",
			typ:      claim.TypeAWSRole, as: "AssociationExists", message: `has another pod identity association for ServiceAccount "shop-api"`,
			lines: func(*team) []string { return []string{"role/by-hand"} },
		},
		"Credential": {
			reason: "Azure refuses a second credential for one subject, and the first is somebody's",
			exists: func(t *team) {
				t.cloud.AddCredential(armID("shop"), "by-hand-"+t.namespace, controlplane.Issuer, "system:serviceaccount:"+t.namespace+":shop-api")
			},
			services: "- name: api\n  connections: [{type: azureManagedIdentity, identityName: shop, resourceGroup: rg-shop}]",
			typ:      claim.TypeAzureManagedIdentity, as: "CredentialExists", message: `has another federated credential for issuer "https://oidc.example.org/clusters/one/"`,
			lines: func(*team) []string { return []string{"credential by-hand-"} },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachMode(t, func(tm *team) {
				tc.exists(tm)
				var was *unstructured.Unstructured
				if tc.kind != "" {
					was = tm.settledObject(tc.apiVersion, tc.kind, tc.name)
				}
				tm.connect(tc.services)
				tm.awaitMessage("api", tc.typ, tc.as, says(tc.message))
				check := func() {
					tm.t.Helper()
					if was != nil {
						tm.untouched(tc.reason, was)
					}
					if tc.lines != nil {
						tm.awaitContents(tc.reason, tc.lines(tm)...)
					}
				}
				check()
				tm.deleteNow()
				tm.eventually("the claim is gone", tm.noClaim)
				check()
			})
		})
	}
}

// TestAzureLimit holds that an identity with as many credentials as Azure allows
// is said to be full, and loses none.
func TestAzureLimit(t *testing.T) {
	t.Parallel()
	eachMode(t, func(tm *team) {
		full := armID("full-" + tm.namespace)
		tm.cloud.AddIdentity(full, tenantID)
		for i := range 20 {
			tm.cloud.AddCredential(full, fmt.Sprintf("by-hand-%d", i), "https://issuer.example.org", fmt.Sprintf("system:serviceaccount:x:%s-%d", tm.namespace, i))
		}
		count := func() (n int) {
			for _, line := range tm.cloud.Contents() {
				if strings.Contains(line, full+":") {
					n++
				}
			}
			return n
		}
		tm.connect("- name: api\n  connections:\n  - {type: azureManagedIdentity, identityName: full-" + tm.namespace + ", resourceGroup: rg-shop}\n  - {type: awsRole, role: my-app-s3-access}")
		tm.awaitMessage("api", claim.TypeAzureManagedIdentity, "TooManyCredentials", says("delete one that nothing uses"))
		tm.awaitReason("api", claim.TypeAWSRole, "Connected")
		if n := count(); n != 20 {
			tm.t.Errorf("the identity has %d credentials, want the 20 that it had", n)
		}
	})
}
