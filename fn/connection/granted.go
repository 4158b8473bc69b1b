package connection

import (
	"slices"
	"strings"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/settings"
)

// A GrantKind is a kind of grant: what a connection may need to have composed.
type GrantKind struct {
	// Name of the grant in a composed resource's key. It is for life: an object
	// whose key has another name is nobody's.
	Name string

	// Kinds of the object, of which it is one.
	Kinds []managedKind

	// Many says that a ServiceAccount may have several of them at once, each with
	// a name of its own after the grant's, in its key.
	Many bool

	// Target is which identity an object grants by its own spec, and what the
	// cluster's allow-list says of it. Nil where the object grants none, and so
	// can't be revoked.
	Target func(s *settings.Settings, namespace string, object map[string]any) (string, settings.Decision)

	// PartOf is the IAM name of the role that the object is a part of. Nil for
	// what can be there without one.
	PartOf func(object map[string]any) string

	// Data says that the object holds a user's data. Its key is that of the data,
	// and not of a ServiceAccount.
	Data bool

	// Called is the external name of an object where the cloud gives it, or a
	// provider makes it: as the object's own spec has it, or the provider's report.
	// Empty while nothing tells. Nil where the function chooses the name.
	Called func(object map[string]any) string

	// handsOver is how an object gets the name of what its provider made for it and
	// couldn't write down. Nil where the function knows the name from the beginning.
	handsOver *handOver

	// Passing says that the object stands for nothing, and goes as soon as it isn't
	// composed any more.
	Passing bool

	// Reports is what the provider says of the object in status.atProvider, as far
	// as it can be known without a cloud. Nil: nothing that the function reads.
	Reports func(k Known, object map[string]any) map[string]any
}

// is says whether an object is of one of the grant's kinds.
func (g *GrantKind) is(object map[string]any) bool {
	return slices.ContainsFunc(g.Kinds, func(k managedKind) bool { return k.is(object) })
}

// Granted is an observed composed resource of ours, as its key and its own spec
// tell it, whatever the claim says now.
type Granted struct {
	// Key of the composed resource.
	Key string

	// ServiceAccount that the object is for, empty for a disk.
	ServiceAccount string

	// Family of identities that the object grants or observes, nil for others.
	Family *Family

	// Identity says that the object grants an identity, Target which one, and
	// Decision what the cluster's allow-list says of it.
	Identity bool
	Target   string
	Decision settings.Decision

	// PartOf is the IAM name of the role that the object is a part of, empty for
	// all else.
	PartOf string

	// Data says that the object holds a user's data.
	Data bool

	// Passing says that the object goes as soon as it isn't composed any more.
	Passing bool

	// Types of connections that may need the object. None: the service itself
	// does.
	Types []claim.ConnectionType
}

// GrantedBy tells an observed composed resource of ours from those of other
// pipeline steps, by its key and kind.
func (c *Catalog) GrantedBy(s *settings.Settings, namespace, key string, object map[string]any) (Granted, bool) {
	gk, serviceAccount := c.grantOf(key, object)
	if gk == nil {
		return Granted{}, false
	}
	g := Granted{Key: key, ServiceAccount: serviceAccount, Family: gk.family, Data: gk.Data, Passing: gk.Passing, Types: gk.types}
	if gk.PartOf != nil {
		g.PartOf = gk.PartOf(object)
	}
	if gk.Target != nil {
		g.Identity = true
		g.Target, g.Decision = gk.Target(s, namespace, object)
	}
	return g, true
}

// Misplaced says of an observed composed resource that its key isn't its own: it is
// another kind's, or nobody's. Somebody has given it that key, which is an annotation. Of
// two objects of one key Crossplane sees one, and forgets the other as soon as
// the function answers, so that what it grants would stay for ever.
func (c *Catalog) Misplaced(key string, object map[string]any) bool {
	if g, _ := c.grantOf(key, object); g != nil || !c.composes(object) {
		return false
	}
	if g, _ := c.grantNamed(key); g != nil || Annotation(object, NeededBy) != "" {
		return true
	}
	return slices.ContainsFunc(c.dataGrants, func(g *catalogued) bool { return strings.HasPrefix(key, g.Name+".") })
}

// composes objects of this kind.
func (c *Catalog) composes(object map[string]any) bool {
	for _, g := range c.grants {
		if g.is(object) {
			return true
		}
	}
	return slices.ContainsFunc(c.dataGrants, func(g *catalogued) bool { return g.is(object) })
}

// grantOf a composed resource, by its key and kind, and the ServiceAccount that it
// is for. Nil: it isn't one of ours.
func (c *Catalog) grantOf(key string, object map[string]any) (g *catalogued, serviceAccount string) {
	for _, g := range c.dataGrants {
		if strings.HasPrefix(key, g.Name+".") && g.is(object) {
			return g, ""
		}
	}
	if g, serviceAccount = c.grantNamed(key); g == nil || !g.is(object) {
		return nil, ""
	}
	return g, serviceAccount
}

// grantNamed by a composed resource's key, whatever kind the resource is of, and the
// ServiceAccount that it is for. Nil: the key is none of ours, or that of data.
func (c *Catalog) grantNamed(key string) (g *catalogued, serviceAccount string) {
	rest := key
	if !strings.HasSuffix(key, "."+serviceAccountGrant.Name) {
		// The last part is the hash.
		rest = key[:max(0, strings.LastIndexByte(key, '.'))]
	}
	i := strings.LastIndexByte(rest, '.')
	if i < 0 {
		return nil, ""
	}
	name := rest[i+1:]
	g = c.grants[name]
	if family, _, many := strings.Cut(name, "-"); g == nil && many {
		if g = c.grants[family]; g != nil && !g.Many {
			g = nil
		}
	}
	if g == nil || g.Data {
		return nil, ""
	}
	return g, rest[:i]
}

// NeededBy is the annotation of a composed resource that says who needs it, as
// service/type, or service/type/name where a connection has one, comma separated; a
// ServiceAccount's has services only.
const NeededBy = "serviceconnections.io/needed-by"

// A Need is one connection that needs a composed resource. An empty type is the
// service itself.
type Need struct {
	Service string
	Type    claim.ConnectionType
	Name    string
}

// Connection that needs it, which has no type where the service itself does.
func (n Need) Connection() claim.ConnectionID {
	return claim.ConnectionID{Type: n.Type, Name: n.Name}
}

// String is how NeededBy says it.
func (n Need) String() string {
	if n.Type == "" {
		return n.Service
	}
	return n.Service + "/" + n.Connection().String()
}

// Needs of an observed composed resource. None: it doesn't say.
func Needs(object map[string]any) []Need {
	var needs []Need
	for s := range strings.SplitSeq(Annotation(object, NeededBy), ",") {
		service, id, _ := strings.Cut(s, "/")
		if service != "" {
			by := claim.ParseConnectionID(id)
			needs = append(needs, Need{Service: service, Type: by.Type, Name: by.Name})
		}
	}
	return needs
}

// NeededByAll is what the annotation NeededBy says of needs, in any order and however
// often.
func NeededByAll(needs []Need) string {
	words := make([]string, len(needs))
	for i, n := range needs {
		words[i] = n.String()
	}
	slices.Sort(words)
	return strings.Join(slices.Compact(words), ",")
}
