package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
	"github.com/serviceconnections/function-service-connections/test/e2e/gitops"
)

// A health of a claim as those tell it that GitOps is done with.
type health struct {
	argoCD, kstatus, flux gitops.Health
}

func (h health) String() string {
	return fmt.Sprintf("Argo CD: %s (%s), kstatus: %s (%s), Flux: %s", h.argoCD.Status, h.argoCD.Message, h.kstatus.Status, h.kstatus.Message, h.flux.Status)
}

// A witness has seen a claim after every single write.
type witness struct {
	*team

	script      string
	expressions gitops.Expressions

	mu   sync.Mutex
	seen []*unstructured.Unstructured
	gone bool
}

// watchClaim from before there is one until the test ends.
func watchClaim(tm *team) *witness {
	t := tm.t
	t.Helper()
	w := &witness{team: tm, script: gitops.Script(t, tm.Root), expressions: gitops.ExpressionsOf(t, tm.Root, claimVersion, claimKind)}
	c, err := client.NewWithWatch(tm.Config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l := &unstructured.UnstructuredList{}
	l.SetAPIVersion(claimVersion)
	l.SetKind(claimKind)
	events, err := c.Watch(t.Context(), l, client.InNamespace(tm.namespace))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { events.Stop(); <-done })
	go func() {
		defer close(done)
		for e := range events.ResultChan() {
			u, ok := e.Object.(*unstructured.Unstructured)
			if !ok {
				continue
			}
			w.mu.Lock()
			w.seen, w.gone = append(w.seen, u), e.Type == "DELETED"
			w.mu.Unlock()
		}
	}()
	return w
}

// of a claim: its health.
func (w *witness) of(u *unstructured.Unstructured) health {
	w.t.Helper()
	h := health{}
	var err error
	if h.argoCD, err = gitops.ArgoCD(w.script, u); err != nil {
		w.t.Fatal(err)
	}
	if h.kstatus, err = gitops.Kstatus(u); err != nil {
		w.t.Fatal(err)
	}
	if h.flux, err = gitops.Flux(w.expressions, u); err != nil {
		w.t.Fatal(err)
	}
	return h
}

// now is what has been seen so far.
func (w *witness) now() []*unstructured.Unstructured {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.seen)
}

// A stage of a claim, from what was done to what comes of it.
type stage struct {
	do func()

	// ends with what Argo CD says, with a message, and what kstatus and Flux say.
	argoCD, message, kstatus, flux string

	// never is what nobody may say on the way there.
	never []string

	// record the first and the last object of the stage as these, for the tests of the
	// script alone. None if empty.
	first, last string
}

// pass a stage.
func (w *witness) pass(name string, s stage) {
	w.t.Helper()
	before := len(w.now())
	s.do()
	w.eventually(name, func(context.Context) error {
		seen := w.now()
		if len(seen) == before {
			return fmt.Errorf("nothing was written")
		}
		h := w.of(seen[len(seen)-1])
		if h.argoCD.Status != s.argoCD || !strings.Contains(h.argoCD.Message, s.message) || h.kstatus.Status != s.kstatus || h.flux.Status != s.flux {
			return fmt.Errorf("it is %s", h)
		}
		return nil
	})
	seen := w.now()[before:]
	for _, u := range seen {
		h := w.of(u)
		for _, never := range s.never {
			if h.argoCD.Status == never || h.kstatus.Status == never && !empty(u) || h.flux.Status == never {
				w.t.Errorf("%s: it must never be %s, and is %s\n%s", name, never, h, asYAML(w.t, u))
			}
		}
		w.holds(name, u, h)
	}
	w.t.Logf("%s: %d writes, and then %s", name, len(seen), w.of(seen[len(seen)-1]))
	w.record(s.first, seen[0])
	w.record(s.last, seen[len(seen)-1])
}

// empty says whether nobody has written a status yet. Of such a claim, kstatus by itself
// says that it is current.
func empty(u *unstructured.Unstructured) bool {
	_, found, err := unstructured.NestedMap(u.Object, "status")
	return err == nil && !found
}

// holds what is told of a claim against what stands in it: it is healthy where each
// connection of its spec is ready by the identity that the spec names, and degraded
// where the spec asks for what isn't allowed.
func (w *witness) holds(name string, u *unstructured.Unstructured, h health) {
	w.t.Helper()
	asked, allowed := map[string]string{}, true
	services, _, _ := unstructured.NestedSlice(u.Object, "spec", "services")
	for _, v := range services {
		s, _ := v.(map[string]any)
		connections, _ := s["connections"].([]any)
		c, _ := connections[0].(map[string]any)
		role, _ := c["role"].(string)
		service, _ := s["name"].(string)
		asked[service], allowed = role, allowed && strings.HasPrefix(role, "my-app-")
	}
	told, _, _ := unstructured.NestedSlice(u.Object, "status", "services")
	for _, v := range told {
		s, _ := v.(map[string]any)
		connections, _ := s["connections"].([]any)
		c, _ := connections[0].(map[string]any)
		identity, _ := c["identity"].(string)
		service, _ := s["name"].(string)
		if c["ready"] == true && strings.HasSuffix(identity, "/"+asked[service]) {
			delete(asked, service)
		}
	}
	connected := len(asked) == 0
	if healthy := h.argoCD.Status == gitops.Healthy || h.flux.Status == "Current" || h.kstatus.Status == "Current" && !empty(u); healthy && !connected {
		w.t.Errorf("%s: %v isn't connected, and it is %s\n%s", name, asked, h, asYAML(w.t, u))
	}
	if failed := h.argoCD.Status == gitops.Degraded || h.flux.Status == "Failed" || h.kstatus.Status == "Failed"; failed && allowed {
		w.t.Errorf("%s: nobody has to do anything, and it is %s\n%s", name, h, asYAML(w.t, u))
	}
}

func asYAML(t *testing.T, u *unstructured.Unstructured) string {
	t.Helper()
	b, err := yaml.Marshal(u.Object)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// record a claim for the tests of the script alone, with -update.
func (w *witness) record(name string, u *unstructured.Unstructured) {
	w.t.Helper()
	if name == "" || !*update {
		return
	}
	u = u.DeepCopy()
	u.SetManagedFields(nil)
	u.SetUID("00000000-0000-0000-0000-000000000000")
	y := asYAML(w.t, u)
	for _, r := range recorded {
		y = r.pattern.ReplaceAllString(y, r.with)
	}
	if w.mode == controlplane.Claims {
		name = "claim_" + name
	}
	if err := os.WriteFile(filepath.Join(w.Root, gitops.Customization, "testdata", name+".yaml"), []byte(y), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// pause the claim, or let it go on, as the platform team does.
func (t *team) pause(paused string) {
	t.t.Helper()
	u := t.get(claimVersion, claimKind, "shop")
	patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"annotations":{"crossplane.io/paused":%s}}}`, paused))
	if err := t.Client.Patch(t.t.Context(), u, patch); err != nil {
		t.t.Fatal(err)
	}
}

// TestGitOps follows a claim from where it is applied to where it is gone, and asks what
// GitOps is done with after each single write.
func TestGitOps(t *testing.T) {
	t.Parallel()
	eachMode(t, func(tm *team) {
		w := watchClaim(tm)
		role := func(service, role string) string {
			return "- name: " + service + "\n  connections: [{type: awsRole, role: " + role + "}]\n"
		}
		tooEarly := []string{gitops.Healthy, "Current"}
		unasked := []string{gitops.Degraded, "Failed"}

		w.pass("applied", stage{
			do: func() {
				tm.cloud.HoldIn(tm.namespace, "PodIdentityAssociation")
				tm.connect(role("api", "my-app-s3-access"))
			},
			argoCD: gitops.Progressing, message: "is being created", kstatus: "InProgress", flux: "InProgress",
			never: slices.Concat(tooEarly, unasked), first: "progressing_noStatus", last: "progressing_creating",
		})
		w.pass("created", stage{
			do:     func() { tm.cloud.ReleaseIn(tm.namespace, "PodIdentityAssociation") },
			argoCD: gitops.Healthy, message: "1/1 connected", kstatus: "Current", flux: "Current",
			never: unasked, last: "healthy",
		})
		w.pass("edited to what isn't allowed", stage{
			do:     func() { tm.connect(role("api", "admin")) },
			argoCD: gitops.Degraded, message: `api/awsRole: NotAllowed`, kstatus: "Failed", flux: "Failed",
			never: tooEarly, first: "progressing_edited", last: "degraded_notAllowed",
		})
		w.pass("mended, and more asked for", stage{
			do: func() {
				tm.cloud.HoldIn(tm.namespace, "PodIdentityAssociation")
				tm.connect(role("api", "my-app-s3-access") + role("worker", "my-app-other"))
			},
			argoCD: gitops.Progressing, message: "worker/awsRole: Creating", kstatus: "InProgress", flux: "InProgress",
			never: slices.Concat(tooEarly, unasked), first: "progressing_mended",
		})
		w.pass("created as well", stage{
			do:     func() { tm.cloud.ReleaseIn(tm.namespace, "PodIdentityAssociation") },
			argoCD: gitops.Healthy, message: "2/2 connected", kstatus: "Current", flux: "Current",
			never: unasked,
		})
		w.pass("taken back in part", stage{
			do:     func() { tm.connect(role("worker", "my-app-other")) },
			argoCD: gitops.Healthy, message: "1/1 connected", kstatus: "Current", flux: "Current",
			never: unasked,
		})
		w.pass("paused", stage{
			do:     func() { w.pause(`"true"`) },
			argoCD: gitops.Suspended, kstatus: "Current", flux: "Current", last: "suspended_paused",
		})
		w.pass("resumed", stage{
			do:     func() { w.pause("null") },
			argoCD: gitops.Healthy, kstatus: "Current", flux: "Current",
		})
		w.pass("deleted", stage{
			do:     tm.deleteNow,
			argoCD: gitops.Progressing, message: "Pending deletion", kstatus: "Terminating", flux: "InProgress",
		})
		w.eventually("it is gone", func(context.Context) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if !w.gone {
				return fmt.Errorf("it isn't yet")
			}
			return nil
		})
	})
}
