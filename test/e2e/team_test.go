package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
)

// deadline of what is awaited. Most takes less than a second, and what never comes is what
// it is for: on a machine with two busy cores some of it has taken more than a minute.
const deadline = 3 * time.Minute

// disturbedDeadline of what is awaited in a cluster of which a part was away:
// Crossplane steps back for up to a minute after an error, and takes up to a
// minute until it no longer reads a kind from its cache that is gone.
const disturbedDeadline = 6 * time.Minute

// A team that a test plays: its namespace in a cluster, and its claim, shop.
type team struct {
	*cluster

	t         *testing.T
	namespace string

	// deadline of what the test awaits.
	deadline time.Duration

	// away says that the test has uninstalled a provider.
	away bool

	// touched counts the reconciles that the test has caused.
	touched int

	// connected is when the team first applied its claim.
	connected time.Time
}

// modes by the name that tests call them.
var modes = map[string]controlplane.Mode{"Namespaced": controlplane.Namespaced, "Claims": controlplane.Claims}

// eachMode runs a test with a team in both modes, in parallel with others.
func eachMode(t *testing.T, test func(*team)) {
	t.Helper()
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(newTeam(t, mode))
		})
	}
}

// newTeam with a namespace of its own.
func newTeam(t *testing.T, mode controlplane.Mode) *team {
	t.Helper()
	c, err := clusters[mode]()
	if err != nil {
		t.Fatal(err)
	}
	c.settings.RLock()
	t.Cleanup(c.settings.RUnlock)
	c.teams <- struct{}{}
	t.Cleanup(func() { <-c.teams })
	tm := &team{cluster: c, t: t, namespace: newNamespace(t, c, ""), deadline: deadline}
	tm.leave(claimVersion, claimKind)
	return tm
}

// leave nothing of a kind behind: providers look at each managed resource every
// other second, also when its test is over.
func (t *team) leave(apiVersion, kind string) {
	t.t.Cleanup(func() {
		u := &unstructured.Unstructured{}
		u.SetAPIVersion(apiVersion)
		u.SetKind(kind)
		if err := t.Client.DeleteAllOf(context.Background(), u, client.InNamespace(t.namespace)); err != nil {
			t.t.Errorf("cannot delete each %s: %v", kind, err)
		}
	})
}

// apply YAML in the team's namespace, but for volumes, which have none.
func (t *team) apply(y string) {
	t.t.Helper()
	objects, err := controlplane.Parse(y)
	if err != nil {
		t.t.Fatal(err)
	}
	for _, o := range objects {
		if o.GetKind() != "PersistentVolume" {
			o.SetNamespace(t.namespace)
		}
		if err := t.Apply(t.t.Context(), o); err != nil {
			t.t.Fatal(err)
		}
	}
}

// connect services by the team's claim.
func (t *team) connect(services string) {
	t.t.Helper()
	if t.connected.IsZero() {
		t.connected = time.Now()
	}
	t.apply(claimOf(services))
}

func indent(s string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n  ") + "\n"
}

// eventually f returns nil.
func (t *team) eventually(what string, f func(context.Context) error) {
	t.t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.t.Context(), t.deadline, fmt.Errorf("not within %s", t.deadline))
	defer cancel()
	if err := controlplane.Poll(ctx, f); err != nil {
		t.t.Fatalf("%s: %v\nthe claim: %s", what, err, t.describe())
	}
}

// get an object of the team's namespace, nil where it doesn't exist.
func (t *team) get(apiVersion, kind, name string) *unstructured.Unstructured {
	t.t.Helper()
	u, err := t.Get(t.t.Context(), apiVersion, kind, t.namespace, name)
	if err != nil {
		t.t.Fatal(err)
	}
	return u
}

// status of the team's claim.
func (t *team) status(ctx context.Context) (claim.Status, error) {
	s := struct{ Status claim.Status }{}
	u, err := t.Get(ctx, "serviceconnections.io/v1alpha1", "ServiceConnection", t.namespace, "shop")
	if err != nil || u == nil {
		return s.Status, err
	}
	b, err := json.Marshal(u.Object)
	if err != nil {
		return s.Status, err
	}
	return s.Status, json.Unmarshal(b, &s)
}

func (t *team) describe() string {
	u, err := t.Get(context.Background(), "serviceconnections.io/v1alpha1", "ServiceConnection", t.namespace, "shop")
	if err != nil || u == nil {
		return fmt.Sprint(u, err)
	}
	b, err := yaml.Marshal(u.Object["status"])
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// awaitReason of a connection.
func (t *team) awaitReason(service string, typ claim.ConnectionType, reason string) {
	t.t.Helper()
	t.eventually(fmt.Sprintf("%s/%s: %s", service, typ, reason), func(ctx context.Context) error {
		s, err := t.status(ctx)
		if err != nil {
			return err
		}
		for _, svc := range s.Services {
			for _, c := range svc.Connections {
				if svc.Name == service && c.Type == typ {
					if c.Reason == reason {
						return nil
					}
					return fmt.Errorf("reason %s: %s", c.Reason, c.Message)
				}
			}
		}
		return fmt.Errorf("no such connection")
	})
}

// awaitReady claim.
func (t *team) awaitReady() {
	t.t.Helper()
	t.awaitReadyOf("shop")
}

// awaitReadyOf a claim of a name, with a status about its spec as it is: Crossplane writes
// into a spec, too.
func (t *team) awaitReadyOf(name string) {
	t.t.Helper()
	t.eventually("claim "+name+" is Ready, as its spec is now", func(ctx context.Context) error {
		if err := t.HasCondition(ctx, claimVersion, claimKind, t.namespace, name, "Ready"); err != nil {
			return err
		}
		return t.aboutItsSpec(ctx, name)
	})
}

// awaitTold waits until all of the claim's status is about its spec as it is. Until then
// Crossplane may write conditions of before once more, which nothing replaces on a claim
// that is paused meanwhile.
func (t *team) awaitTold() {
	t.t.Helper()
	t.eventually("all of the status is about the spec", func(ctx context.Context) error {
		return t.aboutItsSpec(ctx, "shop")
	})
}

// aboutItsSpec returns nil if the status of a claim of a name is, or never says.
func (t *team) aboutItsSpec(ctx context.Context, name string) error {
	u, err := t.Get(ctx, claimVersion, claimKind, t.namespace, name)
	if err != nil {
		return err
	}
	if u == nil {
		return fmt.Errorf("there is no claim %q", name)
	}
	seen, ok, err := unstructured.NestedInt64(u.Object, "status", "observedGeneration")
	if err == nil && ok && seen != u.GetGeneration() {
		err = fmt.Errorf("its status is about generation %d, and the claim has %d", seen, u.GetGeneration())
	}
	return err
}

// awaitPod of a workload that its controller has made, by the label app.
func (t *team) awaitPod(app string) *corev1.Pod {
	t.t.Helper()
	var pod *corev1.Pod
	t.eventually("pod of "+app, func(ctx context.Context) error {
		pods := &corev1.PodList{}
		if err := t.Client.List(ctx, pods, client.InNamespace(t.namespace), client.MatchingLabels{"app": app}); err != nil {
			return err
		}
		if len(pods.Items) == 0 {
			return fmt.Errorf("no pod")
		}
		pod = &pods.Items[0]
		return nil
	})
	return pod
}

// deployment of a name, as a team writes it.
func deployment(name string) string {
	return fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s}
spec:
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      containers:
      - name: %[1]s
        image: registry.example.org/%[1]s:1
        env: [{name: LOG_LEVEL, value: info}]
`, name)
}
