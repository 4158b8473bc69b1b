package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/test/cloudapi"
	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
)

// grants of all clouds, none of which a pod needs to wait for.
const grants = `
- name: api
  connections:
  - type: awsRole
    role: uploads
    create: {` + readsBuckets + `, ` + sendsJobs + `}
  - {type: azureManagedIdentity, identityName: shop, resourceGroup: rg-shop}
  - {type: gcpServiceAccount, serviceAccountEmail: sql-client@my-project-123456.iam.gserviceaccount.com}
`

// grantAll that a claim can, and return what the cloud has of it.
func (t *team) grantAll() []string {
	t.t.Helper()
	t.connect(grants)
	t.awaitReady()
	contents := t.contents()
	if len(contents) != 7 {
		t.t.Fatalf("the cloud has %q, want a role, its policy, two attachments, an association, a credential and a member", contents)
	}
	return contents
}

// stopped runs something while no provider does. What they had begun, they have
// forgotten afterwards.
func (t *team) stopped(do func()) {
	t.t.Helper()
	if err := t.StopProviders(controlplane.AllProviders()...); err != nil {
		t.t.Fatal(err)
	}
	t.runAgain()
	do()
	if err := t.runProviders(controlplane.AllProviders()...); err != nil {
		t.t.Fatal(err)
	}
}

// runAgain all providers in the end, also of a test that fails.
func (t *team) runAgain() {
	t.t.Helper()
	t.t.Cleanup(func() {
		if err := t.runProviders(controlplane.AllProviders()...); err != nil {
			t.t.Error(err)
		}
	})
}

// managed resources that are composed now, and not only observed.
func (t *team) managed() []*unstructured.Unstructured {
	t.t.Helper()
	var all []*unstructured.Unstructured
	for _, o := range t.objects() {
		policies, _, _ := unstructured.NestedStringSlice(o.Object, "spec", "managementPolicies")
		if strings.HasSuffix(o.GroupVersionKind().Group, ".upbound.io") && slices.Contains(policies, "Create") {
			all = append(all, o)
		}
	}
	return all
}

// awaitDeleting objects, which only a provider can let go.
func (t *team) awaitDeleting(objects ...*unstructured.Unstructured) {
	t.t.Helper()
	t.eventually("the managed resources are being deleted", func(ctx context.Context) error {
		for _, o := range objects {
			now, err := t.Get(ctx, o.GetAPIVersion(), o.GetKind(), o.GetNamespace(), o.GetName())
			if err != nil {
				return err
			}
			if now != nil && now.GetUID() == o.GetUID() && now.GetDeletionTimestamp() == nil {
				return fmt.Errorf("%s %s isn't", o.GetKind(), o.GetName())
			}
		}
		return nil
	})
}

// of a kind, by what its forProvider says.
func ofKind(objects []*unstructured.Unstructured, kind, field, value string) *unstructured.Unstructured {
	for _, o := range objects {
		if v, _, _ := unstructured.NestedString(o.Object, "spec", "forProvider", field); o.GetKind() == kind && v == value {
			return o
		}
	}
	return nil
}

const s3ReadOnly = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"

// TestAttachmentRemovedWhileProviderIsDown holds the worst that could happen: a
// provider that has forgotten what it attached must not take an attachment that is
// to go for one that is gone. The role stays, and with it what stays attached.
func TestAttachmentRemovedWhileProviderIsDown(t *testing.T) {
	t.Parallel()
	alone(t, func(team *team) {
		team.connect(createdRole(readsBuckets + ", " + sendsJobs))
		team.awaitReady()
		all := team.contents()
		buckets := ofKind(team.managed(), "RolePolicyAttachment", "policyArn", s3ReadOnly)
		left := slices.DeleteFunc(slices.Clone(all), func(line string) bool { return strings.Contains(line, "AmazonS3ReadOnlyAccess") })
		if buckets == nil || len(left) != len(all)-1 {
			team.t.Fatalf("want one attachment of %s: %q", s3ReadOnly, all)
		}
		team.stopped(func() {
			team.connect(createdRole(sendsJobs))
			team.awaitDeleting(buckets)
		})
		team.awaitGone(buckets)
		team.awaitContents("no attachment that left the claim", left...)
		team.awaitReady()
		team.deleteNow()
		team.awaitContents("nothing")
	})
}

// TestProvidersDown holds that the cloud has exactly what the claims say, whatever
// happened while the providers were down, and whatever they have forgotten.
func TestProvidersDown(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		test   func(*team)
	}{
		"Deleted": {
			reason: "what goes while nobody watches goes in the cloud as well",
			test: func(t *team) {
				t.grantAll()
				objects := t.managed()
				t.stopped(func() {
					t.deleteNow()
					t.awaitDeleting(objects...)
				})
			},
		},
		"Revoked": {
			reason: "the platform team can take back what it gave while a provider is down",
			test: func(t *team) {
				t.grantAll()
				objects := t.managed()
				t.stopped(func() {
					t.changeSettings(func(data map[string]any) {
						section(data, "aws")["createRoles"] = map[string]any{"namespaces": []any{}, "permissionsBoundaryArn": "arn:aws:iam::123456789012:policy/team-boundary"}
						section(data, "azure")["allowedIdentities"] = []any{}
						section(data, "gcp")["serviceAccounts"] = []any{}
					})
					t.awaitDeleting(objects...)
				})
			},
		},
		"RestartedThenDeleted": {
			reason: "a provider that starts anew knows its own, and neither makes nor attaches it again",
			test: func(t *team) {
				contents := t.grantAll()
				writes := len(t.cloud.Writes())
				t.stopped(func() {})
				t.awaitReconcile()
				t.awaitContents("what it had", contents...)
				if now := t.cloud.Writes()[writes:]; len(now) > 0 {
					t.t.Errorf("written after the restart: %q", now)
				}
				t.deleteNow()
			},
		},
		"DetachingDenied": {
			reason: "what was denied for a while is done afterwards, also by a provider that has forgotten that it tried",
			test: func(t *team) {
				t.grantAll()
				objects := t.managed()
				denied := []string{cloudapi.DetachRolePolicy, cloudapi.DeletePodIdentityAssociation, cloudapi.DeleteCredential, cloudapi.SetIAMPolicy}
				for _, action := range denied {
					t.cloud.Deny(action)
					t.t.Cleanup(func() { t.cloud.Allow(action) })
				}
				t.deleteNow()
				t.awaitDeleting(objects...)
				t.eventually("each deletion was tried", func(context.Context) error {
					for _, action := range denied {
						if t.cloud.Calls(action) == 0 {
							return fmt.Errorf("%s was not called", action)
						}
					}
					return nil
				})
				t.stopped(func() {
					for _, action := range denied {
						t.cloud.Allow(action)
					}
				})
			},
		},
		"KilledMidway": {
			reason: "a provider that dies between the cloud's answer and its write finds what it made",
			test: func(t *team) {
				t.killedMidway("FederatedIdentityCredential", "ServiceAccountIAMMember", "RolePolicyAttachment")
				t.awaitReady()
				t.deleteNow()
			},
		},
		"KilledWhileAssociating": {
			reason: "an association has no name but the one that EKS has given it, and a tag proves that it was made for this claim",
			test: func(t *team) {
				t.killedMidway("PodIdentityAssociation")
				made := t.contents()
				t.awaitReady()
				t.awaitContents("what was made, and no second association", made...)
				t.awaitNumber("PodIdentityAssociation", 1)
				t.deleteNow()
			},
		},
		"KilledWhileAssociatingAndRevoked": {
			reason: "what the provider made and knows nothing of is taken back as well, though its provider would let it go",
			test: func(t *team) {
				t.killedMidwayBefore(func() {
					t.changeSettings(func(data map[string]any) {
						section(data, "aws")["createRoles"] = map[string]any{"namespaces": []any{}, "permissionsBoundaryArn": "arn:aws:iam::123456789012:policy/team-boundary"}
						section(data, "azure")["allowedIdentities"] = []any{}
						section(data, "gcp")["serviceAccounts"] = []any{}
					})
					t.awaitMessage("api", claim.TypeAWSRole, "NotAllowed", says("createRoles"))
				}, "PodIdentityAssociation")
			},
		},
		"KilledWhileAssociatingAndLeft": {
			reason: "so is what nobody asks for any more",
			test: func(t *team) {
				t.killedMidway("PodIdentityAssociation")
				t.connect("- {name: web, connections: [{type: disk, config: {diskName: scratch}}]}")
			},
		},
		"KilledWhileAssociatingAndHandedOver": {
			reason: "whoever knows that an association without our tag is for this claim gives it back by the command that the status has",
			test: func(t *team) {
				t.killedMidwayBefore(func() { t.cloud.UntagAssociations(t.namespace) }, "PodIdentityAssociation")
				made := t.contents()
				told := t.awaitMessage("api", claim.TypeAWSRole, "AssociationExists", says("to hand it over: kubectl "))
				t.kubectl(told.Message[strings.LastIndex(told.Message, "kubectl "):])
				t.awaitReady()
				t.awaitContents("what was made, and no second association", made...)
				t.deleteNow()
			},
		},
		"RestoredWithoutStatus": {
			reason: "a backup has no statuses, and external names are in it",
			test: func(t *team) {
				contents := t.grantAll()
				t.stopped(func() {
					t.StopCrossplane()
					for _, o := range t.managed() {
						t.forgetStatus(o)
					}
					if err := t.StartCrossplane(t.t.Context()); err != nil {
						t.t.Fatal(err)
					}
				})
				t.awaitReady()
				t.awaitContents("what it had", contents...)
				t.deleteNow()
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disturb(t, func(team *team) {
				tc.test(team)
				team.awaitContents("nothing: "+tc.reason, []string{}...)
			})
		})
	}
}

// killedMidway are the providers once the cloud has made all grants, and has told
// them nothing of some kinds.
func (t *team) killedMidway(kinds ...string) {
	t.t.Helper()
	t.killedMidwayBefore(func() {}, kinds...)
}

// killedMidwayBefore something is done, after which the providers run again.
func (t *team) killedMidwayBefore(do func(), kinds ...string) {
	t.t.Helper()
	for _, kind := range kinds {
		t.cloud.HoldIn(t.namespace, kind)
		t.t.Cleanup(func() { t.cloud.ReleaseIn(t.namespace, kind) })
	}
	t.connect(grants)
	t.eventually("the cloud has all", func(context.Context) error {
		if got := t.contents(); len(got) != 7 {
			return fmt.Errorf("it has %q", got)
		}
		return nil
	})
	// One that can't write down that it has asked for something stops there, and leaves
	// it to the operator whether to try again (crossplane-runtime, "cannot determine
	// creation result"). This is about what comes after.
	t.eventually("it is written down that each was asked for", func(ctx context.Context) error {
		all, err := t.composed(ctx)
		for _, o := range all {
			if slices.Contains(kinds, o.GetKind()) && o.GetAnnotations()["crossplane.io/external-create-succeeded"] == "" {
				err = fmt.Errorf("%s %s wasn't", o.GetKind(), o.GetName())
			}
		}
		return err
	})
	t.runAgain()
	for _, provider := range []string{controlplane.ProviderAWS, controlplane.ProviderAzure, controlplane.ProviderGCP} {
		t.KillProvider(provider)
	}
	for _, kind := range kinds {
		t.cloud.ReleaseIn(t.namespace, kind)
	}
	do()
	if err := t.runProviders(controlplane.AllProviders()...); err != nil {
		t.t.Fatal(err)
	}
}

// forgetStatus of an object, as a restore from a backup does.
func (t *team) forgetStatus(o *unstructured.Unstructured) {
	t.t.Helper()
	t.eventually("the status is gone", func(ctx context.Context) error {
		now, err := t.Get(ctx, o.GetAPIVersion(), o.GetKind(), o.GetNamespace(), o.GetName())
		if err != nil {
			return err
		}
		now.Object["status"] = map[string]any{}
		return t.Client.Status().Update(ctx, now)
	})
}
