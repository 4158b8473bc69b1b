package e2e

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
)

// user of the team's namespace: a ServiceAccount that ClusterRoles are bound to,
// in the namespace only.
func (t *team) user(name string, roles ...string) client.Client {
	t.t.Helper()
	c, err := client.New(t.userConfig(name, roles...), client.Options{})
	if err != nil {
		t.t.Fatal(err)
	}
	return c
}

// userConfig of a user's client.
func (t *team) userConfig(name string, roles ...string) *rest.Config {
	t.t.Helper()
	t.apply(serviceAccount(name))
	for _, role := range roles {
		t.applyf(`
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: %[1]s-%[2]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: %[2]s}
subjects: [{kind: ServiceAccount, name: %[1]s, namespace: %[3]s}]
`, name, role, t.namespace)
	}
	req := &authenticationv1.TokenRequest{}
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: t.namespace}}
	if err := t.Client.SubResource("token").Create(t.t.Context(), sa, req); err != nil {
		t.t.Fatal(err)
	}
	return &rest.Config{Host: t.Config.Host, BearerToken: req.Status.Token, TLSClientConfig: t.Config.TLSClientConfig}
}

// named object of the claim's group.
func (t *team) named(kind, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(claimVersion)
	u.SetKind(kind)
	u.SetName(name)
	if kind == claimKind {
		u.SetNamespace(t.namespace)
	}
	return u
}

// mergePatch of JSON.
func mergePatch(format string, a ...any) client.Patch {
	return client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, format, a...))
}

// forbidden says whether the API server has refused a write with a message.
func forbidden(err error, want string) error {
	if !kerrors.IsForbidden(err) || !strings.Contains(err.Error(), want) {
		return fmt.Errorf("the answer is: %w\nwant Forbidden, with %s", err, want)
	}
	return nil
}

// TestRightsOfTeams plays a team with Kubernetes' own roles, and one with those
// that Crossplane generates, which grant more than a team should have.
func TestRightsOfTeams(t *testing.T) {
	t.Parallel()
	eachMode(t, func(team *team) {
		viewer, editor := team.user("viewer", "view"), team.user("editor", "edit")
		crossplaneEditor := team.user("crossplane-editor", "edit", "crossplane-edit")
		ctx := team.t.Context()

		// The editor's claim comes and goes by the editor alone.
		objects, err := controlplane.Parse(claimOf("- {name: api, connections: [{type: awsRole, role: my-app-s3-access}]}"))
		if err != nil {
			team.t.Fatal(err)
		}
		claim := objects[0]
		claim.SetNamespace(team.namespace)
		team.eventually("the roles are aggregated", func(ctx context.Context) error {
			return editor.Create(ctx, claim.DeepCopy(), client.DryRunAll)
		})
		team.eventually("the role that Crossplane generates grants the status", team.may(team.namespace+"/crossplane-editor", true, authorizationv1.ResourceAttributes{
			Verb: "patch", Group: "serviceconnections.io", Resource: "serviceconnections", Subresource: "status",
		}))
		if err := forbidden(viewer.Create(ctx, claim.DeepCopy()), `cannot create resource "serviceconnections"`); err != nil {
			team.t.Errorf("view only reads: %v", err)
		}
		if err := editor.Create(ctx, claim); err != nil {
			team.t.Fatalf("edit may create a claim: %v", err)
		}
		team.awaitReady()
		if err := viewer.Get(ctx, client.ObjectKeyFromObject(claim), team.named(claimKind, "shop")); err != nil {
			team.t.Errorf("view may read a claim: %v", err)
		}
		if err := editor.Patch(ctx, claim, mergePatch(`{"spec": {"services": [{"name": "api", "connections": [{"type": "awsRole", "role": "my-app-other"}]}]}}`)); err != nil {
			team.t.Fatalf("edit may change a claim: %v", err)
		}
		team.eventually("Crossplane writes the status", func(ctx context.Context) error {
			s, err := team.service(ctx, "api")
			if err == nil && (!s.Connections[0].Ready || !strings.HasSuffix(s.Connections[0].Identity, "/my-app-other")) {
				err = fmt.Errorf("it is %+v", s.Connections)
			}
			return err
		})
		xr, err := team.composite(ctx)
		if err != nil {
			team.t.Fatal(err)
		}

		const (
			status   = `{"status": {"connected": "9/9"}}`
			refs     = `{"spec": {%[1]s"resourceRefs": [{"apiVersion": "v1", "kind": "Secret", "name": "victim"}]%[2]s}}`
			revision = `{"spec": {%[1]s"compositionRevisionRef": {"name": "%[3]s"}%[2]s}}`
		)
		// another claim, with fields of Crossplane's where they stand.
		another := func(machinery map[string]any) *unstructured.Unstructured {
			u := team.named(claimKind, "other")
			spec := map[string]any{"services": []any{map[string]any{
				"name": "web", "connections": []any{map[string]any{"type": "awsRole", "role": "my-app-other"}},
			}}}
			u.Object["spec"] = spec
			if team.mode == controlplane.Claims {
				maps.Copy(spec, machinery)
			} else if machinery != nil {
				spec["crossplane"] = machinery
			}
			return u
		}
		open, shut := `"crossplane": {`, "}"
		if team.mode == controlplane.Claims {
			open, shut = "", ""
		}
		for name, tc := range map[string]struct {
			reason string
			write  func() error

			// want is in the refusal, empty where it may be written.
			want string
		}{
			"Status": {
				reason: "Kubernetes' own roles don't grant it.",
				write: func() error {
					return editor.Status().Patch(ctx, team.named(claimKind, "shop"), mergePatch(status))
				},
				want: `cannot patch resource "serviceconnections/status"`,
			},
			"StatusByCrossplanesRole": {
				reason: "The role that Crossplane generates grants it, and the policy doesn't let it pass.",
				write: func() error {
					return crossplaneEditor.Status().Patch(ctx, team.named(claimKind, "shop"), mergePatch(status))
				},
				want: `the status of ServiceConnection "shop" is written by system:serviceaccount:crossplane-system:crossplane alone, and not by "system:serviceaccount:` +
					team.namespace + `:crossplane-editor", since pods take their injection from it; change its spec, and the status follows`,
			},
			"StatusByAdministrator": {
				reason: "Nobody does by mistake what nobody needs.",
				write: func() error {
					return team.Client.Status().Patch(ctx, team.named(claimKind, "shop"), mergePatch(status))
				},
				want: `and not by "admin"`,
			},
			"StatusWithSpec": {
				reason: "A write of the object leaves the status out: it has a subresource of its own.",
				write: func() error {
					u := team.named(claimKind, "shop")
					if err := editor.Patch(ctx, u, mergePatch(status)); err != nil {
						return err
					}
					if got, _, _ := unstructured.NestedString(u.Object, "status", "connected"); got == "9/9" {
						return fmt.Errorf("the status was written")
					}
					return nil
				},
			},
			"StatusAsItIsCreated": {
				reason: "Nor does a claim come with a status.",
				write: func() error {
					u := another(nil)
					u.Object["status"] = map[string]any{"connected": "9/9"}
					if err := editor.Create(ctx, u, client.DryRunAll); err != nil {
						return err
					}
					if u.Object["status"] != nil {
						return fmt.Errorf("it has one: %v", u.Object["status"])
					}
					return nil
				},
			},
			"RevisionOfItsComposition": {
				reason: "An old revision may have old settings.",
				write: func() error {
					return editor.Patch(ctx, team.named(claimKind, "shop"), mergePatch(revision, open, shut, "serviceconnections-0123456"), client.DryRunAll)
				},
				want: `may not choose CompositionRevision "serviceconnections-0123456", which says where the settings are; leave compositionRevisionRef out`,
			},
			"RevisionOfAnotherComposition": {
				reason: "Another Composition may have other settings, or grant anything.",
				write: func() error {
					return editor.Patch(ctx, team.named(claimKind, "shop"), mergePatch(revision, open, shut, "databases-0123456"))
				},
				want: `ServiceConnection "shop": user "system:serviceaccount:` + team.namespace + `:editor" may not choose CompositionRevision "databases-0123456", ` +
					`which says where the settings are; leave compositionRevisionRef out`,
			},
			"CreateWithRevision": {
				reason: "Nor may a new claim.",
				write: func() error {
					return editor.Create(ctx, another(map[string]any{
						"compositionRevisionRef": map[string]any{"name": "databases-0123456"},
					}))
				},
				want: `ServiceConnection "other": user`,
			},
			"Finalizer": {
				reason: "What the claim was granted would outlive it.",
				write: func() error {
					return editor.Patch(ctx, team.named(claimKind, "shop"), mergePatch(`{"metadata": {"finalizers": ["orphan"]}}`))
				},
				want: `may not set the finalizer "orphan"`,
			},
			"DeleteAndOrphan": {
				reason: "What the claim was granted would outlive it.",
				write: func() error {
					return editor.Delete(ctx, team.named(claimKind, "shop"), client.PropagationPolicy(metav1.DeletePropagationOrphan))
				},
				want: `ServiceConnection "shop": user "system:serviceaccount:` + team.namespace + `:editor" may not delete it with propagation policy Orphan, ` +
					`which would leave what it was granted; delete it without --cascade=orphan`,
			},
			"Restore": {
				reason: "The platform team may, from a backup.",
				write: func() error {
					return team.Client.Patch(ctx, team.named(xr.GetKind(), xr.GetName()), mergePatch(refs, open, shut), client.DryRunAll)
				},
			},
		} {
			team.t.Run(name, func(t *testing.T) {
				err := tc.write()
				if tc.want != "" {
					err = forbidden(err, tc.want)
				}
				if err != nil {
					t.Errorf("%s\n%v", tc.reason, err)
				}
			})
		}
		if team.mode == controlplane.Namespaced {
			err := editor.Patch(ctx, team.named(claimKind, "shop"), mergePatch(refs, open, shut))
			if err := forbidden(err, `may not change resourceRefs, the list of the objects that Crossplane has composed for it; leave it as it is`); err != nil {
				team.t.Errorf("what is taken from the list is never revoked: %v", err)
			}
		}

		if err := editor.Delete(ctx, claim); err != nil {
			team.t.Fatalf("edit may delete a claim: %v", err)
		}
		team.eventually("the claim is gone", team.noClaim)
	})
}

// TestRightsOnComposites plays somebody who may write the composite resources of
// claims in the whole cluster, but no Composition.
func TestRightsOnComposites(t *testing.T) {
	t.Parallel()
	team := newTeam(t, controlplane.Claims)
	ctx := t.Context()
	operator := team.user("operator")
	if err := team.ApplyYAML(ctx, fmt.Sprintf(`
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: %[1]s-operator}
rules:
- {apiGroups: [serviceconnections.io], resources: ["*"], verbs: ["*"]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: %[1]s-operator}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: %[1]s-operator}
subjects: [{kind: ServiceAccount, name: operator, namespace: %[1]s}]
`, team.namespace)); err != nil {
		t.Fatal(err)
	}
	team.connect("- {name: api, connections: [{type: awsRole, role: my-app-s3-access}]}")
	team.awaitReady()
	team.eventually("the operator has the rights", team.may(team.namespace+"/operator", true, authorizationv1.ResourceAttributes{
		Verb: "patch", Group: "serviceconnections.io", Resource: "xserviceconnections",
	}))
	xr, err := team.composite(ctx)
	if err != nil {
		t.Fatal(err)
	}
	services, _, _ := unstructured.NestedSlice(xr.Object, "spec", "services")
	x := func() *unstructured.Unstructured { return team.named(xr.GetKind(), xr.GetName()) }
	for name, tc := range map[string]struct {
		reason string
		write  func() error
		want   string
	}{
		"Annotation": {
			reason: "To pause one is the operator's work.",
			write: func() error {
				return operator.Patch(ctx, x(), mergePatch(`{"metadata": {"annotations": {"example.org/note": "seen"}}}`))
			},
		},
		"Status": {
			reason: "The claim's status, and so the injection, follows it.",
			write:  func() error { return operator.Status().Patch(ctx, x(), mergePatch(`{"status": {"connected": "9/9"}}`)) },
			want:   `the status of XServiceConnection "` + xr.GetName() + `" is written by system:serviceaccount:crossplane-system:crossplane alone`,
		},
		"ClaimRef": {
			reason: "The rights are those of the namespace in it.",
			write: func() error {
				return operator.Patch(ctx, x(), mergePatch(`{"spec": {"claimRef": {"namespace": "kube-system"}}}`))
			},
			want: `may not change claimRef, which says the namespace that it has the rights of; create a ServiceConnection in that namespace`,
		},
		"CreateWithClaimRef": {
			reason: "A composite resource that nobody claimed would have the rights of any namespace.",
			write: func() error {
				u := team.named(xr.GetKind(), team.namespace+"-forged")
				u.Object["spec"] = map[string]any{
					"services": services,
					"claimRef": map[string]any{"apiVersion": claimVersion, "kind": claimKind, "namespace": "kube-system", "name": "shop"},
				}
				return operator.Create(ctx, u)
			},
			want: `may not change claimRef`,
		},
		"ResourceRefs": {
			reason: "What is taken from the list is never revoked.",
			write:  func() error { return operator.Patch(ctx, x(), mergePatch(`{"spec": {"resourceRefs": []}}`)) },
			want:   `may not change resourceRefs`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var err error
			as(t, team).eventually("the rights are there", func(context.Context) error {
				if err = tc.write(); err != nil && strings.Contains(err.Error(), "cannot ") {
					return err
				}
				return nil
			})
			if tc.want != "" {
				err = forbidden(err, tc.want)
			}
			if err != nil {
				t.Errorf("%s\n%v", tc.reason, err)
			}
		})
	}
}
