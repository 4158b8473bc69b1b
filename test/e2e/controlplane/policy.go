package controlplane

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// tryNamespace is where the admission policies are tried.
const tryNamespace = "admission-policy"

// InjectionPolicy is what gives pods their injection, where Kubernetes has such policies.
const InjectionPolicy = "package/cluster/mutatingadmissionpolicy.yaml"

// HasInjectionPolicy says whether this Kubernetes has them: it does from 1.36 on.
func (c *ControlPlane) HasInjectionPolicy() bool {
	_, err := c.Client.RESTMapper().RESTMapping(schema.GroupKind{Group: "admissionregistration.k8s.io", Kind: "MutatingAdmissionPolicy"}, "v1")
	return err == nil
}

// AwaitPolicy until the API server injects, and guards the status. It takes some seconds until the
// admission policy sees the ServiceConnections of a CustomResourceDefinition that
// is new, half a minute after the API server has started, and in that time pods are
// created plain. Crossplane leaves alone the ServiceConnection that this is tried with.
func (c *ControlPlane) AwaitPolicy(ctx context.Context) error { return inTime(ctx, c.tryPolicies) }

func (c *ControlPlane) tryPolicies(ctx context.Context) error {
	if err := c.ApplyYAML(ctx, `
apiVersion: v1
kind: Namespace
metadata: {name: `+tryNamespace+`}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: try, namespace: `+tryNamespace+`}
---
apiVersion: serviceconnections.io/v1alpha1
kind: ServiceConnection
metadata:
  name: try
  namespace: `+tryNamespace+`
  annotations: {crossplane.io/paused: "true"}
spec: {services: [{name: api, connections: [{type: awsRole, role: try}]}]}
`); err != nil {
		return err
	}
	if err := ApplyStatus(ctx, c.Crossplane, `
apiVersion: serviceconnections.io/v1alpha1
kind: ServiceConnection
metadata: {name: try, namespace: `+tryNamespace+`}
status: {services: [{name: api, delivery: Admission, serviceAccountName: try, workload: {apiVersion: v1, kind: Pod, name: try}, connections: [], injection: {hash: "0123456789abcdef", complete: true, serviceAccountName: try}}]}
`); err != nil {
		return err
	}
	tries := []func(context.Context) error{c.tryStatus}
	if c.HasInjectionPolicy() {
		tries = append(tries, c.tryInjection)
	}
	for _, try := range tries {
		if err := Poll(ctx, try); err != nil {
			return err
		}
	}
	for _, kind := range []struct{ apiVersion, kind, namespace, name string }{
		{"serviceconnections.io/v1alpha1", "ServiceConnection", tryNamespace, "try"},
		{"v1", "Namespace", "", tryNamespace},
	} {
		o := object(kind.apiVersion, kind.kind, kind.name)
		o.SetNamespace(kind.namespace)
		if err := c.Client.Delete(ctx, o); err != nil {
			return fmt.Errorf("cannot delete %s %q: %w", kind.kind, kind.name, err)
		}
	}
	return nil
}

// tryInjection fails while the API server doesn't inject.
func (c *ControlPlane) tryInjection(ctx context.Context) error {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "try", Namespace: tryNamespace},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "try", Image: "try"}}},
	}
	if err := c.Client.Create(ctx, pod, client.DryRunAll); err != nil {
		return fmt.Errorf("cannot try a pod: %w", err)
	}
	if pod.Annotations["serviceconnections.io/injected-by"] != "try" {
		return fmt.Errorf("the API server doesn't inject: annotations %v", pod.Annotations)
	}
	return nil
}

// tryStatus fails while somebody else than Crossplane may write the status.
func (c *ControlPlane) tryStatus(ctx context.Context) error {
	o := object("serviceconnections.io/v1alpha1", "ServiceConnection", "try")
	o.SetNamespace(tryNamespace)
	err := c.Client.Status().Patch(ctx, o, client.RawPatch("application/merge-patch+json", []byte(`{"status": {"connected": "9/9"}}`)), client.DryRunAll)
	if !kerrors.IsForbidden(err) {
		return fmt.Errorf("the API server lets the status be written: %w", err)
	}
	return nil
}
