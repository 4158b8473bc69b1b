package webhook

import (
	"context"
	"fmt"
	"os"
	goruntime "runtime"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic/fake"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/fn/admit"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/workload"
	"github.com/serviceconnections/function-service-connections/test/watched"
)

// publishing an injection for the pods of a bare name.
func publishing(name, pod string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "serviceconnections.io/v1alpha1", "kind": "ServiceConnection",
		"metadata": map[string]any{"namespace": "team-a", "name": name},
		"status": map[string]any{"services": []any{map[string]any{
			"name": "api", "workload": map[string]any{"apiVersion": "v1", "kind": "Pod", "name": pod},
			"injection": map[string]any{"hash": "0123456789abcdef", "complete": true, "serviceAccountName": "sa"},
		}}},
	}}
}

// injects says whether a pod of this name gets something.
func injects(t *testing.T, x *admit.Index, pod string) bool {
	t.Helper()
	r := &admissionv1.AdmissionRequest{Namespace: "team-a", Operation: admissionv1.Create, Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"}}
	r.Object.Raw = []byte(`{"metadata": {"name": "` + pod + `"}, "spec": {"containers": [{"name": "main"}]}}`)
	rsp, err := x.Inject(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return rsp.Patch != nil
}

// BenchmarkMemory is what the webhook keeps in memory, by how many ServiceConnections
// there are and how many services each has.
func BenchmarkMemory(b *testing.B) {
	heap := func() float64 {
		goruntime.GC()
		var m goruntime.MemStats
		goruntime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	text, err := os.ReadFile("../test/admission/testdata/injections.yaml")
	if err != nil {
		b.Fatal(err)
	}
	var injections map[string]map[string]any
	if err := yaml.Unmarshal(text, &injections); err != nil {
		b.Fatal(err)
	}
	forms := connection.Builtin().Forms()
	for _, n := range []struct{ claims, services int }{{1000, 1}, {100, 100}} {
		b.Run(fmt.Sprintf("claims=%d/services=%d", n.claims, n.services), func(b *testing.B) {
			for b.Loop() {
				before := heap()
				kept := make([]*admit.Connection, 0, n.claims)
				index := admit.NewIndex()
				for i := range n.claims {
					u := publishing(fmt.Sprintf("claim-%d", i), "pod")
					services := make([]any, 0, n.services)
					for s := range n.services {
						name := fmt.Sprintf("service-%d-%d", i, s)
						injection := runtime.DeepCopyJSON(injections["cloudSql"])
						injection["hash"], injection["serviceAccountName"] = "0123456789abcdef", name
						services = append(services, map[string]any{
							"name": name, "injection": injection,
							"workload": map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
						})
					}
					u.Object["status"] = map[string]any{"services": services}
					c := admit.Read(u.Object, forms)
					index.Put(c)
					kept = append(kept, c)
				}
				b.ReportMetric((heap()-before)/float64(n.claims*n.services), "B/service")
				goruntime.KeepAlive(kept)
				goruntime.KeepAlive(index)
			}
		})
	}
}

// TestWatchFollows holds that pods get what ServiceConnections publish now: those that
// were there, and those that come, change and go.
func TestWatchFollows(t *testing.T) {
	t.Parallel()
	client := fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
		map[schema.GroupVersionResource]string{resource: "ServiceConnectionList"}, publishing("there", "first"))
	index := admit.NewIndex()
	watch := newWatch(client, index, workload.Forms{})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { watch.RunWithContext(ctx); close(ended) }()
	t.Cleanup(func() { stop(); <-ended })
	until := func(what string, is func() bool) {
		t.Helper()
		err := wait.PollUntilContextTimeout(ctx, 5*time.Millisecond, 20*time.Second, true, func(context.Context) (bool, error) { return is(), nil })
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	all := client.Resource(resource).Namespace("team-a")

	until("what was there is known once the watch has synced", watch.HasSynced)
	until("what was there", func() bool { return injects(t, index, "first") && !injects(t, index, "second") })
	until("the watch", func() bool { return watched.Is(client, resource.Resource) })
	if _, err := all.Create(ctx, publishing("new", "second"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	until("what comes", func() bool { return injects(t, index, "second") })
	if _, err := all.Update(ctx, publishing("new", "third"), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	until("what changes", func() bool { return injects(t, index, "third") && !injects(t, index, "second") })
	if err := all.Delete(ctx, "there", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	until("what goes", func() bool { return !injects(t, index, "first") && injects(t, index, "third") })
}
