package composer

import (
	"cmp"
	"maps"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// A Cloud is what stands behind the providers, as far as managed resources tell of
// it.
type Cloud struct {
	// Partition and AccountID of the cluster's AWS account.
	Partition, AccountID string

	// ClientID of an Azure identity, by its name.
	ClientID func(identity string) string
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
	case !strings.Contains(u.GetAPIVersion(), "upbound.io/") && u.GetKind() != "Object":
		return nil, nil
	}
	parameters, _, err := unstructured.NestedMap(o, "spec", "forProvider")
	if err != nil {
		return nil, err //nolint:wrapcheck // It names the field.
	}
	at := map[string]any{}
	external := u.GetAnnotations()["crossplane.io/external-name"]
	switch u.GetKind() {
	case "Role":
		path, _ := parameters["path"].(string)
		at["arn"] = "arn:" + cloud.Partition + ":iam::" + cloud.AccountID + ":role" + cmp.Or(path, "/") + external
	case "PodIdentityAssociation":
		at["roleArn"] = parameters["roleArn"]
	case "UserAssignedIdentity":
		at["id"], at["clientId"] = external, cloud.ClientID(external[strings.LastIndexByte(external, '/')+1:])
	case "Object":
		manifest, _ := parameters["manifest"].(map[string]any)
		made = maps.Clone(manifest)
		made["status"] = map[string]any{"phase": "Bound"}
	}
	o["status"] = map[string]any{"atProvider": at, "conditions": []any{
		map[string]any{"type": "Synced", "status": "True", "reason": "ReconcileSuccess"},
		map[string]any{"type": "Ready", "status": "True", "reason": "Available"},
	}}
	if err := set(o, "initialized", lateInitialized); err != nil {
		return nil, err
	}
	return made, set(o, "2026-01-02T03:04:05Z", createSucceeded)
}
