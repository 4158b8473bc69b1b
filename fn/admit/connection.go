// Package admit decides what a pod gets as it is created: which service of which
// ServiceConnection it is of, its injection, and whether it is held back until it has
// that. It is what the webhook answers by, and decides as the admission policies in
// package/cluster do; the tests under test/admission hold the two together.
package admit

import (
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/decoded"
	"github.com/serviceconnections/function-service-connections/fn/workload"
)

// A Connection is all that pods have of a ServiceConnection: far less than it is, so
// that thousands fit in memory.
type Connection struct {
	metav1.ObjectMeta

	services     []*Service
	requirements []*Requirement
}

// GetObjectKind is none: it has no kind of its own.
func (*Connection) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject is itself, since nothing in it ever changes.
func (c *Connection) DeepCopyObject() runtime.Object { return c }

// A Service of which the status publishes an injection.
type Service struct {
	of       *Connection
	name     string
	workload claim.Workload

	// injection that a pod may have of what is published. It is nil where that holds
	// what the function doesn't emit; a pod of the service then gets nothing.
	injection *claim.Injection
}

// Read what pods need of a ServiceConnection, as decoded JSON. Statuses may be written
// by hand, so nothing in it is trusted: what isn't of the forms gives a pod nothing.
func Read(object map[string]any, forms workload.Forms) *Connection {
	u := unstructured.Unstructured{Object: object}
	c := &Connection{ObjectMeta: metav1.ObjectMeta{
		Namespace: u.GetNamespace(), Name: u.GetName(), UID: u.GetUID(), ResourceVersion: u.GetResourceVersion(),
		CreationTimestamp: u.GetCreationTimestamp(), DeletionTimestamp: u.GetDeletionTimestamp(),
	}}
	// Its ServiceAccounts go with it, and a pod without its ServiceAccount is refused.
	if c.DeletionTimestamp != nil {
		return c
	}
	status := decoded.Objects(object, "status", "services")
	for _, s := range status {
		if published, ok := s["injection"]; ok {
			c.services = append(c.services, &Service{
				of: c, name: decoded.Text(s, "name"), workload: workloadOf(s), injection: fitting(published, forms),
			})
		}
	}
	for _, s := range decoded.Objects(object, "spec", "services") {
		if s["requireInjection"] == true {
			c.requirements = append(c.requirements, require(c, s, status))
		}
	}
	return c
}

// workloadOf a service, as its status or its spec says it.
func workloadOf(service map[string]any) claim.Workload {
	return claim.Workload{
		APIVersion: decoded.Text(service, "workload", "apiVersion"),
		Kind:       decoded.Text(service, "workload", "kind"),
		Name:       decoded.Text(service, "workload", "name"),
	}
}

// fitting injection as it is published, nil where it isn't of the forms.
func fitting(published any, forms workload.Forms) *claim.Injection {
	b, err := json.Marshal(published)
	if err != nil {
		return nil
	}
	var in claim.Injection
	if err := json.Unmarshal(b, &in); err != nil {
		return nil
	}
	in, ok := forms.Fit(in)
	if !ok {
		return nil
	}
	return &in
}

// admit a pod of the service with its injection: the pod with it, nil where it gets
// nothing.
func (s *Service) admit(pod map[string]any) map[string]any {
	if s.injection == nil {
		return nil
	}
	admitted, _ := workload.Admit(pod, *s.injection, s.of.Name, claim.Service{Name: s.name, Workload: &s.workload})
	return admitted
}
