package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
)

// exporter of the cluster, which stops with the test.
func (t *team) exporter() *controlplane.Exporter {
	t.t.Helper()
	e, err := t.StartExporter(t.t.Context())
	if err != nil {
		t.t.Fatal(err)
	}
	t.t.Cleanup(e.Stop)
	return e
}

// series that are told of the team, but for notes, as name, labels and value.
func (t *team) series(ctx context.Context, e *controlplane.Exporter) ([]string, error) {
	m, err := e.Metrics(ctx)
	if err != nil {
		return nil, err
	}
	var all []string
	for name, family := range m {
		for _, s := range family.GetMetric() {
			ours := false
			var labels []string
			for _, l := range s.GetLabel() {
				if l.GetName() == "namespace" {
					ours = l.GetValue() == t.namespace
					continue
				}
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			if ours && name != "serviceconnections_notes" {
				all = append(all, fmt.Sprintf("%s{%s} %.0f", strings.TrimPrefix(name, "serviceconnections_"), strings.Join(labels, ","), s.GetGauge().GetValue()))
			}
		}
	}
	slices.Sort(all)
	return all, nil
}

// awaitSeries until these are told of the team, and no others.
func (t *team) awaitSeries(e *controlplane.Exporter, when string, want ...string) {
	t.t.Helper()
	t.eventually(when, func(ctx context.Context) error {
		got, err := t.series(ctx, e)
		if err == nil && !slices.Equal(got, want) {
			err = fmt.Errorf("series: -want, +got:\n%s", cmp.Diff(want, got))
		}
		return err
	})
}

// finalizers of the claim, beside those that Crossplane gives it.
func (t *team) finalizers(change func([]string) []string) {
	t.t.Helper()
	t.eventually("its finalizers are changed", func(ctx context.Context) error {
		u, err := t.claim(ctx)
		if err != nil {
			return err
		}
		was := u.DeepCopy()
		u.SetFinalizers(change(u.GetFinalizers()))
		return t.Client.Patch(ctx, u, client.MergeFromWithOptions(was, client.MergeFromWithOptimisticLock{}))
	})
}

// events that are told of the team's claim by the function, and how often.
func (t *team) events(ctx context.Context) (map[string]int32, error) {
	all := &corev1.EventList{}
	if err := t.Client.List(ctx, all, client.InNamespace(t.namespace)); err != nil {
		return nil, fmt.Errorf("cannot list events: %w", err)
	}
	told := map[string]int32{}
	for i := range all.Items {
		e := &all.Items[i]
		if e.InvolvedObject.Kind != claimKind || e.InvolvedObject.Name != "shop" || !strings.Contains(e.Message, "api/awsRole: ") {
			continue
		}
		n := max(1, e.Count)
		if e.Series != nil {
			n = max(n, e.Series.Count)
		}
		told[e.Type+" "+e.Reason] += n
	}
	return told, nil
}

// TestExporter holds what Prometheus is told of a claim from before it is there until it is
// gone: at each stage how it stands, and nothing of how it stood. Each change of its
// connection's reason is an event, once.
func TestExporter(t *testing.T) {
	t.Parallel()
	eachMode(t, func(tm *team) {
		e := tm.exporter()
		role := func(role string) string {
			return "- name: api\n  connections: [{type: awsRole, role: " + role + "}]\n"
		}
		tm.awaitSeries(e, "nothing is there")

		tm.cloud.HoldIn(tm.namespace, "PodIdentityAssociation")
		tm.connect(role("my-app-s3-access"))
		tm.awaitSeries(e, "the cloud hasn't made it yet", "connections{reason=Creating,type=awsRole} 1")

		tm.cloud.ReleaseIn(tm.namespace, "PodIdentityAssociation")
		tm.awaitSeries(e, "it is ready", "connections{reason=Connected,type=awsRole} 1")

		tm.connect(role("admin"))
		tm.awaitSeries(e, "it asks for what isn't allowed", "claim_stalled{name=shop,reason=NotAllowed} 1", "connections{reason=NotAllowed,type=awsRole} 1")
		tm.eventually("each change is told once", func(ctx context.Context) error {
			told, err := tm.events(ctx)
			if diff := cmp.Diff(map[string]int32{"Normal Creating": 1, "Normal Connected": 1, "Warning NotAllowed": 1}, told); err == nil && diff != "" {
				err = fmt.Errorf("events: -want, +got:\n%s", diff)
			}
			return err
		})

		tm.awaitTold()
		tm.pause(`"true"`)
		tm.awaitSeries(e, "it is paused, too", "claim_paused{name=shop} 1", "claim_stalled{name=shop,reason=NotAllowed} 1", "connections{reason=NotAllowed,type=awsRole} 1")
		tm.pause("null")
		tm.awaitSeries(e, "it goes on", "claim_stalled{name=shop,reason=NotAllowed} 1", "connections{reason=NotAllowed,type=awsRole} 1")

		// Somebody else's finalizer holds it.
		const held = "example.org/held"
		tm.finalizers(func(all []string) []string { return append(all, held) })
		tm.deleteNow()
		u := tm.get(claimVersion, claimKind, "shop")
		deleting := fmt.Sprintf("claim_deletion_timestamp_seconds{name=shop} %d", u.GetDeletionTimestamp().Unix())
		tm.eventually("its deletion hangs", func(ctx context.Context) error {
			got, err := tm.series(ctx, e)
			if err == nil && !slices.Contains(got, deleting) {
				err = fmt.Errorf("series %q, want among them %q", got, deleting)
			}
			return err
		})
		tm.finalizers(func(all []string) []string { return slices.DeleteFunc(all, func(f string) bool { return f == held }) })
		tm.awaitSeries(e, "it is gone")
	})
}
