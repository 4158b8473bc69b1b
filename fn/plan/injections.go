package plan

import (
	"cmp"
	"slices"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/workload"
)

// injections are what each service's pods get, and where they would get
// nothing.
type injections struct {
	*accounts

	// services in the order of the claim.
	injected []injected

	// included says of each connection whether it is in its service's injection.
	included []bool
}

// An injected service.
type injected struct {
	// injection to publish, nil where there is none.
	injection *claim.Injection

	// refused says why the service's pods would get nothing.
	refused connection.Verdict
}

// hash of the injection, empty where there is none.
func (i injected) hash() string {
	if i.injection == nil {
		return ""
	}
	return i.injection.Hash
}

// inject the connections into the pods of their services.
func inject(as *accounts) *injections {
	is := &injections{accounts: as, injected: make([]injected, len(as.services)), included: make([]bool, len(as.all))}
	for i := range as.services {
		s := &as.services[i]
		in := injected{refused: workloadConflict(as.facts, s)}
		if !in.refused.Blocks() {
			in.injection, in.refused = merged(as, s, is.included[as.first[i]:as.first[i+1]])
		}
		if in.injection != nil && s.workload.template != nil {
			if conflicts := workload.Inspect(s.workload.template, *in.injection, s.Service); len(conflicts) > 0 {
				in.refused = connection.Verdict{Reason: connection.Reason(conflicts[0].Reason), Message: conflicts[0].Message}
			}
		}
		is.injected[i] = in
	}
	return is
}

// sessions stand beside the annotations in what an injection's hash is of. No
// annotation has this name.
const sessions = "sessions"

// merged injection of a service, from the connections whose values are known,
// which are marked as included. The first publication waits for the
// ServiceAccount, or pods would be refused. Once published, an injection is not
// withdrawn because a ServiceAccount, or an annotation on it, is missing for a
// while.
func merged(as *accounts, s *service, included []bool) (*claim.Injection, connection.Verdict) {
	published := as.published(s)
	if published != nil && published.ServiceAccountName != s.account.name {
		published = nil
	}
	if s.account.object == nil && published == nil {
		return nil, connection.Verdict{}
	}
	parts := make([]claim.Injection, 0, len(included))
	annotations := map[string]string{}
	for i, c := range as.of(s) {
		included[i] = c.granted && c.Published && (holdsInjection(as, published, c) || notAnnotated(as, c).Reason != connection.ServiceAccountNotAnnotated)
		if !included[i] {
			continue
		}
		parts = append(parts, c.Injection)
		for k, v := range c.Annotations {
			annotations[k] = annotation(as, s.account, k, v)
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
	injection.ServiceAccountName = s.account.name
	injection.Containers = slices.Sorted(slices.Values(s.Containers))
	injection.Complete = len(parts) == len(included) && !as.incomplete()
	injection.Hash = workload.Hash(injection, annotations)
	return &injection, connection.Verdict{}
}

// holdsInjection says whether a published injection has a connection in it. One
// that injects nothing, but the ServiceAccount, is in one that is complete.
func holdsInjection(as *accounts, published *claim.Injection, c granted) bool {
	if published == nil || !workload.Holds(*published, c.Injection) {
		return false
	}
	return !workload.Holds(claim.Injection{}, c.Injection) || published.Complete && listed(as.facts, c.need())
}

// listed says whether the last status has a connection.
func listed(f *facts, n connection.Need) bool {
	return slices.ContainsFunc(f.previous[n.Service], func(ps *claim.ServiceStatus) bool {
		return slices.ContainsFunc(ps.Connections, func(cs claim.ConnectionStatus) bool { return cs.Type == n.Type })
	})
}

// annotation of a service's ServiceAccount as this run leaves it. Somebody else's
// ServiceAccount that lacks the annotation, or is away for a moment, counts as if
// it had the wanted one, or the pods would be called out of date.
func annotation(as *accounts, a account, key, wanted string) string {
	if object, ok := as.composesAccount(a); ok {
		return connection.Annotation(object, key)
	}
	return cmp.Or(connection.Annotation(a.object, key), wanted)
}

// notAnnotated says whether the ServiceAccount lacks annotations that the
// connection needs: ours soon has them, somebody else's must be given them.
func notAnnotated(as *accounts, c granted) connection.Verdict {
	a := c.service.account
	if a.object == nil || !c.Published {
		return connection.Verdict{}
	}
	v := connection.NotAnnotated(a.object, as.Claim.Namespace, a.name, c.Annotations)
	if _, ours := as.composesAccount(a); ours && v.Blocks() {
		return connection.Verdictf(connection.Creating, "ServiceAccount %q is being annotated", a.name)
	}
	if owner := connection.OwnerOf(a.object, as.Claim.UID); owner != "" && v.Blocks() && annotatedOtherwise(a.object, c.Annotations) {
		// To annotate it would take from the other claim's pods, and that claim
		// would take it back.
		return connection.Verdictf(connection.ServiceAccountConflict, "ServiceAccount %q belongs to %q, which gives it another identity; use another serviceAccountName for service %q", a.name, owner, c.service.Name)
	}
	return v
}

// annotatedOtherwise says whether a ServiceAccount has an annotation with another
// value than the wanted one.
func annotatedOtherwise(object map[string]any, wanted map[string]string) bool {
	for k, v := range wanted {
		if is := connection.Annotation(object, k); is != "" && is != v {
			return true
		}
	}
	return false
}

// workloadConflict says whether another service of the claim has the workload.
// The one whose injection was published keeps it, or else the first.
func workloadConflict(f *facts, s *service) connection.Verdict {
	var holder *service
	for i := range f.services {
		o := &f.services[i]
		if *o.Workload != *s.Workload {
			continue
		}
		if holder == nil || f.published(o) != nil && f.published(holder) == nil {
			holder = o
		}
	}
	if holder.index == s.index {
		return connection.Verdict{}
	}
	return connection.Verdictf(connection.WorkloadConflict, "%s %q belongs to service %q already; give service %q a workload of its own, or put the connections into one service", s.Workload.Kind, s.Workload.Name, holder.Name, s.Name)
}
