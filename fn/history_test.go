package fn

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
)

// A history is what a machine remembers of its reconciles to judge the next one
// by.
type history struct {
	// n reconciles were done.
	n int

	// irsa is the mode of the drawn settings.
	irsa bool

	// What earlier steps desire beside the workloads.
	extras    map[string]*fnv1.Resource
	composite *fnv1.Resource

	// users of a composed object: the connections that were in the claim when
	// it granted what they asked for, and haven't left it since.
	users map[string]map[user]bool

	// holders of the identity that a ServiceAccount has in a cloud: the
	// connections that asked for it when it was granted, and do so still.
	holders map[identity]map[user]bool

	// granted identities.
	granted map[identity]string

	// since when a connection's pods get the identity that they get now, and
	// since when a service's injection is the one that is published.
	since     map[user]stamp
	published map[string]stamp
}

// A user is a connection of the claim; without a type, the service itself.
type user struct{ service, typ string }

// An identity that a ServiceAccount can have one of.
type identity struct{ account, family string }

// A stamp says since which reconcile something has been as it is.
type stamp struct {
	is string
	n  int
}

func newHistory() history {
	return history{
		users: map[string]map[user]bool{}, holders: map[identity]map[user]bool{}, granted: map[identity]string{},
		since: map[user]stamp{}, published: map[string]stamp{},
	}
}

func (s *drawnService) serviceAccount() string {
	if s.account != "" {
		return s.account
	}
	return "shop-" + s.name
}

// drawn connection of a user, and whether it is in the claim.
func (m *machine) drawn(u user) (s *drawnService, value string, ok bool) {
	i := slices.IndexFunc(m.services, func(s drawnService) bool { return s.name == u.service })
	if i < 0 {
		return nil, "", false
	}
	s = &m.services[i]
	if u.typ == "" {
		return s, "", true
	}
	value, ok = s.connections[u.typ]
	return s, value, ok
}

// all connections of the claim, and the services themselves.
func (m *machine) all(yield func(user) bool) {
	for _, s := range m.services {
		if !yield(user{s.name, ""}) {
			return
		}
		for _, t := range drawnTypes {
			if _, ok := s.connections[t.typ]; ok && !yield(user{s.name, t.typ}) {
				return
			}
		}
	}
}

func familyOf(typ string) string {
	switch typ {
	case "awsRole":
		return "aws"
	case "azureManagedIdentity":
		return "azure"
	case "cloudSql", "cloudSql/orders", "gcpServiceAccount":
		return "google"
	default:
		typ, _, _ = strings.Cut(typ, "/")
		return typ
	}
}

// annotationsOf a ServiceAccount that a connection needs.
func (m *machine) annotationsOf(typ, value string) map[string]string {
	switch {
	case typ == "awsRole" && m.irsa && value != brokenRole:
		return map[string]string{
			"eks.amazonaws.com/role-arn":               "arn:aws:iam::123456789012:role/" + value,
			"eks.amazonaws.com/sts-regional-endpoints": "true",
			"eks.amazonaws.com/audience":               "sts.amazonaws.com",
		}
	case typ == "azureManagedIdentity":
		return map[string]string{
			"azure.workload.identity/client-id": "client-of-" + value,
			"azure.workload.identity/tenant-id": "22222222-2222-2222-2222-222222222222",
		}
	case familyOf(typ) == "google":
		return map[string]string{"iam.gke.io/gcp-service-account": value + "@my-project-123456.iam.gserviceaccount.com"}
	default:
		return nil
	}
}

// annotated identity of a ServiceAccount, by its name in what was drawn.
func annotated(serviceAccount map[string]any, family string) string {
	annotation := func(k string) string { return str(serviceAccount, "metadata", "annotations", k) }
	switch family {
	case "aws":
		return lastPart(annotation("eks.amazonaws.com/role-arn"))
	case "azure":
		return strings.TrimPrefix(annotation("azure.workload.identity/client-id"), "client-of-")
	case "google":
		name, _, _ := strings.Cut(annotation("iam.gke.io/gcp-service-account"), "@")
		return name
	default:
		return ""
	}
}

func lastPart(s string) string { return s[strings.LastIndexByte(s, '/')+1:] }

// A grant is what a composed object is for, read from the object.
type grant struct {
	identity

	value string

	// access says that the object itself grants the identity.
	access bool
}

// grantOf a composed object.
func grantOf(key string, o map[string]any) grant {
	owner := func(infix string) string { a, _, _ := strings.Cut(key, infix); return a }
	parameter := func(k string) string { return str(o, "spec", "forProvider", k) }
	external := str(o, "metadata", "annotations", "crossplane.io/external-name")
	switch o["kind"] {
	case "ServiceAccount":
		return grant{identity{str(o, "metadata", "name"), ""}, "", false}
	case "Role":
		return grant{identity{owner(".role."), "aws"}, external, false}
	case "PodIdentityAssociation":
		return grant{identity{parameter("serviceAccount"), "aws"}, lastPart(parameter("roleArn")), true}
	case "UserAssignedIdentity":
		return grant{identity{owner(".identity."), "azure"}, lastPart(external), false}
	case "FederatedIdentityCredential":
		return grant{identity{strings.TrimPrefix(parameter("subject"), "system:serviceaccount:team-a:"), "azure"}, lastPart(parameter("parentId")), true}
	case "ServiceAccountIAMMember":
		name, _, _ := strings.Cut(lastPart(parameter("serviceAccountId")), "@")
		return grant{identity{strings.TrimSuffix(lastPart(parameter("member")), "]"), "google"}, name, true}
	case "PersistentVolumeClaim":
		return grant{identity{"", "disk"}, str(o, "metadata", "name"), false}
	case "Object":
		return grant{identity{"", "disk"}, str(o, "spec", "forProvider", "manifest", "metadata", "name"), false}
	default:
		return grant{}
	}
}

// needs says whether a connection that is in the claim asks for what an object
// grants.
func (m *machine) needs(u user, g grant) bool {
	s, value, ok := m.drawn(u)
	switch {
	case !ok || g.family != familyOf(u.typ):
		return false
	case s.account == "" && m.foreign["v1|ServiceAccount|team-a|"+s.serviceAccount()] != "":
		// Nothing is composed for a service whose ServiceAccount is somebody
		// else's.
		return false
	case g.family == "disk":
		return value == g.value
	case g.account != s.serviceAccount():
		return false
	default:
		return value == g.value
	}
}

// reconcile, and check every invariant.
func (m *machine) reconcile() {
	m.earlierSteps()
	m.n++
	before := maps.Clone(m.composed)
	m.left()
	m.deterministic()
	deleted := m.cluster.reconcile()
	if f := fatalOf(m.rsp); f != "" {
		m.rt.Fatalf("fatal: %s", f)
	}
	m.passedThrough(before)
	m.publish()
	for _, key := range deleted {
		if !m.theirs[key] {
			m.mayBeDeleted(key, before)
		}
	}
	m.rolledOut(before)
	m.keptAsOwned(before)
	m.notAdopted(before)
	m.observedWins()
	m.revoked()
	m.complete()
	m.restartIsTold(before)
	m.takenOver(before)
	m.use()
	m.seeLate()
}

// left: connections that aren't in the claim any more use nothing.
func (m *machine) left() {
	for _, us := range m.users {
		maps.DeleteFunc(us, func(u user, _ bool) bool { _, _, ok := m.drawn(u); return !ok })
	}
}

// takenOver: what once worked without an object doesn't use it any more, also when
// its successor fails or is revoked later.
func (m *machine) takenOver(before map[string]map[string]any) {
	for key, us := range m.users {
		if o := before[key]; o != nil {
			maps.DeleteFunc(us, func(u user, _ bool) bool { return m.unsettled(u, key, grantOf(key, o), before) == "" })
		}
	}
}

// use notes who uses the objects that are there.
func (m *machine) use() {
	for key, o := range m.composed {
		if m.theirs[key] {
			continue
		}
		g := grantOf(key, o)
		for u := range m.all {
			if m.needs(u, g) && !m.disputed(g) && !m.withheld(g) {
				if m.users[key] == nil {
					m.users[key] = map[user]bool{}
				}
				m.users[key][u] = true
			}
		}
	}
	maps.DeleteFunc(m.users, func(key string, _ map[user]bool) bool { return m.composed[key] == nil })
}

// withheld says whether the settings let nobody newly have what an object is
// for. What is there may stay for those who have it.
func (m *machine) withheld(g grant) bool {
	return m.excludes(g.family, g.value) || g.family == "aws" && m.withoutAWS
}

// disputed says whether a ServiceAccount may have another identity than what an
// object grants, because another connection asks for another.
func (m *machine) disputed(g grant) bool {
	if g.account == "" || m.granted[g.identity] == g.value {
		return false
	}
	for u := range m.all {
		if s, value, _ := m.drawn(u); u.typ != "" && s.serviceAccount() == g.account && familyOf(u.typ) == g.family && value != g.value {
			return true
		}
	}
	return false
}

// publish notes what pods get from now on.
func (m *machine) publish() {
	for u := range m.all {
		s, _, _ := m.drawn(u)
		injection, _ := m.service(s.name)["injection"].(map[string]any)
		if u.typ == "" {
			is := s.workload + " has " + str(injection, "hash")
			if m.published[s.name].is != is {
				m.published[s.name] = stamp{is, m.n}
			}
			continue
		}
		account := str(injection, "serviceAccountName")
		is := account + "=" + annotated(m.serviceAccount(account), familyOf(u.typ))
		switch was := m.since[u]; was.is {
		case is:
		case account + "=":
			// Pods that had no identity have no older one to lose.
			m.since[u] = stamp{is, was.n}
		default:
			m.since[u] = stamp{is, m.n}
		}
	}
	maps.DeleteFunc(m.since, func(u user, _ stamp) bool { _, _, ok := m.drawn(u); return !ok })
	maps.DeleteFunc(m.published, func(s string, _ stamp) bool { _, _, ok := m.drawn(user{s, ""}); return !ok })
}

// serviceAccount by name, composed or made by the team.
func (m *machine) serviceAccount(name string) map[string]any {
	for key, o := range m.composed {
		if o["kind"] == "ServiceAccount" && str(o, "metadata", "name") == name && !m.theirs[key] {
			return o
		}
	}
	return m.objects["v1|ServiceAccount|team-a|"+name]
}

// deterministic: the same request gives the same bytes.
func (m *machine) deterministic() {
	marshal := func(rsp *fnv1.RunFunctionResponse) []byte {
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(rsp)
		if err != nil {
			m.rt.Fatal(err)
		}
		return b
	}
	first, err := m.fn.RunFunction(m.t.Context(), m.request())
	if err != nil {
		m.rt.Fatal(err)
	}
	second, err := m.fn.RunFunction(m.t.Context(), m.request())
	if err != nil {
		m.rt.Fatal(err)
	}
	if !bytes.Equal(marshal(first), marshal(second)) {
		m.rt.Fatalf("the same request gave two responses:\n%s", cmp.Diff(first.String(), second.String()))
	}
}

// mayBeDeleted fails unless everyone who used an object has left the claim, or
// its access is revoked, or it is superseded for everyone who used it.
func (m *machine) mayBeDeleted(key string, before map[string]map[string]any) {
	o := before[key]
	g := grantOf(key, o)
	if m.excluded(o) {
		return
	}
	if g.account != "" && m.runsAs(g.account, before) {
		m.rt.Fatalf("%q was deleted, although a workload still names its ServiceAccount", key)
	}
	for u := range m.users[key] {
		if why := m.unsettled(u, key, g, before); why != "" {
			m.rt.Fatalf("%q was deleted, although %s/%s has used it and %s", key, u.service, u.typ, why)
		}
	}
}

// unsettled says why a connection that has used an object, and is still in the
// claim, can't do without. Empty: it can.
func (m *machine) unsettled(u user, key string, g grant, before map[string]map[string]any) string {
	s, value, _ := m.drawn(u)
	switch {
	case u.typ == "":
		return "its service is in the claim"
	case familyOf(u.typ) == "disk":
		return "it holds data"
	case value == brokenRole:
		return "is broken, not gone"
	case m.needs(u, g):
		return "asks for it"
	}
	successor := false
	for k, o := range before {
		if k == key || m.theirs[k] || !m.needs(u, grantOf(k, o)) {
			continue
		}
		access := grantOf(k, o).access || m.irsa && o["kind"] == "Role"
		successor = successor || access && strings.Contains(fmt.Sprint(o["status"]), "status:True type:Ready")
	}
	if !successor {
		return "has no successor that is ready"
	}
	if started, running := m.podsStartedAt(s, before); running && started < m.since[u].n {
		return "its pods haven't restarted since they get another identity"
	}
	return ""
}

// runsAs says whether only a running workload still names a ServiceAccount.
func (m *machine) runsAs(account string, before map[string]map[string]any) bool {
	named := false
	for i := range m.services {
		s := &m.services[i]
		if s.serviceAccount() == account {
			return false
		}
		w := m.workloads[s.workload]
		o := before[w.key()]
		if !w.exists {
			// It goes in this very reconcile.
			continue
		}
		if !w.rendered {
			o = m.objects[objectKey(map[string]any{"apiVersion": w.apiVersion, "kind": w.kind, "metadata": map[string]any{"name": w.name, "namespace": "team-a"}})]
		}
		if o == nil || !w.rendered && w.kind == "Pod" || w.kind == "Rollout" && !w.rendered && len(m.removedCRDs) > 0 {
			continue
		}
		template, _ := splitTemplate(&fnv1.Resource{Resource: toStruct(m.t, o)})
		named = named || str(template, "spec", "serviceAccountName") == account
	}
	return named
}

// excluded says whether a present list excludes the identity that an object
// grants by its own spec.
func (m *machine) excluded(o map[string]any) bool {
	g := grantOf("", o)
	return g.access && m.excludes(g.family, g.value)
}

// excludes says whether a list is present and excludes a value.
func (m *machine) excludes(family, value string) bool {
	l := map[string]*[]string{"aws": m.lists.roles, "azure": m.lists.identities, "google": m.lists.accounts}[family]
	return l != nil && !slices.Contains(*l, value)
}

// revoked: nothing that a present list excludes is granted, or annotated.
func (m *machine) revoked() {
	for key, o := range m.composed {
		if m.theirs[key] {
			continue
		}
		if m.excluded(o) {
			m.rt.Fatalf("%q is desired, although a list excludes what it grants: %v", key, o["spec"])
		}
		if o["kind"] != "ServiceAccount" {
			continue
		}
		// A client id names no identity that a list could exclude.
		for _, f := range []string{"aws", "google"} {
			if v := annotated(o, f); v != "" && m.excludes(f, v) {
				m.rt.Fatalf("%q is annotated with %q, which a list excludes", key, v)
			}
		}
	}
}

// observedWins: the identity that a ServiceAccount has changes only when
// everyone who held it asks for another.
func (m *machine) observedWins() {
	now := map[identity]string{}
	for key, o := range m.composed {
		g := grantOf(key, o)
		switch {
		case m.theirs[key]:
		case o["kind"] == "PodIdentityAssociation":
			now[g.identity] = g.value
		case o["kind"] == "ServiceAccount":
			for _, f := range []string{"aws", "azure", "google"} {
				if v := annotated(o, f); v != "" {
					now[identity{g.account, f}] = v
				}
			}
		}
	}
	for id, was := range m.granted {
		g := grant{identity: id, value: was}
		maps.DeleteFunc(m.holders[id], func(u user, _ bool) bool { return !m.needs(u, g) })
		if now[id] == was || m.excludes(id.family, was) {
			continue
		}
		for u := range m.holders[id] {
			m.rt.Fatalf("ServiceAccount %q had %q for %s/%s, which asks for it still, and has %q now", id.account, was, u.service, u.typ, now[id])
		}
	}
	for id, is := range now {
		if m.granted[id] == is && len(m.holders[id]) == 0 {
			// Nobody has asked for what is there since it was granted, so that
			// who does now came later than another.
			continue
		}
		m.holders[id] = map[user]bool{}
		for u := range m.all {
			if m.needs(u, grant{identity: id, value: is}) {
				m.holders[id][u] = true
			}
		}
	}
	m.granted = now
}

// keptAsOwned: what is composed stays as it is, but for what can change in
// place: a role that a connection asks for, and the size of a disk.
func (m *machine) keptAsOwned(before map[string]map[string]any) {
	for key, o := range m.composed {
		was, ok := before[key]
		if !ok || m.theirs[key] || o["kind"] == "ServiceAccount" {
			continue
		}
		changed := map[string]bool{}
		diff := cmp.Diff(was["spec"], o["spec"], cmp.FilterPath(func(p cmp.Path) bool {
			at := p.Last().String()
			return at == `["roleArn"]` || at == `["storage"]`
		}, cmp.Comparer(func(a, b any) bool {
			changed[fmt.Sprint(a != b)] = true
			return true
		})))
		if diff != "" {
			m.rt.Fatalf("%q changed: %s", key, diff)
		}
		if diff := cmp.Diff(annotationsButNeeds(was), annotationsButNeeds(o)); diff != "" {
			m.rt.Fatalf("the annotations of %q changed: %s", key, diff)
		}
		if g := grantOf(key, o); g.access && g != grantOf(key, was) && !m.anyNeeds(g) {
			m.rt.Fatalf("%q grants %q, and no connection asks for it", key, g.value)
		}
	}
}

func annotationsButNeeds(o map[string]any) map[string]any {
	as, _ := fieldAt(o, []string{"metadata", "annotations"}).(map[string]any)
	as = maps.Clone(as)
	delete(as, "serviceconnections.io/needed-by")
	return as
}

func (m *machine) anyNeeds(g grant) bool {
	for u := range m.all {
		if m.needs(u, g) {
			return true
		}
	}
	return false
}

// notAdopted: objects of others stay as they are, and no key ever stands for
// another object than it did.
func (m *machine) notAdopted(before map[string]map[string]any) {
	for key, o := range m.composed {
		if was, ok := before[key]; ok && objectKey(was) != objectKey(o) {
			m.rt.Fatalf("%q was replaced by another object", key)
		}
		if _, ok := m.foreign[objectKey(o)]; ok {
			m.rt.Fatalf("%q adopts the object that was there before: %v", key, o)
		}
		if manifest, _ := fieldAt(o, []string{"spec", "forProvider", "manifest"}).(map[string]any); manifest != nil && m.foreign[objectKey(manifest)] != "" {
			m.rt.Fatalf("%q adopts the object that was there before: %v", key, manifest)
		}
	}
	for k, was := range m.foreign {
		if got := fmt.Sprint(m.objects[k]); got != was {
			m.rt.Fatalf("%s was changed: %s", k, cmp.Diff(was, got))
		}
	}
}

// complete: an injection is called so exactly when every connection of its
// service is in it.
func (m *machine) complete() {
	for i := range m.services {
		s := &m.services[i]
		injection, ok := m.service(s.name)["injection"].(map[string]any)
		if !ok {
			continue
		}
		missing, ready := "", true
		for _, t := range drawnTypes {
			value, ok := s.connections[t.typ]
			if !ok {
				continue
			}
			ready = ready && m.connection(s.name, t.typ)["ready"] == true
			if !m.contains(injection, s, t.typ, value) {
				missing = t.typ
			}
		}
		if injection["complete"] == true && missing != "" {
			m.rt.Fatalf("the injection of %q is called complete, although %s is missing: %v", s.name, missing, injection)
		}
		if injection["complete"] != true && ready {
			m.rt.Fatalf("the injection of %q isn't called complete, although everything is ready: %v", s.name, injection)
		}
	}
}

// contains says whether an injection has what a connection is known by. While that
// doesn't work, it may be what was published for it before.
func (m *machine) contains(injection map[string]any, s *drawnService, typ, value string) bool {
	named := func(list []any, field, value string) bool {
		return slices.ContainsFunc(list, func(v any) bool { e, _ := v.(map[string]any); return e[field] == value })
	}
	env, ready := list(injection, "env"), m.connection(s.name, typ)["ready"] == true
	switch typ {
	case "awsRole":
		switch {
		case !ready:
			return named(env, "name", "AWS_ROLE_ARN") || named(env, "name", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
		case m.irsa:
			return named(env, "value", "arn:aws:iam::123456789012:role/"+value)
		}
		return value != brokenRole && named(env, "name", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
	case "azureManagedIdentity":
		return str(injection, "labels", "azure.workload.identity/use") == "true"
	case "cloudSql":
		return named(list(injection, "initContainers"), "name", "sc-cloud-sql-proxy") && named(env, "name", "DB_PORT")
	case "cloudSql/orders":
		return named(list(injection, "initContainers"), "name", "sc-cloud-sql-proxy") && named(env, "name", "PGPORT") && named(env, "name", "ORDERS_DB_INSTANCE_CONNECTION_NAME")
	case "disk", "disk/cache":
		return named(list(injection, "volumes"), "name", "sc-"+strings.ReplaceAll(typ, "/", "-"))
	default:
		// It adds nothing to the pod, only to the ServiceAccount.
		return annotated(m.serviceAccount(str(injection, "serviceAccountName")), "google") != ""
	}
}

// restartIsTold: the status has the command, or the advice, as long as pods
// that nobody replaces by himself pre-date the injection that is published, but
// for a service that isn't right: a restart could take from its pods.
func (m *machine) restartIsTold(before map[string]map[string]any) {
	for i := range m.services {
		s := &m.services[i]
		w := m.workloads[s.workload]
		hash := str(m.service(s.name), "injection", "hash")
		if hash == "" || !w.exists || w.kind == "CronJob" || !m.isReady(s) {
			continue
		}
		old := w.startedAt < m.published[s.name].n
		switch {
		case w.rendered && (before[w.key()] == nil || w.rolls()):
			continue
		case w.rendered && fixed(w.kind):
			running, _ := splitTemplate(&fnv1.Resource{Resource: toStruct(m.t, before[w.key()])})
			old = injectionOf(running) != hash
		case w.kind == "Pod" || w.kind == "Rollout" && len(m.removedCRDs) > 0:
			// It isn't read.
			continue
		}
		if old && str(m.service(s.name), "restart") == "" {
			m.rt.Fatalf("the pods of %q pre-date its injection, and no restart is asked for: %v", s.name, m.service(s.name)["rollout"])
		}
	}
}
