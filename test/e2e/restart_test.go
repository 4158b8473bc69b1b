package e2e

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
)

// TestRestart holds that a claim whose expansion is interrupted converges to the
// same objects as one that isn't, with none of them twice.
func TestRestart(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason  string
		restart func(*team) error
	}{
		"Function": {
			reason: "it has no state, and comes back at another address",
			restart: func(t *team) error {
				return t.StartFunction(t.t.Context(), controlplane.FunctionName, controlplane.FunctionBinary, "--metrics-address=", "--debug")
			},
		},
		"Crossplane": {
			reason: "what it has applied without writing it down is found again by name",
			restart: func(t *team) error {
				t.StopCrossplane()
				return t.StartCrossplane(t.t.Context())
			},
		},
		"APIServer": {
			reason: "requests are lost midway",
			restart: func(t *team) error {
				return t.RestartAPIServer(t.t.Context())
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disturb(t, func(tm *team) {
				t := tm.t
				services := everything + "- name: web\n  connections: [{type: awsRole, role: my-app-other}, {type: disk, config: {diskName: scratch}}]\n"
				tm.connect(services)
				tm.awaitReady()
				want, lines := slices.Sorted(maps.Keys(tm.objects())), tm.contents()
				volume, scratch := tm.get("v1", "PersistentVolumeClaim", "uploads"), tm.the("PersistentVolumeClaim")
				if err := tm.deleteClaim(t.Context()); err != nil {
					t.Fatal(err)
				}
				// It is retained, and would only be referenced the next time.
				if err := tm.Client.Delete(t.Context(), volume); err != nil {
					t.Fatal(err)
				}
				tm.awaitGone(volume)
				tm.awaitGone(scratch)
				tm.awaitContents("nothing")

				tm.connect(services)
				tm.eventually("the expansion has begun", func(ctx context.Context) error {
					all, err := tm.composed(ctx)
					if err == nil && len(all) == 0 {
						err = fmt.Errorf("nothing is composed")
					}
					return err
				})
				if err := tc.restart(tm); err != nil {
					t.Fatal(err)
				}
				tm.awaitReady()
				if got := slices.Sorted(maps.Keys(tm.objects())); !slices.Equal(want, got) {
					t.Errorf("%s: composed is\n%v\nwithout a restart it was\n%v", tc.reason, got, want)
				}
				if got := tm.labelled(); !slices.Equal(want, got) {
					t.Errorf("%s: there are\n%v\nof which the claim knows\n%v", tc.reason, got, want)
				}
				tm.awaitContents("what it had without a restart", lines...)
				// The pods of the test that has the cluster next would come out plain.
				if err := tm.AwaitPolicy(t.Context()); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// labelled are the objects that say that they are composed for the team's claim,
// whether it knows them or not.
func (t *team) labelled() []string {
	t.t.Helper()
	xr, err := t.composite(t.t.Context())
	if err != nil {
		t.t.Fatal(err)
	}
	ours := []client.ListOption{client.MatchingLabels{"crossplane.io/composite": xr.GetName()}}
	if t.mode == controlplane.Namespaced {
		// Other teams have composite resources of that name.
		ours = append(ours, client.InNamespace(t.namespace))
	}
	var found []string
	seen := map[string]bool{}
	for _, o := range t.objects() {
		if seen[o.GetKind()] {
			continue
		}
		seen[o.GetKind()] = true
		list := &unstructured.UnstructuredList{}
		list.SetAPIVersion(o.GetAPIVersion())
		list.SetKind(o.GetKind() + "List")
		if err := t.Client.List(t.t.Context(), list, ours...); err != nil {
			t.t.Fatal(err)
		}
		for i := range list.Items {
			found = append(found, list.Items[i].GetKind()+" "+list.Items[i].GetName())
		}
	}
	slices.Sort(found)
	return found
}
