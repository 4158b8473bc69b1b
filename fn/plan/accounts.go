package plan

import (
	"maps"
	"slices"

	"github.com/serviceconnections/function-service-connections/fn/connection"
)

// accounts are the ServiceAccounts that are composed, for the services that
// don't name one, with the annotations of everything that uses them.
type accounts struct {
	*grants

	// serviceAccounts by their composed resource key.
	serviceAccounts map[string]grant
}

// composeAccounts of the services whose ServiceAccount is theirs.
func composeAccounts(gs *grants) *accounts {
	as := &accounts{grants: gs, serviceAccounts: make(map[string]grant, len(gs.services))}
	for i := range gs.services {
		s := &gs.services[i]
		if !s.account.composed || s.account.verdict.Blocks() {
			continue
		}
		g := connection.ServiceAccount(gs.Claim.Namespace, s.account.name, annotations(gs, s.account))
		// A service that names this ServiceAccount needs it as well.
		var needs []connection.Need
		for j := range gs.services {
			if o := &gs.services[j]; o.account.name == s.account.name {
				needs = append(needs, connection.Need{Service: o.Name})
			}
		}
		as.serviceAccounts[g.Key] = grant{object: g.Object, needs: needs, ready: s.account.object != nil}
	}
	return as
}

// composesAccount says whether this run composes a ServiceAccount, and as what.
func (as *accounts) composesAccount(a account) (object map[string]any, ok bool) {
	g, ok := as.serviceAccounts[connection.ServiceAccountKey(a.name)]
	return g.object, ok
}

// annotations of a composed ServiceAccount: those of the connections that are
// granted to it, and those that are observed and that an identity in the claim
// still rests on.
func annotations(gs *grants, a account) map[string]string {
	out := map[string]string{}
	settled := map[*connection.Family]bool{}
	for i := range gs.connections {
		c := &gs.connections[i]
		if c.service.account.name != a.name || !c.granted || !c.Published || waits(gs, a, c.wish) {
			continue
		}
		settled[c.Family] = true
		maps.Copy(out, c.Annotations)
	}
	for _, k := range annotationKeys(a.object) {
		f := gs.Types.AnnotationFamily(k)
		if f != nil && !settled[f] && holds(gs, a, f) {
			out[k] = connection.Annotation(a.object, k)
		}
	}
	return out
}

// waits says whether a connection's annotations wait for its grants, because
// another identity is in use and must work until the new one does.
func waits(gs *grants, a account, w wish) bool {
	switching := false
	for k, v := range w.Annotations {
		if was := connection.Annotation(a.object, k); was != "" && was != v {
			switching = true
		}
	}
	return switching && predecessor(gs, w) && !gs.ready(w)
}

// predecessor says whether an object still grants the ServiceAccount another
// identity of the connection's family.
func predecessor(gs *grants, w wish) bool {
	return slices.ContainsFunc(gs.identities[w.claimant()], func(g connection.Granted) bool {
		return g.Target != w.Target && !g.Decision.Revokes()
	})
}

// holds says whether an observed annotation stays although no granted connection
// asks for it: a connection of its family is in the claim, though it can't be
// expanded now, and what it grants isn't revoked.
func holds(gs *grants, a account, f *connection.Family) bool {
	wanted, excluded := gs.incomplete(), false
	for _, w := range gs.all {
		if w.service.account.name == a.name && gs.Types.FamilyOf(w.typ) == f {
			wanted = true
			excluded = excluded || w.Decision.Revokes()
		}
	}
	by := claimant{a.name, f}
	if !wanted || gs.revoked(by, a.object) {
		return false
	}
	// Nothing tells which identity the annotation names: the connections do.
	return identified(gs, by, a.object) || !excluded
}

// identified says whether an annotation's identity can be told, by the
// annotation itself or by an object that grants it.
func identified(gs *grants, by claimant, serviceAccount map[string]any) bool {
	if _, ok := by.family.Identified(gs.Settings, gs.Claim.Namespace, serviceAccount); ok {
		return true
	}
	return len(gs.identities[by]) > 0
}

func annotationKeys(object map[string]any) []string {
	metadata, _ := object["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	return slices.Sorted(maps.Keys(annotations))
}
