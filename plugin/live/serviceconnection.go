// Package live is a ServiceConnection with all that belongs to it: what it asks
// for, how its status says that it stands, the objects that Crossplane composed for
// it, and the pods that should have its injection. It is read from a cluster with
// the rights of whoever asks, and says what these don't cover.
package live

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
)

// A ServiceConnection that somebody wrote, with what belongs to it.
type ServiceConnection struct {
	Namespace string
	Name      string

	// Created is zero for one that is only in a file.
	Created time.Time

	// Deleting says that somebody has deleted it, and that something of it is
	// still there.
	Deleting bool

	// Answered says that its status is there, and is about its spec as it is
	// now, as far as that can be told.
	Answered bool

	// Conditions of the whole, in the order of the object.
	Conditions []Condition

	// Services in the order of the spec.
	Services []Service

	// Mistakes in the spec.
	Mistakes field.ErrorList

	// Others are composed objects that belong to none of the services.
	Others []Object
}

// A Service of a ServiceConnection.
type Service struct {
	Name           string
	ServiceAccount string
	Workload       claim.Workload
	Connections    []Connection

	// Notes of the status on the service as a whole.
	Notes []claim.Note

	// Restart of the status: the command or the advice that replaces pods that may
	// pre-date the injection.
	Restart string

	// Replacing says that the status knows of pods that pre-date the injection, and
	// asks nobody to replace them: their controller does, or nothing would be gained.
	Replacing bool

	// Injection that the status publishes, nil where it publishes none.
	Injection *claim.Injection

	// Objects that the service itself needs.
	Objects []Object

	// Pods of the workload that run or are about to, nil where they aren't read.
	Pods []Pod

	// PodsRead says whether the pods could be read.
	PodsRead bool

	// Rivals name the same workload.
	Rivals []Rival
}

// A Connection of a service.
type Connection struct {
	claim.Connection

	// Status is nil where the status says nothing of the connection yet.
	Status *claim.ConnectionStatus

	// Objects that the connection needs.
	Objects []Object
}

// Ready says whether pods can use the connection.
func (c *Connection) Ready() bool { return c.Status != nil && c.Status.Ready }

// A Rival is a service of another ServiceConnection that names the same workload.
type Rival struct {
	ServiceConnection string `json:"serviceConnection"`
	Service           string `json:"service"`
}

// A Condition of an object's status.
type Condition struct {
	Type    string
	Status  string
	Reason  string
	Message string
	Since   time.Time
}

// Condition of that type, the zero value where there is none.
func (s *ServiceConnection) Condition(typ string) Condition {
	for _, c := range s.Conditions {
		if c.Type == typ {
			return c
		}
	}
	return Condition{}
}

// Of an object that is a ServiceConnection, or the composite resource of one: what
// the object itself says. It may pre-date its schema, so it is read leniently.
func Of(types *connection.Catalog, u *unstructured.Unstructured) (*ServiceConnection, error) {
	c := claim.Claim{Namespace: u.GetNamespace(), Name: u.GetName()}
	services, ok, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", "services")
	if !ok {
		return nil, fmt.Errorf("cannot read ServiceConnection %q: it has no spec.services", u.GetName())
	}
	c.Read(types.Schema(), services, field.NewPath("spec", "services"))
	s := &ServiceConnection{
		Namespace:  c.Namespace,
		Name:       c.Name,
		Created:    u.GetCreationTimestamp().Time,
		Deleting:   u.GetDeletionTimestamp() != nil,
		Conditions: conditions(u.Object),
		Mistakes:   c.Errors,
	}
	status, err := statusOf(u)
	if err != nil {
		return nil, err
	}
	reported := map[string]*claim.ServiceStatus{}
	for i := range status.Services {
		reported[status.Services[i].Name] = &status.Services[i]
	}
	s.Answered = current(u)
	for _, entry := range c.Services {
		account, _ := c.ServiceAccount(entry.Service)
		svc := Service{Name: entry.Name, ServiceAccount: account, Workload: *entry.Workload}
		states := map[claim.ConnectionID]*claim.ConnectionStatus{}
		if r := reported[entry.Name]; r != nil {
			svc.Notes, svc.Restart, svc.Injection = r.Notes, r.Restart, r.Injection
			svc.Replacing = r.Restart == "" && r.Rollout != nil && r.Rollout.Template != "" && !r.Rollout.Current
			for i := range r.Connections {
				states[r.Connections[i].ID()] = &r.Connections[i]
			}
		}
		for _, conn := range entry.Connections {
			svc.Connections = append(svc.Connections, Connection{Connection: conn, Status: states[conn.ID()]})
			s.Answered = s.Answered && states[conn.ID()] != nil
		}
		s.Services = append(s.Services, svc)
	}
	return s, nil
}

func statusOf(u *unstructured.Unstructured) (claim.Status, error) {
	o := struct {
		Status claim.Status `json:"status"`
	}{}
	part := map[string]any{}
	if status, ok := u.Object["status"]; ok {
		part["status"] = status
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(part, &o); err != nil {
		return o.Status, fmt.Errorf("cannot read the status of ServiceConnection %q: %w", u.GetName(), err)
	}
	return o.Status, nil
}

// current says whether the status is about the spec as it is. It tells so itself, or else
// no condition may be about an earlier generation; not every one says which one it is
// about.
func current(u *unstructured.Unstructured) bool {
	if seen, ok, err := unstructured.NestedInt64(u.Object, "status", "observedGeneration"); err == nil && ok && seen != claim.NotObserved {
		return seen == u.GetGeneration()
	}
	list, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, v := range list {
		c, _ := v.(map[string]any)
		if seen, ok := c["observedGeneration"].(int64); ok && seen < u.GetGeneration() {
			return false
		}
	}
	return true
}

func conditions(object map[string]any) []Condition {
	list, _, _ := unstructured.NestedSlice(object, "status", "conditions")
	out := make([]Condition, 0, len(list))
	for _, v := range list {
		c, _ := v.(map[string]any)
		text := func(k string) string { s, _ := c[k].(string); return s }
		// Zero where there is no time, which is then left out.
		since, _ := time.Parse(time.RFC3339, text("lastTransitionTime"))
		out = append(out, Condition{Type: text("type"), Status: text("status"), Reason: text("reason"), Message: text("message"), Since: since})
	}
	return out
}
