package admission_test

import (
	"encoding/json"
	"maps"
	"os"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/workload"
)

const (
	injectedBy     = "serviceconnections.io/injected-by"
	injected       = "serviceconnections.io/injected"
	hash           = "0123456789abcdef"
	serviceAccount = "shop-api"
)

// readInjections by connection.
func readInjections(t testing.TB) map[string]claim.Injection {
	t.Helper()
	b, err := os.ReadFile("testdata/injections.yaml")
	if err != nil {
		t.Fatal(err)
	}
	injections := map[string]claim.Injection{}
	if err := yaml.UnmarshalStrict(b, &injections); err != nil {
		t.Fatal(err)
	}
	return injections
}

// readForms of what an injection holds.
func readForms(t testing.TB) workload.Forms {
	t.Helper()
	b, err := os.ReadFile("testdata/forms.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var forms workload.Forms
	if err := yaml.UnmarshalStrict(b, &forms); err != nil {
		t.Fatal(err)
	}
	return forms
}

// fitting is the published injection as package workload takes it from a status,
// false where a pod gets nothing of it.
func fitting(t testing.TB, forms workload.Forms, published map[string]any) (claim.Injection, bool) {
	t.Helper()
	b, err := json.Marshal(published)
	if err != nil {
		t.Fatal(err)
	}
	var in claim.Injection
	if err := json.Unmarshal(b, &in); err != nil {
		return claim.Injection{}, false
	}
	return forms.Fit(in)
}

// service's injection, from the named connections.
func injection(t testing.TB, connections ...string) claim.Injection {
	t.Helper()
	all := readInjections(t)
	parts := make([]claim.Injection, 0, len(connections))
	for _, c := range connections {
		in, ok := all[c]
		if !ok {
			t.Fatalf("no injection of a connection %q", c)
		}
		parts = append(parts, in)
	}
	in, err := workload.Merge(parts...)
	if err != nil {
		t.Fatal(err)
	}
	in.ServiceAccountName, in.Hash, in.Complete = serviceAccount, hash, true
	return in
}

// decode into JSON values as the API server holds them.
func decode(t testing.TB, v any) map[string]any {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := utiljson.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// shop is the ServiceConnection team-a/shop with one service, api, whose
// workload is the Deployment of its name.
func shop(t testing.TB, in claim.Injection) map[string]any {
	t.Helper()
	return map[string]any{
		"apiVersion": "serviceconnections.io/v1alpha1",
		"kind":       "ServiceConnection",
		"metadata":   map[string]any{"name": "shop", "namespace": "team-a"},
		"status": map[string]any{"services": []any{map[string]any{
			"name":      "api",
			"workload":  map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": "api"},
			"injection": decode(t, in),
		}}},
	}
}

// statusOf the service of a ServiceConnection.
func statusOf(connection map[string]any) map[string]any {
	return connection["status"].(map[string]any)["services"].([]any)[0].(map[string]any)
}

// readPod in YAML, as a pod of the Deployment api.
func readPod(t testing.TB, s string) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{}
	if err := yaml.UnmarshalStrict([]byte(s), pod); err != nil {
		t.Fatal(err)
	}
	return ofDeployment(pod)
}

// ofDeployment makes the pod one of the Deployment api.
func ofDeployment(pod *corev1.Pod) *corev1.Pod {
	pod.Namespace = "team-a"
	pod.GenerateName = "api-5f7d-"
	if pod.Labels == nil {
		pod.Labels = map[string]string{}
	}
	pod.Labels["pod-template-hash"] = "5f7d"
	pod.OwnerReferences = controlledBy("apps/v1", "ReplicaSet", "api-5f7d")
	return pod
}

// rendered is the pod with the injection as a pipeline's workload gets it, or
// why it gets none.
func rendered(t testing.TB, pod *corev1.Pod, in claim.Injection) (*corev1.Pod, []workload.Conflict) {
	t.Helper()
	template, err := runtime.DefaultUnstructuredConverter.ToUnstructured(pod)
	if err != nil {
		t.Fatal(err)
	}
	service := claim.Service{Name: "api", Workload: &claim.Workload{APIVersion: "apps/v1", Kind: "Deployment", Name: "api"}}
	if conflicts := workload.Inspect(template, in, service); len(conflicts) > 0 {
		return nil, conflicts
	}
	workload.Inject(template, in)
	out := &corev1.Pod{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(template, out, true); err != nil {
		t.Fatal(err)
	}
	return out, nil
}

// A patchedPod is what both deliveries must agree on. They note in different
// annotations what they did, but for the injection's hash.
type patchedPod struct {
	Labels      map[string]string
	Annotations map[string]string
	Spec        corev1.PodSpec
}

func agreed(pod *corev1.Pod) patchedPod {
	a := maps.Clone(pod.Annotations)
	delete(a, injectedBy)
	delete(a, injected)
	return patchedPod{Labels: pod.Labels, Annotations: a, Spec: pod.Spec}
}
