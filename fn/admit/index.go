package admit

import (
	"cmp"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/workload"
)

// An Index of ServiceConnections by what pods can name, so that a pod costs one
// look-up however many there are in its namespace. It may be asked and changed at once.
type Index struct {
	mu          sync.RWMutex
	connections map[types.NamespacedName]*Connection
	services    map[place][]*Service
	required    map[place][]*Requirement
}

// A place is a workload of a namespace.
type place struct {
	namespace string
	workload  claim.Workload
}

// NewIndex of no ServiceConnections.
func NewIndex() *Index {
	return &Index{
		connections: map[types.NamespacedName]*Connection{},
		services:    map[place][]*Service{},
		required:    map[place][]*Requirement{},
	}
}

// Put a ServiceConnection in, instead of what was known of it before.
func (x *Index) Put(c *Connection) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.remove(nameOf(c))
	x.connections[nameOf(c)] = c
	for _, s := range c.services {
		if s.workload != (claim.Workload{}) {
			at := place{c.Namespace, s.workload}
			x.services[at] = append(x.services[at], s)
		}
	}
	for _, r := range c.requirements {
		at := place{c.Namespace, r.workload}
		x.required[at] = append(x.required[at], r)
	}
}

// Remove the ServiceConnection of a name, if it is in.
func (x *Index) Remove(name types.NamespacedName) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.remove(name)
}

func (x *Index) remove(name types.NamespacedName) {
	c, ok := x.connections[name]
	if !ok {
		return
	}
	delete(x.connections, name)
	for _, s := range c.services {
		take(x.services, place{c.Namespace, s.workload}, func(o *Service) bool { return o.of == c })
	}
	for _, r := range c.requirements {
		take(x.required, place{c.Namespace, r.workload}, func(o *Requirement) bool { return o.of == c })
	}
}

// take those out of a list of the map for which it holds. A list that this empties
// goes.
func take[T any](lists map[place][]T, at place, holds func(T) bool) {
	left := slices.DeleteFunc(lists[at], holds)
	if len(left) == 0 {
		delete(lists, at)
		return
	}
	lists[at] = left
}

// servicesOf a pod, those that it names, of each ServiceConnection of its namespace the first. The
// oldest ServiceConnection comes first, so that a new one takes over no pods.
func (x *Index) servicesOf(namespace string, pod workload.Naming) []*Service {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return named(pod, namespace, x.services, x.connections, func(c *Connection) []*Service { return c.services },
		func(s *Service) (*Connection, string) { return s.of, s.name })
}

// requirementsOf a pod, likewise.
func (x *Index) requirementsOf(namespace string, pod workload.Naming) []*Requirement {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return named(pod, namespace, x.required, x.connections, func(c *Connection) []*Requirement { return c.requirements },
		func(r *Requirement) (*Connection, string) { return r.of, r.name })
}

// named by a pod: of each ServiceConnection the first that the pod names. The list is
// the caller's to read for as long as it likes.
func named[T comparable](
	pod workload.Naming, namespace string,
	byWorkload map[place][]T, connections map[types.NamespacedName]*Connection,
	all func(*Connection) []T, what func(T) (of *Connection, service string),
) []T {
	if pod.Labelled {
		c, ok := connections[types.NamespacedName{Namespace: namespace, Name: pod.Claim}]
		if !ok {
			return nil
		}
		i := slices.IndexFunc(all(c), func(e T) bool { _, service := what(e); return service == pod.Service })
		if i < 0 {
			return nil
		}
		return all(c)[i : i+1]
	}
	var found []T
	for _, w := range pod.Workloads {
		found = append(found, byWorkload[place{namespace, w}]...)
	}
	if len(found) < 2 {
		return found
	}
	position := func(e T) int { of, _ := what(e); return slices.Index(all(of), e) }
	slices.SortFunc(found, func(a, b T) int {
		first, _ := what(a)
		second, _ := what(b)
		return cmp.Or(
			first.CreationTimestamp.Compare(second.CreationTimestamp.Time),
			cmp.Compare(first.Name, second.Name),
			cmp.Compare(position(a), position(b)),
		)
	})
	return slices.CompactFunc(found, func(a, b T) bool {
		first, _ := what(a)
		second, _ := what(b)
		return first == second
	})
}

func nameOf(c *Connection) types.NamespacedName {
	return types.NamespacedName{Namespace: c.Namespace, Name: c.Name}
}
