package fn

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// A drawnWorkload is one that a service may name: the pipeline's earlier step
// renders it, or it lives in the cluster by itself.
type drawnWorkload struct {
	name, apiVersion, kind string

	rendered bool
	exists   bool

	// What the team has put into it.
	account   string
	port      bool
	volume    bool
	variable  bool
	namespace bool
	onDelete  bool
	ready     fnv1.Ready

	// version of its pod template, and uid of the object in the cluster.
	version, uid int

	// active says that a CronJob runs a job.
	active bool

	// startedAt is the number of reconciles that were done when its pods
	// started.
	startedAt int

	// late says that the function doesn't see its last restart yet.
	late bool
}

// rolls says whether a change of the template replaces the pods.
func (w *drawnWorkload) rolls() bool {
	switch w.kind {
	case "Deployment", "StatefulSet", "DaemonSet", "Rollout":
		return !w.onDelete
	default:
		return false
	}
}

func (w *drawnWorkload) key() string { return "workload-" + w.name }

// drawWorkloads of the services. Their kinds stay.
func (m *machine) drawWorkloads() {
	kinds := []drawnWorkload{
		{apiVersion: "apps/v1", kind: "Deployment"},
		{apiVersion: "apps/v1", kind: "StatefulSet"},
		{apiVersion: "apps/v1", kind: "DaemonSet"},
		{apiVersion: "apps/v1", kind: "ReplicaSet"},
		{apiVersion: "batch/v1", kind: "Job"},
		{apiVersion: "batch/v1", kind: "CronJob"},
		{apiVersion: "v1", kind: "Pod"},
		{apiVersion: "argoproj.io/v1alpha1", kind: "Rollout"},
	}
	m.add(`{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: rollouts.argoproj.io}, status: {conditions: [{type: Established, status: "True"}]}}`)
	m.workloads = map[string]*drawnWorkload{}
	for _, name := range []string{"api", "spare", "web"} {
		// More are Deployments, as in life.
		i := max(0, rapid.IntRange(-4, len(kinds)-1).Draw(m.rt, name+" is of kind"))
		w := kinds[i]
		w.name = name
		w.rendered = rapid.Bool().Draw(m.rt, name+" is rendered")
		w.onDelete = w.rendered && (w.kind == "StatefulSet" || w.kind == "DaemonSet") && rapid.Bool().Draw(m.rt, "OnDelete")
		w.account = rapid.SampledFrom([]string{"", "", "", "", "", "", "own", "shop-api"}).Draw(m.rt, "account of its own")
		w.port = rapid.IntRange(0, 5).Draw(m.rt, "port of its own") == 5
		w.volume = rapid.IntRange(0, 5).Draw(m.rt, "volume of its own") == 5
		w.variable = rapid.Bool().Draw(m.rt, "variable of its own")
		w.namespace = m.claims || rapid.Bool().Draw(m.rt, "namespace")
		w.ready = rapid.SampledFrom([]fnv1.Ready{fnv1.Ready_READY_UNSPECIFIED, fnv1.Ready_READY_TRUE, fnv1.Ready_READY_FALSE}).Draw(m.rt, "ready")
		m.workloads[name] = &w
		if rapid.IntRange(0, 3).Draw(m.rt, name+" exists") > 0 {
			m.start(&w)
		}
	}
}

// drawWorkloadOf a service: one of its own, mostly.
func (m *machine) drawWorkloadOf(service string) string {
	if service == "web" {
		return "web"
	}
	return rapid.SampledFrom([]string{"api", "api", "spare"}).Draw(m.rt, "workload")
}

// start the workload's pods anew, by what does so for its kind.
func (m *machine) start(w *drawnWorkload) {
	w.exists = true
	w.uid++
	w.startedAt = m.n
	m.put(w)
}

// put the workload into the cluster, where no step renders it.
func (m *machine) put(w *drawnWorkload) {
	if w.rendered {
		return
	}
	o := w.object()
	metadata, _ := o["metadata"].(map[string]any)
	metadata["namespace"], metadata["uid"] = "team-a", fmt.Sprint("w", w.uid)
	if w.active {
		o["status"] = running()
	}
	m.objects[objectKey(o)] = o
}

func running() map[string]any {
	return map[string]any{"active": []any{map[string]any{"kind": "Job", "name": "x"}}}
}

func (m *machine) restartWorkload() {
	w := m.workloads[rapid.SampledFrom([]string{"api", "web", "spare"}).Draw(m.rt, "workload")]
	recreate := w.onDelete || w.kind == "Job" || w.kind == "Pod" || w.kind == "ReplicaSet"
	switch {
	case !w.exists:
		m.start(w)
	case w.kind == "CronJob":
		w.active = !w.active
		w.startedAt = m.n
		m.put(w)
		if o := m.composed[w.key()]; o != nil {
			delete(o, "status")
			if w.active {
				o["status"] = running()
			}
		}
	case recreate || rapid.IntRange(0, 3).Draw(m.rt, "recreate") == 0:
		// Where a step renders it, the next reconcile makes it again.
		delete(m.composed, w.key())
		m.start(w)
	default:
		w.version++
		w.startedAt = m.n
		// Crossplane reads from its cache, which may not have it yet.
		if w.late = !w.rendered && rapid.Bool().Draw(m.rt, "seen late"); !w.late {
			m.put(w)
		}
	}
}

// seeLate what happened to workloads before the reconcile that is done now.
func (m *machine) seeLate() {
	for _, w := range m.workloads {
		if w.late && w.exists && !w.rendered {
			m.put(w)
		}
		w.late = false
	}
}

func (m *machine) toggleWorkload() {
	w := m.workloads[rapid.SampledFrom([]string{"api", "web", "spare"}).Draw(m.rt, "workload")]
	if !w.exists {
		m.start(w)
		return
	}
	w.exists, w.active = false, false
	m.remove(w.kind, w.name)
}

// object as the team has written it.
func (w *drawnWorkload) object() map[string]any {
	container := map[string]any{"name": "app", "image": "x"}
	if w.variable {
		container["env"] = []any{map[string]any{"name": "AWS_REGION", "value": "theirs"}, map[string]any{"name": "LOG_LEVEL", "value": "debug"}}
	}
	if w.port {
		container["ports"] = []any{map[string]any{"containerPort": 5432.0}}
	}
	spec := map[string]any{"containers": []any{container}}
	if w.volume {
		spec["volumes"] = []any{map[string]any{"name": "sc-disk", "emptyDir": map[string]any{}}}
	}
	if w.account != "" {
		spec["serviceAccountName"] = w.account
	}
	labels := map[string]any{"app": "x", "version": fmt.Sprint("v", w.version)}
	metadata := map[string]any{"name": w.name}
	if w.namespace {
		metadata["namespace"] = "team-a"
	}
	o := map[string]any{"apiVersion": w.apiVersion, "kind": w.kind, "metadata": metadata}
	template := map[string]any{"metadata": map[string]any{"labels": labels}, "spec": spec}
	switch w.kind {
	case "Pod":
		metadata["labels"], o["spec"] = labels, spec
	case "CronJob":
		o["spec"] = map[string]any{"schedule": "* * * * *", "jobTemplate": map[string]any{"spec": map[string]any{"template": template}}}
	case "Rollout":
		o["spec"] = map[string]any{"template": template, "restartAt": fmt.Sprint(w.version)}
		labels["version"] = "v"
	default:
		o["spec"] = map[string]any{"template": template}
	}
	if w.onDelete {
		o["spec"].(map[string]any)["updateStrategy"] = map[string]any{"type": "OnDelete"}
	}
	return o
}

// splitTemplate is what pods are made from, and the object without it.
func splitTemplate(r *fnv1.Resource) (template, rest map[string]any) {
	o := r.GetResource().AsMap()
	take := func(from map[string]any, field string) any {
		v := from[field]
		delete(from, field)
		return v
	}
	spec, _ := o["spec"].(map[string]any)
	switch o["kind"] {
	case "Pod":
		metadata, _ := o["metadata"].(map[string]any)
		if as, _ := metadata["annotations"].(map[string]any); as != nil {
			// Crossplane's own, on whatever it composes.
			delete(as, "crossplane.io/composition-resource-name")
			if len(as) == 0 {
				delete(metadata, "annotations")
			}
		}
		template = map[string]any{
			"metadata": map[string]any{"labels": take(metadata, "labels"), "annotations": take(metadata, "annotations")},
			"spec":     take(o, "spec"),
		}
	case "CronJob":
		job, _ := fieldAt(spec, []string{"jobTemplate", "spec"}).(map[string]any)
		template, _ = take(job, "template").(map[string]any)
	default:
		template, _ = take(spec, "template").(map[string]any)
	}
	return template, o
}

// lookAlikes are objects of other steps, of which some have keys and kinds like
// ours.
var lookAlikes = map[string]string{
	"bucket":             `{apiVersion: s3.aws.m.upbound.io/v1beta1, kind: Bucket, metadata: {name: b, namespace: team-a}, spec: {forProvider: {region: eu-west-1}}}`,
	"disk.data":          `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data, namespace: team-a}, spec: {resources: {requests: {storage: 1Gi}}}}`,
	"api.role.rbac":      `{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: api, namespace: team-a}, rules: []}`,
	"api.serviceaccount": `{apiVersion: v1, kind: ServiceAccount, metadata: {name: api, namespace: team-a}}`,
}

// drawPipeline draws what earlier steps desire, but for the workloads.
func (m *machine) drawPipeline() {
	m.extras = map[string]*fnv1.Resource{}
	for _, k := range slices.Sorted(maps.Keys(lookAlikes)) {
		if rapid.IntRange(0, 2).Draw(m.rt, k) == 0 {
			m.extras[k] = &fnv1.Resource{
				Resource:          toStruct(m.t, fromYAML(m.t, lookAlikes[k])),
				ConnectionDetails: map[string][]byte{"password": []byte(k)},
				Ready:             rapid.SampledFrom([]fnv1.Ready{fnv1.Ready_READY_UNSPECIFIED, fnv1.Ready_READY_TRUE, fnv1.Ready_READY_FALSE}).Draw(m.rt, "ready"),
			}
		}
	}
	m.composite, m.context = nil, nil
	if rapid.Bool().Draw(m.rt, "composite") {
		m.composite = &fnv1.Resource{
			Resource:          toStruct(m.t, fromYAML(m.t, `{status: {theirs: 1, services: []}, metadata: {labels: {a: b}}}`)),
			ConnectionDetails: map[string][]byte{"endpoint": []byte("x")},
			Ready:             rapid.SampledFrom([]fnv1.Ready{fnv1.Ready_READY_UNSPECIFIED, fnv1.Ready_READY_TRUE, fnv1.Ready_READY_FALSE}).Draw(m.rt, "composite ready"),
		}
	}
	if rapid.Bool().Draw(m.rt, "context") {
		m.context = toStruct(m.t, fromYAML(m.t, `{theirs: {x: [y, 1]}, apiextensions.crossplane.io/environment: {theirs: 1}}`))
	}
}

// earlierSteps desire what was drawn.
func (m *machine) earlierSteps() {
	m.desired = nil
	rs := maps.Clone(m.extras)
	for _, w := range m.workloads {
		if w.rendered && w.exists {
			rs[w.key()] = &fnv1.Resource{Resource: toStruct(m.t, w.object()), Ready: w.ready, ConnectionDetails: map[string][]byte{"a": []byte("b")}}
		}
	}
	if len(rs) > 0 || m.composite != nil {
		m.desired = &fnv1.State{Resources: rs, Composite: m.composite}
	}
	for k := range rs {
		m.theirs[k] = true
	}
}

// passedThrough: everything of other steps but the injected pod templates comes
// out as it went in, and what they don't desire any more is gone.
func (m *machine) passedThrough(before map[string]map[string]any) {
	in, out := m.desired, m.rsp.GetDesired()
	for key := range m.theirs {
		if _, like := lookAlikes[key]; like && key != "bucket" && key != "api.role.rbac" {
			// Key and kind are as ours, and only an annotation, which somebody may
			// have removed, could tell otherwise. So it stays, rather than that data
			// goes.
			continue
		}
		if _, ok := in.GetResources()[key]; !ok && (m.composed[key] != nil || out.GetResources()[key] != nil) {
			m.rt.Fatalf("%q is kept, although the step that made it doesn't desire it any more", key)
		}
	}
	templates := map[string]*drawnService{}
	for i, s := range m.services {
		templates[m.workloads[s.workload].key()] = &m.services[i]
	}
	for key, was := range in.GetResources() {
		got := out.GetResources()[key]
		s := templates[key]
		if got == nil {
			if s != nil && before[key] == nil && fixed(m.workloads[s.workload].kind) && !m.isReady(s) {
				// Its pods couldn't be given the injection later.
				continue
			}
			m.rt.Fatalf("%q of another step isn't desired any more", key)
		}
		want, rest := splitTemplate(was)
		template, gotRest := splitTemplate(got)
		if diff := cmp.Diff(rest, gotRest); diff != "" {
			m.rt.Fatalf("%q of another step changed: -in, +out:\n%s", key, diff)
		}
		if diff := cmp.Diff([]any{was.GetReady(), was.GetConnectionDetails()}, []any{got.GetReady(), got.GetConnectionDetails()}); diff != "" {
			m.rt.Fatalf("%q of another step changed: -in, +out:\n%s", key, diff)
		}
		if s == nil {
			if w := before[key]; w != nil && fixed(str(w, "kind")) {
				// It can't change, as is checked where it is applied.
				continue
			}
			if diff := cmp.Diff(want, template); diff != "" {
				m.rt.Fatalf("%q, which no service names, changed: -in, +out:\n%s", key, diff)
			}
			continue
		}
		m.injected(s, before[key], want, template)
	}
	m.compositePassed()
	if diff := cmp.Diff(m.context.AsMap(), m.rsp.GetContext().AsMap(), cmpopts.EquateEmpty()); diff != "" {
		m.rt.Fatalf("the context changed: -in, +out:\n%s", diff)
	}
	if fatal := fatalOf(m.rsp); fatal != "" {
		m.rt.Fatalf("fatal: %s", fatal)
	}
}

// compositePassed: our status is added to what other steps desire of the
// composite resource, and it is held back until every connection is ready.
func (m *machine) compositePassed() {
	in, out := m.composite, m.rsp.GetDesired().GetComposite()
	got := out.GetResource().AsMap()
	if status, _ := got["status"].(map[string]any); status != nil {
		delete(status, "connected")
		delete(status, "services")
	}
	want := in.GetResource().AsMap()
	if status, _ := want["status"].(map[string]any); status != nil {
		delete(status, "services")
	}
	if in == nil {
		want = map[string]any{"status": map[string]any{}}
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		m.rt.Fatalf("the composite resource changed: -in, +out:\n%s", diff)
	}
	if diff := cmp.Diff(in.GetConnectionDetails(), out.GetConnectionDetails(), cmpopts.EquateEmpty()); diff != "" {
		m.rt.Fatalf("the connection details changed: -in, +out:\n%s", diff)
	}
	ready := in.GetReady()
	if !m.allReady() {
		ready = fnv1.Ready_READY_FALSE
	}
	if out.GetReady() != ready {
		m.rt.Fatalf("the composite resource is %v, want %v", out.GetReady(), ready)
	}
}

func (m *machine) allReady() bool {
	return !slices.ContainsFunc(m.services, func(s drawnService) bool { return !m.isReady(&s) })
}

// isReady says whether all connections of a service are.
func (m *machine) isReady(s *drawnService) bool {
	for typ := range s.connections {
		if m.connection(s.name, typ)["ready"] != true {
			return false
		}
	}
	return true
}

// fixed says whether the pod template of a kind can't change.
func fixed(kind string) bool { return kind == "Job" || kind == "Pod" }

// injected: a workload's pods get all of the injection, without losing anything
// of their own, or nothing at all. Those that run may keep what they have, where
// they can't change, or while an edit can't be worked out.
func (m *machine) injected(s *drawnService, was, in, out map[string]any) {
	w := m.workloads[s.workload]
	if was != nil {
		running, _ := splitTemplate(&fnv1.Resource{Resource: toStruct(m.t, was)})
		if cmp.Equal(running, out) && (fixed(w.kind) || !m.isReady(s) && injectionOf(running) != "") {
			return
		}
		if fixed(w.kind) {
			m.rt.Fatalf("%q can't change, and does:\n%s", w.name, cmp.Diff(running, out))
		}
	}
	injection, _ := m.service(s.name)["injection"].(map[string]any)
	if cmp.Equal(in, out) {
		if injection != nil && !w.refuses(s) && !w.port && !w.volume {
			m.rt.Fatalf("the pods of %q get nothing: %v", w.name, out)
		}
		return
	}
	if w.refuses(s) {
		m.rt.Fatalf("the pods of %q run as %q and are injected:\n%s", w.name, w.account, cmp.Diff(in, out))
	}
	if why := lost("", in, out); why != "" {
		m.rt.Fatalf("%q lost its own: %s\n%s", w.name, why, cmp.Diff(in, out))
	}
	if got := injectionOf(out); got == "" || got != str(injection, "hash") {
		m.rt.Fatalf("the pods of %q have the injection %q, and the status says %v", w.name, got, injection["hash"])
	}
	// The database without a name has the port of its own that a workload may have.
	if sidecars := list(out, "spec", "initContainers"); w.port && strings.Contains(fmt.Sprint(sidecars), "?port=5432") {
		m.rt.Fatalf("two containers of %q listen on one port:\n%s", w.name, cmp.Diff(in, out))
	}
	for _, c := range list(out, "spec", "containers") {
		for _, v := range list(c.(map[string]any), "volumeMounts") {
			if w.volume && v.(map[string]any)["name"] == "sc-disk" {
				m.rt.Fatalf("%q mounts its own volume in place of the disk:\n%s", w.name, cmp.Diff(in, out))
			}
		}
	}
}

// refuses says whether a workload keeps a ServiceAccount of its own.
func (w *drawnWorkload) refuses(s *drawnService) bool {
	return w.account != "" && w.account != s.serviceAccount()
}

// lost is the first value of before that after hasn't. A list must hold the
// values of before in their order; more may be between.
func lost(path string, before, after any) string {
	switch b := before.(type) {
	case map[string]any:
		a, _ := after.(map[string]any)
		for k, v := range b {
			if why := lost(path+"."+k, v, a[k]); why != "" {
				return why
			}
		}
	case []any:
		a, _ := after.([]any)
		for _, v := range b {
			i := slices.IndexFunc(a, func(got any) bool { return lost(path, v, got) == "" })
			if i < 0 {
				return path + " has lost an entry, or its order"
			}
			a = a[i+1:]
		}
	default:
		if before != nil && before != after {
			return path + " has changed"
		}
	}
	return ""
}

// rolledOut notes which rendered workloads have new pods after a reconcile: a
// change of the template replaces those of most kinds.
func (m *machine) rolledOut(before map[string]map[string]any) {
	for _, w := range m.workloads {
		if !w.rendered || m.composed[w.key()] == nil {
			continue
		}
		was := before[w.key()]
		if was == nil {
			w.startedAt = m.n
			continue
		}
		old, _ := splitTemplate(&fnv1.Resource{Resource: toStruct(m.t, was)})
		now, _ := splitTemplate(&fnv1.Resource{Resource: toStruct(m.t, m.composed[w.key()])})
		if w.rolls() && !cmp.Equal(old, now) {
			w.startedAt = m.n
		}
	}
}

// podsStartedAt is the number of reconciles that were done when the oldest pods
// of a service started that were there before this one; false where it had none.
func (m *machine) podsStartedAt(s *drawnService, before map[string]map[string]any) (int, bool) {
	w := m.workloads[s.workload]
	there := w.exists
	if w.rendered {
		// One that no step renders any more goes in this very reconcile.
		there = there && before[w.key()] != nil
	}
	if w.kind == "CronJob" && !w.active {
		there = false
	}
	return w.startedAt, there
}
