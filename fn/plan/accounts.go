package plan

import (
	"maps"
	"slices"

	"github.com/serviceconnections/function-service-connections/fn/connection"
)

// accounts are the ServiceAccounts that are composed, for the services that
// don't name one, with the annotations of everything that uses them.
type accounts struct {
	*held

	// serviceAccounts by their composed resource key.
	serviceAccounts map[string]grant
}

// composeAccounts of the services whose ServiceAccount is theirs.
func composeAccounts(hs *held) *accounts {
	as := &accounts{held: hs, serviceAccounts: make(map[string]grant, len(hs.services))}
	for i := range hs.services {
		s := &hs.services[i]
		if !s.account.composed || s.account.verdict.Blocks() {
			continue
		}
		g := connection.ServiceAccount(hs.Claim.Namespace, s.account.name, annotations(hs, s.account))
		// A service that names this ServiceAccount needs it as well.
		var needs []connection.Need
		for j := range hs.services {
			if o := &hs.services[j]; o.account.name == s.account.name {
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
func annotations(hs *held, a account) map[string]string {
	out := map[string]string{}
	settled := map[*connection.Family]bool{}
	for i := range hs.connections {
		c := &hs.connections[i]
		if c.service.account.name != a.name || !c.granted || !c.Published || waits(hs, a, c.wish) {
			continue
		}
		if hs.parts[i] != nil && !hs.former[c.service.index].stays {
			continue // The identity that the pods have stays too.
		}
		settled[c.Family] = true
		maps.Copy(out, c.Annotations)
	}
	for _, k := range annotationKeys(a.object) {
		f := hs.Types.AnnotationFamily(k)
		if f != nil && !settled[f] && holds(hs, a, f) {
			out[k] = connection.Annotation(a.object, k)
		}
	}
	return out
}

// waits says whether a connection's annotations wait for its grants, because
// another identity is in use and must work until the new one does.
func waits(hs *held, a account, w wish) bool {
	return changesAnnotations(a, w) && predecessor(hs, w) && !hs.ready(w)
}

// predecessor says whether an object still grants the ServiceAccount another
// identity of the connection's family.
func predecessor(hs *held, w wish) bool {
	return slices.ContainsFunc(hs.identities[w.claimant()], func(g connection.Granted) bool {
		return g.Target != w.Target && !g.Decision.Revokes()
	})
}

// holds says whether an observed annotation stays although no granted connection
// asks for it: a connection of its family is in the claim, though it can't be
// expanded now, and what it grants isn't revoked.
func holds(hs *held, a account, f *connection.Family) bool {
	wanted, excluded := hs.incomplete(), false
	for _, w := range hs.all {
		was := hs.former[w.service.index]
		switch {
		case hs.Types.FamilyOf(w.id.Type) != f:
		case w.service.account.name == a.name:
			wanted, excluded = true, excluded || w.Decision.Revokes()
		case was.stays && was.account == a.name:
			// The pods of this service keep the ServiceAccount that it doesn't ask
			// for: another one asks for it.
			wanted = true
		}
	}
	by := claimant{a.name, f}
	if !wanted || hs.revoked(by, a.object) {
		return false
	}
	// Nothing tells which identity the annotation names: the connections do.
	return identified(hs, by, a.object) || !excluded
}

// identified says whether an annotation's identity can be told, by the
// annotation itself or by an object that grants it.
func identified(hs *held, by claimant, serviceAccount map[string]any) bool {
	if _, _, ok := by.family.Identified(hs.Settings, hs.Claim.Namespace, serviceAccount); ok {
		return true
	}
	return len(hs.identities[by]) > 0
}

func annotationKeys(object map[string]any) []string {
	metadata, _ := object["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	return slices.Sorted(maps.Keys(annotations))
}
