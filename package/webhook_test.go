package package_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	admissionregistrationv1beta1 "k8s.io/api/admissionregistration/v1beta1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The webhook is asked what the policies are asked, and can stop no pod.
func TestWebhookAsksAsThePolicyDoes(t *testing.T) {
	t.Parallel()

	policy := &admissionregistrationv1beta1.MutatingAdmissionPolicy{}
	strict(t, "cluster/mutatingadmissionpolicy.yaml", 0, policy)
	injecting, requiring := &admissionregistrationv1.MutatingWebhookConfiguration{}, &admissionregistrationv1.ValidatingWebhookConfiguration{}
	strict(t, "webhook/configuration.yaml", 0, injecting)
	strict(t, "webhook/require-injection/configuration.yaml", 0, requiring)
	if len(injecting.Webhooks) != 1 || len(requiring.Webhooks) != 1 {
		t.Fatalf("want one webhook each, got %d and %d", len(injecting.Webhooks), len(requiring.Webhooks))
	}
	i, r := injecting.Webhooks[0], requiring.Webhooks[0]
	// A pod that has its injection is asked about only by who requires the right one.
	injected := slices.IndexFunc(policy.Spec.MatchConditions, func(c admissionregistrationv1beta1.MatchCondition) bool { return c.Name == "not-injected" })
	if injected < 0 {
		t.Fatal("the policy has no condition not-injected")
	}
	want := append([]admissionregistrationv1.MatchCondition{admissionregistrationv1.MatchCondition(policy.Spec.MatchConditions[injected])}, r.MatchConditions...)
	if diff := cmp.Diff(want, i.MatchConditions); diff != "" {
		t.Errorf("matchConditions: -the policy's and require's, +inject:\n%s", diff)
	}

	// Webhooks are called in the order of these names.
	for _, other := range []string{"azure-wi-webhook-mutating-webhook-configuration", "pod-identity-webhook", "istio-sidecar-injector"} {
		if injecting.Name >= other {
			t.Errorf("%s would be called before %s, and wouldn't see what it sets", other, injecting.Name)
		}
	}
	if i.ReinvocationPolicy == nil || string(*i.ReinvocationPolicy) != string(policy.Spec.ReinvocationPolicy) {
		t.Errorf("reinvocationPolicy %v, want the policy's, %s", i.ReinvocationPolicy, policy.Spec.ReinvocationPolicy)
	}
	namespace := &corev1.Namespace{}
	strict(t, "webhook/namespace.yaml", 0, namespace)
	namespaces := policy.Spec.MatchConstraints.NamespaceSelector.DeepCopy()
	namespaces.MatchExpressions[0].Values = append(namespaces.MatchExpressions[0].Values, namespace.Name)
	rules := make([]admissionregistrationv1.RuleWithOperations, 0, 1)
	for _, rule := range policy.Spec.MatchConstraints.ResourceRules {
		rules = append(rules, rule.RuleWithOperations)
	}
	for name, w := range map[string]struct {
		failure    *admissionregistrationv1.FailurePolicyType
		effects    *admissionregistrationv1.SideEffectClass
		timeout    *int32
		namespaces *metav1.LabelSelector
		rules      []admissionregistrationv1.RuleWithOperations
		service    *admissionregistrationv1.ServiceReference
	}{
		i.Name: {i.FailurePolicy, i.SideEffects, i.TimeoutSeconds, i.NamespaceSelector, i.Rules, i.ClientConfig.Service},
		r.Name: {r.FailurePolicy, r.SideEffects, r.TimeoutSeconds, r.NamespaceSelector, r.Rules, r.ClientConfig.Service},
	} {
		if w.failure == nil || *w.failure != admissionregistrationv1.Ignore {
			t.Errorf("%s: failurePolicy %v: anything but Ignore stops every pod of the cluster while the webhook is down, its own among them", name, w.failure)
		}
		if w.effects == nil || *w.effects != admissionregistrationv1.SideEffectClassNone {
			t.Errorf("%s: sideEffects %v: a dry run would fail", name, w.effects)
		}
		if w.timeout == nil || *w.timeout > 5 {
			t.Errorf("%s: timeoutSeconds %v: pods would wait for a webhook that hangs", name, w.timeout)
		}
		if diff := cmp.Diff(namespaces, w.namespaces); diff != "" {
			t.Errorf("%s: namespaceSelector: -policy and its own, +webhook:\n%s", name, diff)
		}
		if diff := cmp.Diff(rules, w.rules); diff != "" {
			t.Errorf("%s: rules: -policy, +webhook:\n%s", name, diff)
		}
		service := &corev1.Service{}
		strict(t, "webhook/runtime.yaml", 1, service)
		if w.service == nil || w.service.Path != nil || w.service.Namespace != service.Namespace || w.service.Name != service.Name {
			t.Errorf("%s: service %+v, want %s/%s without a path, which the webhook keeps", name, w.service, service.Namespace, service.Name)
		}
	}
}

// The webhook's parts find each other, and it is as hard to break out of as the
// function.
func TestWebhookDeployment(t *testing.T) {
	t.Parallel()

	deployment, service := &appsv1.Deployment{}, &corev1.Service{}
	disruption, network := &policyv1.PodDisruptionBudget{}, &networkingv1.NetworkPolicy{}
	strict(t, "webhook/runtime.yaml", 0, deployment)
	strict(t, "webhook/runtime.yaml", 1, service)
	strict(t, "webhook/runtime.yaml", 2, disruption)
	strict(t, "webhook/networkpolicy.yaml", 0, network)
	labels := deployment.Spec.Template.Labels
	for what, selector := range map[string]map[string]string{
		"the Deployment": deployment.Spec.Selector.MatchLabels, "the Service": service.Spec.Selector,
		"the PodDisruptionBudget": disruption.Spec.Selector.MatchLabels, "the NetworkPolicy": network.Spec.PodSelector.MatchLabels,
		"the spread": deployment.Spec.Template.Spec.TopologySpreadConstraints[0].LabelSelector.MatchLabels,
	} {
		if diff := cmp.Diff(labels, selector); diff != "" {
			t.Errorf("%s doesn't select the webhook's pods: -labels, +selector:\n%s", what, diff)
		}
	}
	if *deployment.Spec.Replicas != 2 || disruption.Spec.MaxUnavailable.IntValue() != 1 {
		t.Errorf("%d replicas, of which %s may be unavailable: a drain must leave one", *deployment.Spec.Replicas, disruption.Spec.MaxUnavailable)
	}
	pod := deployment.Spec.Template.Spec
	container := pod.Containers[0]
	if s := container.SecurityContext; *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || !*pod.SecurityContext.RunAsNonRoot || s.Capabilities.Drop[0] != "ALL" {
		t.Errorf("security context %+v of %+v", s, pod.SecurityContext)
	}
	if container.Image != "ghcr.io/serviceconnections/function-service-connections:v0.1.0" || !slices.Equal(container.Args, []string{"webhook"}) {
		t.Errorf("image %s with %q: want the function's own, as the webhook", container.Image, container.Args)
	}
	for _, item := range pod.Volumes[0].Secret.Items {
		if strings.HasPrefix(item.Key, "ca.") {
			t.Errorf("the container has %s, by which whoever breaks in signs certificates", item.Key)
		}
	}
}

// TestWebhookRights holds that the webhook reads ServiceConnections, and nothing else
// but what it keeps itself.
func TestWebhookRights(t *testing.T) {
	t.Parallel()

	role, own := &rbacv1.ClusterRole{}, &rbacv1.Role{}
	strict(t, "webhook/rbac.yaml", 1, role)
	strict(t, "webhook/rbac.yaml", 3, own)
	keeps := []string{"get", "list", "watch", "update"}
	configurations := []string{"admissionregistration.k8s.io"}
	if diff := cmp.Diff([]rbacv1.PolicyRule{
		{APIGroups: []string{"serviceconnections.io"}, Resources: []string{"serviceconnections"}, Verbs: []string{"list", "watch"}},
		{APIGroups: configurations, Resources: []string{"mutatingwebhookconfigurations"}, ResourceNames: []string{"00-service-connections"}, Verbs: keeps},
		{APIGroups: configurations, Resources: []string{"validatingwebhookconfigurations"}, ResourceNames: []string{"service-connections-require-injection"}, Verbs: keeps},
	}, role.Rules); diff != "" {
		t.Errorf("ClusterRole: -want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{"service-connections-webhook-certificates"}, Verbs: keeps},
		{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{"service-connections-webhook-path"}, Verbs: []string{"get", "update"}},
	}, own.Rules); diff != "" {
		t.Errorf("Role: -want +got:\n%s", diff)
	}
	if own.Namespace != "service-connections" {
		t.Errorf("the webhook keeps Secrets in namespace %q, want its own", own.Namespace)
	}
}
