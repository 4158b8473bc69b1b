package plan

import (
	"maps"
	"slices"

	"github.com/serviceconnections/function-service-connections/fn/connection"
)

// report of what all stages have decided.
func report(r *retained) *Plan {
	p := &Plan{
		Composed:  make(map[string]Composed, len(r.composed)+len(r.serviceAccounts)+len(r.kept)),
		Requires:  slices.Concat(r.facts.requires, r.grants.requires), //nolint:staticcheck // Both stages have some, so it says of which.
		Services:  make([]Service, len(r.services)),
		Held:      r.untouched,
		Workloads: r.workloads,
	}
	for _, composed := range []map[string]grant{r.composed, r.serviceAccounts} {
		for key, g := range composed {
			needs, observed := r.needs[key]
			if !observed {
				needs = g.needs
			}
			p.Composed[key] = Composed{Object: g.object, NeededBy: connection.NeededByAll(needs), Resume: r.Types.Resume(key, r.Observed, r.Claim.UID), Ready: g.ready}
		}
	}
	for key, object := range r.kept {
		p.Composed[key] = Composed{Object: object, Resume: r.Types.Resume(key, r.Observed, r.Claim.UID), Ready: true}
	}
	maps.Copy(p.Composed, r.finders)
	for i := range r.services {
		p.Services[i] = r.service(&r.services[i])
	}
	return p
}

func (r *retained) service(s *service) Service {
	in, progress := r.injected[s.index], r.progress[s.index]
	out := Service{
		ServiceEntry:   s.ServiceEntry,
		ServiceAccount: s.account.name,
		Connections:    make([]Connection, 0, len(s.Entries)),
		Injection:      in.injection,
		Rendered:       s.rendered != nil,
		Rollout:        progress.rollout,
		Restart:        progress.restart,
	}
	for i, c := range r.of(s) {
		out.Connections = append(out.Connections, Connection{
			ID: c.id, Identity: c.Identity, Zone: c.Zone, Env: r.included[r.first[s.index]+i].env,
			Verdict:  r.on[r.first[s.index]+i],
			Warnings: slices.Concat(c.Warnings, c.warnings),
		})
	}
	if s.workload.readable && s.workload.object == nil && s.rendered == nil {
		out.Notes = append(out.Notes, connection.Verdictf(connection.WorkloadNotFound, "%s %q does not exist in namespace %q yet; its pods get the connections as they are created, and if yours has another name, say so in services[%s].workload", s.Workload.Kind, s.Workload.Name, r.Claim.Namespace, s.Name))
	}
	for i, c := range r.of(s) {
		if r.parts[r.first[s.index]+i] != nil {
			out.Notes = append(out.Notes, connection.Verdictf(connection.Superseded, "pods of service %q keep what was published for %s, until what the claim and the settings ask for works", s.Name, c.id))
		}
	}
	if r.withholds(s) {
		out.Notes = append(out.Notes, connection.Verdictf(connection.WorkloadWithheld, "%s %q is created once its injection is complete, because its pods can't be changed later", s.Workload.Kind, s.Workload.Name))
	}
	if r.frozen[s.index] {
		out.Notes = append(out.Notes, connection.Verdictf(connection.TemplateFrozen, "%s %q keeps the pod template that it runs with, and nothing that the pipeline changes there reaches its pods, because they would lose what service %q gives them; mend what its connections say", s.Workload.Kind, s.Workload.Name, s.Name))
	}
	out.Notes = append(out.Notes, r.notes[s.index]...)
	return out
}
