package composer

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/serviceconnections/function-service-connections/fn/connection"
)

// A Cloud is what stands behind the providers, as far as the types of connections
// tell of it.
type Cloud struct {
	connection.Known

	// Types of connections that there are.
	Types *connection.Catalog
}

// Provide makes a composed resource what it is once its provider, or Kubernetes, is
// done: it has a status, and fields that Crossplane doesn't own. What else is then
// in the cluster is returned, nil where that is nothing.
func (cloud Cloud) Provide(o map[string]any) (made map[string]any, err error) {
	u := unstructured.Unstructured{Object: o}
	switch {
	case u.GetKind() == "PersistentVolumeClaim":
		o["status"] = map[string]any{"phase": "Bound"}
		return nil, set(o, "pv-"+u.GetName(), volumeName)
	case !cloud.Types.Manages(o):
		return nil, nil
	}
	if manifest, ok, _ := unstructured.NestedMap(o, "spec", "forProvider", "manifest"); ok {
		made = manifest
		made["status"] = map[string]any{"phase": "Bound"}
	}
	o["status"] = map[string]any{"atProvider": cloud.Types.Reported(cloud.Known, o), "conditions": []any{
		map[string]any{"type": "Synced", "status": "True", "reason": "ReconcileSuccess"},
		map[string]any{"type": "Ready", "status": "True", "reason": "Available"},
	}}
	if err := set(o, "initialized", lateInitialized); err != nil {
		return nil, err
	}
	return made, set(o, "2026-01-02T03:04:05Z", createSucceeded)
}
