package webhook

import (
	"context"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic/fake"

	"github.com/serviceconnections/function-service-connections/fn/admit"
	"github.com/serviceconnections/function-service-connections/fn/workload"
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
