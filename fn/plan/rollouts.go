package plan

import (
	"slices"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
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

	// replaced says that no pod is older than the injection, and waits what is
	// waited for until then.
	replaced bool
	waits    string

	// restart is the command that replaces the pods, empty where none need be.
	restart string
}

// underWay says that the pods are being replaced, and need nobody's help: the
// template has changed since the injection was published, which whoever follows
// restart has done, and the workload's controller does the rest. To restart it again
// would begin anew, and who follows restart whenever it is there would never end.
func (p progress) underWay(w workloadState) bool {
	return p.waits != notRestarted && p.waits != absent && w.object != nil && w.kind.Rolls(w.object) && !workload.HeldBack(w.object)
}

// rollOut the injections to the pods.
func rollOut(ds *deliveries) *rollouts {
	rs := &rollouts{deliveries: ds, progress: make([]progress, len(ds.services))}
	// Several services may name one workload, whose template is hashed once.
	templates := make(map[claim.Workload]string, len(ds.services))
	for i := range ds.services {
		s := &ds.services[i]
		p := progressOf(ds, s, templates)
		if p.rollout != nil && *p.rollout == (claim.Rollout{}) {
			// An object whose fields have all gone is null to the API server,
			// which then refuses the whole status.
			p.rollout = nil
		}
		if p.rollout != nil && !p.rollout.Current && !p.underWay(s.workload) && advised(ds, s) {
			p.restart = s.workload.kind.Restart(ds.Claim.Namespace, s.Workload.Name, s.workload.object)
		}
		rs.progress[i] = p
	}
	return rs
}

// advised says whether pods that pre-date the injection should be replaced by
// hand: they are there, nothing replaces them by itself, and they would gain by it.
// What they have and may keep is in what is published, so they lose nothing.
func advised(ds *deliveries, s *service) bool {
	w := s.workload
	if !w.readable || w.object == nil || ds.injected[s.index].refused.Reason != "" {
		return false
	}
	if s.rendered != nil && w.kind.Rolls(w.object) {
		// It rolls out by itself: the injection changes its template.
		return false
	}
	return ds.injected[s.index].injection != nil || !slices.ContainsFunc(ds.of(s), func(c granted) bool { return !c.granted })
}

// progressOf a service's injection to the pods of its workload.
func progressOf(ds *deliveries, s *service, templates map[claim.Workload]string) progress {
	w, hash := s.workload, ds.injected[s.index].hash()
	var was *claim.Rollout
	if ps := ds.previousOf(s); ps != nil {
		was = ps.Rollout
	}
	switch {
	case hash != "" && slices.Contains(ds.Claim.PodsReplaced, hash):
		return progress{rollout: &claim.Rollout{Injection: hash, Current: true}, replaced: true}
	case !w.readable:
		return progress{rollout: unread(was, hash)}
	}
	var now *claim.Rollout
	var waits string
	switch {
	case w.kind.Runs():
		now, waits = runs(was, s, hash)
	case s.rendered != nil && (w.object == nil || w.kind.Fixed || w.kind.Replaces()):
		now, waits = rendered(was, w, hash)
	default:
		template, hashed := templates[*s.Workload]
		if !hashed && w.object != nil {
			template = w.kind.TemplateHash(w.object)
			templates[*s.Workload] = template
		}
		now, waits = advance(was, hash, sight{workloadState: w, hash: template, first: ds.neverPublished(s)})
	}
	return progress{rollout: now, waits: waits, replaced: now != nil && now.Current}
}

// runs of a CronJob have new pods each time, so once no job runs, no pod can be
// older. Until then, a job's pods are what they were made from, whatever became of
// the template.
func runs(was *claim.Rollout, s *service, hash string) (now *claim.Rollout, waits string) {
	if was == nil && hash == "" {
		return nil, ""
	}
	w := s.workload
	now = &claim.Rollout{Injection: hash, Current: was != nil && was.Injection == hash && was.Current}
	done, waits := w.kind.Replaced(w.object)
	if done {
		next, _ := rendered(was, w, hash)
		now.Current = now.Current || s.rendered == nil || next.Current
	}
	return now, waits
}

// unread rollout of a workload that may not be read now: what is remembered, as
// long as the injection is the same.
func unread(was *claim.Rollout, hash string) *claim.Rollout {
	if was != nil && was.Injection != hash {
		return &claim.Rollout{Injection: hash}
	}
	return was
}

// rendered workloads say themselves which injection their template has, and their
// controllers when all pods have it. One that isn't there has none, unless it was
// deleted and has left its pods behind.
func rendered(was *claim.Rollout, w workloadState, hash string) (now *claim.Rollout, waits string) {
	if w.object == nil {
		fresh := was == nil || was.Injection == "" || was.Injection == hash && was.Current
		return &claim.Rollout{Injection: hash, Current: fresh}, absent
	}
	running, _ := w.kind.Template(w.object)
	if connection.Annotation(running, workload.AnnotationInjection) != hash {
		return &claim.Rollout{Injection: hash}, notRestarted
	}
	done, waits := true, ""
	if !w.kind.Fixed {
		done, waits = w.kind.Replaced(w.object)
	}
	// Once no pod was older, none can be: new ones are made from the template.
	return &claim.Rollout{Injection: hash, Current: done || was != nil && was.Injection == hash && was.Current}, waits
}

// What is waited for before a workload's controller can say anything.
const (
	absent       = "it isn't there, and may have left pods behind"
	notRestarted = "its pods haven't restarted"
)

// unseen stands for the template of a workload that wasn't there when its
// service's first injection was published. It is no hash.
const unseen = "unseen"

// A sight of a workload, with the hash of its template. It is the first where
// nothing was ever published for its service.
type sight struct {
	workloadState

	hash  string
	first bool
}

// empty says whether a workload has no pods that could be older than the injection
// that is remembered.
func (s sight) empty(was *claim.Rollout) bool {
	if s.object == nil {
		return was.Template == unseen
	}
	return s.kind.Empty(s.object)
}

// advance what is remembered of a workload. A change of the injection is
// remembered, and once that is published, the pod template's hash; when that
// differs, and the workload's controller says that no pod of a template before is
// left, the pods are new. The template that is seen while the injection changes may
// be older than it seems: what the team has just restarted for the injection before
// would count for this one.
//
// A workload that isn't there may have left pods behind, or its pods are others'.
// Only where nothing was ever published before, none can be older.
func advance(was *claim.Rollout, hash string, now sight) (next *claim.Rollout, waits string) {
	switch {
	case was == nil && hash == "":
		return nil, ""
	case was == nil || was.Injection != hash:
		next := &claim.Rollout{Injection: hash}
		if now.first && now.object == nil {
			next.Template = unseen
		}
		return next, notRestarted
	case was.Current || now.empty(was):
		return &claim.Rollout{Injection: hash, Current: true}, ""
	case now.object == nil:
		return was, absent
	case was.Template == "" || was.Template == unseen:
		return &claim.Rollout{Injection: hash, Template: now.hash}, notRestarted
	case was.Template == now.hash:
		return was, notRestarted
	}
	done, waits := now.kind.Replaced(now.object)
	if done {
		return &claim.Rollout{Injection: hash, Current: true}, ""
	}
	return was, waits
}
