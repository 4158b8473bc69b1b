package plan

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/settings"
	"github.com/serviceconnections/function-service-connections/fn/workload"
)

// facts are the input of a plan, found by what the stages ask about. Without
// the maps a plan takes time that grows with the product of connections and
// observed objects. They are all that is known before anything is decided.
type facts struct {
	Input

	// services in the order of the claim, and where each of them stands there.
	services []service
	indices  map[string]int

	// ours are the observed composed resources of ours, and keys their keys in
	// order.
	ours map[string]connection.Granted
	keys []string

	// identities are those of them that grant one, by whom they grant it to.
	identities map[claimant][]connection.Granted

	// installed kinds, as an object of theirs is observed.
	installed map[kind]bool

	// previous status by the service's name, and by its workload.
	previous   map[string][]*claim.ServiceStatus
	previousBy map[claim.Workload][]*claim.ServiceStatus

	// heirs of a service of the last status are those that have its workload now,
	// under other names.
	heirs map[string][]string

	// untouched services are published, and stay so as they are: what the claim says
	// of them can't be read, or may not be what is meant.
	untouched []claim.ServiceStatus

	// lessened says of each of them whether this run takes something of it back.
	lessened []bool

	requires requirements
}

// A service of the claim with what is known of its ServiceAccount and of its
// workload.
type service struct {
	*claim.ServiceEntry

	index    int
	account  account
	rendered *Rendered
	workload workloadState
}

// An account is the ServiceAccount that a service's pods run as.
type account struct {
	name string

	// composed says that it is the function that composes it, as no other is
	// named.
	composed bool

	// object as it is observed, composed or not. Nil where it isn't there, or
	// is somebody else's although it should be composed.
	object map[string]any

	// verdict says why the service can't have it.
	verdict connection.Verdict

	// goes says that it goes with another claim.
	goes connection.Verdict
}

// taken says whether the ServiceAccount that should be composed is somebody
// else's. Nothing is granted to it then: a grant would go to other pods.
func (a account) taken() bool { return a.composed && a.verdict.Blocks() }

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

// A claimant is a ServiceAccount that may have one identity of a family.
type claimant struct {
	serviceAccount string
	family         *connection.Family
}

type kind struct{ apiVersion, kind any }

// requirements are the objects that Crossplane must read and watch.
type requirements []connection.Requirement

// require an object, and look it up. It is nil where it doesn't exist; known is
// false until Crossplane has answered.
func (rs *requirements) require(o connection.Observed, r connection.Requirement) (object map[string]any, known bool) {
	*rs = append(*rs, r)
	return o.Lookup(r)
}

// gather the facts of an input.
func gather(in Input) *facts {
	n := len(in.Claim.Services)
	f := &facts{
		Input:      in,
		services:   make([]service, 0, n),
		indices:    make(map[string]int, n),
		ours:       make(map[string]connection.Granted, len(in.Observed.Composed)),
		identities: map[claimant][]connection.Granted{},
		installed:  map[kind]bool{},
		previous:   make(map[string][]*claim.ServiceStatus, n),
		previousBy: make(map[claim.Workload][]*claim.ServiceStatus, n),
		heirs:      map[string][]string{},
	}
	for key, o := range in.Observed.Composed {
		if g, ok := in.Types.GrantedBy(in.Settings, in.Claim.Namespace, key, o.Object); ok {
			f.ours[key] = g
			f.installed[kind{o.Object["apiVersion"], o.Object["kind"]}] = true
		}
	}
	f.keys = slices.Sorted(maps.Keys(f.ours))
	for _, key := range f.keys {
		if g := f.ours[key]; g.Identity {
			by := claimant{g.ServiceAccount, g.Family}
			f.identities[by] = append(f.identities[by], g)
		}
	}
	for i := range in.Previous.Services {
		s := &in.Previous.Services[i]
		f.previous[s.Name] = append(f.previous[s.Name], s)
		if s.Workload != nil {
			f.previousBy[*s.Workload] = append(f.previousBy[*s.Workload], s)
		}
	}
	var misread, continued []*claim.ServiceStatus
	for i := range in.Claim.Services {
		s := service{ServiceEntry: &in.Claim.Services[i], index: len(f.services)}
		if was := f.misreads(&s); len(was) > 0 {
			misread = append(misread, was...)
			continue
		}
		if was := f.previousOf(&s); was != nil {
			continued = append(continued, was)
		}
		for _, was := range f.continues(&s) {
			f.heirs[was.Name] = append(f.heirs[was.Name], s.Name)
		}
		s.rendered, s.workload = findWorkload(&in, s.ServiceEntry, &f.requires)
		s.account = findAccount(&in, s.ServiceEntry, &f.requires)
		f.requireFormerAccount(&s)
		f.services, f.indices[s.Name] = append(f.services, s), s.index
	}
	f.untouched = untouched(&in, misread, continued)
	f.lessened = make([]bool, len(f.untouched))
	for i := range f.untouched {
		f.untouched[i], f.lessened[i] = f.takenBack(f.untouched[i])
	}
	return f
}

// misreads a service that has a field which isn't known, where what is read of it
// isn't what was published, which is answered: the field that says so may be the one
// that is misspelt. So it may be the service of its name, or the one of the workload
// that is read. None where it is the same, or nothing was published.
func (f *facts) misreads(s *service) []*claim.ServiceStatus {
	if !s.Misread {
		return nil
	}
	account, _ := f.Claim.ServiceAccount(s.Service)
	differs := func(ps *claim.ServiceStatus) bool {
		return ps.Injection != nil && (misses(s.ServiceEntry, ps) || ps.Injection.ServiceAccountName != account ||
			!slices.Equal(ps.Injection.Containers, slices.Sorted(slices.Values(s.Containers))))
	}
	if ps := f.sameOf(s); ps != nil {
		if differs(ps) {
			return []*claim.ServiceStatus{ps}
		}
		return nil
	}
	var all []*claim.ServiceStatus
	for _, ps := range f.previous[s.Name] {
		if ps.Injection != nil || frozen(ps) {
			all = append(all, ps)
		}
	}
	if ps := f.previousOf(s); ps != nil && (len(all) > 0 || differs(ps)) {
		all = append(all, ps)
	}
	return all
}

// frozen says whether the workload of a service kept the pod template that it runs with.
// Its pods have what that gives them, although nothing may be published any more.
func frozen(ps *claim.ServiceStatus) bool {
	return slices.ContainsFunc(ps.Notes, func(n claim.Note) bool { return n.Reason == string(connection.TemplateFrozen) })
}

// misses says whether a service lacks a connection that it had.
func misses(s *claim.ServiceEntry, was *claim.ServiceStatus) bool {
	return slices.ContainsFunc(was.Connections, func(c claim.ConnectionStatus) bool { return !has(s, c.ID()) })
}

// untouched services of the last status: those that are misread, and where an entry
// of the claim can't be told from others, all that could be it. One that goes on
// under another name can't.
func untouched(in *Input, misread, continued []*claim.ServiceStatus) []claim.ServiceStatus {
	if len(in.Claim.Errors) == 0 {
		return nil
	}
	var all []claim.ServiceStatus
	for i := range in.Previous.Services {
		ps := in.Previous.Services[i]
		inClaim := slices.ContainsFunc(in.Claim.Services, func(s claim.ServiceEntry) bool { return s.Name == ps.Name })
		may := in.Claim.Incomplete && !inClaim && !slices.Contains(continued, &in.Previous.Services[i])
		if !may && !slices.Contains(misread, &in.Previous.Services[i]) {
			continue
		}
		ps.Notes = slices.DeleteFunc(slices.Clone(ps.Notes), func(n claim.Note) bool { return n.Reason == string(connection.InvalidField) })
		message := fmt.Sprintf("%s; until that is mended, service %q stays as it was", in.Claim.Errors[0], ps.Name)
		if w := ps.Workload; w != nil && in.Rendered[*w].Key != "" {
			message += fmt.Sprintf(", and %s %q keeps the pod template that it runs with", w.Kind, w.Name)
		}
		ps.Notes = append(ps.Notes, claim.Note{Reason: string(connection.InvalidField), Message: message})
		all = append(all, ps)
	}
	return all
}

// incomplete says whether an entry of the claim can't be told from others, or is
// misread. Then nothing has left the claim.
func (f *facts) incomplete() bool { return f.Claim.Incomplete || len(f.untouched) > 0 }

// leaves is the service that is untouched whose workload this is, nil where there is
// none, and whether this run takes something of it back.
func (f *facts) leaves(w claim.Workload) (left *claim.ServiceStatus, lessened bool) {
	i := slices.IndexFunc(f.untouched, func(ps claim.ServiceStatus) bool { return ps.Workload != nil && *ps.Workload == w })
	if i < 0 {
		return nil, false
	}
	return &f.untouched[i], f.lessened[i]
}

// findWorkload of a service: rendered by an earlier step, or read in the
// cluster where the settings allow it.
func findWorkload(in *Input, s *claim.ServiceEntry, rs *requirements) (*Rendered, workloadState) {
	var rendered *Rendered
	var w workloadState
	w.kind, _ = workload.KindOf(s.Workload.APIVersion, s.Workload.Kind)
	if r, ok := in.Rendered[*s.Workload]; ok {
		rendered = &r
		w.readable, w.object = true, r.Observed.Object
		w.template, _ = w.kind.Template(r.Object)
	} else if w.object, w.readable = readWorkload(in, s, w.kind, rs); w.object != nil {
		w.template, _ = w.kind.Template(w.object)
	}
	if running, ok := w.kind.Template(w.object); ok {
		spec, _ := running["spec"].(map[string]any)
		w.serviceAccount, _ = spec["serviceAccountName"].(string)
	}
	return rendered, w
}

// readWorkload in the cluster, where its kind and the settings allow it.
func readWorkload(in *Input, s *claim.ServiceEntry, k workload.Kind, rs *requirements) (object map[string]any, readable bool) {
	if !k.Inspected || !in.Settings.Inspect() {
		return nil, false
	}
	if k.CRD != "" {
		// To ask for an object of a kind that isn't installed fails the whole
		// reconcile.
		crd, _ := rs.require(in.Observed, connection.CRDRequirement(k.CRD))
		if connection.Served(crd, connection.Kind{APIVersion: k.APIVersion, Kind: k.Kind, CRD: k.CRD}).Reason != "" {
			return nil, false
		}
	}
	return rs.require(in.Observed, connection.Requirement{
		APIVersion: s.Workload.APIVersion, Kind: s.Workload.Kind,
		Namespace: in.Claim.Namespace, Name: s.Workload.Name,
	})
}

// findAccount looks at the ServiceAccount of a service: composed, it must not be
// somebody else's; named, it must exist.
func findAccount(in *Input, s *claim.ServiceEntry, rs *requirements) account {
	a, ns := account{}, in.Claim.Namespace
	a.name, a.composed = in.Claim.ServiceAccount(s.Service)
	key := connection.ServiceAccountKey(a.name)
	if a.object = in.Observed.Object(key); a.object != nil {
		return a
	}
	if a.composed && in.Desired[key] {
		a.verdict = keyTaken(connection.ServiceAccount(ns, a.name, nil))
		return a
	}
	sa, known := rs.require(in.Observed, connection.ServiceAccountRequirement(ns, a.name))
	switch {
	case !known:
		a.verdict = unanswered
	case a.composed && connection.OwnerOf(sa, in.Claim.UID) != "":
		a.verdict = connection.Verdictf(connection.ServiceAccountTaken, "ServiceAccount %q of namespace %q belongs to %q; name a ServiceAccount of your own in services[%s].serviceAccountName, or put both services into one claim", a.name, ns, connection.OwnerOf(sa, in.Claim.UID), s.Name)
	case a.composed && sa != nil && !connection.ComposedAs(sa, in.Claim.UID, key):
		a.verdict = connection.Verdictf(connection.ServiceAccountTaken, "ServiceAccount %q exists in namespace %q and %s; set services[%s].serviceAccountName: %s to share it with all that it may do, or name another one there", a.name, ns, owner(sa), s.Name, a.name)
	case !a.composed && sa == nil:
		a.verdict = connection.Verdictf(connection.ServiceAccountNotFound, "ServiceAccount %q does not exist in namespace %q; create it, or leave serviceAccountName out to have one composed", a.name, ns)
	case sa != nil:
		a.object = sa
	}
	if !a.composed {
		a.goes = connection.Goes(sa, in.Claim.UID)
	}
	return a
}

// requireFormerAccount of a service, whose pods may keep it: its annotations tell what
// they have by it. One that is composed is observed.
func (f *facts) requireFormerAccount(s *service) {
	in := f.published(s)
	if in == nil || in.ServiceAccountName == s.account.name || f.Observed.Object(connection.ServiceAccountKey(in.ServiceAccountName)) != nil {
		return
	}
	f.requires.require(f.Observed, connection.ServiceAccountRequirement(f.Claim.Namespace, in.ServiceAccountName))
}

// unanswered is what a connection says until Crossplane has looked up what it
// needs to know. A Crossplane that knows required resources asks again at once,
// so nobody reads this for long.
var unanswered = connection.Verdictf(connection.CrossplaneTooOld, "Crossplane has not looked up the objects that the function asks for; it must be version 2.0 or newer")

// keyTaken says that an earlier step of the pipeline composes something under
// the grant's key, which is then not for us to overwrite.
func keyTaken(g connection.Grant) connection.Verdict {
	return connection.Verdictf(connection.NameConflict, "an earlier step of the Composition's pipeline composes a resource named %q, which the function needs for its %s; ask the platform team to name theirs otherwise", g.Key, g.Kind.Kind)
}

// owner of an object that isn't ours, for a message.
func owner(object map[string]any) string {
	name := connection.Label(object, "crossplane.io/claim-name")
	if name == "" {
		if _, name = connection.Controller(object); name == "" {
			return "was made by somebody else"
		}
	}
	return "belongs to " + strconv.Quote(name)
}

// previousOf a service is the status that the last run wrote for its workload, nil
// where there is none: the service may have had another name, and its pods still
// have what was published. Another workload that the service had before tells
// nothing about this one's pods.
func (f *facts) previousOf(s *service) *claim.ServiceStatus {
	if ps := f.sameOf(s); ps != nil {
		return ps
	}
	for _, ps := range f.continues(s) {
		if ps.Injection != nil {
			return ps
		}
	}
	return nil
}

// sameOf a service is the status of its name and workload, nil where there is none.
func (f *facts) sameOf(s *service) *claim.ServiceStatus {
	for _, ps := range f.previous[s.Name] {
		if ps.Workload != nil && *ps.Workload == *s.Workload {
			return ps
		}
	}
	return nil
}

// continues says which services of the last status a service goes on with that had
// other names: its workload was theirs, and isn't any more.
func (f *facts) continues(s *service) []*claim.ServiceStatus {
	if f.sameOf(s) != nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(f.previousBy[*s.Workload]), func(ps *claim.ServiceStatus) bool {
		return slices.ContainsFunc(f.Claim.Services, func(o claim.ServiceEntry) bool { return o.Name == ps.Name && *o.Workload == *s.Workload })
	})
}

// serviceAccount as it is observed, composed or not. Nil where it isn't.
func (f *facts) serviceAccount(name string) map[string]any {
	if sa := f.Observed.Object(connection.ServiceAccountKey(name)); sa != nil {
		return sa
	}
	sa, _ := f.Observed.Lookup(connection.ServiceAccountRequirement(f.Claim.Namespace, name))
	return sa
}

// published injection of a service, as the last status has it.
func (f *facts) published(s *service) *claim.Injection {
	if ps := f.previousOf(s); ps != nil {
		return ps.Injection
	}
	return nil
}

// neverPublished says whether nothing was ever published for a service, whatever
// its workload or its name was.
func (f *facts) neverPublished(s *service) bool {
	published := func(ps *claim.ServiceStatus) bool { return ps.Injection != nil || ps.Rollout != nil }
	return !slices.ContainsFunc(f.previous[s.Name], published) && !slices.ContainsFunc(f.continues(s), published)
}

// annotated says whether a ServiceAccount has all these annotations, and there
// are some. One that the team made counts too: its annotation grants what it
// says without us.
func (f *facts) annotated(serviceAccount string, annotations map[string]string) bool {
	sa := f.serviceAccount(serviceAccount)
	for k, v := range annotations {
		if connection.Annotation(sa, k) != v {
			return false
		}
	}
	return len(annotations) > 0
}

// revoked says whether the identity of a family that a ServiceAccount's
// annotations name may no longer be used.
func (f *facts) revoked(by claimant, serviceAccount map[string]any) bool {
	if target, d, ok := by.family.Identified(f.Settings, f.Claim.Namespace, serviceAccount); ok {
		return d.Revokes() && !f.moved(by, target)
	}
	// The annotation tells no identity, so the objects that grant one do.
	granted := f.identities[by]
	return len(granted) > 0 && !slices.ContainsFunc(granted, func(g connection.Granted) bool { return !g.Decision.Revokes() })
}

// moved says whether an observed object still grants a ServiceAccount a target that is
// of the account, subscription or project that the cluster had before.
func (f *facts) moved(by claimant, target string) bool {
	return slices.ContainsFunc(f.identities[by], func(g connection.Granted) bool {
		return g.Target == target && g.Decision == settings.Moved
	})
}
