package graph

import (
	"fmt"
	"slices"
	"strings"

	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/plugin/live"
)

// Of a ServiceConnection, as far as it is known: from a file alone it is what the
// claim asks for.
func Of(types *connection.Catalog, s *live.ServiceConnection) *Graph {
	title := s.Name
	if s.Namespace != "" {
		title = s.Namespace + "/" + s.Name
	}
	b := builder{types: types, Graph: &Graph{Title: clean(title)}, places: map[string]int{}}
	root := b.node("claim", node{Stage: stageClaim, Kind: "ServiceConnection", Name: title})
	for i := range s.Services {
		b.service(root, s, &s.Services[i])
	}
	for _, typ := range []string{"SettingsResolved", "Valid", "Synced"} {
		if c := s.Condition(typ); c.Status == "False" {
			n := &b.Nodes[root]
			n.State, n.Reason, n.Message = blocked, clean(c.Reason), clean(c.Message)
			break
		}
	}
	return b.Graph
}

// A builder of a graph joins what several services share.
type builder struct {
	*Graph

	types *connection.Catalog

	// places of nodes by what they are.
	places map[string]int
}

// node of a key, added unless it is there.
func (b *builder) node(key string, n node) int {
	i, ok := b.places[key]
	if !ok {
		i = b.add(n)
		b.places[key] = i
		return i
	}
	b.worsen(i, n.State, n.Reason, n.Message)
	return i
}

// worsen the state of a node, unless a worse thing was said of it, or the same with
// its reason.
func (b *builder) worsen(i int, state state, reason, message string) {
	if n := &b.Nodes[i]; state > n.State || state == n.State && n.Reason == "" {
		n.State, n.Reason, n.Message = state, clean(reason), clean(message)
	}
}

func (b *builder) service(root int, sc *live.ServiceConnection, s *live.Service) {
	kind := "service"
	if s.Workload.Kind != "Deployment" || s.Workload.Name != s.Name {
		kind += ", " + s.Workload.Kind + " " + s.Workload.Name
	}
	svc := b.node("service "+s.Name, node{Stage: stageService, Kind: kind, Name: s.Name})
	b.connect(root, svc)
	for i := range s.Connections {
		said := saidOf(sc, &s.Connections[i])
		b.connection(svc, s, &s.Connections[i], said)
		b.worsen(svc, said.State, "", "")
	}
	if missing := withoutInjection(s); missing > 0 {
		b.worsen(svc, blocked, "restart", fmt.Sprintf("%d of %d pods run without the published injection", missing, len(s.Pods)))
	}
	for _, r := range s.Rivals {
		b.worsen(svc, blocked, "named twice", fmt.Sprintf("service %q of ServiceConnection %q names the same workload", r.Service, r.ServiceConnection))
	}
	b.worsen(root, b.Nodes[svc].State, "", "")
}

// withoutInjection counts the pods that lack what is published.
func withoutInjection(s *live.Service) int {
	n := 0
	for _, p := range s.Pods {
		if p.State != live.PodCurrent && p.State != live.PodUnknown {
			n++
		}
	}
	return n
}

// saidOf a connection by the status.
func saidOf(sc *live.ServiceConnection, c *live.Connection) node {
	switch {
	case c.Status == nil && len(sc.Conditions) == 0:
		return node{State: notKnown}
	case c.Status == nil:
		return node{State: waiting, Reason: "Pending", Message: "the status says nothing of it yet"}
	case c.Status.Ready:
		return node{State: ready, Reason: c.Status.Reason, Message: c.Status.Message}
	case c.Status.Reason == string(connection.Creating):
		return node{State: waiting, Reason: c.Status.Reason, Message: c.Status.Message}
	default:
		return node{State: blocked, Reason: c.Status.Reason, Message: c.Status.Message}
	}
}

// connection of a service: the credential that it goes by, and what that leads to.
func (b *builder) connection(svc int, s *live.Service, c *live.Connection, said node) {
	route := b.routeOf(c, s)
	if route.Credential == "" {
		// The pods need no credential for it.
		for _, step := range route.Steps {
			said.Stage, said.Kind, said.Name = stageIdentity, step.Kind, step.Name
			b.connect(svc, b.node(step.Kind+" "+step.Name, said))
		}
		return
	}
	account := b.node("account "+s.ServiceAccount, accountOf(s))
	b.connect(svc, account)

	said.Stage, said.Kind, said.Name = stageCredential, route.Credential, c.ID().String()
	from := b.node(strings.Join([]string{"credential", s.ServiceAccount, route.Credential, route.Steps[0].Name}, " "), said)
	b.join(from, clean(c.ID().String()))
	b.connect(account, from)
	b.worsenBy(from, find(c.Objects, route.Credential))
	for i, step := range route.Steps {
		n := node{Stage: stageIdentity + stage(i), Kind: step.Kind, Name: step.Name, State: said.State}
		o := find(c.Objects, step.Object)
		switch {
		case o != nil:
			// What the object says of itself is nearer than the connection.
			n.State = ready
		case said.State == blocked:
			// The credential shows it; whether what it leads to is there can't be
			// told.
			n.State = notKnown
		}
		// An identity that another one leads to stands behind it, so that edges go
		// from left to right.
		to := b.node(fmt.Sprintf("step %d %s %s", i, step.Kind, step.Name), n)
		b.worsenBy(to, o)
		b.connect(from, to)
		from = to
	}
}

// join the names of connections that share a credential.
func (b *builder) join(i int, name string) {
	if n := &b.Nodes[i]; !slices.Contains(strings.Split(n.Name, ", "), name) {
		n.Name += ", " + name
	}
}

// worsenBy what a composed object says of itself, where there is one.
func (b *builder) worsenBy(i int, o *live.Object) {
	switch {
	case o == nil || o.Ready:
	case o.Reason == "" || o.Reason == "Creating":
		b.worsen(i, waiting, o.Reason, o.Message)
	default:
		b.worsen(i, blocked, o.Reason, o.Message)
	}
}

func find(objects []live.Object, kind string) *live.Object {
	for i := range objects {
		if kind != "" && objects[i].Kind == kind {
			return &objects[i]
		}
	}
	return nil
}

// accountOf a service.
func accountOf(s *live.Service) node {
	n := node{Stage: stageServiceAccount, Kind: "ServiceAccount", Name: s.ServiceAccount}
	if find(s.Objects, "ServiceAccount") != nil || s.Injection != nil {
		// The injection is published once the ServiceAccount is there.
		n.State = ready
	}
	return n
}

// routeOf a connection, by its type.
func (b *builder) routeOf(c *live.Connection, s *live.Service) connection.Route {
	d := connection.Drawn{Connection: c.Connection, Injection: s.Injection, Composed: func(kind string) bool { return find(c.Objects, kind) != nil }}
	if c.Status != nil {
		d.Identity = c.Status.Identity
	}
	if r, ok := b.types.Route(d); ok {
		return r
	}
	// A claim that pre-dates the schema may hold anything.
	return connection.Route{Credential: "unknown", Steps: []connection.Step{{Kind: "unknown", Name: c.ID().String()}}}
}
