package plan

import (
	"slices"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/decoded"
	"github.com/serviceconnections/function-service-connections/fn/workload"
)

// rollouts say of every service whether pods may pre-date its injection, and how
// to replace them.
type rollouts struct {
	*deliveries

	// progress of the services, in the order of the claim.
	progress []progress
}

// progress of an injection on its way to the pods of a workload.
type progress struct {
	// rollout to remember, nil where there is nothing.
	rollout *claim.Rollout

	// restart is the command that replaces the pods, empty where none need be.
	restart string
}

// rollOut the injections to the pods.
func rollOut(ds *deliveries) *rollouts {
	rs := &rollouts{deliveries: ds, progress: make([]progress, len(ds.services))}
	// Several services may name one workload, whose template is hashed once.
	templates := make(map[claim.Workload]string, len(ds.services))
	for i := range ds.services {
		s := &ds.services[i]
		p := progress{rollout: rolloutOf(ds, s, templates)}
		if p.rollout != nil && *p.rollout == (claim.Rollout{}) {
			// An object whose fields have all gone is null to the API server,
			// which then refuses the whole status.
			p.rollout = nil
		}
		if p.rollout != nil && !p.rollout.Current && advised(ds, s) {
			p.restart = s.workload.kind.Restart(ds.Claim.Namespace, s.Workload.Name, s.workload.object)
		}
		rs.progress[i] = p
	}
	return rs
}

// advised says whether pods that pre-date the injection should be replaced by
// hand: they are there, nothing replaces them by itself, and they would lose
// nothing by it.
func advised(ds *deliveries, s *service) bool {
	w := s.workload
	if !w.readable || w.object == nil || ds.injected[s.index].refused.Reason != "" {
		return false
	}
	if s.rendered != nil && w.kind.Rolls(w.object) {
		// It rolls out by itself: the injection changes its template.
		return false
	}
	return !slices.ContainsFunc(ds.of(s), func(c granted) bool { return !c.granted })
}

// rolloutOf a service's injection to the pods of its workload.
func rolloutOf(ds *deliveries, s *service, templates map[claim.Workload]string) *claim.Rollout {
	w, hash := s.workload, ds.injected[s.index].hash()
	var remembered *claim.Rollout
	if ps := ds.previousOf(s); ps != nil {
		remembered = ps.Rollout
	}
	switch {
	case !w.readable:
		return unread(remembered, hash)
	case w.kind.Runs():
		return runs(remembered, s, hash)
	case s.rendered != nil && (w.object == nil || w.kind.Rolls(w.object) || w.kind.Fixed):
		return rendered(w, hash)
	case w.object == nil:
		return advance(remembered, hash, "")
	}
	template, hashed := templates[*s.Workload]
	if !hashed {
		template = w.kind.TemplateHash(w.object)
		templates[*s.Workload] = template
	}
	return advance(remembered, hash, template)
}

// runs of a CronJob have new pods each time, so once no job runs, no pod can be
// older. Until then, a job's pods are what they were made from, whatever became of
// the template.
func runs(was *claim.Rollout, s *service, hash string) *claim.Rollout {
	if was == nil && hash == "" {
		return nil
	}
	w := s.workload
	now := &claim.Rollout{Injection: hash, Current: was != nil && was.Injection == hash && was.Current}
	if active, _ := decoded.At(w.object, "status", "active").([]any); len(active) == 0 {
		now.Current = now.Current || s.rendered == nil || rendered(w, hash).Current
	}
	return now
}

// unread rollout of a workload that may not be read now: what is remembered, as
// long as the injection is the same.
func unread(was *claim.Rollout, hash string) *claim.Rollout {
	if was != nil && was.Injection != hash {
		return &claim.Rollout{Injection: hash}
	}
	return was
}

// rendered workloads say themselves which injection their pods have.
func rendered(w workloadState, hash string) *claim.Rollout {
	if w.object == nil {
		return &claim.Rollout{Injection: hash, Current: true}
	}
	running, _ := w.kind.Template(w.object)
	return &claim.Rollout{Injection: hash, Current: connection.Annotation(running, workload.AnnotationInjection) == hash}
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
