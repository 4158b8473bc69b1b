package plan

import (
	"cmp"
	"slices"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/settings"
)

// wishes are what the claim asks for, connection by connection, and which of
// them may be granted: they are valid, the allow-lists let them, no other
// connection of the claim stands against them, and their ServiceAccount is
// their own.
type wishes struct {
	*facts

	// all connections in the order of the claim, service by service. Where a
	// later stage has a value for each, it has them in this order.
	all []wish

	// first connection of each service, and as the last the number of all.
	first []int

	// needing is where a connection stands by what an object says that it is
	// needed by. A service is there as a need without a type, and has none.
	needing map[connection.Need]int
}

// A wish is one connection that the claim asks for.
type wish struct {
	// Expansion of the connection, of nothing where it is invalid.
	*connection.Expansion

	service *service
	id      claim.ConnectionID

	// data is the key of what holds the connection's data, empty where it has none.
	data string

	// granted says that the connection may have its grants. It is refused
	// otherwise, for now or for good.
	granted bool

	// verdict says why not.
	verdict connection.Verdict

	// warnings beside those of the expansion.
	warnings []connection.Verdict
}

// refused wish: it is granted nothing, and adds nothing to the injection. What
// was said first is said still.
func (w wish) refused(v connection.Verdict) wish {
	w.granted = false
	w.verdict = connection.First(w.verdict, v)
	return w
}

func (w wish) need() connection.Need {
	return connection.Need{Service: w.service.Name, Type: w.id.Type, Name: w.id.Name}
}

// claimant that the connection's target is for.
func (w wish) claimant() claimant { return claimant{w.service.account.name, w.Family} }

// of a service are its wishes.
func (ws *wishes) of(s *service) []wish { return ws.all[ws.first[s.index]:ws.first[s.index+1]] }

// has the claim a connection, valid or not? A need without a type is the service.
func (ws *wishes) has(n connection.Need) bool {
	_, ok := ws.needing[n]
	return ok
}

// wish for every connection of the claim.
func wishFor(f *facts) *wishes {
	entries := 0
	for i := range f.services {
		entries += len(f.services[i].Entries)
	}
	ws := &wishes{
		facts:   f,
		all:     make([]wish, 0, entries),
		first:   make([]int, 1, len(f.services)+1),
		needing: make(map[connection.Need]int, len(f.services)+entries),
	}
	for i := range f.services {
		s := &f.services[i]
		ws.needing[connection.Need{Service: s.Name}] = -1
		for _, e := range s.Entries {
			w := judged(f, expanded(f, s, e))
			ws.needing[w.need()] = len(ws.all)
			ws.all = append(ws.all, w)
		}
		ws.first = append(ws.first, len(ws.all))
	}
	ws.all = settled(f, ws.all)
	for i, w := range ws.all {
		a := w.service.account
		if a.taken() {
			ws.all[i] = w.refused(a.verdict)
		}
		if a.goes.Reason != "" {
			ws.all[i].warnings = append(ws.all[i].warnings, a.goes)
		}
	}
	return ws
}

// nothing is what an invalid connection expands into.
var nothing connection.Expansion

// expanded connection, where it is valid.
func expanded(f *facts, s *service, e claim.ConnectionEntry) wish {
	w := wish{service: s, id: e.ID(), data: f.Types.Data(e.Connection), Expansion: &nothing}
	if len(e.Errors) > 0 {
		return w.refused(connection.Verdict{Reason: connection.InvalidField, Message: e.Errors.ToAggregate().Error()})
	}
	x := f.Types.Expand(connection.Context{
		Claim:          f.Claim,
		Service:        s.ServiceEntry,
		Connection:     e.Connection,
		ServiceAccount: s.account.name,
		Settings:       f.Settings,
		Observed:       f.Observed,
		Workload:       s.workload.object,
		Previous:       f.previous[s.Name],
	})
	w.Expansion = &x
	w.granted = len(x.Grants) > 0 || !x.Verdict.Blocks() || x.Published
	if !w.granted {
		return w.refused(x.Verdict)
	}
	return w
}

// judged by the cluster's allow-lists.
func judged(f *facts, w wish) wish {
	if !w.granted {
		return w
	}
	ns, what := f.Claim.Namespace, cmp.Or(w.Judged, w.Identity, w.Target)
	if w.Decision.Revokes() && f.moved(w.claimant(), w.Target) {
		w.warnings = append(w.warnings, connection.Verdictf(connection.AllowListAbsent, "%q is not of the account, subscription or project of the cluster settings any more; it stays because it is in use, and the platform team should allow it by its full name, or the claim ask for another one", what))
		return w
	}
	switch w.Decision {
	case settings.Allowed, settings.Moved:
	case settings.Unregistered:
		w = w.refused(w.Family.NotRegistered(ns, what))
	case settings.Excluded:
		w = w.refused(connection.Verdictf(connection.NotAllowed, "namespace %q may not use %q by the cluster settings; ask the platform team to allow it", ns, what))
	case settings.Absent:
		if grantedAlready(f, w) {
			w.warnings = append(w.warnings, connection.Verdictf(connection.AllowListAbsent, "the cluster settings have no list that allows %q; it stays because it is in use, and nothing new is granted", what))
			return w
		}
		w = w.refused(connection.Verdictf(connection.NotAllowed, "the cluster settings have no list that allows %q for namespace %q; ask the platform team to add one", what, ns))
	}
	if w.Decision.Revokes() && w.Family.IsShared(f.Settings) {
		w.warnings = append(w.warnings, w.Family.Remains(f.Settings, w.service.account.name, what))
	}
	return w
}

// grantedAlready says whether the very target of a connection is granted already,
// by the same object with the same target. An annotation, which a team can write,
// counts only where it is all there is, as nothing is composed for its family.
func grantedAlready(f *facts, w wish) bool {
	for _, g := range w.Grants {
		if o, ok := f.ours[g.Key]; ok && o.Identity && o.Target == w.Target {
			return true
		}
	}
	return w.Family.AnnotationSuffices(f.Settings) && f.annotated(w.service.account.name, w.Annotations)
}

// settled conflicts between connections that want different targets for one
// ServiceAccount. The one that is observed wins, whatever the order of the
// list, or an edit elsewhere in the claim would switch a running service's
// identity. With none observed, the first wins.
func settled(f *facts, all []wish) []wish {
	groups := map[claimant][]int{}
	for i, w := range all {
		if w.granted && w.Target != "" {
			groups[w.claimant()] = append(groups[w.claimant()], i)
		}
	}
	var out []wish
	for by, is := range groups {
		first := all[is[0]]
		if !slices.ContainsFunc(is, func(i int) bool { return all[i].Target != first.Target }) {
			continue
		}
		winner := first
		best := standingOf(f, by, winner)
		for _, i := range is[1:] {
			if s := standingOf(f, by, all[i]); s > best {
				winner, best = all[i], s
			}
		}
		if out == nil {
			out = slices.Clone(all)
		}
		for _, i := range is {
			if w := all[i]; w.Target != winner.Target {
				out[i] = w.refused(by.family.Conflicts(by.serviceAccount, winner.rival(), w.rival()))
			}
		}
	}
	if out == nil {
		return all
	}
	return out
}

// rival of others that want the same ServiceAccount.
func (w wish) rival() connection.Rival {
	return connection.Rival{Service: w.service.Name, Connection: w.id, Identity: w.Identity, Target: w.Target}
}

// A standing in a conflict; the highest wins.
type standing int

const (
	// asks only: nothing that is observed is of this target.
	asks standing = iota
	// observed target, whoever it was granted for.
	observed
	// own target, granted for this very connection.
	own
	// current target: the ServiceAccount acts as it now.
	current
)

// standingOf a connection in a conflict.
func standingOf(f *facts, by claimant, w wish) standing {
	s, annotated := asks, f.annotated(by.serviceAccount, w.Annotations)
	if annotated {
		s = observed
	}
	for _, g := range f.identities[by] {
		switch {
		case g.Target != w.Target:
		case annotated:
			return current
		case slices.Contains(connection.Needs(f.Observed.Object(g.Key)), w.need()):
			s = max(s, own)
		default:
			s = max(s, observed)
		}
	}
	return s
}
