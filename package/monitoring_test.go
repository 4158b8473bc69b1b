package package_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

// TestExporter holds that the exporter's parts find each other, that it may only read, and
// that it is as hard to break out of as the function. What Prometheus and Grafana get is
// held by test/monitoring.
func TestExporter(t *testing.T) {
	t.Parallel()

	namespace, deployment, network := &corev1.Namespace{}, &appsv1.Deployment{}, &networkingv1.NetworkPolicy{}
	strict(t, "monitoring/namespace.yaml", 0, namespace)
	strict(t, "monitoring/runtime.yaml", 0, deployment)
	strict(t, "monitoring/networkpolicy.yaml", 0, network)
	account, role, binding := &corev1.ServiceAccount{}, &rbacv1.ClusterRole{}, &rbacv1.ClusterRoleBinding{}
	strict(t, "monitoring/rbac.yaml", 0, account)
	strict(t, "monitoring/rbac.yaml", 1, role)
	strict(t, "monitoring/rbac.yaml", 2, binding)

	for what, selector := range map[string]map[string]string{
		"the Deployment": deployment.Spec.Selector.MatchLabels, "the NetworkPolicy": network.Spec.PodSelector.MatchLabels,
	} {
		if diff := cmp.Diff(deployment.Spec.Template.Labels, selector); diff != "" {
			t.Errorf("%s doesn't select the exporter's pods: -labels, +selector:\n%s", what, diff)
		}
	}
	for what, in := range map[string]string{"the Deployment": deployment.Namespace, "the NetworkPolicy": network.Namespace, "the ServiceAccount": account.Namespace} {
		if in != namespace.Name {
			t.Errorf("%s is in namespace %q, want %q", what, in, namespace.Name)
		}
	}
	if diff := cmp.Diff([]rbacv1.PolicyRule{
		{APIGroups: []string{"serviceconnections.io"}, Resources: []string{"serviceconnections", "xserviceconnections"}, Verbs: []string{"list", "watch"}},
	}, role.Rules); diff != "" {
		t.Errorf("ClusterRole: -want, +got:\n%s", diff)
	}
	if diff := cmp.Diff([]rbacv1.Subject{{Kind: "ServiceAccount", Name: account.Name, Namespace: account.Namespace}}, binding.Subjects); diff != "" || binding.RoleRef.Name != role.Name {
		t.Errorf("ClusterRoleBinding of %s: -want, +got:\n%s", binding.RoleRef.Name, diff)
	}
	pod := deployment.Spec.Template.Spec
	container := pod.Containers[0]
	if s := container.SecurityContext; *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || !*pod.SecurityContext.RunAsNonRoot || s.Capabilities.Drop[0] != "ALL" {
		t.Errorf("security context %+v of %+v", s, pod.SecurityContext)
	}
	if pod.ServiceAccountName != account.Name || len(container.Args) != 1 || container.Args[0] != "exporter" {
		t.Errorf("pod of %s with %q: want the exporter as %s", pod.ServiceAccountName, container.Args, account.Name)
	}
	// Two at once would count each connection twice.
	if *deployment.Spec.Replicas != 1 || deployment.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType {
		t.Errorf("%d replicas, replaced by %s", *deployment.Spec.Replicas, deployment.Spec.Strategy.Type)
	}
}
