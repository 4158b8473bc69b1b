package live

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/pager"

	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/workload"
	"github.com/serviceconnections/function-service-connections/plugin/cluster"
)

// A Reader reads a cluster as whoever runs the plugin may.
type Reader struct {
	Client dynamic.Interface
	Mapper meta.RESTMapper
}

// A View is what a Reader could read.
type View struct {
	ServiceConnections []*ServiceConnection

	// Unread says what could not be read and why, a sentence each.
	Unread []string
}

// parallel requests to the API server.
const parallel = 8

var pods = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

// Read the ServiceConnection of that name, or with no name all of the namespace,
// and with no namespace those of the whole cluster. It fails where they can't be
// read themselves; what belongs to them may be left out.
func (r Reader) Read(ctx context.Context, namespace, name string) (*View, error) {
	read := &reading{Reader: r, unread: map[unreadKey][]string{}}
	asked, all, err := read.serviceConnections(ctx, namespace, name)
	if err != nil {
		return nil, err
	}
	v := &View{}
	for _, u := range asked {
		s, err := Of(connection.Builtin(), u)
		if err != nil {
			return nil, err
		}
		v.ServiceConnections = append(v.ServiceConnections, s)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, u := range asked {
		s := v.ServiceConnections[i]
		s.findRivals(all)
		g.Go(func() error { return read.objects(ctx, s, u) })
	}
	namespaces := map[string][]*ServiceConnection{}
	for _, s := range v.ServiceConnections {
		namespaces[s.Namespace] = append(namespaces[s.Namespace], s)
	}
	for ns, scs := range namespaces {
		g.Go(func() error { return read.pods(ctx, ns, scs) })
	}
	if err := g.Wait(); err != nil {
		return nil, err //nolint:wrapcheck // Each is wrapped where it comes from.
	}
	v.Unread = read.sentences()
	return v, nil
}

// A reading in progress.
type reading struct {
	Reader

	mu     sync.Mutex
	unread map[unreadKey][]string
}

// An unreadKey joins what could not be read for one reason in one place.
type unreadKey struct{ namespace, why, lost string }

// skip what may not be read, or can't because its kind isn't there. Any other
// error is one of the reading.
func (r *reading) skip(err error, resource, namespace, lost string) error {
	var why string
	switch {
	case apierrors.IsForbidden(err):
		why = "you may not read"
	case meta.IsNoMatchError(err), apierrors.IsNotFound(err):
		why = "the cluster no longer has"
	default:
		return cluster.Explain("read "+resource, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	key := unreadKey{namespace: namespace, why: why, lost: lost}
	r.unread[key] = append(r.unread[key], resource)
	return nil
}

func (r *reading) sentences() []string {
	all := make([]string, 0, len(r.unread))
	for k, resources := range r.unread {
		slices.Sort(resources)
		where := "in the whole cluster"
		if k.namespace != "" {
			where = fmt.Sprintf("in namespace %q", k.namespace)
		}
		all = append(all, fmt.Sprintf("%s %s %s, so %s", k.why, joined(slices.Compact(resources)), where, k.lost))
	}
	slices.Sort(all)
	return all
}

func joined(words []string) string {
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

// serviceConnections that were asked for, and all of their namespaces, among which
// there may be some that name the same workloads.
func (r *reading) serviceConnections(ctx context.Context, namespace, name string) (asked, all []*unstructured.Unstructured, err error) {
	client := r.Client.Resource(cluster.ServiceConnections).Namespace(namespace)
	if name != "" {
		u, err := client.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, nil, cluster.Explain(fmt.Sprintf("read ServiceConnection %q in namespace %q", name, namespace), err)
		}
		asked = append(asked, u)
	}
	all, err = list(ctx, client, metav1.ListOptions{})
	switch {
	case err == nil && name == "":
		return all, all, nil
	case err == nil:
		return asked, all, nil
	case name == "":
		where := "in the whole cluster"
		if namespace != "" {
			where = fmt.Sprintf("in namespace %q", namespace)
		}
		return nil, nil, cluster.Explain("list ServiceConnections "+where, err)
	default:
		err = r.skip(err, "other ServiceConnections", namespace, "it is not known whether one of them names the same workload")
		return asked, nil, err
	}
}

// findRivals among all ServiceConnections.
func (s *ServiceConnection) findRivals(all []*unstructured.Unstructured) {
	for _, u := range all {
		if u.GetNamespace() != s.Namespace || u.GetName() == s.Name {
			continue
		}
		other, err := Of(connection.Builtin(), u)
		if err != nil {
			// What can't be read injects nothing.
			continue
		}
		for i := range s.Services {
			for _, o := range other.Services {
				if o.Workload == s.Services[i].Workload {
					s.Services[i].Rivals = append(s.Services[i].Rivals, Rival{ServiceConnection: other.Name, Service: o.Name})
				}
			}
		}
	}
}

// list all objects, in pieces.
func list(ctx context.Context, client dynamic.ResourceInterface, o metav1.ListOptions) ([]*unstructured.Unstructured, error) {
	var all []*unstructured.Unstructured
	err := pager.New(pager.SimplePageFunc(func(o metav1.ListOptions) (runtime.Object, error) {
		return client.List(ctx, o)
	})).EachListItem(ctx, o, func(o runtime.Object) error {
		u, ok := o.(*unstructured.Unstructured)
		if !ok {
			return fmt.Errorf("the API server answered with a %T", o)
		}
		all = append(all, u)
		return nil
	})
	if err != nil {
		return nil, err //nolint:wrapcheck // Whoever asks for the list says of what.
	}
	return all, nil
}

// pods of a namespace's ServiceConnections.
func (r *reading) pods(ctx context.Context, namespace string, scs []*ServiceConnection) error {
	all, err := list(ctx, r.Client.Resource(pods).Namespace(namespace), metav1.ListOptions{})
	if err != nil {
		return r.skip(err, "pods", namespace, "it is not known whether they have their connections")
	}
	running := slices.DeleteFunc(all, ended)
	named := make([]workload.Naming, len(running))
	for i, u := range running {
		named[i] = workload.NamingOf(u)
	}
	for _, s := range scs {
		for i := range s.Services {
			svc := &s.Services[i]
			svc.PodsRead = true
			for j, u := range running {
				if named[j].Names(s.Name, svc.Name, svc.Workload) {
					svc.Pods = append(svc.Pods, podOf(u, s.Name, svc))
				}
			}
		}
	}
	return nil
}

// A reference to a composed object.
type reference struct{ apiVersion, kind, namespace, name string }

// objects that Crossplane composed for a ServiceConnection.
func (r *reading) objects(ctx context.Context, s *ServiceConnection, u *unstructured.Unstructured) error {
	composite, err := r.composite(ctx, u)
	if err != nil || composite == nil {
		return err
	}
	s.synced(composite)
	kinds := map[reference][]string{}
	for _, ref := range references(composite) {
		kind := ref
		kind.name = ""
		kinds[kind] = append(kinds[kind], ref.name)
	}
	var mu sync.Mutex
	var found []*unstructured.Unstructured
	var gone []Object
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for kind, names := range kinds {
		g.Go(func() error {
			there, err := r.composed(ctx, kind, composite.GetName())
			if err != nil || there == nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			for _, name := range names {
				if o := there[name]; o != nil {
					found = append(found, o)
					continue
				}
				gone = append(gone, Object{APIVersion: kind.apiVersion, Kind: kind.kind, Namespace: kind.namespace, Name: name})
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("ServiceConnection %q in namespace %q: %w", s.Name, s.Namespace, err)
	}
	s.assign(found)
	s.Others = append(s.Others, gone...)
	s.sortObjects()
	return nil
}

// composite resource of a ServiceConnection: itself, or what was made of it where
// it is a claim. Nil where there is none yet or it may not be read.
func (r *reading) composite(ctx context.Context, u *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	ref, ok, _ := unstructured.NestedStringMap(u.Object, "spec", "resourceRef")
	if !ok {
		return u, nil
	}
	gvk := schema.FromAPIVersionAndKind(ref["apiVersion"], ref["kind"])
	m, err := r.Mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err == nil {
		var composite *unstructured.Unstructured
		if composite, err = r.Client.Resource(m.Resource).Get(ctx, ref["name"], metav1.GetOptions{}); err == nil {
			return composite, nil
		}
	}
	return nil, r.skip(err, fmt.Sprintf("%s %q", ref["kind"], ref["name"]), "", "the objects that are composed for the ServiceConnection are not shown")
}

// synced takes over why Crossplane can't work on a composite resource that a claim
// made, since the claim's own condition is about the claim alone.
func (s *ServiceConnection) synced(composite *unstructured.Unstructured) {
	for _, c := range conditions(composite.Object) {
		if c.Type != "Synced" || c.Status != "False" || s.Condition(c.Type).Status == "False" {
			continue
		}
		s.Conditions = slices.DeleteFunc(s.Conditions, func(o Condition) bool { return o.Type == c.Type })
		s.Conditions = append(s.Conditions, c)
	}
}

// references of a composite resource to what is composed for it: in the field
// crossplane, or where it is cluster-scoped and a claim made it, beside it.
func references(composite *unstructured.Unstructured) []reference {
	list, ok, _ := unstructured.NestedSlice(composite.Object, "spec", "crossplane", "resourceRefs")
	if !ok {
		list, _, _ = unstructured.NestedSlice(composite.Object, "spec", "resourceRefs")
	}
	var refs []reference
	for _, v := range list {
		m, _ := v.(map[string]any)
		text := func(k string) string { s, _ := m[k].(string); return s }
		ref := reference{apiVersion: text("apiVersion"), kind: text("kind"), namespace: text("namespace"), name: text("name")}
		if composite.GetNamespace() != "" {
			ref.namespace = composite.GetNamespace()
		}
		// The name is empty until the object is made.
		if ref.name != "" {
			refs = append(refs, ref)
		}
	}
	return refs
}

// composed objects of a kind by their name. Nil where they can't be read.
func (r *reading) composed(ctx context.Context, kind reference, composite string) (map[string]*unstructured.Unstructured, error) {
	gvk := schema.FromAPIVersionAndKind(kind.apiVersion, kind.kind)
	m, err := r.Mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	resource := kind.kind
	var all []*unstructured.Unstructured
	if err == nil {
		resource = m.Resource.GroupResource().String()
		// Crossplane sets the label on all that it composes (crossplane-runtime,
		// xcrd.LabelKeyNamePrefixForComposed).
		all, err = list(ctx, r.Client.Resource(m.Resource).Namespace(kind.namespace), metav1.ListOptions{LabelSelector: "crossplane.io/composite=" + composite})
	}
	if err != nil {
		if errors.Is(err, context.Canceled) {
			return nil, fmt.Errorf("cannot read %s: %w", resource, err)
		}
		return nil, r.skip(err, resource, kind.namespace, "their own state is not shown")
	}
	there := make(map[string]*unstructured.Unstructured, len(all))
	for _, u := range all {
		there[u.GetName()] = u
	}
	return there, nil
}

// assign the objects to the connections and services that need them, as the
// function noted on each.
func (s *ServiceConnection) assign(found []*unstructured.Unstructured) {
	for _, u := range found {
		o := objectOf(u)
		needed := false
		for _, need := range connection.Needs(u.Object) {
			needed = s.add(need, o) || needed
		}
		if !needed {
			s.Others = append(s.Others, o)
		}
	}
}

func (s *ServiceConnection) add(need connection.Need, o Object) bool {
	for i := range s.Services {
		svc := &s.Services[i]
		if svc.Name != need.Service {
			continue
		}
		if need.Type == "" {
			svc.Objects = append(svc.Objects, o)
			return true
		}
		for j := range svc.Connections {
			if svc.Connections[j].ID() == need.Connection() {
				svc.Connections[j].Objects = append(svc.Connections[j].Objects, o)
				return true
			}
		}
	}
	return false
}

func (s *ServiceConnection) sortObjects() {
	lists := []*[]Object{&s.Others}
	for i := range s.Services {
		lists = append(lists, &s.Services[i].Objects)
		for j := range s.Services[i].Connections {
			lists = append(lists, &s.Services[i].Connections[j].Objects)
		}
	}
	for _, l := range lists {
		slices.SortFunc(*l, compareObjects)
	}
}

// Names of the ServiceConnections in a namespace.
func (r Reader) Names(ctx context.Context, namespace string) ([]string, error) {
	all, err := list(ctx, r.Client.Resource(cluster.ServiceConnections).Namespace(namespace), metav1.ListOptions{})
	names := make([]string, 0, len(all))
	for _, u := range all {
		names = append(names, u.GetName())
	}
	return names, err
}
