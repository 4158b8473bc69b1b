package plan

import (
	"slices"

	"github.com/serviceconnections/function-service-connections/fn/connection"
)

// grants are what is composed for the wishes, each object once, whoever needs
// it. Crossplane can apply all of them: it stops at the first object that it
// can't apply, and writes no status then.
type grants struct {
	*wishes

	// connections of all wishes: which of them have their grants, and what is
	// the matter with the others.
	connections []granted

	// composed grants by key.
	composed map[string]grant

	requires requirements
}

// A granted connection is a wish after it was asked whether its objects can be
// applied.
type granted struct {
	wish

	// blocked says what is the matter with an object of the connection, which
	// it has its other grants in spite of.
	blocked connection.Verdict
}

// A grant that is composed, and who needs it.
type grant struct {
	object map[string]any
	needs  []connection.Need
	ready  bool
}

// of a service are its connections.
func (gs *grants) of(s *service) []granted {
	return gs.connections[gs.first[s.index]:gs.first[s.index+1]]
}

// grantWishes that may be granted, as far as their objects can be applied.
func grantWishes(ws *wishes) *grants {
	gs := &grants{wishes: ws, connections: make([]granted, len(ws.all)), composed: map[string]grant{}}
	for i, w := range ws.all {
		c := granted{wish: w}
		if !gs.ask(w) {
			c.blocked = unanswered
		}
		var composable []connection.Grant
		if w.granted {
			c, composable = gs.composable(c)
			gs.foresee(w)
		}
		for _, g := range c.Grants {
			if v := connection.PausedOf(ws.Observed.Object(g.Key)); v.Reason != "" {
				c.warnings = slices.Concat(c.warnings, []connection.Verdict{v})
			}
		}
		for _, g := range composable {
			as, ok := gs.composed[g.Key]
			if !ok {
				as = grant{object: g.Object, ready: connection.Ready(ws.Observed.Object(g.Key))}
			}
			as.needs = append(as.needs, w.need())
			gs.composed[g.Key] = as
		}
		gs.connections[i] = c
	}
	return gs
}

// ask for all that a wish has to see, and say whether all of it is answered.
func (gs *grants) ask(w wish) (answered bool) {
	answered = true
	for _, r := range w.Requires {
		if _, known := gs.requires.require(gs.Observed, r); !known {
			answered = false
		}
	}
	return answered
}

// foresee what a wish awaits: whether it may be composed is asked ahead, and what comes
// of that counts once it is there.
func (gs *grants) foresee(w wish) {
	for _, g := range w.Awaits {
		_, _ = gs.mayCompose(g)
	}
}

// composable grants of a connection. One whose object somebody else has refuses
// the whole connection: that claim or step has what it asks for, and the pods get
// nothing of it.
func (gs *grants) composable(c granted) (granted, []connection.Grant) {
	grants := make([]connection.Grant, 0, len(c.Grants))
	var taken connection.Verdict
	for _, g := range c.Grants {
		v, isTaken := gs.mayCompose(g)
		switch {
		case v.Reason == "":
			grants = append(grants, g)
		case isTaken && !g.Data:
			taken = connection.First(taken, v)
		default:
			c.blocked = connection.First(c.blocked, v)
		}
	}
	if taken.Reason != "" {
		c.wish = c.refused(connection.First(c.blocked, taken))
		return c, nil
	}
	return c, grants
}

// mayCompose says why a grant can't be applied, and whether because somebody
// else has the object: is the kind installed, and is the name free?
func (gs *grants) mayCompose(g connection.Grant) (v connection.Verdict, taken bool) {
	switch {
	case gs.Desired[g.Key]:
		return keyTaken(g), true
	case gs.Observed.Object(g.Key) != nil:
		return connection.Verdict{}, false
	}
	if v := gs.served(g.Kind); v.Reason != "" {
		return v, false
	}
	name, _ := connection.Name(g.Object)
	there, known := gs.called(g, name)
	former, asked := gs.former(g)
	if there == nil && former != nil {
		there, name = former, g.Former.Name
	}
	switch {
	case !known || !asked:
		return unanswered, false
	case former != nil && connection.ComposedAs(former, gs.Claim.UID, g.Former.Key):
		// Crossplane has let go of it already.
		return connection.Verdictf(connection.Creating, "%s %q still has what this grants, and a new one is made once it is gone; if it stays, ask the platform team to delete it", g.Kind.Kind, g.Former.Name), false
	case there == nil || connection.ComposedAs(there, gs.Claim.UID, g.Key):
		return connection.Verdict{}, false
	case g.Data:
		return connection.Verdictf(connection.Creating, "%s %q exists and %s; the disk is used as soon as its volume claim is there", g.Kind.Kind, name, owner(there)), true
	default:
		return connection.Verdictf(connection.ServiceAccountConflict, "%s %q exists and %s; one claim only can grant this to a ServiceAccount, so use another serviceAccountName, or remove the connection there", g.Kind.Kind, name, owner(there)), true
	}
}

// served says why the API server doesn't serve a kind, as far as that is known.
func (gs *grants) served(k connection.Kind) connection.Verdict {
	if k.CRD == "" || gs.installed[kind{k.APIVersion, k.Kind}] {
		return connection.Verdict{}
	}
	crd, known := gs.requires.require(gs.Observed, connection.CRDRequirement(k.CRD))
	if !known {
		return unanswered
	}
	v := connection.Served(crd, k)
	if crd != nil {
		return v
	}
	return connection.First(gs.activated(k), v)
}

// activated says why a kind has no CustomResourceDefinition, where a provider has it.
// What says so is asked for only now: it is large, and Crossplane may be too old for it.
func (gs *grants) activated(k connection.Kind) connection.Verdict {
	crd, known := gs.requires.require(gs.Observed, connection.CRDRequirement(connection.ManagedDefinition.CRD))
	switch {
	case !known:
		return unanswered
	case connection.Served(crd, connection.ManagedDefinition).Reason != "":
		return connection.Verdict{}
	}
	definition, known := gs.requires.require(gs.Observed, connection.ManagedDefinitionRequirement(k))
	if !known {
		return unanswered
	}
	return connection.Activated(definition, k)
}

// called is the object of that name where a grant's object is to be.
func (gs *grants) called(g connection.Grant, name string) (there map[string]any, known bool) {
	_, namespace := connection.Name(g.Object)
	return gs.requires.require(gs.Observed, connection.Requirement{APIVersion: g.Kind.APIVersion, Kind: g.Kind.Kind, Namespace: namespace, Name: name})
}

// former is the object of a grant as it was called when hashes were shorter, nil where
// there is none that is the same grant. Where one that isn't is observed under its key,
// it isn't there either.
func (gs *grants) former(g connection.Grant) (there map[string]any, known bool) {
	f := g.Former
	if f.Name == "" || gs.Observed.Object(f.Key) != nil {
		return nil, true
	}
	there, known = gs.called(g, f.Name)
	if !f.Is(there, gs.Claim.Namespace) {
		return nil, known
	}
	return there, known
}

// ready says whether all grants of a connection are.
func (gs *grants) ready(w wish) bool {
	return !slices.ContainsFunc(w.Grants, func(g connection.Grant) bool {
		return !connection.Ready(gs.Observed.Object(g.Key))
	})
}
