package live

import (
	"cmp"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/serviceconnections/function-service-connections/fn/connection"
)

// An Object that Crossplane composed.
type Object struct {
	APIVersion string
	Kind       string
	Namespace  string
	Name       string

	// Exists is false for one that Crossplane lists and that isn't there.
	Exists bool
	Ready  bool

	// Reason and Message of the condition that keeps the object from being ready.
	Reason  string
	Message string

	// Since the object has been as it is; zero where it doesn't say.
	Since   time.Time
	Created time.Time

	// Spec of the object, read-only.
	Spec map[string]any
}

// objectOf what the cluster has.
func objectOf(u *unstructured.Unstructured) Object {
	spec, _ := u.Object["spec"].(map[string]any)
	o := Object{
		APIVersion: u.GetAPIVersion(), Kind: u.GetKind(), Namespace: u.GetNamespace(), Name: u.GetName(),
		Exists: true, Ready: connection.Ready(u.Object), Created: u.GetCreationTimestamp().Time, Spec: spec,
	}
	if u.GetDeletionTimestamp() != nil {
		o.Reason, o.Since = "Deleting", u.GetDeletionTimestamp().Time
		return o
	}
	for _, c := range conditions(u.Object) {
		if c.Type != "Ready" && c.Type != "Synced" {
			continue
		}
		// The error with which a provider tries is in Synced, and says more than
		// that the object isn't ready.
		if c.Status != "True" && (o.Reason == "" || c.Type == "Synced") {
			o.Reason, o.Message, o.Since = c.Reason, c.Message, c.Since
		}
		if o.Ready && c.Type == "Ready" {
			o.Since = c.Since
		}
	}
	if phase, ok, _ := unstructured.NestedString(u.Object, "status", "phase"); ok {
		o.Reason = phase
	}
	return o
}

func compareObjects(a, b Object) int {
	return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
}
