package plan

import (
	"cmp"
	"slices"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/workload"
)

// A workloadState is what is known of a service's workload.
type workloadState struct {
	kind workload.Kind

	// readable says that the workload may be read, so that a nil object means
	// that there is none.
	readable bool
	object   map[string]any

	// template that the pods are made from, before the injection where an
	// earlier step renders it.
	template map[string]any

	// serviceAccount that the running template names, empty for none.
	serviceAccount string
}

// running says whether a CronJob has jobs that run.
func (w workloadState) running() bool {
	status, _ := w.object["status"].(map[string]any)
	active, _ := status["active"].([]any)
	return len(active) > 0
}

// findWorkload of a service: rendered by an earlier step, or read in the
// cluster where the settings allow it.
func (p *planner) findWorkload(s *Service) {
	w := &s.workload
	w.kind, _ = workload.KindOf(s.Workload.APIVersion, s.Workload.Kind)
	if r, ok := p.Rendered[*s.Workload]; ok {
		s.Rendered = &r
		w.readable = true
		w.object = r.Observed.Object
		w.template, _ = w.kind.Template(r.Object)
	} else if p.readWorkload(s) && w.object != nil {
		w.template, _ = w.kind.Template(w.object)
	}
	if running, ok := w.kind.Template(w.object); ok {
		spec, _ := running["spec"].(map[string]any)
		w.serviceAccount, _ = spec["serviceAccountName"].(string)
	}
}

func (p *planner) readWorkload(s *Service) bool {
	w := &s.workload
	if !w.kind.Inspected || !p.Settings.Inspect() {
		return false
	}
	if w.kind.CRD != "" {
		// To ask for an object of a kind that isn't installed fails the whole
		// reconcile.
		crd, _ := p.require(connection.CRDRequirement(w.kind.CRD))
		if connection.Served(crd, connection.Kind{APIVersion: w.kind.APIVersion, Kind: w.kind.Kind, CRD: w.kind.CRD}).Reason != "" {
			return false
		}
	}
	w.object, w.readable = p.require(connection.Requirement{
		APIVersion: s.Workload.APIVersion, Kind: s.Workload.Kind,
		Namespace: p.Claim.Namespace, Name: s.Workload.Name,
	})
	return w.readable
}

// inject builds what each service's pods get, and says where they would get
// nothing.
func (p *planner) inject() {
	for _, s := range p.plan.Services {
		if s.Refused = p.workloadConflict(s); s.Refused.Blocks() {
			continue
		}
		injection, v := p.injection(s)
		if s.Refused = v; injection == nil {
			continue
		}
		s.Injection = injection
		if s.workload.template == nil {
			continue
		}
		if conflicts := workload.Inspect(s.workload.template, *injection, s.Service); len(conflicts) > 0 {
			s.Refused = connection.Verdict{Reason: connection.Reason(conflicts[0].Reason), Message: conflicts[0].Message}
		}
	}
}

// sessions stand beside the annotations in what an injection's hash is of. No
// annotation has this name.
const sessions = "sessions"

// injection of a service, from the connections whose values are known. The first
// publication waits for the ServiceAccount, or pods would be refused. Once
// published, an injection is not withdrawn because a ServiceAccount, or an
// annotation on it, is missing for a while.
func (p *planner) injection(s *Service) (*claim.Injection, connection.Verdict) {
	published := p.published(s)
	if published != nil && published.ServiceAccountName != s.ServiceAccount {
		published = nil
	}
	if s.observed == nil && published == nil {
		return nil, connection.Verdict{}
	}
	parts := make([]claim.Injection, 0, len(s.Connections))
	annotations := map[string]string{}
	for _, c := range s.Connections {
		c.injected = c.active && c.Published && (p.holdsInjection(published, c) || p.notAnnotated(c).Reason != connection.ServiceAccountNotAnnotated)
		if !c.injected {
			continue
		}
		parts = append(parts, c.Injection)
		for k, v := range c.Annotations {
			annotations[k] = p.annotation(s, k, v)
		}
		if c.Sessions != "" {
			annotations[sessions] = c.Sessions
		}
	}
	if len(parts) == 0 {
		return nil, connection.Verdict{}
	}
	injection, err := workload.Merge(parts...)
	if err != nil {
		return nil, connection.Verdictf(connection.NameConflict, "the connections of service %q exclude each other: %s", s.Name, err)
	}
	injection.ServiceAccountName = s.ServiceAccount
	injection.Containers = slices.Sorted(slices.Values(s.Containers))
	injection.Complete = len(parts) == len(s.Connections) && !p.Claim.Incomplete
	injection.Hash = workload.Hash(injection, annotations)
	return &injection, connection.Verdict{}
}

// holdsInjection says whether a published injection has a connection in it. One
// that injects nothing, but the ServiceAccount, is in one that is complete.
func (p *planner) holdsInjection(published *claim.Injection, c *Connection) bool {
	if published == nil || !workload.Holds(*published, c.Injection) {
		return false
	}
	return !workload.Holds(claim.Injection{}, c.Injection) || published.Complete && p.listed(c)
}

// listed says whether the last status has a connection.
func (p *planner) listed(c *Connection) bool {
	return slices.ContainsFunc(p.previous[c.service.Name], func(ps *claim.ServiceStatus) bool {
		return slices.ContainsFunc(ps.Connections, func(cs claim.ConnectionStatus) bool { return cs.Type == c.Type })
	})
}

// annotation of a service's ServiceAccount as this run leaves it. Somebody else's
// ServiceAccount that lacks the annotation, or is away for a moment, counts as if
// it had the wanted one, or the pods would be called out of date.
func (p *planner) annotation(s *Service, key, wanted string) string {
	if c, ok := p.plan.Composed[connection.ServiceAccountKey(s.ServiceAccount)]; ok {
		return connection.Annotation(c.Object, key)
	}
	return cmp.Or(connection.Annotation(s.observed, key), wanted)
}

// notAnnotated says whether the ServiceAccount lacks annotations that the
// connection needs: ours soon has them, somebody else's must be given them.
func (p *planner) notAnnotated(c *Connection) connection.Verdict {
	s := c.service
	if s.observed == nil || !c.Published {
		return connection.Verdict{}
	}
	v := connection.NotAnnotated(s.observed, p.Claim.Namespace, s.ServiceAccount, c.Annotations)
	if _, ours := p.plan.Composed[connection.ServiceAccountKey(s.ServiceAccount)]; ours && v.Blocks() {
		return connection.Verdictf(connection.Creating, "ServiceAccount %q is being annotated", s.ServiceAccount)
	}
	return v
}

// workloadConflict says whether another service of the claim has the workload.
// The one whose injection was published keeps it, or else the first.
func (p *planner) workloadConflict(s *Service) connection.Verdict {
	var holder *Service
	for _, o := range p.plan.Services {
		if *o.Workload != *s.Workload {
			continue
		}
		if holder == nil || p.published(o) != nil && p.published(holder) == nil {
			holder = o
		}
	}
	if holder == s {
		return connection.Verdict{}
	}
	return connection.Verdictf(connection.WorkloadConflict, "%s %q belongs to service %q already; give service %q a workload of its own, or put the connections into one service", s.Workload.Kind, s.Workload.Name, holder.Name, s.Name)
}

// previousOf a service is the status that the last run wrote for it and its
// workload, nil where there is none.
func (p *planner) previousOf(s *Service) *claim.ServiceStatus {
	for _, ps := range p.previous[s.Name] {
		if ps.Workload != nil && *ps.Workload == *s.Workload {
			return ps
		}
	}
	return nil
}

// published injection of a service, as the last status has it.
func (p *planner) published(s *Service) *claim.Injection {
	if ps := p.previousOf(s); ps != nil {
		return ps.Injection
	}
	return nil
}

// conclude says the last word on every connection: the first of all verdicts,
// from what the claim says to what the cloud says.
func (p *planner) conclude() {
	for c := range p.connections {
		s := c.service
		c.Verdict = connection.First(
			c.Verdict,
			s.account,
			s.Refused,
			c.Expansion.Verdict,
			awaitsServiceAccount(s),
			p.notAnnotated(c),
			unpublished(c),
			connection.Verdict{Reason: connection.Connected},
		)
	}
	for _, s := range p.plan.Services {
		if s.workload.readable && s.workload.object == nil && s.Rendered == nil {
			s.Notes = append(s.Notes, connection.Verdictf(connection.WorkloadNotFound, "%s %q does not exist in namespace %q yet; its pods get the connections as they are created, and if yours has another name, say so in services[%s].workload", s.Workload.Kind, s.Workload.Name, p.Claim.Namespace, s.Name))
		}
	}
}

func awaitsServiceAccount(s *Service) connection.Verdict {
	if connection.Ready(s.observed) {
		return connection.Verdict{}
	}
	if s.observed != nil {
		next := "it is made anew"
		if !s.composed {
			next = "create it again"
		}
		return connection.Verdictf(connection.Creating, "ServiceAccount %q is being deleted, and pods that run as it lose their access; %s once it is gone", s.ServiceAccount, next)
	}
	return connection.Verdictf(connection.Creating, "ServiceAccount %q is being created", s.ServiceAccount)
}

func unpublished(c *Connection) connection.Verdict {
	if c.Published {
		return connection.Verdict{}
	}
	return connection.Verdictf(connection.Creating, "the identity of %s is not known yet", c.Type)
}
