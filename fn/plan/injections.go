package plan

import (
	"cmp"
	"slices"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/decoded"
	"github.com/serviceconnections/function-service-connections/fn/workload"
)

// injections are what each service's pods get, and where they would get
// nothing.
type injections struct {
	*accounts

	// services in the order of the claim.
	injected []injected

	// included says of each connection how it is in its service's injection.
	included []inclusion
}

// An inclusion of a connection in an injection, if it is there, and the names that its
// claim gave to variables in it.
type inclusion struct {
	there bool
	env   *claim.Variables
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

// inject the connections into the pods of their services. Where the workload can't
// take what the connections are now, its pods keep what was published.
func inject(as *accounts) *injections {
	is := &injections{accounts: as, injected: make([]injected, len(as.services)), included: make([]inclusion, len(as.all))}
	for i := range as.services {
		s, included := &as.services[i], is.included[as.first[i]:as.first[i+1]]
		in := injected{refused: workloadConflict(as.facts, s)}
		if !in.refused.Blocks() {
			in = injectedService(as, s, as.parts[as.first[i]:as.first[i+1]], as.former[i], included)
		}
		if former := as.former[i]; in.refused.Blocks() && former.injection != nil {
			former.stays, former.account = true, former.injection.ServiceAccountName
			again := make([]inclusion, len(included))
			if was := injectedService(as, s, as.whole(s), former, again); was.injection != nil && was.refused.Reason == "" {
				in.injection = was.injection
				copy(included, again)
			}
		}
		is.injected[i] = in
	}
	return is
}

// injectedService has the injection of a service, and what its workload says
// against that.
func injectedService(as *accounts, s *service, parts []*part, was former, included []inclusion) injected {
	in := injected{}
	in.injection, in.refused = merged(as, s, parts, was, included)
	if v := leftOut(as.facts, s, in.injection); v.Blocks() {
		in.refused = v
		return in
	}
	if in.injection == nil || s.workload.template == nil {
		return in
	}
	if v := labelledOtherwise(as.facts, s); v.Blocks() {
		in.refused = v
		return in
	}
	if conflicts := workload.Inspect(s.workload.template, *in.injection, s.Service); len(conflicts) > 0 {
		in.refused = connection.Verdict{Reason: connection.Reason(conflicts[0].Reason), Message: conflicts[0].Message}
	}
	return in
}

// leftOut says whether the admission policy leaves out the pods of the claim's
// namespace, and they lack something by that.
func leftOut(f *facts, s *service, injection *claim.Injection) connection.Verdict {
	if s.rendered != nil || !workload.Excludes(f.Claim.Namespace) || bringsItself(s.workload, injection) {
		return connection.Verdict{}
	}
	return connection.Verdictf(connection.NamespaceLeftOut, "pods of %s %q get nothing by themselves, because the admission policy leaves out namespace %q, where the control plane runs; move the workload and its ServiceConnection to another namespace, or put the injection into its pod template, as kubectl serviceconnections patch writes it", s.Workload.Kind, s.Workload.Name, f.Claim.Namespace)
}

// bringsItself says whether a workload's pods need no policy: their template has the
// injection, which its owner has put there; or it names the ServiceAccount and has the
// labels by which the clouds' own webhooks and metadata servers give a pod an identity,
// and identities are all that there is to give. So run the controllers that platforms
// have in kube-system.
func bringsItself(w workloadState, injection *claim.Injection) bool {
	if workload.Injected(w.template) {
		return true
	}
	if injection == nil || w.serviceAccount != injection.ServiceAccountName || len(injection.InitContainers) > 0 {
		return false
	}
	for k, v := range injection.Labels {
		if decoded.Text(w.template, "metadata", "labels", k) != v {
			return false
		}
	}
	return !slices.ContainsFunc(injection.Volumes, func(v claim.Volume) bool { return v.PersistentVolumeClaim != nil })
}

// labelledOtherwise says whether the labels of a workload's pods name another service,
// or one of another claim: the admission policy then gives them what that one has, and
// nothing of this one. What a step renders is injected before.
func labelledOtherwise(f *facts, s *service) connection.Verdict {
	if s.rendered != nil {
		return connection.Verdict{}
	}
	labels := decoded.Object(s.workload.template, "metadata", "labels")
	if _, labelled := labels[workload.LabelClaim]; !labelled {
		return connection.Verdict{}
	}
	of, service := decoded.Text(labels, workload.LabelClaim), decoded.Text(labels, workload.LabelService)
	if of == f.Claim.Name && service == s.Name {
		return connection.Verdict{}
	}
	return connection.Verdictf(connection.NameConflict, "%s %q has pods that name service %q of ServiceConnection %q by their labels, and so get nothing of service %q; remove the labels %s and %s from its pod template", s.Workload.Kind, s.Workload.Name, service, of, s.Name, workload.LabelClaim, workload.LabelService)
}

// sessions stand beside the annotations in what an injection's hash is of. No
// annotation has this name.
const sessions = "sessions"

// merged injection of a service, from the connections whose values are known and
// from the parts that stay as they were, which are marked as included. The first
// publication waits for the ServiceAccount, or pods would be refused. Once
// published, an injection is not withdrawn because a ServiceAccount, or an
// annotation on it, is missing for a while.
func merged(as *accounts, s *service, held []*part, was former, included []inclusion) (*claim.Injection, connection.Verdict) {
	published := was.injection
	if published != nil && published.ServiceAccountName != was.account {
		published = nil
	}
	if s.account.object == nil && published == nil {
		return nil, connection.Verdict{}
	}
	rests := basis{as: as, account: was.account, annotations: map[string]string{}}
	parts := partsOf(as, s, held, was, published, &rests, included)
	if len(parts) == 0 {
		return nil, connection.Verdict{}
	}
	injection, err := workload.Merge(parts...)
	if err != nil {
		return nil, connection.Verdictf(connection.NameConflict, "the connections of service %q exclude each other: %s", s.Name, err)
	}
	injection.ServiceAccountName = was.account
	injection.Containers = slices.Sorted(slices.Values(s.Containers))
	if was.stays {
		injection.Containers = published.Containers
	}
	injection.Complete = len(parts) == len(included) && !as.incomplete()
	injection.Hash = workload.Hash(injection, rests.annotations)
	if rests.kept && !rests.changed && workload.Hash(injection, nil) == workload.Hash(*published, nil) {
		// It is what was published, whose hash may be of what isn't known now.
		injection.Hash = published.Hash
	}
	return &injection, connection.Verdict{}
}

// partsOf a service's injection, connection by connection, what they rest on, and
// which connections are included.
func partsOf(as *accounts, s *service, held []*part, was former, published *claim.Injection, rests *basis, included []inclusion) []claim.Injection {
	parts := make([]claim.Injection, 0, len(included))
	var kept []int
	for i, c := range as.of(s) {
		env := s.Entries[i].Env
		switch {
		case held[i] != nil:
			kept = append(kept, len(parts))
			parts = append(parts, held[i].Injection)
			env = held[i].env
			rests.keep(as.Types.FamilyOf(c.id.Type))
		case was.stays || !c.granted || !c.Published:
			continue
		case holdsInjection(as, published, c) || notAnnotated(as, c).Reason != connection.ServiceAccountNotAnnotated:
			parts = append(parts, c.Injection)
			rests.add(c)
		default:
			continue
		}
		included[i] = inclusion{there: true, env: env}
	}
	for _, i := range kept {
		parts[i] = workload.Beside(parts[i], parts, kept)
	}
	return parts
}

// A basis is what an injection rests on beside itself: the annotations of its
// ServiceAccount as this run leaves them, and what pods may hold on to.
type basis struct {
	as          *accounts
	account     string
	annotations map[string]string

	// kept says that a part stays as it was, and changed that an annotation does
	// not.
	kept, changed bool
}

// add what a connection's injection rests on.
func (b *basis) add(c granted) {
	for k, v := range c.Annotations {
		b.annotations[k] = annotation(b.as, c.service.account, k, v)
		if was := connection.Annotation(c.service.account.object, k); was != "" && was != b.annotations[k] {
			b.changed = true
		}
	}
	if c.Sessions != "" {
		b.annotations[sessions] = c.Sessions
	}
}

// keep what a part rests on that stays as it was published.
func (b *basis) keep(f *connection.Family) {
	b.kept = true
	sa := b.as.serviceAccount(b.account)
	for _, k := range annotationKeys(sa) {
		if f != nil && b.as.Types.AnnotationFamily(k) == f {
			b.annotations[k] = connection.Annotation(sa, k)
		}
	}
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
	return slices.ContainsFunc(f.previous[n.Service], func(ps *claim.ServiceStatus) bool { return reports(ps, n.Connection()) })
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
// The one whose injection was published keeps it, or else the first. One that stays as
// it was has what it had.
func workloadConflict(f *facts, s *service) connection.Verdict {
	for _, ps := range f.untouched {
		if ps.Workload != nil && *ps.Workload == *s.Workload && ps.Injection != nil {
			return takenBy(s, ps.Name)
		}
	}
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
	return takenBy(s, holder.Name)
}

// takenBy another service is the workload of this one.
func takenBy(s *service, holder string) connection.Verdict {
	return connection.Verdictf(connection.WorkloadConflict, "%s %q belongs to service %q already; give service %q a workload of its own, or put the connections into one service", s.Workload.Kind, s.Workload.Name, holder, s.Name)
}
