package plan

import (
	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/decoded"
	"github.com/serviceconnections/function-service-connections/fn/workload"
)

// deliveries are what becomes of the workloads that earlier steps render.
type deliveries struct {
	*verdicts

	// workloads that change, by composed resource key. A nil one must not be
	// created yet.
	workloads map[string]map[string]any

	// frozen are the services whose workload keeps the pod template that it runs with,
	// whatever is rendered, in the order of the claim.
	frozen []bool
}

// withholds says whether the workload of a service isn't created yet.
func (ds *deliveries) withholds(s *service) bool {
	if s.rendered == nil {
		return false
	}
	w, changed := ds.workloads[s.rendered.Key]
	return changed && w == nil
}

// deliver the injections to the workloads that earlier steps render.
func deliver(vs *verdicts) *deliveries {
	ds := &deliveries{verdicts: vs, workloads: map[string]map[string]any{}, frozen: make([]bool, len(vs.services))}
	named := make(map[claim.Workload]bool, len(vs.services))
	for i := range vs.services {
		s := &vs.services[i]
		named[*s.Workload] = true
		if s.rendered == nil || vs.injected[i].refused.Reason == connection.WorkloadConflict {
			continue
		}
		running, runs := s.workload.kind.Template(s.workload.object)
		if ds.frozen[i] = runs && wouldLose(vs, s, running); ds.frozen[i] {
			ds.workloads[s.rendered.Key] = asItRuns(s.rendered, s.workload.kind)
			continue
		}
		if w, changed := delivered(vs, s); changed {
			ds.workloads[s.rendered.Key] = w
		}
	}
	for w, r := range vs.Rendered {
		kind, _ := workload.KindOf(w.APIVersion, w.Kind)
		running, runs := kind.Template(r.Observed.Object)
		if !runs || named[w] || !workload.Injected(running) {
			continue
		}
		// No service names it any more, or the one that does can't be read. Pods
		// that can't be changed have their injection until they are made anew.
		switch left, lessened := vs.leaves(w); {
		case !kind.Fixed && lessened:
			ds.workloads[r.Key] = withInjection(&r, kind, left.Injection)
		case kind.Fixed || left != nil:
			ds.workloads[r.Key] = asItRuns(&r, kind)
		}
	}
	return ds
}

// delivered workload of a service whose template isn't frozen, nil where it must not
// be created yet, and whether it differs from what was rendered.
func delivered(vs *verdicts, s *service) (rendered map[string]any, changed bool) {
	kind, in := s.workload.kind, vs.injected[s.index]
	running, runs := kind.Template(s.workload.object)
	switch {
	case kind.Fixed && !runs && awaitsInjection(vs, s):
		return nil, true
	case kind.Fixed && runs && connection.Annotation(running, workload.AnnotationInjection) != in.hash():
		return asItRuns(s.rendered, kind), true
	case in.injection != nil && !in.refused.Blocks():
		return withInjection(s.rendered, kind, in.injection), true
	default:
		return nil, false
	}
}

// withInjection is a rendered workload with an injection, nil where it gets none.
func withInjection(r *Rendered, kind workload.Kind, in *claim.Injection) map[string]any {
	rendered, _ := kind.Template(r.Object)
	template := decoded.Clone(rendered)
	if in != nil {
		workload.Inject(template, *in)
	}
	return kind.WithTemplate(r.Object, template)
}

// asItRuns is a rendered workload with the pod template that it runs with, of
// which Crossplane owns exactly what it has applied.
func asItRuns(r *Rendered, kind workload.Kind) map[string]any {
	template, _ := kind.Template(asApplied(r.Observed))
	return kind.WithTemplate(r.Object, template)
}

// awaitsInjection says whether something will yet come into the injection by
// itself.
func awaitsInjection(vs *verdicts, s *service) bool {
	if vs.injected[s.index].refused.Blocks() {
		return false
	}
	for i, c := range vs.of(s) {
		if c.granted && !vs.included[vs.first[s.index]+i].there {
			return true
		}
	}
	return false
}

// wouldLose says whether a workload that runs would lose access, although nobody
// took it away: a connection can't be worked out now, or the pods can't take the
// injection any more. A new template would replace the pods that have it.
func wouldLose(vs *verdicts, s *service, running map[string]any) bool {
	in := vs.injected[s.index]
	switch {
	case !workload.Injected(running):
		return false
	case in.refused.Blocks():
		return true
	}
	unsettled := false
	for i, c := range vs.of(s) {
		unsettled = unsettled || !vs.included[vs.first[s.index]+i].there && !withdrawn(vs, c.wish)
	}
	return unsettled && (in.injection == nil || workload.Loses(running, *in.injection))
}

// withdrawn says whether a list takes away what a connection's pods have, and not
// only what an edit newly asks for.
func withdrawn(vs *verdicts, w wish) bool {
	s := w.service
	family := vs.Types.FamilyOf(w.id.Type)
	if family == nil {
		return w.Decision.Revokes() && w.Mounted
	}
	return vs.revoked(claimant{s.account.name, family}, s.account.object)
}
