package connection

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/settings"
	"github.com/serviceconnections/function-service-connections/fn/workload"
)

// A Type of connection. It is all that there is to know of one: everything that
// isn't about a single type works from this value.
type Type struct {
	// Type as a claim has it: its name, and its fields with what must be in them.
	claim.Type

	// Family of the identity that a connection of the type grants. Nil where it
	// grants none.
	Family *Family

	// Grants that a connection of the type may need.
	Grants []*GrantKind

	// Data is the key of the composed resource that holds a connection's data,
	// whoever composes it. Nil for connections that have none.
	Data func(claim.Connection) string

	// Injects says what a connection of the type may inject. What it doesn't name
	// reaches no pod that takes its injection as it is created.
	Injects workload.Forms

	// GoesOn says whether a connection may go on with the part of an injection that was
	// published for one of another name, which is then called by its own: pods must not
	// reach one thing by the name of another. Nil where what they get tells them apart by
	// itself.
	GoesOn func(part claim.Injection, as claim.Connection) bool

	// Expand a connection of the type, which is valid.
	Expand func(Context) Expansion

	// Published says what an allow-list makes of the part of an injection that was
	// published for a connection of the type. Nil where the part doesn't tell what it
	// gives.
	Published func(s *settings.Settings, namespace, serviceAccount string, part claim.Injection) settings.Decision

	// Route of a connection of the type, for a picture of it.
	Route func(Drawn) Route
}

// A Catalog of the connection types that there are.
type Catalog struct {
	types    []*Type
	schema   *claim.Schema
	families []*Family

	// grants by the name in a composed resource's key, and those that are keyed by
	// what holds the data.
	grants     map[string]*catalogued
	dataGrants []*catalogued
}

// catalogued is a grant with the types that may need it. None: the service itself
// does.
type catalogued struct {
	*GrantKind

	family *Family
	types  []claim.ConnectionType
}

// builtin are the connection types. A new one is a file beside this, and its name
// here.
var builtin = NewCatalog(&awsRole, &azureManagedIdentity, &cloudSQL, &disk, &gcpServiceAccount)

// Forms of all that connections inject.
func (c *Catalog) Forms() workload.Forms {
	f := workload.Forms{Env: map[string]string{}, Labels: map[string]string{}, Tokens: map[string]workload.Token{}}
	for _, t := range c.types {
		maps.Copy(f.Env, t.Injects.Env)
		f.Variables = append(f.Variables, t.Injects.Variables...)
		maps.Copy(f.Labels, t.Injects.Labels)
		maps.Copy(f.Tokens, t.Injects.Tokens)
		f.Disk, f.Most = cmp.Or(f.Disk, t.Injects.Disk), cmp.Or(f.Most, t.Injects.Most)
		if t.Injects.Sidecar.Name != "" {
			f.Sidecar = t.Injects.Sidecar
		}
	}
	return f
}

// Builtin connection types.
func Builtin() *Catalog { return builtin }

// NewCatalog of types, in the order of the documentation.
func NewCatalog(types ...*Type) *Catalog {
	c := &Catalog{types: types, grants: map[string]*catalogued{serviceAccountGrant.Name: {GrantKind: &serviceAccountGrant}}}
	read := make([]claim.Type, len(types))
	for i, t := range types {
		read[i] = t.Type
		if t.Family != nil && !slices.Contains(c.families, t.Family) {
			c.families = append(c.families, t.Family)
		}
		for _, g := range t.Grants {
			c.add(g, t)
		}
	}
	c.schema = claim.NewSchema(read...)
	return c
}

func (c *Catalog) add(g *GrantKind, t *Type) {
	known, ok := c.grants[g.Name]
	if !ok {
		known = &catalogued{GrantKind: g, family: t.Family}
		c.grants[g.Name] = known
		if g.Data {
			c.dataGrants = append(c.dataGrants, known)
		}
	}
	known.types = append(known.types, t.Name)
}

// Schema of the claims that may have these connections.
func (c *Catalog) Schema() *claim.Schema { return c.schema }

// Families of the types' identities.
func (c *Catalog) Families() []*Family { return c.families }

// typeOf a name, nil where there is none.
func (c *Catalog) typeOf(name claim.ConnectionType) *Type {
	for _, t := range c.types {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// FamilyOf a connection type, nil for one that grants no identity.
func (c *Catalog) FamilyOf(name claim.ConnectionType) *Family {
	if t := c.typeOf(name); t != nil {
		return t.Family
	}
	return nil
}

// AnnotationFamily of a ServiceAccount's annotation that grants an identity, nil
// for all others.
func (c *Catalog) AnnotationFamily(key string) *Family {
	for _, f := range c.families {
		if f.annotates(key) {
			return f
		}
	}
	return nil
}

// ReadsAnnotation says whether a key is that of an annotation by which connections, or
// who needs it, are told of a ServiceAccount or volume claim.
func (c *Catalog) ReadsAnnotation(key string) bool {
	f := c.AnnotationFamily(key)
	return key == resourceName || key == NeededBy || f != nil && slices.Contains(f.Keys, key)
}

// OfTeams says whether a composed resource's key is of what teams may write, too: a
// ServiceAccount, or a volume claim.
func (c *Catalog) OfTeams(key string) bool {
	return strings.HasSuffix(key, "."+serviceAccountGrant.Name) ||
		slices.ContainsFunc(c.dataGrants, func(g *catalogued) bool { return strings.HasPrefix(key, g.Name+".") })
}

// Data is the key of the composed resource that holds a connection's data, empty
// where it has none.
func (c *Catalog) Data(of claim.Connection) string {
	if t := c.typeOf(of.Type); t != nil && t.Data != nil {
		return t.Data(of)
	}
	return ""
}

// Expand a connection.
func (c *Catalog) Expand(ctx Context) Expansion {
	t := c.typeOf(ctx.Connection.Type)
	e := t.Expand(ctx)
	e.Family = t.Family
	return e
}

// Published part of an injection that is a connection's by the status that was published
// with it, in the forms that such connections inject, what an allow-list says of it, and
// whether it is of them. It is Absent where the part doesn't tell what it gives.
func (c *Catalog) Published(s *settings.Settings, namespace string, of *claim.ConnectionStatus, whole claim.Injection) (part claim.Injection, d settings.Decision, ok bool) {
	t := c.typeOf(of.Type)
	if t == nil {
		return claim.Injection{}, settings.Absent, false
	}
	part, ok = t.Injects.Part(whole, of.Name, of.Env)
	if ok && t.Published != nil {
		d = t.Published(s, namespace, whole.ServiceAccountName, part)
	}
	return part, d, ok
}

// GoesOn says whether a connection may go on with one of its type that was published under
// another name.
func (c *Catalog) GoesOn(was *claim.ConnectionStatus, published claim.Injection, as claim.Connection) bool {
	t := c.typeOf(as.Type)
	if t == nil || t.GoesOn == nil {
		return true
	}
	part, ok := t.Injects.Part(published, was.Name, was.Env)
	return ok && t.GoesOn(part, as)
}

// Renamed is a part of an injection that was published for a connection, as the one has
// it that goes on with it under another name.
func (c *Catalog) Renamed(part claim.Injection, from *claim.ConnectionStatus, to claim.ConnectionID) claim.Injection {
	if t := c.typeOf(to.Type); t != nil && from.Name != to.Name {
		return t.Injects.Renamed(part, from.Name, to.Name, from.Env)
	}
	return part
}

// Annotates says whether all that connections of a type give pods is the annotation of
// their ServiceAccount: they inject nothing.
func (c *Catalog) Annotates(name claim.ConnectionType) bool {
	t := c.typeOf(name)
	if t == nil || t.Family == nil {
		return false
	}
	f := t.Injects
	return len(f.Env)+len(f.Labels)+len(f.Tokens) == 0 && f.Disk == "" && f.Sidecar.Name == ""
}

// Route of a connection, for a picture of it. A claim that pre-dates the schema may
// hold types that aren't known.
func (c *Catalog) Route(d Drawn) (Route, bool) {
	t := c.typeOf(d.Type)
	if t == nil {
		return Route{}, false
	}
	return t.Route(d), true
}

// Kinds of all objects that connections may need to be composed, each in the order
// of its types.
func (c *Catalog) Kinds() []Kind {
	kinds := []Kind{serviceAccountKind}
	for _, t := range c.types {
		for _, g := range t.Grants {
			for _, k := range g.Kinds {
				for _, in := range []Kind{k.namespaced, k.cluster} {
					if !slices.Contains(kinds, in) {
						kinds = append(kinds, in)
					}
				}
			}
		}
	}
	return kinds
}

// Foreseen are the kinds that a connection of a type composes whatever the settings say,
// or nearly so: neither what holds data, nor what is a part of something else.
func (c *Catalog) Foreseen(name claim.ConnectionType, namespaced bool) []Kind {
	t := c.typeOf(name)
	if t == nil {
		return nil
	}
	var kinds []Kind
	for _, g := range t.Grants {
		if g.Data || g.PartOf != nil {
			continue
		}
		for _, k := range g.Kinds {
			if in := k.of(namespaced); !slices.Contains(kinds, in) {
				kinds = append(kinds, in)
			}
		}
	}
	return kinds
}

// Manages says whether an object is a managed resource that connections may need.
func (c *Catalog) Manages(object map[string]any) bool {
	return slices.ContainsFunc(c.Kinds(), func(k Kind) bool { return k.CRD != "" && k.is(object) })
}

// Reported is what a provider reports of a composed resource once it is done, the
// fields of its status.atProvider, as far as they can be known without a cloud.
func (c *Catalog) Reported(k Known, object map[string]any) map[string]any {
	for _, t := range c.types {
		for _, g := range t.Grants {
			if g.Reports != nil && g.is(object) {
				return g.Reports(k, object)
			}
		}
	}
	return map[string]any{}
}

// Known is what is known of a cloud where there is none.
type Known struct {
	// Settings of the cluster.
	Settings *settings.Settings

	// Guess what only the cloud knows of something, such as a client id.
	Guess func(what, of string) string
}
