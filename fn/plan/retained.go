package plan

import (
	"maps"
	"slices"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/decoded"
)

// retained is every observed composed resource of ours that isn't composed anew
// and that nothing lets go. Crossplane deletes what is left out, so leaving out
// is what needs a reason: the access is revoked, the connection left the claim,
// or a successor took over.
type retained struct {
	*rollouts

	// kept objects by key. They count as ready: where one should hold the whole
	// back, its connection does.
	kept map[string]map[string]any

	// finders are composed beside objects of which the cloud may have what nobody knows
	// by its name, by key.
	finders map[string]Composed

	// needs of what is composed anew beside those that are asked for, by key.
	needs map[string][]connection.Need

	// notes of the services about what is kept for them, in the order of the
	// claim.
	notes [][]connection.Verdict
}

// retain what is observed.
func retain(rs *rollouts) *retained {
	r := &retained{
		rollouts: rs,
		kept:     map[string]map[string]any{},
		finders:  map[string]Composed{},
		needs:    map[string][]connection.Need{},
		notes:    make([][]connection.Verdict, len(rs.services)),
	}
	could, unsettled := couldNeed(rs.wishes), rs.unsettled()
	kept := make([]keptFor, len(rs.services))
	for _, key := range rs.keys {
		g, o := rs.ours[key], rs.Observed.Composed[key]
		if as, ok := rs.composes(key); ok {
			r.needs[key] = remembered(rs, g, o.Object, as.needs)
			r.find(key, as.object)
			continue
		}
		if g.Passing {
			continue // What it is for composes it.
		}
		// Other clusters may have come to use what is granted, so it must not be
		// deleted, now or when it is let go.
		unshare := g.Family.IsShared(rs.Settings) && connection.Deletes(o.Object)
		needs, letGo := needed(rs, g, o.Object, could)
		if !letGo {
			noteKept(rs, kept, g, o.Object, needs)
		}
		held := slices.ContainsFunc(unsettled, func(u string) bool {
			return u == key || rs.Types.RestsOn(u, rs.Observed.Object(u), o.Object)
		})
		// While its provider creates something, it can't delete it, and one that was
		// interrupted never could. Nor can it delete what it doesn't know by its name.
		if letGo && !unshare && !connection.BeingCreated(o.Object) && !held {
			continue
		}
		r.kept[key] = keep(rs, g, o, unshare)
		r.find(key, r.kept[key])
	}
	for i := range kept {
		r.notes[i] = kept[i].told(rs, &rs.services[i])
	}
	return r
}

// unsettled objects are those of which the cloud may have what was made for them, without
// their provider knowing its name.
func (rs *rollouts) unsettled() []string {
	var keys []string
	for _, key := range rs.keys {
		if rs.Types.Unsettled(key, rs.Observed, rs.Claim.UID) {
			keys = append(keys, key)
		}
	}
	return keys
}

// find what the cloud may have made for an observed object without its provider knowing
// its name, beside the object as it is composed.
func (r *retained) find(key string, object map[string]any) {
	finderKey, finder := r.Types.Finder(key, r.Observed, r.Claim.UID, object)
	if finder == nil {
		return
	}
	r.finders[finderKey] = Composed{Object: finder, NeededBy: connection.Annotation(r.Observed.Object(key), connection.NeededBy), Ready: true}
}

// composes says what this run composes under a key.
func (rs *rollouts) composes(key string) (grant, bool) {
	if g, ok := rs.composed[key]; ok {
		return g, true
	}
	g, ok := rs.serviceAccounts[key]
	return g, ok
}

// keep an observed object as it was applied, without what is revoked.
func keep(rs *rollouts, g connection.Granted, o connection.Composed, unshare bool) map[string]any {
	kept := asApplied(o)
	rs.Types.Call(g.Key, rs.Observed, rs.Claim.UID, kept)
	if unshare {
		connection.NeverDelete(kept)
	}
	if connection.IsServiceAccount(kept) {
		withdrawAnnotations(rs, g.ServiceAccount, kept)
	}
	// Users that have come to it need it when the others leave.
	said := connection.Needs(kept)
	us := slices.Concat(users(rs.wishes, g), rs.holders(g), rs.inherited(said))
	if len(said) > 0 && slices.ContainsFunc(us, func(n connection.Need) bool { return !slices.Contains(said, n) }) {
		decoded.Ensure(decoded.Ensure(kept, "metadata"), "annotations")[connection.NeededBy] = connection.NeededByAll(append(said, us...))
	}
	return kept
}

// holders of an object are the connections of a service whose pods keep the
// ServiceAccount that it is for, also where that was another service's: the service
// may have been renamed.
func (rs *rollouts) holders(g connection.Granted) []connection.Need {
	if g.ServiceAccount == "" {
		return nil
	}
	s, ok := rs.holdsAccount(g.ServiceAccount)
	switch {
	case !ok:
		return nil
	case len(g.Types) == 0:
		return []connection.Need{{Service: s.Name}}
	}
	var needs []connection.Need
	for i, c := range rs.of(s) {
		if slices.Contains(g.Types, c.id.Type) && rs.parts[rs.first[s.index]+i] != nil {
			needs = append(needs, c.need())
		}
	}
	return needs
}

// inherited needs are those of services that go on with a workload under another name:
// its pods run with what the name before needed, however well the new one works. And of
// connections that go on under another name: which those are can't be told from others
// that are new, so all of the type may.
func (ws *wishes) inherited(said []connection.Need) []connection.Need {
	var needs []connection.Need
	for _, n := range said {
		for _, heir := range ws.heirs[n.Service] {
			as := n
			if as.Service = heir; ws.has(as) {
				needs = append(needs, as)
			} else {
				needs = append(needs, ws.renamed(n, heir)...)
			}
		}
		if !ws.has(n) {
			needs = append(needs, ws.renamed(n, n.Service)...)
		}
	}
	return needs
}

// renamed are the connections of a service that may be one which isn't in the claim any
// more: those of its type that weren't beside it.
func (ws *wishes) renamed(left connection.Need, service string) []connection.Need {
	i, ok := ws.indices[service]
	if !ok || left.Type == "" {
		return nil
	}
	var needs []connection.Need
	for _, w := range ws.of(&ws.services[i]) {
		as := left
		if as.Name = w.id.Name; w.id.Type == left.Type && !listed(ws.facts, as) {
			needs = append(needs, w.need())
		}
	}
	return needs
}

// users of a disk or a ServiceAccount, as the claim says, whatever composes it.
func users(ws *wishes, g connection.Granted) []connection.Need {
	var us []connection.Need
	for i := range ws.services {
		s := &ws.services[i]
		if len(g.Types) == 0 && s.account.name == g.ServiceAccount {
			us = append(us, connection.Need{Service: s.Name})
		}
		for _, w := range ws.of(s) {
			if g.Data && w.data == g.Key {
				us = append(us, w.need())
			}
		}
	}
	return us
}

// remembered needs of an object that is composed anew: a connection that needed
// it, and is still in the claim, needs it until it works without it. Otherwise the
// object would go with its other users, although that connection's pods use it.
func remembered(rs *rollouts, g connection.Granted, object map[string]any, needs []connection.Need) []connection.Need {
	all := slices.Clip(needs)
	said := connection.Needs(object)
	for _, n := range append(said, rs.inherited(said)...) {
		if rs.has(n) && !slices.Contains(needs, n) && !worksWithout(rs, g, n) {
			all = append(all, n)
		}
	}
	return all
}

// withdrawAnnotations of identities that are revoked from a ServiceAccount that
// is kept.
func withdrawAnnotations(rs *rollouts, name string, serviceAccount map[string]any) {
	metadata, _ := serviceAccount["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	revoked := map[*connection.Family]bool{}
	for _, f := range rs.Types.Families() {
		revoked[f] = rs.revoked(claimant{name, f}, serviceAccount)
	}
	maps.DeleteFunc(annotations, func(k string, _ any) bool { return revoked[rs.Types.AnnotationFamily(k)] })
}

// needed says which connections in the claim still need an observed object, valid
// or not, and whether it may be left out: its access is revoked, its connection
// left the claim, or a successor took over.
func needed(rs *rollouts, g connection.Granted, object map[string]any, could func(connection.Granted) []connection.Need) (needs []connection.Need, letGo bool) {
	if g.Identity && g.Decision.Revokes() {
		return nil, true
	}
	if rs.incomplete() || g.ServiceAccount != "" && runsAs(rs.facts, g.ServiceAccount) {
		return nil, false
	}
	if holders := rs.holders(g); len(holders) > 0 {
		return holders, false
	}
	if said := connection.Needs(object); len(said) > 0 {
		needs = slices.DeleteFunc(slices.Concat(said, users(rs.wishes, g), rs.inherited(said)), func(n connection.Need) bool { return !rs.has(n) })
	} else {
		needs = could(g)
	}
	if g.Data && len(needs) == 0 {
		needs = mayMean(rs.grants)
	}
	return needs, !slices.ContainsFunc(needs, func(n connection.Need) bool { return !worksWithout(rs, g, n) })
}

// mayMean says which connections of the claim name data that there isn't. It may be
// any that is there, misspelt while its connection moved, and what holds data can't
// be made anew.
func mayMean(gs *grants) []connection.Need {
	var needs []connection.Need
	for i := range gs.connections {
		c := &gs.connections[i]
		if c.data != "" && (!c.granted || c.Verdict.Reason == connection.VolumeClaimNotFound) {
			needs = append(needs, c.need())
		}
	}
	return needs
}

// couldNeed answers who could need an object that doesn't say it: connections of
// its types, or else the services. Objects of some types are needed by the same,
// which is worked out once.
func couldNeed(ws *wishes) func(connection.Granted) []connection.Need {
	type answer struct {
		types []claim.ConnectionType
		needs []connection.Need
	}
	var answers []answer
	return func(g connection.Granted) []connection.Need {
		for _, a := range answers {
			if slices.Equal(a.types, g.Types) {
				return a.needs
			}
		}
		a := answer{types: g.Types}
		for i := range ws.services {
			s := &ws.services[i]
			if len(g.Types) == 0 {
				a.needs = append(a.needs, connection.Need{Service: s.Name})
			}
			for _, w := range ws.of(s) {
				if slices.Contains(g.Types, w.id.Type) {
					a.needs = append(a.needs, w.need())
				}
			}
		}
		answers = append(answers, a)
		return a.needs
	}
}

// worksWithout says whether a connection works without an object that it once
// needed: it is ready by its own grants, and no pod can pre-date its injection.
// What holds data goes only with its connection, and a ServiceAccount only with
// its service, since running pods refresh their tokens through it. A policy that
// has left its role's list is no pod's to hold on to.
func worksWithout(rs *rollouts, g connection.Granted, n connection.Need) bool {
	if g.Data || len(g.Types) == 0 {
		return false
	}
	i, ok := rs.needing[n]
	if !ok || i < 0 {
		return false
	}
	c := &rs.connections[i]
	if !c.granted || rs.on[i].Blocks() {
		return false
	}
	if g.PartOf != "" && c.CreatesRole(g.PartOf) {
		// The role stays, and loses what the claim no longer gives it.
		return true
	}
	return rs.progress[c.service.index].replaced
}

// runsAs says whether a workload that was read still names a ServiceAccount
// that its service has left.
func runsAs(f *facts, serviceAccount string) bool {
	named := false
	for i := range f.services {
		s := &f.services[i]
		if s.account.name == serviceAccount {
			return false
		}
		named = named || s.workload.serviceAccount == serviceAccount
	}
	return named
}

// maxNotes of one service are about what is kept for it. More would fill the
// status, and tell nothing else.
const maxNotes = 20

// keptFor a service are objects of earlier states.
type keptFor struct {
	notes []connection.Verdict

	// more objects than there are notes, and the key of the last of all.
	more int
	last string

	// forPods says that some are kept for pods which may still use them.
	forPods bool
}

// told of what is kept for a service, and how to say that nothing uses it.
func (k keptFor) told(rs *rollouts, s *service) []connection.Verdict {
	notes := k.notes
	if k.more > 0 {
		notes = append(notes, connection.Verdictf(connection.Superseded, "%d more objects of earlier states stay for service %q", k.more, s.Name))
	}
	if hash := rs.injected[s.index].hash(); k.forPods && hash != "" {
		notes = append(notes, connection.Verdictf(connection.Superseded, "if you know that no pod of service %q is older than its injection, say so: kubectl -n %s annotate serviceconnection %s --overwrite %s=%s", s.Name, rs.Claim.Namespace, rs.Claim.Name, claim.AnnotationPodsReplaced, hash))
	}
	return notes
}

// noteKept adds a kept object to what is told of the services that need it.
func noteKept(rs *rollouts, kept []keptFor, g connection.Granted, object map[string]any, needs []connection.Need) {
	metadata, _ := object["metadata"].(map[string]any)
	kind, _ := object["kind"].(string)
	name, _ := metadata["name"].(string)
	for _, n := range needs {
		i := rs.indices[n.Service]
		k := &kept[i]
		if k.last == g.Key {
			continue // It needs the object for more than one connection.
		}
		k.last = g.Key
		v, forPods := superseded(rs, g, kind, name, &rs.services[i], needs)
		k.forPods = k.forPods || forPods
		if len(k.notes) == maxNotes {
			k.more++
			continue
		}
		k.notes = append(k.notes, v)
	}
}

// superseded object that stays for a service, and whether it does for pods of
// which nobody knows yet that they don't use it.
func superseded(rs *rollouts, g connection.Granted, kind, name string, s *service, needs []connection.Need) (v connection.Verdict, forPods bool) {
	refused, waiting := -1, false
	var needing claim.ConnectionID
	for i, c := range rs.of(s) {
		if !slices.Contains(needs, c.need()) {
			continue
		}
		needing = c.id
		if !c.granted && refused < 0 {
			refused = i
		}
		waiting = waiting || rs.on[rs.first[s.index]+i].Blocks()
	}
	p := rs.progress[s.index]
	switch {
	case g.Data && refused >= 0:
		return connection.Verdictf(connection.Superseded, "%s %q holds data, and stays until %s of service %q is right again, or leaves the claim", kind, name, rs.of(s)[refused].id, s.Name), false
	case g.Data:
		return connection.Verdictf(connection.Superseded, "%s %q holds data, and stays until the %s connection of service %q leaves the claim", kind, name, needing, s.Name), false
	case len(g.Types) == 0:
		return connection.Verdictf(connection.Superseded, "ServiceAccount %q stays while service %q is in the claim, because running pods may use it", name, s.Name), false
	case refused >= 0:
		return connection.Verdictf(connection.Superseded, "%s %q stays as it is until %s of service %q is right again, or leaves the claim", kind, name, rs.of(s)[refused].id, s.Name), false
	case waiting:
		return connection.Verdictf(connection.Superseded, "%s %q stays until its successor is ready and the pods of service %q have restarted", kind, name, s.Name), false
	case !s.workload.readable:
		return connection.Verdictf(connection.Superseded, "%s %q stays until its connection leaves the claim, because the workload of service %q isn't read and its pods may use it", kind, name, s.Name), true
	default:
		return connection.Verdictf(connection.Superseded, "%s %q stays until %s %q has replaced all pods that may use it: %s", kind, name, s.Workload.Kind, s.Workload.Name, p.waits), true
	}
}
