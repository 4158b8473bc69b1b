package e2e

import (
	"context"
	"fmt"
	"maps"
	"math"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
)

// TestSteady holds that a claim at rest costs one call of the function a
// reconcile, and that nothing is written for it.
func TestSteady(t *testing.T) {
	t.Parallel()
	disturb(t, func(tm *team) {
		t := tm.t
		m := measure(tm)
		tm.apply(deployment("api"))
		tm.connect(everything)
		tm.awaitReady()
		tm.restartIfAsked("api")
		m.awaitRest()

		was, before := m.versions(), m.describe()
		// Others write as well to what the function reads, such as the controller of a
		// Deployment whose pods come up, and Crossplane looks at that. It ends; what a
		// reconcile causes comes with each. So the least counts.
		const times = 5
		calls, reconciles := math.MaxInt, math.MaxInt
		for range 3 {
			called, reconciled := m.calls(), m.reconciles()
			for range times {
				tm.awaitReconcile()
			}
			calls, reconciles = min(calls, m.calls()-called), min(reconciles, m.reconciles()-reconciled)
		}
		if calls > times {
			t.Errorf("%d reconciles without a change called the function %d times", times, calls)
		}
		if reconciles > times {
			t.Errorf("%d reconciles were caused, Crossplane made %d: one caused another", times, reconciles)
		}
		if now := m.versions(); !maps.Equal(was, now) {
			t.Errorf("reconciles without a change wrote: resource versions were\n%v\nand are\n%v\nand the claim's status was\n%s", was, now, before)
		}

		// Crossplane that starts looks at everything anew, with empty caches.
		tm.StopCrossplane()
		if err := tm.StartCrossplane(t.Context()); err != nil {
			t.Fatal(err)
		}
		tm.awaitReconcile()
		tm.awaitReady()
		if now := m.versions(); !maps.Equal(was, now) {
			t.Errorf("Crossplane's start wrote: resource versions were\n%v\nand are\n%v", was, now)
		}
	})
}

// TestEditSettles holds that an edit comes to rest in few reconciles.
func TestEditSettles(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason   string
		was, is  string
		most     int
		injected string
	}{
		"Mount": {
			reason: "an edit that composes nothing: the status is written, and that is looked at once more",
			was:    "- name: api\n  connections: [{type: disk, config: {diskName: cache-storage}}]",
			is:     "- name: api\n  connections: [{type: disk, config: {diskName: cache-storage, mountPath: /srv}}]",
			most:   3, injected: "/srv",
		},
		"Containers": {
			reason: "an edit of who gets it",
			was:    "- name: api\n  connections: [{type: awsRole, role: my-app-s3-access}]",
			is:     "- name: api\n  containers: [api]\n  connections: [{type: awsRole, role: my-app-s3-access}]",
			most:   3, injected: `"containers":["api"]`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disturb(t, func(tm *team) {
				t := tm.t
				m := measure(tm)
				// Theirs, and settled: no provider tells later how it is.
				tm.apply(fmt.Sprintf(foreignVolumeClaim, "cache-storage"))
				tm.settledObject("v1", "PersistentVolumeClaim", "cache-storage")
				tm.connect(tc.was)
				tm.awaitReady()
				m.awaitRest()

				// There and back again. On a busy machine Crossplane sees late what
				// it has written itself, so the least counts.
				least := math.MaxInt
				for i := range 3 {
					services, there := tc.is, true
					if i%2 == 1 {
						services, there = tc.was, false
					}
					reconciles, asked := m.reconciles(), tm.touched
					tm.connect(services)
					tm.eventually("the edit is in the injection", func(ctx context.Context) error {
						if i := tm.injectionNow(ctx, "api"); strings.Contains(i, tc.injected) != there {
							return fmt.Errorf("the injection is %s", i)
						}
						return nil
					})
					m.awaitRest()
					// Those that find out that it rests are ours.
					least = min(least, m.reconciles()-reconciles-(tm.touched-asked))
				}
				most := tc.most
				if tm.mode == controlplane.Claims {
					// The function reads the claim as well (fn/generation.go), so each of
					// its writes is looked at: the edit, twice two of its status, and what
					// is told of its generation.
					most += 5
				}
				if least > most {
					t.Errorf("%s: it took %d reconciles, want at most %d", tc.reason, least, most)
				}
				t.Logf("it took %d reconciles", least)
			})
		})
	}
}

// A meter of the function and of Crossplane, in a cluster that one test has to
// itself.
type meter struct {
	*team

	address string
}

// measure from now on: the function starts anew, with its metrics.
func measure(tm *team) *meter {
	tm.t.Helper()
	address, err := controlplane.FreeAddress(tm.t.Context())
	if err != nil {
		tm.t.Fatal(err)
	}
	m := &meter{team: tm, address: address}
	if err := tm.StartFunction(tm.t.Context(), controlplane.FunctionName, controlplane.FunctionBinary, "--metrics-address="+m.address, "--debug"); err != nil {
		tm.t.Fatal(err)
	}
	return m
}

// calls of the function since it started.
func (m *meter) calls() int {
	m.t.Helper()
	metrics, err := m.FunctionMetrics(m.t.Context(), m.address)
	if err != nil {
		m.t.Fatal(err)
	}
	return int(metrics.Sum("grpc_server_handled_total", func(l map[string]string) bool { return l["grpc_method"] == "RunFunction" }))
}

// reconciles of composite resources since Crossplane started.
func (m *meter) reconciles() int {
	m.t.Helper()
	n, err := m.reconciled(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	return n
}

// versions of everything that is composed, and of the claim.
func (m *meter) versions() map[string]string {
	m.t.Helper()
	versions := map[string]string{}
	for key, o := range m.objects() {
		versions[key] = o.GetResourceVersion()
	}
	u, err := m.claim(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	versions["claim"] = u.GetResourceVersion()
	return versions
}

// awaitRest until a reconcile that the test causes is the only one, and changes
// nothing.
func (m *meter) awaitRest() {
	m.t.Helper()
	m.eventually("the claim rests", func(context.Context) error {
		was, before := m.versions(), m.reconciles()
		m.awaitReconcile()
		if now := m.versions(); !maps.Equal(was, now) {
			return fmt.Errorf("resource versions were %v and are %v", was, now)
		}
		if got := m.reconciles() - before; got != 1 {
			return fmt.Errorf("%d reconciles, want the one that was caused", got)
		}
		return nil
	})
}

// awaitReconcile of the team's claim that a label on the settings causes:
// Crossplane watches them, and neither the claim nor anything composed changes
// by it.
func (t *team) awaitReconcile() {
	t.t.Helper()
	before, err := t.reconciled(t.t.Context())
	if err != nil {
		t.t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	u.SetAPIVersion("apiextensions.crossplane.io/v1beta1")
	u.SetKind("EnvironmentConfig")
	u.SetName("cluster-settings")
	t.touched++
	patch := fmt.Sprintf(`{"metadata":{"labels":{"touched":"%s-%d"}}}`, t.namespace, t.touched)
	if err := t.Client.Patch(t.t.Context(), u, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
		t.t.Fatal(err)
	}
	t.eventually("a reconcile", func(ctx context.Context) error {
		now, err := t.reconciled(ctx)
		if err == nil && now <= before {
			err = fmt.Errorf("there have been %d", now)
		}
		return err
	})
}

// reconciled says how many reconciles of composite resources have ended.
func (t *team) reconciled(ctx context.Context) (int, error) {
	metrics, err := t.CrossplaneMetrics(ctx)
	return int(metrics.Sum("controller_runtime_reconcile_total", func(l map[string]string) bool { return strings.HasPrefix(l["controller"], "composite/") })), err
}
