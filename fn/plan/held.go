package plan

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/workload"
)

// held is what stays as it was published, because what is to replace it doesn't
// work yet: it isn't granted, or something blocks it. So an edit, or a mistake in
// one, takes nothing from the next pod. What is published for the first time
// doesn't wait: pods that come early heal by themselves.
//
// The last status says what was published. It is taken at its word only for shapes
// that the function emits, and for identities that an observed object of ours, or
// the annotation of the ServiceAccount, still grants. What a list revokes isn't
// held.
type held struct {
	*grants

	// services in the order of the claim.
	former []former

	// parts of the published injections by connection, in their order. Nil where
	// the connection's own part, if it has one, takes its place.
	parts []*part
}

// A part of an injection that was published for a connection, and the names that its claim
// gave to variables in it.
type part struct {
	claim.Injection

	env *claim.Variables
}

// A former state of a service, as it was published.
type former struct {
	// injection that was published for the workload, nil where none was.
	injection *claim.Injection

	// account that the pods run as: the one that the service asks for, or that of
	// the injection while it stays.
	account string

	// stays says that the ServiceAccount does, and so all that pods have by it.
	stays bool
}

// hold what is published until its successor works.
func hold(gs *grants) *held {
	hs := &held{grants: gs, former: make([]former, len(gs.services)), parts: make([]*part, len(gs.all))}
	for i := range gs.services {
		s := &gs.services[i]
		hs.former[i].account = s.account.name
		ps := gs.previousOf(s)
		if ps == nil || ps.Injection == nil {
			continue
		}
		hs.former[i].injection = ps.Injection
		hs.former[i].stays = holdService(gs, s, ps, hs.parts[gs.first[i]:gs.first[i+1]])
		if hs.former[i].stays {
			hs.former[i].account = ps.Injection.ServiceAccountName
		}
	}
	return hs
}

// holdService sets the parts that stay of a service's published injection, and
// says whether its ServiceAccount stays too: all connections go over to another one
// together.
func holdService(gs *grants, s *service, ps *claim.ServiceStatus, parts []*part) (stays bool) {
	switches := ps.Injection.ServiceAccountName != s.account.name
	for i, c := range gs.of(s) {
		if works(gs, c) {
			continue
		}
		published, ok := publishedPart(gs, c, ps)
		switch {
		case !ok:
		case switches:
			stays = true
		case c.granted && c.Published && equality.Semantic.DeepEqual(published.Injection, c.Injection) && !changesAnnotations(s.account, c.wish):
			// It is as it was published, whatever is the matter with it now.
		default:
			parts[i] = published
		}
	}
	if holds := stays || slices.ContainsFunc(parts, func(p *part) bool { return p != nil }); holds && !fits(s, *ps.Injection) {
		clear(parts)
		return false
	}
	if stays {
		for i, c := range gs.of(s) {
			parts[i], _ = publishedPart(gs, c, ps)
		}
	}
	return stays
}

// fits says whether a service's workload can take an injection that was published.
// Its pods never had one that it can't.
func fits(s *service, published claim.Injection) bool {
	return s.workload.template == nil || len(workload.Inspect(s.workload.template, published, s.Service)) == 0
}

// publishedPart of a connection in its service's published injection, and whether
// it was there and may still be.
func publishedPart(gs *grants, c granted, ps *claim.ServiceStatus) (*part, bool) {
	i := formerly(gs, c.wish, ps)
	if i < 0 {
		return nil, false
	}
	was, whole := &ps.Connections[i], *ps.Injection
	in, decision, ok := gs.Types.Published(gs.Settings, gs.Claim.Namespace, was, whole)
	if !ok || decision.Revokes() {
		return nil, false
	}
	in = gs.Types.Renamed(in, was, c.id)
	f := gs.Types.FamilyOf(c.id.Type)
	if f != nil && !backed(gs.facts, claimant{whole.ServiceAccountName, f}) {
		return nil, false
	}
	if injectsNothing(in) {
		// All that pods have of it is the ServiceAccount's annotation, or they never
		// had any. Beside what is new, what is held is neither complete nor ready.
		granted := gs.Types.Annotates(c.id.Type) && granting(gs.facts, claimant{whole.ServiceAccountName, f})
		if !whole.Complete && !was.Ready && !granted {
			return nil, false
		}
		if _, _, annotated := f.Identified(gs.Settings, gs.Claim.Namespace, gs.serviceAccount(whole.ServiceAccountName)); !annotated {
			return nil, false
		}
	}
	return &part{in, was.Env}, true
}

// formerly says where the last status of a service has a connection of the claim, or the
// one that it goes on with under another name; below zero where it is new.
func formerly(gs *grants, w wish, ps *claim.ServiceStatus) int {
	i := slices.IndexFunc(ps.Connections, func(cs claim.ConnectionStatus) bool { return cs.ID() == w.id })
	if i >= 0 {
		return i
	}
	return slices.Index(renamed(gs, w.service, w.id.Type, ps), w.id)
}

// renamed says of each connection in the last status of a service which one of the claim
// goes on with it under another name. That can be one of its type only which is new, while
// it is gone: the one of the same identity, or else the first that is left over and may.
func renamed(gs *grants, s *service, typ claim.ConnectionType, ps *claim.ServiceStatus) []claim.ConnectionID {
	goesOn := make([]claim.ConnectionID, len(ps.Connections))
	all := gs.of(s)
	goOn := func(as int, sameIdentity bool) bool {
		for i := range ps.Connections {
			was := &ps.Connections[i]
			if was.Type != typ || goesOn[i] != (claim.ConnectionID{}) || has(s.ServiceEntry, was.ID()) {
				continue
			}
			if sameIdentity && (was.Identity == "" || was.Identity != all[as].Identity) || !gs.Types.GoesOn(was, *ps.Injection, s.Entries[as].Connection) {
				continue
			}
			goesOn[i] = all[as].id
			return true
		}
		return false
	}
	var unmatched []int
	for i, c := range all {
		if c.id.Type == typ && !reports(ps, c.id) && !goOn(i, true) {
			unmatched = append(unmatched, i)
		}
	}
	for _, i := range unmatched {
		goOn(i, false)
	}
	return goesOn
}

// has says whether a service of the claim has a connection.
func has(s *claim.ServiceEntry, id claim.ConnectionID) bool {
	return slices.ContainsFunc(s.Entries, func(e claim.ConnectionEntry) bool { return e.ID() == id })
}

// reports says whether the status of a service has a connection.
func reports(ps *claim.ServiceStatus, id claim.ConnectionID) bool {
	return slices.ContainsFunc(ps.Connections, func(cs claim.ConnectionStatus) bool { return cs.ID() == id })
}

// injectsNothing says whether a connection has no part of its own.
func injectsNothing(in claim.Injection) bool {
	return equality.Semantic.DeepEqual(in, claim.Injection{})
}

// backed says whether an object of ours, or an annotation of the ServiceAccount,
// still grants it an identity that no list revokes.
func backed(f *facts, by claimant) bool {
	sa := f.serviceAccount(by.serviceAccount)
	if f.revoked(by, sa) {
		return false
	}
	if _, _, annotated := by.family.Identified(f.Settings, f.Claim.Namespace, sa); annotated {
		return true
	}
	return slices.ContainsFunc(f.identities[by], func(g connection.Granted) bool { return !g.Decision.Revokes() })
}

// granting says whether an object of ours grants an identity that no list revokes, and
// does so in the cloud.
func granting(f *facts, by claimant) bool {
	return slices.ContainsFunc(f.identities[by], func(g connection.Granted) bool {
		return !g.Decision.Revokes() && connection.Available(f.Observed.Object(g.Key))
	})
}

// works says whether pods with a connection's own injection can use it at once.
func works(gs *grants, c granted) bool {
	a := c.service.account
	if !c.granted || c.blocked.Reason != "" || c.Verdict.Blocks() || !c.Published || !gs.ready(c.wish) {
		return false
	}
	if a.verdict.Blocks() || !connection.Ready(a.object) {
		return false
	}
	return a.composed || connection.NotAnnotated(a.object, gs.Claim.Namespace, a.name, c.Annotations).Reason == ""
}

// changesAnnotations says whether a connection's annotations are others than the
// ServiceAccount has now.
func changesAnnotations(a account, w wish) bool {
	for k, v := range w.Annotations {
		if was := connection.Annotation(a.object, k); was != "" && was != v {
			return true
		}
	}
	return false
}

// whole injection of a service as it was published, but for connections that have
// left the claim or are revoked. Nil where nothing of it is left.
func (hs *held) whole(s *service) []*part {
	in := hs.former[s.index].injection
	ps := hs.previousOf(s)
	if in == nil {
		return nil
	}
	cs := hs.of(s)
	parts := make([]*part, len(cs))
	for i, c := range cs {
		if published, ok := publishedPart(hs.grants, c, ps); ok {
			parts[i] = published
		}
	}
	return parts
}

// holdsAccount is the service whose pods keep a ServiceAccount that it doesn't ask
// for any more.
func (hs *held) holdsAccount(name string) (*service, bool) {
	for i := range hs.former {
		if hs.former[i].stays && hs.former[i].account == name {
			return &hs.services[i], true
		}
	}
	return nil, false
}
