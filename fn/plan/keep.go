package plan

import (
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
		if _, ok := p.plan.Composed[key]; ok {
			continue
		}
		o := p.Observed.Composed[key]
		if p.letGo(p.owned[key], o.Object) {
			continue
		}
		p.plan.Composed[key] = Composed{Object: asOwned(o), Ready: true}
	}
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
	// What holds data goes only with its connection. A ServiceAccount goes only
	// with its service: running pods refresh their tokens through it.
	superseded := !g.Data && len(g.Types) > 0
	for _, n := range needs {
		superseded = superseded && p.settled(n)
	}
	if superseded {
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
		types := g.Types
		if len(types) == 0 {
			types = []claim.ConnectionType{""}
		}
		for i := range p.Claim.Services {
			for _, t := range types {
				said = append(said, connection.Need{Service: p.Claim.Services[i].Name, Type: t})
			}
		}
	}
	return slices.DeleteFunc(said, func(n connection.Need) bool { return !p.Claim.Has(n.Service, n.Type) })
}

// settled says whether a connection works without what it once needed: it is
// ready by its own grants, and no pod can pre-date its injection.
func (p *planner) settled(n connection.Need) bool {
	for c := range p.connections {
		if c.need() == n {
			return c.active && c.Ready() && c.service.Rollout != nil && c.service.Rollout.Current
		}
	}
	return false
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

func (p *planner) noteKept(g connection.Granted, object map[string]any, needs []connection.Need) {
	metadata, _ := object["metadata"].(map[string]any)
	kind, _ := object["kind"].(string)
	name, _ := metadata["name"].(string)
	for _, s := range p.plan.Services {
		if !slices.ContainsFunc(needs, func(n connection.Need) bool { return n.Service == s.Name }) {
			continue
		}
		s.Notes = append(s.Notes, superseded(g, kind, name, s))
	}
}

func superseded(g connection.Granted, kind, name string, s *Service) connection.Verdict {
	switch {
	case g.Data:
		return connection.Verdictf(connection.Superseded, "%s %q holds data, and stays until the disk connection of service %q leaves the claim", kind, name, s.Name)
	case len(g.Types) == 0:
		return connection.Verdictf(connection.Superseded, "ServiceAccount %q stays while service %q is in the claim, because running pods may use it", name, s.Name)
	case !s.workload.readable:
		return connection.Verdictf(connection.Superseded, "%s %q stays until its connection leaves the claim, because the workload of service %q isn't read and its pods may use it", kind, name, s.Name)
	default:
		return connection.Verdictf(connection.Superseded, "%s %q stays until its successor is ready and the pods of service %q have restarted", kind, name, s.Name)
	}
}
