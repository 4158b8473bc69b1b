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
		kind := s.workload.kind
		running, runs := kind.Template(s.workload.object)
		switch {
		case kind.Fixed && !runs && s.awaitsInjection():
			s.Withheld = true
			s.Notes = append(s.Notes, connection.Verdictf(connection.WorkloadWithheld, "%s %q is created once its injection is complete, because its pods can't be changed later", s.Workload.Kind, s.Workload.Name))
		case kind.Fixed && runs && connection.Annotation(running, workload.AnnotationInjection) != s.hash(),
			runs && p.wouldLose(s, running):
			owned, _ := kind.Template(asOwned(s.Rendered.Observed))
			kind.SetTemplate(s.Rendered.Object, owned)
		case s.Injection != nil && !s.Refused.Blocks():
			workload.Inject(s.workload.template, *s.Injection)
		}
	}
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
