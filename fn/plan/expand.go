package plan

import (
	"slices"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/settings"
)

// expand every valid connection.
func (p *planner) expand() {
	for i := range p.Claim.Services {
		entry := &p.Claim.Services[i]
		s := &Service{ServiceEntry: entry}
		s.ServiceAccount, s.composed = p.Claim.ServiceAccount(entry.Service)
		p.findWorkload(s)
		p.services[s.Name] = s
		p.needing[connection.Need{Service: s.Name}] = nil
		for _, e := range entry.Entries {
			c := &Connection{ConnectionEntry: e, service: s}
			s.Connections = append(s.Connections, c)
			p.needing[c.need()] = c
			if len(e.Errors) > 0 {
				c.refuse(connection.Verdict{Reason: connection.InvalidField, Message: e.Errors.ToAggregate().Error()})
				continue
			}
			c.Expansion = connection.Expand(connection.Context{
				Claim:          p.Claim,
				Service:        entry,
				Connection:     e.Connection,
				ServiceAccount: s.ServiceAccount,
				Settings:       p.Settings,
				Observed:       p.Observed,
				Workload:       s.workload.object,
				Mounted:        e.Type == claim.TypeDisk && p.mounted(s, e.Config.DiskName),
			})
			c.active = len(c.Grants) > 0 || !c.Expansion.Verdict.Blocks() || c.Published
			if !c.active {
				c.refuse(c.Expansion.Verdict)
			}
		}
		p.plan.Services = append(p.plan.Services, s)
	}
}

// mounted says whether the last status published a disk for the service.
func (p *planner) mounted(s *Service, diskName string) bool {
	for _, ps := range p.previous[s.Name] {
		if ps.Injection == nil {
			continue
		}
		for _, v := range ps.Injection.Volumes {
			if v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == diskName {
				return true
			}
		}
	}
	return false
}

// judge every connection by the cluster's allow-lists.
func (p *planner) judge() {
	for c := range p.connections {
		if !c.active {
			continue
		}
		ns, what := p.Claim.Namespace, c.Identity
		if what == "" {
			what = c.Target
		}
		switch c.Decision {
		case settings.Allowed:
		case settings.Unregistered:
			c.refuse(connection.Verdictf(connection.ServiceAccountNotRegistered, "Google service account %q is not registered in the cluster settings; ask the platform team to register it for namespace %q", what, ns))
		case settings.Excluded:
			c.refuse(connection.Verdictf(connection.NotAllowed, "namespace %q may not use %q by the cluster settings; ask the platform team to allow it", ns, what))
		case settings.Absent:
			if p.granted(c) {
				c.Warnings = append(c.Warnings, connection.Verdictf(connection.AllowListAbsent, "the cluster settings have no list that allows %q; it stays because it is in use, and nothing new is granted", what))
				continue
			}
			c.refuse(connection.Verdictf(connection.NotAllowed, "the cluster settings have no list that allows %q for namespace %q; ask the platform team to add one", what, ns))
		}
		if c.Decision.Revokes() && c.Family == connection.FamilyGoogle && p.Settings.GCP.SharedWorkloadPool {
			c.Warnings = append(c.Warnings, connection.Verdictf(connection.BindingRetained, "ServiceAccount %q can still act as %q, because other clusters use the workload pool %q; ask whoever administers Google Cloud to remove the binding if none needs it", c.service.ServiceAccount, what, p.Settings.GCP.WorkloadPool))
		}
	}
}

// granted says whether the very target of a connection is granted already, by
// the same object with the same target. An annotation, which a team can write,
// counts only where it is all there is: in mode IRSA, where the role's own trust
// policy decides and nothing is composed because of it.
func (p *planner) granted(c *Connection) bool {
	for _, g := range c.Grants {
		if o, ok := p.owned[g.Key]; ok && o.Identity && o.Target == c.Target {
			return true
		}
	}
	return c.Family == connection.FamilyAWS && p.annotated(c.service.ServiceAccount, c.Annotations)
}

// annotated says whether a ServiceAccount has all these annotations, and there
// are some. One that the team made counts too: its annotation grants what it
// says without us.
func (p *planner) annotated(serviceAccount string, annotations map[string]string) bool {
	sa := p.Observed.Object(connection.ServiceAccountKey(serviceAccount))
	if sa == nil {
		sa, _ = p.Observed.Lookup(connection.ServiceAccountRequirement(p.Claim.Namespace, serviceAccount))
	}
	for k, v := range annotations {
		if connection.Annotation(sa, k) != v {
			return false
		}
	}
	return len(annotations) > 0
}

// settleConflicts between connections that want different targets for one
// ServiceAccount. The one that is observed wins, whatever the order of the
// list, or an edit elsewhere in the claim would switch a running service's
// identity. With none observed, the first wins.
func (p *planner) settleConflicts() {
	groups := map[claimant][]*Connection{}
	for c := range p.connections {
		if c.active && c.Target != "" {
			k := claimant{c.service.ServiceAccount, c.Family}
			groups[k] = append(groups[k], c)
		}
	}
	for k, cs := range groups {
		if !slices.ContainsFunc(cs, func(c *Connection) bool { return c.Target != cs[0].Target }) {
			continue
		}
		winner := p.winner(k, cs)
		for _, c := range cs {
			if c.Target == winner.Target {
				continue
			}
			if k.family == connection.FamilyGoogle {
				c.refuse(connection.Verdictf(connection.TwoGoogleAccounts, "ServiceAccount %q acts as %q for %s of service %q, and can't act as %q too; grant the roles to one Google service account and use it for both", k.serviceAccount, winner.Target, winner.Type, winner.service.Name, c.Target))
				continue
			}
			c.refuse(connection.Verdictf(connection.ServiceAccountConflict, "ServiceAccount %q has %q for service %q, and can't have %q too; use another serviceAccountName for service %q", k.serviceAccount, winner.Identity, winner.service.Name, c.Identity, c.service.Name))
		}
	}
}

// winner of a conflict: the connection whose target the ServiceAccount acts as
// now, then one whose target is observed as granted to itself, then one whose
// target is observed at all, then the first.
func (p *planner) winner(by claimant, cs []*Connection) *Connection {
	type rank int
	const (
		none rank = iota
		observed
		own
		current
	)
	winner, best := cs[0], none
	for _, c := range cs {
		r, annotated := none, p.annotated(by.serviceAccount, c.Annotations)
		if annotated {
			r = observed
		}
		for _, g := range p.identities[by] {
			switch {
			case g.Target != c.Target:
			case annotated:
				r = current
			case slices.Contains(connection.Needs(p.Observed.Object(g.Key)), c.need()):
				r = max(r, own)
			default:
				r = max(r, observed)
			}
		}
		if r > best {
			winner, best = c, r
		}
	}
	return winner
}
