package package_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

// strict reads an object of a file, and refuses fields that its kind hasn't.
func strict(t *testing.T, file string, document int, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict([]byte(strings.Split(string(text), "\n---\n")[document]), into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// The function answers what its callers ask, and whoever reaches it costs it memory.
func TestFunctionIsReachedByItsCallersOnly(t *testing.T) {
	t.Parallel()

	disruption, got := &policyv1.PodDisruptionBudget{}, &networkingv1.NetworkPolicy{}
	strict(t, "install/base/runtime.yaml", 1, disruption)
	strict(t, "install/base/networkpolicy.yaml", 0, got)

	tcp := corev1.ProtocolTCP
	port := func(n int32) []networkingv1.NetworkPolicyPort {
		p := intstr.FromInt32(n)
		return []networkingv1.NetworkPolicyPort{{Protocol: &tcp, Port: &p}}
	}
	want := networkingv1.NetworkPolicySpec{
		PodSelector: *disruption.Spec.Selector,
		PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
		Ingress: []networkingv1.NetworkPolicyIngressRule{
			{Ports: port(9443), From: []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{}}}},
			{Ports: port(8080), From: []networkingv1.NetworkPolicyPeer{{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"serviceconnections.io/metrics": "allowed"}}}}},
		},
	}
	if diff := cmp.Diff(want, got.Spec); diff != "" {
		t.Errorf("the function's NetworkPolicy: -want, +got:\n%s", diff)
	}
	if got.Namespace != disruption.Namespace {
		t.Errorf("want the NetworkPolicy in %s, where the function is, got %s", disruption.Namespace, got.Namespace)
	}
}

// The example of a quota counts the kind that teams create, by the name that the API
// server gives it.
func TestQuotaExample(t *testing.T) {
	t.Parallel()

	quota := &corev1.ResourceQuota{}
	strict(t, "../example/quota.yaml", 0, quota)
	for _, file := range definitions {
		spec := load(t, file)["spec"].(map[string]any)
		names, ok := spec["claimNames"].(map[string]any)
		if !ok {
			names = spec["names"].(map[string]any)
		}
		name := corev1.ResourceName("count/" + names["plural"].(string) + "." + spec["group"].(string))
		if _, ok := quota.Spec.Hard[name]; !ok || len(quota.Spec.Hard) != 1 {
			t.Errorf("%s: want a quota for %s, got %v", file, name, quota.Spec.Hard)
		}
	}
}
