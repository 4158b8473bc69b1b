package plan

import (
	"slices"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/workload"
)

// rollOut says of every service whether pods may pre-date its injection, and
// how to replace them.
func (p *planner) rollOut() {
	for _, s := range p.plan.Services {
		w := s.workload
		s.Rollout = p.rollout(s)
		if s.Rollout != nil && *s.Rollout == (claim.Rollout{}) {
			// An object whose fields have all gone is null to the API server,
			// which then refuses the whole status.
			s.Rollout = nil
		}
		if s.Rollout == nil || s.Rollout.Current || !w.readable || w.object == nil || s.Refused.Reason != "" || s.refusedAny() {
			continue
		}
		if s.Rendered != nil && w.kind.Rolls(w.object) {
			// It rolls out by itself: the injection changes its template.
			continue
		}
		s.Restart = w.kind.Restart(p.Claim.Namespace, s.Workload.Name, w.object)
	}
}

// rollout of a service's injection to the pods of its workload.
func (p *planner) rollout(s *Service) *claim.Rollout {
	w := s.workload
	if !w.readable {
		return unread(p.remembered(s), s.hash())
	}
	if w.kind.Runs() {
		return runs(p.remembered(s), s, w)
	}
	if s.Rendered != nil && (w.object == nil || w.kind.Rolls(w.object) || w.kind.Fixed) {
		return rendered(w, s.hash())
	}
	return advance(p.remembered(s), s.hash(), p.templateHash(s))
}

// runs of a CronJob have new pods each time, so once no job runs, no pod can be
// older. Until then, a job's pods are what they were made from, whatever became of
// the template.
func runs(was *claim.Rollout, s *Service, w workloadState) *claim.Rollout {
	hash := s.hash()
	if was == nil && hash == "" {
		return nil
	}
	now := &claim.Rollout{Injection: hash, Current: was != nil && was.Injection == hash && was.Current}
	if !w.running() {
		now.Current = now.Current || s.Rendered == nil || rendered(w, hash).Current
	}
	return now
}

// refusedAny says whether a connection is refused for now. A restart would take
// from the pods what it gave them before, so it isn't advised until that is
// mended.
func (s *Service) refusedAny() bool {
	return slices.ContainsFunc(s.Connections, func(c *Connection) bool { return !c.active })
}

// unread rollout of a workload that may not be read now: what is remembered, as
// long as the injection is the same.
func unread(was *claim.Rollout, hash string) *claim.Rollout {
	if was != nil && was.Injection != hash {
		return &claim.Rollout{Injection: hash}
	}
	return was
}

// remembered rollout of the service's workload. Another workload that the
// service had before tells nothing about this one's pods.
func (p *planner) remembered(s *Service) *claim.Rollout {
	if ps := p.previousOf(s); ps != nil {
		return ps.Rollout
	}
	return nil
}

// rendered workloads say themselves which injection their pods have.
func rendered(w workloadState, hash string) *claim.Rollout {
	if w.object == nil {
		return &claim.Rollout{Injection: hash, Current: true}
	}
	running, _ := w.kind.Template(w.object)
	return &claim.Rollout{Injection: hash, Current: connection.Annotation(running, workload.AnnotationInjection) == hash}
}

// templateHash of a service's workload, which other services may name too.
func (p *planner) templateHash(s *Service) string {
	if s.workload.object == nil {
		return ""
	}
	h, ok := p.templates[*s.Workload]
	if !ok {
		h = s.workload.kind.TemplateHash(s.workload.object)
		p.templates[*s.Workload] = h
	}
	return h
}

// advance what is remembered of a workload. A change of the injection is
// remembered, and once that is published, the pod template's hash; when that
// differs, the pods are new. The template that is seen while the injection
// changes may be older than it seems: what the team has just restarted for the
// injection before would count for this one. A workload that wasn't there when
// the injection had been published can have no older pods.
func advance(was *claim.Rollout, hash, template string) *claim.Rollout {
	if was == nil && hash == "" {
		return nil
	}
	if was == nil || was.Injection != hash {
		return &claim.Rollout{Injection: hash}
	}
	if was.Current {
		return &claim.Rollout{Injection: hash, Current: true}
	}
	switch {
	case template == "", was.Template != "" && was.Template != template:
		return &claim.Rollout{Injection: hash, Current: true}
	default:
		return &claim.Rollout{Injection: hash, Template: template}
	}
}
