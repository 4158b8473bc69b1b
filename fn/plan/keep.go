package plan

import (
	"maps"
	"slices"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/settings"
)

// keep every observed composed resource of ours that isn't composed anew and
// that nothing lets go. Crossplane deletes what is left out, so leaving out is
// what needs a reason. A kept resource counts as ready: where it should hold the
// whole back, its connection does.
func (p *planner) keep() {
	for _, key := range p.keys {
		g, o := p.owned[key], p.Observed.Composed[key]
		if c, ok := p.plan.Composed[key]; ok {
			p.rememberNeeds(g, o.Object, c.Object)
			continue
		}
		unshared := g.Family == connection.FamilyGoogle && p.Settings.GCP != nil && p.Settings.GCP.SharedWorkloadPool && connection.Deletes(o.Object)
		if p.letGo(g, o.Object) && !unshared {
			continue
		}
		kept := asOwned(o)
		if unshared {
			// Other clusters have come to use the binding, so it must not be
			// deleted, now or when it is let go.
			connection.NeverDelete(kept)
		}
		if connection.IsServiceAccount(kept) {
			p.withdrawAnnotations(g.ServiceAccount, kept)
		}
		p.addUsers(g, kept)
		p.plan.Composed[key] = Composed{Object: kept, Ready: true}
	}
	p.noteMore()
}

// addUsers that have come to a kept object, so that it stays for them when the
// others leave.
func (p *planner) addUsers(g connection.Granted, kept map[string]any) {
	said := connection.Needs(kept)
	if users := p.users(g); len(said) > 0 && slices.ContainsFunc(users, func(n connection.Need) bool { return !slices.Contains(said, n) }) {
		connection.SetNeeds(kept, append(said, users...))
	}
}

// users of a disk or a ServiceAccount, as the claim says, whatever composes it.
func (p *planner) users(g connection.Granted) []connection.Need {
	var users []connection.Need
	for _, s := range p.plan.Services {
		if len(g.Types) == 0 && s.ServiceAccount == g.ServiceAccount {
			users = append(users, connection.Need{Service: s.Name})
		}
		for _, c := range s.Connections {
			if g.Data && c.Type == claim.TypeDisk && connection.DiskPrefix+c.Config.DiskName == g.Key {
				users = append(users, c.need())
			}
		}
	}
	return users
}

// rememberNeeds of an object that is composed anew: a connection that needed it,
// and is still in the claim, needs it until it works without it. Otherwise the
// object would go with its other users, although that connection's pods use it.
func (p *planner) rememberNeeds(g connection.Granted, observed, composed map[string]any) {
	needs := connection.Needs(composed)
	for _, n := range connection.Needs(observed) {
		if p.has(n) && !slices.Contains(needs, n) && !p.worksWithout(g, n) {
			needs = append(needs, n)
		}
	}
	connection.SetNeeds(composed, needs)
}

// withdrawAnnotations of identities that are revoked from a ServiceAccount that
// is kept.
func (p *planner) withdrawAnnotations(name string, serviceAccount map[string]any) {
	metadata, _ := serviceAccount["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	revoked := map[*connection.Family]bool{}
	for _, f := range []*connection.Family{connection.FamilyAWS, connection.FamilyAzure, connection.FamilyGoogle} {
		revoked[f] = p.revoked(name, f, serviceAccount)
	}
	maps.DeleteFunc(annotations, func(k string, _ any) bool { return revoked[connection.AnnotationFamily(k)] })
}

// revoked says whether the identity of a family that a ServiceAccount's
// annotations name may no longer be used.
func (p *planner) revoked(name string, f *connection.Family, serviceAccount map[string]any) bool {
	if d, ok := connection.Annotated(p.Settings, p.Claim.Namespace, f, serviceAccount); ok {
		return d.Revokes()
	}
	// The annotation tells no identity, so the objects that grant one do.
	granted := p.identities[claimant{name, f}]
	return len(granted) > 0 && !slices.ContainsFunc(granted, func(g connection.Granted) bool { return !g.Decision.Revokes() })
}

// KeepAll observed composed resources of ours, for a run that can't tell what
// is needed.
func KeepAll(observed connection.Observed) map[string]Composed {
	kept := map[string]Composed{}
	for key, o := range observed.Composed {
		if ours(key, o) {
			kept[key] = Composed{Object: asOwned(o), Ready: true}
		}
	}
	return kept
}

// Owns says whether any observed composed resource is ours.
func Owns(observed connection.Observed) bool {
	for key, o := range observed.Composed {
		if ours(key, o) {
			return true
		}
	}
	return false
}

func ours(key string, o connection.Composed) bool {
	// Whose it is doesn't depend on the settings.
	_, ok := connection.GrantedBy(&settings.Settings{}, "", key, o.Object)
	return ok
}

// letGo says whether an observed composed resource may be left out: its access
// is revoked, its connection left the claim, or a successor took over.
func (p *planner) letGo(g connection.Granted, object map[string]any) bool {
	if g.Identity && g.Decision.Revokes() {
		return true
	}
	if p.Claim.Incomplete || g.ServiceAccount != "" && p.runsAs(g.ServiceAccount) {
		return false
	}
	needs := p.needs(g, object)
	if len(needs) == 0 {
		return true
	}
	if !slices.ContainsFunc(needs, func(n connection.Need) bool { return !p.worksWithout(g, n) }) {
		return true
	}
	p.noteKept(g, object, needs)
	return false
}

// needs of an observed composed resource that are still in the claim, valid or
// not. An object that doesn't say who needs it is needed by all that could.
func (p *planner) needs(g connection.Granted, object map[string]any) []connection.Need {
	said := connection.Needs(object)
	if len(said) == 0 {
		return p.couldNeed(g.Types)
	}
	said = append(said, p.users(g)...)
	return slices.DeleteFunc(said, func(n connection.Need) bool { return !p.has(n) })
}

// couldNeed an object: connections of its types, or else the services.
func (p *planner) couldNeed(types []claim.ConnectionType) []connection.Need {
	for _, c := range p.could {
		if slices.Equal(c.types, types) {
			return c.needs
		}
	}
	c := could{types: types}
	for _, s := range p.plan.Services {
		if len(types) == 0 {
			c.needs = append(c.needs, connection.Need{Service: s.Name})
		}
		for _, sc := range s.Connections {
			if slices.Contains(types, sc.Type) {
				c.needs = append(c.needs, sc.need())
			}
		}
	}
	p.could = append(p.could, c)
	return c.needs
}

// worksWithout says whether a connection works without an object that it once
// needed: it is ready by its own grants, and no pod can pre-date its injection.
// What holds data goes only with its connection, and a ServiceAccount only with
// its service, since running pods refresh their tokens through it. A policy that
// has left its role's list is no pod's to hold on to.
func (p *planner) worksWithout(g connection.Granted, n connection.Need) bool {
	if g.Data || len(g.Types) == 0 {
		return false
	}
	c := p.needing[n]
	if c == nil || !c.active || !c.Ready() {
		return false
	}
	if g.PartOf != "" && c.CreatesRole(g.PartOf) {
		// The role stays, and loses what the claim no longer gives it.
		return true
	}
	s := c.service
	return s.workload.readable && s.Rollout != nil && s.Rollout.Current
}

// runsAs says whether a workload that was read still names a ServiceAccount
// that its service has left.
func (p *planner) runsAs(serviceAccount string) bool {
	named := false
	for _, s := range p.plan.Services {
		if s.ServiceAccount == serviceAccount {
			return false
		}
		named = named || s.workload.serviceAccount == serviceAccount
	}
	return named
}

// maxNotes of one service are about what is kept for it. More would fill the
// status, and tell nothing else.
const maxNotes = 20

func (p *planner) noteKept(g connection.Granted, object map[string]any, needs []connection.Need) {
	metadata, _ := object["metadata"].(map[string]any)
	kind, _ := object["kind"].(string)
	name, _ := metadata["name"].(string)
	for _, n := range needs {
		s := p.services[n.Service]
		if s.keptLast == g.Key {
			continue // It needs the object for more than one connection.
		}
		s.keptLast = g.Key
		s.kept++
		if s.kept <= maxNotes {
			s.Notes = append(s.Notes, superseded(g, kind, name, s, needs))
		}
	}
}

// noteMore says of each service how much more is kept for it.
func (p *planner) noteMore() {
	for _, s := range p.plan.Services {
		if more := s.kept - maxNotes; more > 0 {
			s.Notes = append(s.Notes, connection.Verdictf(connection.Superseded, "%d more objects of earlier states stay for service %q", more, s.Name))
		}
	}
}

func superseded(g connection.Granted, kind, name string, s *Service, needs []connection.Need) connection.Verdict {
	refused := slices.IndexFunc(s.Connections, func(c *Connection) bool { return !c.active && slices.Contains(needs, c.need()) })
	switch {
	case g.Data:
		return connection.Verdictf(connection.Superseded, "%s %q holds data, and stays until the disk connection of service %q leaves the claim", kind, name, s.Name)
	case len(g.Types) == 0:
		return connection.Verdictf(connection.Superseded, "ServiceAccount %q stays while service %q is in the claim, because running pods may use it", name, s.Name)
	case refused >= 0:
		return connection.Verdictf(connection.Superseded, "%s %q stays as it is until %s of service %q is right again, or leaves the claim", kind, name, s.Connections[refused].Type, s.Name)
	case !s.workload.readable:
		return connection.Verdictf(connection.Superseded, "%s %q stays until its connection leaves the claim, because the workload of service %q isn't read and its pods may use it", kind, name, s.Name)
	default:
		return connection.Verdictf(connection.Superseded, "%s %q stays until its successor is ready and the pods of service %q have restarted", kind, name, s.Name)
	}
}
