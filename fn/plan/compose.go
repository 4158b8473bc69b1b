package plan

import (
	"maps"
	"slices"
	"strconv"

	"github.com/serviceconnections/function-service-connections/fn/connection"
)

// findServiceAccounts looks at the ServiceAccount of each service: composed, it
// must not be somebody else's; named, it must exist.
func (p *planner) findServiceAccounts() {
	ns := p.Claim.Namespace
	for _, s := range p.plan.Services {
		name := s.ServiceAccount
		if s.observed = p.Observed.Object(connection.ServiceAccountKey(name)); s.observed != nil {
			continue
		}
		if g := connection.ServiceAccount(ns, name, nil); s.composed && p.Desired[g.Key] {
			s.account = keyTaken(g)
			s.refuse()
			continue
		}
		sa, known := p.require(connection.ServiceAccountRequirement(ns, name))
		switch {
		case !known:
			s.account = unanswered
		case s.composed && sa != nil && !connection.ComposedAs(sa, p.Claim.UID, connection.ServiceAccountKey(name)):
			s.account = connection.Verdictf(connection.ServiceAccountTaken, "ServiceAccount %q exists in namespace %q and %s; set services[%s].serviceAccountName: %s to share it with all that it may do, or name another one there", name, ns, owner(sa), s.Name, name)
		case !s.composed && sa == nil:
			s.account = connection.Verdictf(connection.ServiceAccountNotFound, "ServiceAccount %q does not exist in namespace %q; create it, or leave serviceAccountName out to have one composed", name, ns)
		case sa != nil:
			s.observed = sa
		}
		if s.composed && s.account.Blocks() {
			// Nothing is composed for a service whose ServiceAccount is not its
			// own: a grant would go to somebody else's pods.
			s.refuse()
		}
	}
}

// refuse all connections of a service that has no ServiceAccount.
func (s *Service) refuse() {
	for _, c := range s.Connections {
		c.refuse(s.account)
	}
}

// unanswered is what a connection says until Crossplane has looked up what it
// needs to know. A Crossplane that knows required resources asks again at once,
// so nobody reads this for long.
var unanswered = connection.Verdictf(connection.CrossplaneTooOld, "Crossplane has not looked up the objects that the function asks for; it must be version 2.0 or newer")

// owner of an object that isn't ours, for a message.
func owner(object map[string]any) string {
	name := connection.Label(object, "crossplane.io/claim-name")
	if name == "" {
		if _, name = connection.Controller(object); name == "" {
			return "was made by somebody else"
		}
	}
	return "belongs to " + strconv.Quote(name)
}

// compose the grants of all active connections, each once, whoever needs it.
func (p *planner) compose() {
	needs := map[string][]connection.Need{}
	grants := map[string]connection.Grant{}
	var order []string
	for c := range p.connections {
		for _, r := range c.Requires {
			if _, known := p.require(r); !known {
				c.Verdict = connection.First(c.Verdict, unanswered)
			}
		}
		if !c.active {
			continue
		}
		for _, g := range p.composable(c) {
			if _, ok := grants[g.Key]; !ok {
				grants[g.Key] = g
				order = append(order, g.Key)
			}
			needs[g.Key] = append(needs[g.Key], c.need())
		}
	}
	for _, key := range order {
		connection.SetNeeds(grants[key].Object, needs[key])
		p.plan.Composed[key] = Composed{Object: grants[key].Object, Ready: connection.Ready(p.Observed.Object(key))}
	}
}

// composable grants of a connection. One whose object somebody else has refuses
// the whole connection: that claim or step has what it asks for, and the pods get
// nothing of it.
func (p *planner) composable(c *Connection) []connection.Grant {
	var grants []connection.Grant
	var taken connection.Verdict
	for _, g := range c.Grants {
		v, isTaken := p.mayCompose(g)
		switch {
		case v.Reason == "":
			grants = append(grants, g)
		case isTaken && !g.Data:
			taken = connection.First(taken, v)
		default:
			c.Verdict = connection.First(c.Verdict, v)
		}
	}
	if taken.Reason != "" {
		c.refuse(taken)
		return nil
	}
	return grants
}

// mayCompose says why a grant can't be applied, and whether because somebody
// else has the object. Crossplane stops at the first object that it can't apply,
// and writes no status then, so this is asked before: is the kind installed, and
// is the name free?
func (p *planner) mayCompose(g connection.Grant) (v connection.Verdict, taken bool) {
	switch {
	case p.Desired[g.Key]:
		return keyTaken(g), true
	case p.Observed.Object(g.Key) != nil:
		return connection.Verdict{}, false
	}
	if g.Kind.CRD != "" && !p.installed[kind{g.Kind.APIVersion, g.Kind.Kind}] {
		crd, known := p.require(connection.CRDRequirement(g.Kind.CRD))
		if !known {
			return unanswered, false
		}
		if v := connection.Served(crd, g.Kind); v.Reason != "" {
			return v, false
		}
	}
	name, namespace := connection.Name(g.Object)
	there, known := p.require(connection.Requirement{APIVersion: g.Kind.APIVersion, Kind: g.Kind.Kind, Namespace: namespace, Name: name})
	switch {
	case !known:
		return unanswered, false
	case there == nil || connection.ComposedAs(there, p.Claim.UID, g.Key):
		return connection.Verdict{}, false
	case g.Data:
		return connection.Verdictf(connection.Creating, "%s %q exists and %s; the disk is used as soon as its volume claim is there", g.Kind.Kind, name, owner(there)), true
	default:
		return connection.Verdictf(connection.ServiceAccountConflict, "%s %q exists and %s; one claim only can grant this to a ServiceAccount, so use another serviceAccountName, or remove the connection there", g.Kind.Kind, name, owner(there)), true
	}
}

// keyTaken says that an earlier step of the pipeline composes something under
// the grant's key, which is then not for us to overwrite.
func keyTaken(g connection.Grant) connection.Verdict {
	return connection.Verdictf(connection.NameConflict, "an earlier step of the Composition's pipeline composes a resource named %q, which the function needs for its %s; ask the platform team to name theirs otherwise", g.Key, g.Kind.Kind)
}

// composeServiceAccounts of the services that don't name one, with the
// annotations of everything that uses them.
func (p *planner) composeServiceAccounts() {
	for _, s := range p.plan.Services {
		if !s.composed || s.account.Blocks() {
			continue
		}
		g := connection.ServiceAccount(p.Claim.Namespace, s.ServiceAccount, p.annotations(s))
		// A service that names this ServiceAccount needs it as well.
		var needs []connection.Need
		for _, o := range p.plan.Services {
			if o.ServiceAccount == s.ServiceAccount {
				needs = append(needs, connection.Need{Service: o.Name})
			}
		}
		connection.SetNeeds(g.Object, needs)
		p.plan.Composed[g.Key] = Composed{Object: g.Object, Ready: s.observed != nil}
	}
}

// annotations of a composed ServiceAccount: those of its active connections,
// and those that are observed and that an identity in the claim still rests on.
func (p *planner) annotations(s *Service) map[string]string {
	out := map[string]string{}
	settled := map[*connection.Family]bool{}
	for c := range p.connections {
		if c.service.ServiceAccount != s.ServiceAccount || !c.active || !c.Published {
			continue
		}
		if p.waits(s, c) {
			continue
		}
		settled[c.Family] = true
		maps.Copy(out, c.Annotations)
	}
	for _, k := range annotationKeys(s.observed) {
		f := connection.AnnotationFamily(k)
		if f != nil && !settled[f] && p.holds(s, f) {
			out[k] = connection.Annotation(s.observed, k)
		}
	}
	return out
}

// waits says whether a connection's annotations wait for its grants, because
// another identity is in use and must work until the new one does.
func (p *planner) waits(s *Service, c *Connection) bool {
	switching := false
	for k, v := range c.Annotations {
		if was := connection.Annotation(s.observed, k); was != "" && was != v {
			switching = true
		}
	}
	return switching && p.predecessor(c) && !p.grantsReady(c)
}

// predecessor says whether an object still grants the ServiceAccount another
// identity of the connection's family.
func (p *planner) predecessor(c *Connection) bool {
	return slices.ContainsFunc(p.identities[claimant{c.service.ServiceAccount, c.Family}], func(g connection.Granted) bool {
		return g.Target != c.Target && !g.Decision.Revokes()
	})
}

func (p *planner) grantsReady(c *Connection) bool {
	for _, g := range c.Grants {
		if !connection.Ready(p.Observed.Object(g.Key)) {
			return false
		}
	}
	return true
}

// holds says whether an observed annotation stays although no active connection
// asks for it: a connection of its family is in the claim, though it can't be
// expanded now, and what it grants isn't revoked.
func (p *planner) holds(s *Service, f *connection.Family) bool {
	wanted, revoked := p.Claim.Incomplete, false
	for c := range p.connections {
		if c.service.ServiceAccount == s.ServiceAccount && connection.FamilyOf(c.Type) == f {
			wanted = true
			revoked = revoked || c.Decision.Revokes()
		}
	}
	if !wanted || p.revoked(s.ServiceAccount, f, s.observed) {
		return false
	}
	// Nothing tells which identity the annotation names: the connections do.
	return p.identified(s, f) || !revoked
}

// identified says whether an annotation's identity can be told, by the
// annotation itself or by an object that grants it.
func (p *planner) identified(s *Service, f *connection.Family) bool {
	if _, ok := connection.Annotated(p.Settings, p.Claim.Namespace, f, s.observed); ok {
		return true
	}
	return len(p.identities[claimant{s.ServiceAccount, f}]) > 0
}

func annotationKeys(object map[string]any) []string {
	metadata, _ := object["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	return slices.Sorted(maps.Keys(annotations))
}
