package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/serviceconnections/function-service-connections/test/e2e/fleet"
)

// TestInterruptedCreation holds that a provider goes on which found that it had begun to
// create something and doesn't know how that ended, and that what it may have made is
// taken back. By itself it would wait for a person, and delete nothing meanwhile.
func TestInterruptedCreation(t *testing.T) {
	t.Parallel()
	eachMode(t, func(team *team) {
		team.grantAll()
		until := team.interrupt()
		team.eventually("the providers go on", func(ctx context.Context) error {
			for _, o := range team.managed() {
				if at := o.GetAnnotations()[fleet.CreatePending]; at == until {
					return fmt.Errorf("%s %s is being created since %s", o.GetKind(), o.GetName(), at)
				}
				if err := team.HasCondition(ctx, o.GetAPIVersion(), o.GetKind(), o.GetNamespace(), o.GetName(), "Synced"); err != nil {
					return err
				}
			}
			return nil
		})
		team.awaitReady()

		team.interrupt()
		team.connect("- {name: web, connections: [{type: disk, config: {diskName: scratch}}]}")
		team.awaitContents("nothing")
	})
}

// TestInterruptedAndDeleted holds that what docs/operate.md says takes back what such a
// provider may have made, where the ServiceConnection is deleted meanwhile: Crossplane
// doesn't ask the function of one that is being deleted.
func TestInterruptedAndDeleted(t *testing.T) {
	t.Parallel()
	disturb(t, func(team *team) {
		team.grantAll()
		all := team.managed()
		team.stopped(func() {
			team.interrupt()
			team.deleteNow()
			team.awaitDeleting(all...)
		})
		team.eventually("the providers wait for somebody", func(ctx context.Context) error {
			for _, o := range all {
				now, err := team.Get(ctx, o.GetAPIVersion(), o.GetKind(), o.GetNamespace(), o.GetName())
				if err != nil || now == nil {
					return errors.Join(err, fmt.Errorf("%s %s is gone", o.GetKind(), o.GetName()))
				}
				if err := hasCondition(now, "Synced", "False", "", "cannot determine creation result"); err != nil {
					return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
				}
			}
			return nil
		})
		team.shellIn(team.Root, team.commands("docs/operate.md", "## Let a deletion go on")[0])
		team.awaitContents("nothing")
		for _, o := range all {
			team.awaitGone(o)
		}
	})
}

// interrupt the creation of each managed resource, as its provider finds it that was
// killed before it could write down how that ended.
// It returns what stands in the annotation then.
func (t *team) interrupt() string {
	t.t.Helper()
	// The annotation has whole seconds, and must be later than that of the end.
	begun := time.Now().Add(2 * time.Second).UTC().Format(time.RFC3339)
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, fleet.CreatePending, begun)
	for _, o := range t.managed() {
		if err := t.Client.Patch(t.t.Context(), o, client.RawPatch(types.MergePatchType, patch)); err != nil {
			t.t.Fatalf("cannot annotate %s %q: %v", o.GetKind(), o.GetName(), err)
		}
	}
	return begun
}
