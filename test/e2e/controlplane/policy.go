package controlplane

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// awaitPolicy until the API server injects. It takes some seconds until the
// admission policy sees the ServiceConnections of a CustomResourceDefinition that
// is new, and in that time pods are created plain. Crossplane leaves alone the
// ServiceConnection that this is tried with.
func (c *ControlPlane) awaitPolicy(ctx context.Context) error {
	const namespace = "admission-policy"
	if err := c.ApplyYAML(ctx, `
apiVersion: v1
kind: Namespace
metadata: {name: `+namespace+`}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: try, namespace: `+namespace+`}
---
apiVersion: serviceconnections.io/v1alpha1
kind: ServiceConnection
metadata:
  name: try
  namespace: `+namespace+`
  annotations: {crossplane.io/paused: "true"}
spec: {services: [{name: api, connections: [{type: awsRole, role: try}]}]}
`); err != nil {
		return err
	}
	if err := ApplyStatus(ctx, c.Crossplane, `
apiVersion: serviceconnections.io/v1alpha1
kind: ServiceConnection
metadata: {name: try, namespace: `+namespace+`}
status: {services: [{name: api, delivery: Admission, serviceAccountName: try, workload: {apiVersion: v1, kind: Pod, name: try}, connections: [], injection: {hash: "0123456789abcdef", complete: true, serviceAccountName: try}}]}
`); err != nil {
		return err
	}
	if err := Poll(ctx, func(ctx context.Context) error {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "try", Namespace: namespace},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "try", Image: "try"}}},
		}
		if err := c.Client.Create(ctx, pod, client.DryRunAll); err != nil {
			return fmt.Errorf("cannot try a pod: %w", err)
		}
		if pod.Annotations["serviceconnections.io/injected-by"] != "try" {
			return fmt.Errorf("the API server doesn't inject: annotations %v", pod.Annotations)
		}
		return nil
	}); err != nil {
		return err
	}
	// Nor may anybody but Crossplane write the status.
	if err := Poll(ctx, func(ctx context.Context) error {
		o := object("serviceconnections.io/v1alpha1", "ServiceConnection", "try")
		o.SetNamespace(namespace)
		err := c.Client.Status().Patch(ctx, o, client.RawPatch("application/merge-patch+json", []byte(`{"status": {"connected": "9/9"}}`)), client.DryRunAll)
		if !kerrors.IsForbidden(err) {
			return fmt.Errorf("the API server lets the status be written: %w", err)
		}
		return nil
	}); err != nil {
		return err
	}
	for _, kind := range []struct{ apiVersion, kind, namespace, name string }{
		{"serviceconnections.io/v1alpha1", "ServiceConnection", namespace, "try"},
		{"v1", "Namespace", "", namespace},
	} {
		o := object(kind.apiVersion, kind.kind, kind.name)
		o.SetNamespace(kind.namespace)
		if err := c.Client.Delete(ctx, o); err != nil {
			return fmt.Errorf("cannot delete %s %q: %w", kind.kind, kind.name, err)
		}
	}
	return nil
}
