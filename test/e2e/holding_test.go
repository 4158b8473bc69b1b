package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
)

// revokedWithin is how long a grant may outlive its place on the allow-list.
const revokedWithin = 25 * time.Second

// A hold is what a team with Kubernetes' role edit tries, so that its grants stay
// when the allow-list takes them back.
type hold struct {
	reason string
	write  func(ctx context.Context, team *team, editor client.Client) error

	// refusal that the API server answers with.
	refusal string
}

const annotationResourceName = "crossplane.io/composition-resource-name"

var holds = map[string]hold{
	"pause": {
		reason: "A paused ServiceConnection isn't reconciled.",
		write: func(ctx context.Context, team *team, editor client.Client) error {
			return editor.Patch(ctx, team.named(claimKind, "shop"), mergePatch(`{"metadata": {"annotations": {"crossplane.io/paused": "true"}}}`))
		},
		refusal: "may not pause it",
	},
	"finalizer": {
		reason: "One that is deleted, but held, is no longer composed.",
		write: func(ctx context.Context, team *team, editor client.Client) error {
			claim := team.named(claimKind, "shop")
			if err := editor.Get(ctx, client.ObjectKeyFromObject(claim), claim); err != nil {
				return err
			}
			claim.SetFinalizers(append(claim.GetFinalizers(), "example.org/hold"))
			if err := editor.Update(ctx, claim); err != nil {
				return err
			}
			return editor.Delete(ctx, claim)
		},
		refusal: `may not set the finalizer "example.org/hold"`,
	},
	"revision": {
		reason: "A revision that doesn't exist composes nothing.",
		write: func(ctx context.Context, team *team, editor client.Client) error {
			return editor.Patch(ctx, team.named(claimKind, "shop"), team.machinery(`"compositionRevisionRef": {"name": "serviceconnections-0000000"}`))
		},
		refusal: `may not choose CompositionRevision "serviceconnections-0000000"`,
	},
	"policy": {
		reason: "One that is pinned keeps the settings of its revision.",
		write: func(ctx context.Context, team *team, editor client.Client) error {
			return editor.Patch(ctx, team.named(claimKind, "shop"), team.machinery(`"compositionUpdatePolicy": "Manual"`))
		},
		refusal: "may not set compositionUpdatePolicy",
	},
	"selector": {
		reason: "A selector that matches no revision composes nothing.",
		write: func(ctx context.Context, team *team, editor client.Client) error {
			return editor.Patch(ctx, team.named(claimKind, "shop"), team.machinery(`"compositionRevisionSelector": {"matchLabels": {"no": "such"}}`))
		},
		refusal: "may not choose revisions by compositionRevisionSelector",
	},
	"unnamed": {
		reason: "A composed object without a name stops Crossplane.",
		write: func(ctx context.Context, team *team, editor client.Client) error {
			return editor.Patch(ctx, team.accountOfAPI(), mergePatch(`{"metadata": {"annotations": {"`+annotationResourceName+`": null}}}`))
		},
		refusal: `may not change "` + annotationResourceName + `"`,
	},
	"renamed": {
		reason: "A ServiceAccount with the association's name hides that.",
		write: func(ctx context.Context, team *team, editor client.Client) error {
			name := team.the("PodIdentityAssociation").GetAnnotations()[annotationResourceName]
			return editor.Patch(ctx, team.accountOfAPI(), mergePatch(`{"metadata": {"annotations": {"%s": "%s"}}}`, annotationResourceName, name))
		},
		refusal: `may not change "` + annotationResourceName + `"`,
	},
	"disowned": {
		reason: "What nobody controls isn't deleted.",
		write: func(ctx context.Context, team *team, editor client.Client) error {
			return editor.Patch(ctx, team.accountOfAPI(), mergePatch(`{"metadata": {"ownerReferences": null}}`))
		},
		refusal: "may not change by which owner reference it belongs to",
	},
	"remade": {
		reason: "A ServiceAccount that the team has made anew has no name.",
		write: func(ctx context.Context, team *team, editor client.Client) error {
			if err := editor.Delete(ctx, team.accountOfAPI()); err != nil {
				return err
			}
			return editor.Create(ctx, team.accountOfAPI())
		},
		refusal: "may not delete it, since Crossplane has composed it",
	},
	"taken": {
		reason: "Crossplane stops at one that it has noted down, and that has no name.",
		write: func(ctx context.Context, team *team, editor client.Client) error {
			return editor.Create(ctx, team.accountOfAPI())
		},
		refusal: "may not create it, since ServiceConnection \"shop\" has it composed",
	},
	"polled": {
		reason: "Where nothing is watched, it would be looked at next year.",
		write: func(ctx context.Context, team *team, editor client.Client) error {
			return editor.Patch(ctx, team.named(claimKind, "shop"), mergePatch(`{"metadata": {"annotations": {"crossplane.io/poll-interval": "8760h"}}}`))
		},
		refusal: "may not choose how often it is reconciled",
	},
	"forged": {
		reason: "What Crossplane hasn't composed must not look like it.",
		write: func(ctx context.Context, team *team, editor client.Client) error {
			account := team.get("v1", "ServiceAccount", "shop-api")
			forged := team.accountOfAPI()
			forged.SetName("forged")
			forged.SetOwnerReferences(account.GetOwnerReferences())
			return editor.Create(ctx, forged)
		},
		refusal: "may not make it belong to",
	},
	"unfinished": {
		reason: "Without Crossplane's finalizer a claim that is deleted leaves its composite resource.",
		write: func(ctx context.Context, team *team, editor client.Client) error {
			return editor.Patch(ctx, team.named(claimKind, "shop"), mergePatch(`{"metadata": {"finalizers": null}}`))
		},
		refusal: `may not remove the finalizer "`,
	},
}

// accountOfAPI is the ServiceAccount that is composed for service api.
func (t *team) accountOfAPI() *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion("v1")
	u.SetKind("ServiceAccount")
	u.SetNamespace(t.namespace)
	u.SetName("shop-api")
	return u
}

// machinery of Crossplane's in a ServiceConnection's spec, as JSON.
func (t *team) machinery(fields string) client.Patch {
	if t.mode == controlplane.Claims {
		return mergePatch(`{"spec": {%s}}`, fields)
	}
	return mergePatch(`{"spec": {"crossplane": {%s}}}`, fields)
}

// TestNothingHoldsARevocation connects a namespace for each hold, tries it, and
// takes all roles off the allow-list: the cloud is empty in time.
func TestNothingHoldsARevocation(t *testing.T) {
	t.Parallel()
	alone(t, func(one *team) {
		defer one.changeSettings(func(map[string]any) {})
		teams := map[string]*team{}
		for _, name := range slices.Sorted(maps.Keys(holds)) {
			teams[name] = as(one.t, one)
			teams[name].namespace = newNamespace(one.t, one.cluster, "")
			teams[name].leave(claimVersion, claimKind)
			teams[name].connect("- {name: api, connections: [{type: awsRole, role: my-app-s3-access}]}")
			teams[name].awaitReady()
		}
		for name, team := range teams {
			editor, hold := team.user("editor", "edit"), holds[name]
			team.eventually("the editor has its rights", func(ctx context.Context) error {
				return editor.Patch(ctx, team.named(claimKind, "shop"), mergePatch(`{"metadata": {"annotations": {"example.org/note": "seen"}}}`), client.DryRunAll)
			})
			if err := forbidden(hold.write(one.t.Context(), team, editor), hold.refusal); err != nil {
				one.t.Errorf("%s: %s\n%v", name, hold.reason, err)
			}
		}
		one.changeSettings(func(data map[string]any) { section(data, "aws")["allowedRoles"] = []any{} })
		excluded := time.Now()
		for name, team := range teams {
			team.deadline = time.Until(excluded.Add(revokedWithin))
			team.eventually("hold "+name+" keeps nothing in the cloud", func(context.Context) error {
				if got := team.contents(); len(got) > 0 {
					return fmt.Errorf("it has %v", got)
				}
				return nil
			})
		}
	})
}

// TestPlatformTeamHolds a ServiceConnection, since it may: it pauses, pins and
// restores. And what a team had from before, its later edits keep.
func TestPlatformTeamHolds(t *testing.T) {
	t.Parallel()
	eachMode(t, func(team *team) {
		team.connect("- {name: api, connections: [{type: awsRole, role: my-app-s3-access}]}")
		team.awaitReady()
		ctx, editor := team.t.Context(), team.user("editor", "edit")
		shop := func() *unstructured.Unstructured { return team.named(claimKind, "shop") }
		for _, patch := range []client.Patch{
			team.machinery(`"compositionUpdatePolicy": "Manual"`),
			mergePatch(`{"metadata": {"annotations": {"crossplane.io/paused": "true"}}}`),
		} {
			if err := team.Client.Patch(ctx, shop(), patch); err != nil {
				team.t.Fatalf("the platform team may: %v", err)
			}
		}
		team.eventually("a team may edit it otherwise", func(ctx context.Context) error {
			return editor.Patch(ctx, shop(), mergePatch(`{"metadata": {"annotations": {"example.org/note": "seen"}}}`))
		})
		if err := editor.Patch(ctx, shop(), mergePatch(`{"metadata": {"annotations": {"crossplane.io/paused": null}}}`)); err != nil {
			team.t.Errorf("a team may let it go on: %v", err)
		}
		if err := editor.Patch(ctx, shop(), team.machinery(`"compositionUpdatePolicy": "Automatic"`)); err != nil {
			team.t.Errorf("a team may let it follow: %v", err)
		}

		// Its own ServiceAccounts, and notes on a composed one, are a team's.
		own := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "own", Namespace: team.namespace, Annotations: map[string]string{annotationResourceName: "x"}}}
		if err := editor.Create(ctx, own); err != nil {
			team.t.Errorf("a team may make a ServiceAccount of its own: %v", err)
		}
		if err := editor.Delete(ctx, own); err != nil {
			team.t.Errorf("and delete it: %v", err)
		}
		if err := editor.Patch(ctx, team.accountOfAPI(), mergePatch(`{"metadata": {"annotations": {"example.org/note": "seen"}}}`)); err != nil {
			team.t.Errorf("a team may annotate a composed ServiceAccount: %v", err)
		}
		if err := editor.Delete(ctx, shop()); err != nil {
			team.t.Fatal(err)
		}
		team.eventually("the claim is gone", team.noClaim)
		team.eventually("its ServiceAccount goes too", func(context.Context) error {
			if u := team.get("v1", "ServiceAccount", "shop-api"); u != nil {
				return fmt.Errorf("it is there")
			}
			return nil
		})
	})
}

// TestNamesNotedDown holds that a team takes no name under which Crossplane has noted down
// that it composes something, and can't yet: here a quota refuses it. Crossplane would
// stop at what the team has made there, and nothing would be revoked any more.
func TestNamesNotedDown(t *testing.T) {
	t.Parallel()
	eachMode(t, func(team *team) {
		const api = "- {name: api, connections: [{type: awsRole, role: my-app-s3-access}]}\n"
		team.connect(api)
		team.awaitReady()
		editor, ctx := team.user("editor", "edit"), team.t.Context()
		team.applyf("{apiVersion: v1, kind: ResourceQuota, metadata: {name: full}, spec: {hard: {count/serviceaccounts: '0', persistentvolumeclaims: '0'}}}")

		team.connect(api + "- {name: web, connections: [{type: awsRole, role: my-app-s3-access}, {type: disk, config: {diskName: scratch}}]}")
		team.eventually("the quota stops what is composed", func(ctx context.Context) error {
			xr, err := team.composite(ctx)
			if err != nil {
				return err
			}
			return hasCondition(xr, "Synced", "False", "", "exceeded quota")
		})
		account, disk := team.accountOfAPI(), team.accountOfAPI()
		account.SetName("shop-web")
		disk.SetKind("PersistentVolumeClaim")
		disk.SetName("scratch")
		composed := map[controlplane.Mode]string{
			controlplane.Namespaced: `since ServiceConnection "shop" has it composed; use another name, or take the disk out of the ServiceConnection first`,
			controlplane.Claims:     `since the cluster settings have disk "scratch" composed for ServiceConnections`,
		}[team.mode]
		disk.Object["spec"] = map[string]any{"accessModes": []any{"ReadWriteOnce"}, "resources": map[string]any{"requests": map[string]any{"storage": "1Gi"}}}
		team.eventually("the editor takes neither name", func(ctx context.Context) error {
			return errors.Join(
				forbidden(editor.Create(ctx, account.DeepCopy()), `may not create it, since ServiceConnection "shop" has it composed`),
				forbidden(editor.Create(ctx, disk.DeepCopy()), composed))
		})

		// The service leaves, and another one keeps Crossplane from coming to its end.
		team.connect(api + "- {name: worker, connections: [{type: awsRole, role: my-app-s3-access}]}")
		left := map[controlplane.Mode]string{
			controlplane.Namespaced: "exceeded quota", // Its notes say that it is forgotten.
			controlplane.Claims:     "wait until its status.observedGeneration is its metadata.generation",
		}[team.mode]
		team.eventually("the name of what left isn't taken before that is over", func(ctx context.Context) error {
			return forbidden(editor.Create(ctx, account.DeepCopy()), left)
		})

		quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "full", Namespace: team.namespace}}
		if err := team.Client.Delete(ctx, quota); err != nil {
			team.t.Fatal(err)
		}
		team.awaitReady()
		team.eventually("the name is free again", func(ctx context.Context) error { return editor.Create(ctx, account.DeepCopy()) })
	})
}
