package plan

import (
	"slices"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/workload"
)

// deliver decides what becomes of the workloads that earlier steps render.
func (p *planner) deliver() {
	for _, s := range p.plan.Services {
		if s.Rendered == nil || s.Refused.Reason == connection.WorkloadConflict {
			continue
		}
		kind, workloads := s.workload.kind, p.plan.Workloads
		running, runs := kind.Template(s.workload.object)
		switch {
		case kind.Fixed && !runs && s.awaitsInjection():
			workloads[s.Rendered.Key] = nil
			s.Notes = append(s.Notes, connection.Verdictf(connection.WorkloadWithheld, "%s %q is created once its injection is complete, because its pods can't be changed later", s.Workload.Kind, s.Workload.Name))
		case kind.Fixed && runs && connection.Annotation(running, workload.AnnotationInjection) != s.hash(),
			runs && p.wouldLose(s, running):
			workloads[s.Rendered.Key] = s.Rendered.asItRuns(kind)
		case s.Injection != nil && !s.Refused.Blocks():
			workload.Inject(s.workload.template, *s.Injection)
			workloads[s.Rendered.Key] = s.Rendered.Object
		}
	}
}

// keepFixed workloads that no service names any more as they are. Their pods
// can't be changed, so they have their injection until they are made anew.
func (p *planner) keepFixed() {
	for w, r := range p.Rendered {
		kind, _ := workload.KindOf(w.APIVersion, w.Kind)
		running, runs := kind.Template(r.Observed.Object)
		named := slices.ContainsFunc(p.plan.Services, func(s *Service) bool { return *s.Workload == w })
		if kind.Fixed && runs && !named && workload.Injected(running) {
			p.plan.Workloads[r.Key] = r.asItRuns(kind)
		}
	}
}

// asItRuns is the workload with the pod template that it runs with, of which
// Crossplane owns exactly what it owns.
func (r *Rendered) asItRuns(kind workload.Kind) map[string]any {
	owned, _ := kind.Template(asOwned(r.Observed))
	kind.SetTemplate(r.Object, owned)
	return r.Object
}

// withdrawn says whether a list takes away what a connection's pods have, and not
// only what an edit newly asks for.
func (p *planner) withdrawn(c *Connection) bool {
	if c.Type == claim.TypeDisk {
		return c.Decision.Revokes() && p.mounted(c.service, c.Config.DiskName)
	}
	return p.revoked(c.service.ServiceAccount, connection.FamilyOf(c.Type), c.service.observed)
}

// hash of the injection, empty where there is none.
func (s *Service) hash() string {
	if s.Injection == nil {
		return ""
	}
	return s.Injection.Hash
}

// awaitsInjection says whether something will yet come into the injection by
// itself.
func (s *Service) awaitsInjection() bool {
	return !s.Refused.Blocks() && slices.ContainsFunc(s.Connections, func(c *Connection) bool { return c.active && !c.injected })
}

// wouldLose says whether a workload that runs would lose access, although nobody
// took it away: a connection can't be worked out now, or the pods can't take the
// injection any more. A new template would replace the pods that have it.
func (p *planner) wouldLose(s *Service, running map[string]any) bool {
	switch {
	case !workload.Injected(running):
		return false
	case s.Refused.Blocks():
		return true
	}
	unsettled := slices.ContainsFunc(s.Connections, func(c *Connection) bool { return !c.injected && !p.withdrawn(c) })
	return unsettled && (s.Injection == nil || workload.Loses(running, *s.Injection))
}
