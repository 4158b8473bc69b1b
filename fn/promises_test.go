package fn

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// What controllers do, and the team with its workloads.

func (w *world) draw() (string, *controller) {
	name := rapid.SampledFrom(worldWorkloads).Draw(w.rt, "workload")
	return name, w.workloads[name]
}

// create the object of a workload. What its predecessor has left behind is adopted:
// the labels are the same.
func (w *world) create(name string) {
	c := w.workloads[name]
	c.exists = true
	c.uid++
	c.generation, c.observed, c.current, c.updated = 1, 0, "", ""
	c.pods, c.orphans = c.orphans, nil
	w.put(name)
}

// put the object into the cluster, where no step renders it.
func (w *world) put(name string) {
	c := w.workloads[name]
	if o := w.composed["workload-"+name]; c.rendered && o != nil {
		o["status"] = c.status()
	}
	if c.rendered || !c.exists {
		return
	}
	o := c.object(name)
	metadata, _ := o["metadata"].(map[string]any)
	metadata["uid"], metadata["generation"] = fmt.Sprint(name, "-", c.uid), float64(c.generation)
	o["status"] = c.status()
	w.objects[objectKey(o)] = o
}

// sync one step of a workload's controller.
func (w *world) sync(name string) bool {
	c := w.workloads[name]
	template := c.template(name)
	if c.rendered {
		o := w.composed["workload-"+name]
		if o == nil {
			return false
		}
		c.generation = int(fieldAt(o, []string{"metadata", "generation"}).(float64))
		template, _ = fieldAt(o, []string{"spec", "template"}).(map[string]any)
	}
	revision := str(template, "metadata", "labels", "version") + injectionOf(template)
	did := c.sync(revision, func(revision string) pod {
		for _, p := range c.pods {
			if c.rendered && p.revision == revision {
				return pod{revision: revision, template: p.template, azure: w.azureOf(p.template)}
			}
		}
		made := w.admit(name, template)
		return pod{revision: revision, template: made, azure: w.azureOf(made)}
	})
	w.put(name)
	return did
}

// admit a pod: where no step renders the workload, the policy injects what is
// published for it.
func (w *world) admit(name string, template map[string]any) map[string]any {
	if w.workloads[name].rendered {
		return template
	}
	for _, v := range list(w.xr, "status", "services") {
		s, _ := v.(map[string]any)
		injection, _ := s["injection"].(map[string]any)
		if str(s, "workload", "name") != name || str(s, "workload", "kind") != w.workloads[name].kind || str(s, "delivery") != "Admission" {
			continue
		}
		made, err := inject(template, injection)
		if err != nil {
			w.rt.Fatal(err)
		}
		return made
	}
	return template
}

// azureOf a pod is the identity that Azure's webhook writes into it as it is made.
func (w *world) azureOf(template map[string]any) string {
	if str(template, "metadata", "labels", "azure.workload.identity/use") != "true" {
		return ""
	}
	return annotated(w.serviceAccount(str(template, "spec", "serviceAccountName")), "azure")
}

func (w *world) serviceAccount(name string) map[string]any {
	for _, o := range w.composed {
		if o["kind"] == "ServiceAccount" && str(o, "metadata", "name") == name {
			return o
		}
	}
	return w.objects["v1|ServiceAccount|team-a|"+name]
}

func (w *world) controllersWork() {
	name, _ := w.draw()
	for range rapid.IntRange(1, 4).Draw(w.rt, "pods") {
		w.sync(name)
	}
}

// controllersFinish what they can.
func (w *world) controllersFinish() {
	for _, name := range worldWorkloads {
		for range 30 {
			if !w.sync(name) {
				break
			}
		}
	}
}

// change the object of a workload: the API server counts.
func (w *world) change(name string, edit func(*controller)) {
	c := w.workloads[name]
	edit(c)
	c.generation++
	w.put(name)
}

func (w *world) restart() {
	name, c := w.draw()
	w.change(name, func(c *controller) {
		if c.kind == "Rollout" && rapid.Bool().Draw(w.rt, "restartAt") {
			c.restartAt++
			return
		}
		c.version++
	})
	if c.workloadRef {
		// The template is another object's.
		c.generation--
	}
}

func (w *world) stop() {
	name, _ := w.draw()
	w.change(name, func(c *controller) {
		pauses := c.kind == "Deployment" || c.kind == "Rollout"
		if c.paused = pauses && rapid.Bool().Draw(w.rt, "paused"); !c.paused {
			c.stuck = true
		}
	})
}

func (w *world) goOn() {
	name, _ := w.draw()
	w.change(name, func(c *controller) { c.paused, c.stuck, c.promoted = false, false, true })
}

func (w *world) scale() {
	name, _ := w.draw()
	w.change(name, func(c *controller) { c.replicas = rapid.IntRange(0, 3).Draw(w.rt, "replicas") })
}

// deletePods as one does where the strategy is OnDelete, or as a drain does.
func (w *world) deletePods() {
	_, c := w.draw()
	if c.orphans = nil; rapid.Bool().Draw(w.rt, "all") {
		c.pods = nil
	} else if len(c.pods) > 0 {
		c.pods = c.pods[1:]
	}
}

// recreate a workload: first it goes, with or without its pods; then it comes back.
func (w *world) recreate() {
	name, c := w.draw()
	if !c.exists {
		w.create(name)
		return
	}
	c.exists = false
	if !c.rendered && rapid.Bool().Draw(w.rt, "cascade=orphan") {
		c.orphans = c.pods
	}
	c.pods = nil
	w.remove(c.kind, name)
}

// earlierSteps desire the workloads that they render.
func (w *world) earlierSteps() {
	w.desired = &fnv1.State{Resources: map[string]*fnv1.Resource{}}
	for name, c := range w.workloads {
		if c.rendered && c.exists {
			w.desired.Resources["workload-"+name] = &fnv1.Resource{Resource: toStruct(w.t, c.object(name)), Ready: fnv1.Ready_READY_TRUE}
		}
	}
}

// reconcile, and hold the function to each of its promises.
func (w *world) reconcile() {
	w.earlierSteps()
	w.deterministic()
	before := maps.Clone(w.composed)
	published := map[string]map[string]string{}
	for _, name := range worldWorkloads {
		published[name] = w.nextPod(name)
		w.goesOn(name, published[name])
	}
	worked := func(what string) bool { return w.works(what, before) }
	deleted := w.cluster.reconcile()
	w.countGenerations(before)
	for _, key := range deleted {
		w.nobodyDependsOn(key, before[key])
		w.holdsNoData(key, before[key])
	}
	w.leave()
	for _, name := range worldWorkloads {
		w.neverWorse(name, published[name], worked)
	}
	w.revoked()
	w.mount()
	w.see()
}

// countGenerations of the workloads that are rendered, as the API server does.
func (w *world) countGenerations(before map[string]map[string]any) {
	for name, c := range w.workloads {
		o, was := w.composed["workload-"+name], before["workload-"+name]
		if !c.rendered || o == nil {
			continue
		}
		generation := 1.0
		if was != nil {
			generation, _ = fieldAt(was, []string{"metadata", "generation"}).(float64)
			if !reflect.DeepEqual(was["spec"], o["spec"]) {
				generation++
			}
		}
		metadata, _ := o["metadata"].(map[string]any)
		metadata["generation"] = generation
	}
}

// deterministic: equal requests get equal bytes.
func (w *world) deterministic() {
	answer := func() string {
		rsp, err := w.fn.RunFunction(w.t.Context(), w.request())
		if err != nil {
			w.rt.Fatal(err)
		}
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(rsp)
		if err != nil {
			w.rt.Fatal(err)
		}
		return string(b)
	}
	if first, second := answer(), answer(); first != second {
		w.rt.Fatal("(d) the same request gave two responses")
	}
}

// nobodyDependsOn what is deleted, but whose connection left the claim or whose
// access is revoked.
func (w *world) nobodyDependsOn(key string, o map[string]any) {
	g := grantOf(key, o)
	if g.access && w.excludes(g.family, g.value) {
		return
	}
	for _, name := range worldWorkloads {
		for _, p := range w.workloads[name].alive() {
			left := true
			for _, thing := range g.things(p) {
				left = left && (w.left(name, thing) || w.another(name, thing) || p.left[thing])
			}
			if o["kind"] == "ServiceAccount" {
				left = !w.holds(g.account)
			}
			if why := w.dependsOn(p, g, o); why != "" && !left {
				w.rt.Fatalf("(a) %q was deleted, although a pod of %s runs with it: %s; %s", key, name, why, w)
			}
		}
	}
}

// diskTypes are the connections to disks that a service may have.
var diskTypes = []string{"disk", "disk/cache"}

// thingOf a connection is what pods have one of: an identity of a family, or the disk of
// a connection.
func thingOf(typ string) string {
	if slices.Contains(diskTypes, typ) {
		return typ
	}
	return familyOf(typ)
}

// things that a pod has by a grant.
func (g grant) things(p pod) []string {
	if g.family != "disk" {
		return []string{g.family}
	}
	has := gets(p.template)
	return slices.DeleteFunc(slices.Clone(diskTypes), func(thing string) bool { return has[thing] != g.value })
}

// disks of a workload's service, as the team wants them.
func (w *world) disks(name string) []string {
	if s := w.services[name]; s != nil {
		return slices.DeleteFunc(slices.Clone(diskTypes), func(typ string) bool { return s.connections[typ] == "" })
	}
	return nil
}

// goesOn is a connection to a disk that has a name, and had none when the function last
// read it, or the other way round: what it ever mounted, and what is published for it, are
// the same connection's.
func (w *world) goesOn(name string, published map[string]string) {
	was, is := w.had[name], w.disks(name)
	if !w.readable() || len(was) != 1 || len(is) != 1 || was[0] == is[0] {
		return
	}
	from, to := name+" "+was[0], name+" "+is[0]
	if w.mounted[to] == nil {
		w.mounted[to] = map[string]bool{}
	}
	maps.Copy(w.mounted[to], w.mounted[from])
	delete(w.mounted, from)
	if disk := published[was[0]]; disk != "" && published[is[0]] == "" {
		published[is[0]] = disk
	}
}

// holds says whether a service that ever had a ServiceAccount is in the claim,
// whatever it is called now and whichever workload it is of.
func (w *world) holds(account string) bool {
	for _, s := range w.services {
		if w.accounts[account][s] {
			return true
		}
	}
	return false
}

// leave notes of each pod which connections left while it ran.
func (w *world) leave() {
	for _, name := range worldWorkloads {
		for _, family := range append([]string{"aws", "azure", "google"}, diskTypes...) {
			if !w.left(name, family) && !w.another(name, family) {
				continue
			}
			for _, pods := range [][]pod{w.workloads[name].pods, w.workloads[name].orphans} {
				for i := range pods {
					if pods[i].left == nil {
						pods[i].left = map[string]bool{}
					}
					pods[i].left[family] = true
				}
			}
		}
	}
}

// dependsOn says how a running pod uses a composed object, empty where it doesn't.
func (w *world) dependsOn(p pod, g grant, o map[string]any) string {
	account := str(p.template, "spec", "serviceAccountName")
	uses := gets(p.template)
	switch {
	case o["kind"] == "ServiceAccount" && g.account == account:
		return "it runs as ServiceAccount " + account
	case g.family == "disk" && len(g.things(p)) > 0:
		return "it mounts " + g.value
	case !g.access || g.account != account || !ready(o):
		return ""
	case g.family == "aws" && uses["aws"] == podIdentity:
		// EKS gives each session the role that the association has then.
		return "it gets its role by the association"
	case g.family == "azure" && p.azure == g.value:
		return "it holds the identity's client id"
	case g.family == "google" && annotated(w.serviceAccount(account), "google") == g.value:
		// GKE's metadata server asks for the annotation each time.
		return "its ServiceAccount is annotated with " + g.value
	default:
		return ""
	}
}

// left says whether the team has taken all connections of a family, or the service
// itself, from a workload.
func (w *world) left(name, family string) bool {
	s := w.services[name]
	if s == nil {
		return true
	}
	for typ := range s.connections {
		if thingOf(typ) == family {
			return false
		}
	}
	return family != ""
}

// holdsNoData, or all who ever mounted it have no disk any more.
func (w *world) holdsNoData(key string, o map[string]any) {
	g := grantOf(key, o)
	if g.family != "disk" {
		return
	}
	for by, disks := range w.mounted {
		name, typ, _ := strings.Cut(by, " ")
		if s := w.services[name]; disks[g.value] && s != nil && s.connections[typ] != "" {
			w.rt.Fatalf("(c) %q was deleted, although it holds data of %s, which has that disk still: %s", key, by, w)
		}
	}
	for name, s := range w.services {
		for _, typ := range diskTypes {
			if s.connections[typ] == g.value {
				w.rt.Fatalf("(c) %q was deleted, although %s asks for it: %s", key, name, w)
			}
		}
	}
}

// mount notes which disks services have, where the claim says what is meant.
func (w *world) mount() {
	for name, s := range w.services {
		for _, typ := range w.disks(name) {
			if w.mistake != "" && w.mistake != "no such ServiceAccount" {
				continue
			}
			by := name + " " + typ
			if w.mounted[by] == nil {
				w.mounted[by] = map[string]bool{}
			}
			w.mounted[by][s.connections[typ]] = true
		}
	}
	maps.DeleteFunc(w.mounted, func(by string, _ map[string]bool) bool {
		name, typ, _ := strings.Cut(by, " ")
		return w.left(name, typ)
	})
	if w.readable() {
		for _, name := range worldWorkloads {
			w.had[name] = w.disks(name)
		}
	}
}

const podIdentity = "Pod Identity"

// gets says what a pod has of each family by its template alone.
func gets(template map[string]any) map[string]string {
	has := map[string]string{}
	for _, v := range list(template, "spec", "containers") {
		c, _ := v.(map[string]any)
		for _, v := range list(c, "env") {
			e, _ := v.(map[string]any)
			switch e["name"] {
			case "AWS_CONTAINER_CREDENTIALS_FULL_URI":
				has["aws"] = podIdentity
			case "AWS_ROLE_ARN":
				has["aws"] = lastPart(str(e, "value"))
			}
		}
	}
	disks := map[string]string{} // The claim of each volume.
	for _, v := range list(template, "spec", "volumes") {
		volume, _ := v.(map[string]any)
		name, disk := str(volume, "name"), str(volume, "persistentVolumeClaim", "claimName")
		disks[name] = disk
		for _, typ := range diskTypes {
			if name == "sc-"+strings.ReplaceAll(typ, "/", "-") {
				has[typ] = disk
			}
		}
	}
	// Two disks of one claim are mounted by one volume, so of the other there is only where.
	for _, v := range list(template, "spec", "containers") {
		for _, v := range list(v.(map[string]any), "volumeMounts") {
			mount, _ := v.(map[string]any)
			typ := "disk"
			if str(mount, "mountPath") == "/cache" {
				typ = "disk/cache"
			}
			if disk := disks[str(mount, "name")]; disk != "" && has[typ] == "" {
				has[typ] = disk
			}
		}
	}
	return has
}

// nextPod says what a pod of a workload that is made now gets of each family, and as
// which ServiceAccount: family → "what as whom".
func (w *world) nextPod(name string) map[string]string {
	c := w.workloads[name]
	template := c.template(name)
	if c.rendered {
		template, _ = fieldAt(w.composed["workload-"+name], []string{"spec", "template"}).(map[string]any)
	}
	if !c.exists || template == nil {
		return nil
	}
	template = w.admit(name, template)
	account := str(template, "spec", "serviceAccountName")
	has := gets(template)
	if has["azure"] = w.azureOf(template); has["azure"] == "" {
		delete(has, "azure")
	}
	if google := annotated(w.serviceAccount(account), "google"); google != "" && account != "" {
		has["google"] = google
	}
	for family, what := range has {
		if !slices.Contains(diskTypes, family) {
			has[family] = strings.Join([]string{family, what, account}, " ")
		}
	}
	return has
}

// works says whether what a pod gets is granted, or there, as it was observed.
func (w *world) works(what string, observed map[string]map[string]any) bool {
	family, rest, identity := strings.Cut(what, " ")
	if !identity {
		_, there := w.objects["v1|PersistentVolumeClaim|team-a|"+what]
		for key, o := range observed {
			there = there || grantOf(key, o).family == "disk" && grantOf(key, o).value == what
		}
		return there
	}
	i := strings.LastIndexByte(rest, ' ')
	value, account := rest[:i], rest[i+1:]
	for key, o := range observed {
		g := grantOf(key, o)
		switch {
		case !ready(o):
		case family == "aws" && value != podIdentity:
			// Mode IRSA: the role's trust policy decides, and the function reads it.
			if o["kind"] == "Role" && g.value == value {
				return true
			}
		case g.access && g.account == account && g.family == family && (value == podIdentity || g.value == value):
			return true
		}
	}
	return false
}

// neverWorse: what a workload's pods get of a connection that works changes only to
// what works, but when the connection left the claim or is revoked.
func (w *world) neverWorse(name string, before map[string]string, worked func(string) bool) {
	if !w.workloads[name].exists {
		return
	}
	after := w.nextPod(name)
	defer w.publishedBy(name, before, after)
	for family, was := range before {
		is := after[family]
		switch {
		case w.left(name, family) || w.another(name, family):
			// A template that is frozen for another connection has it still.
			w.leftover[name+" "+family] = was
		case w.connected(name, family):
			delete(w.leftover, name+" "+family)
		}
		if is == was || mounts(after, was) || w.leftover[name+" "+family] == was || !worked(was) || w.takenBack(family, was) {
			continue
		}
		if is == "" || !worked(is) {
			w.rt.Fatalf("(b) the next pod of %s got %q, which works, and gets %q, which doesn't: %s", name, was, is, w)
		}
	}
}

// mounts says whether a pod mounts a disk by any connection: one that has another name
// now may have it under the former one still.
func mounts(has map[string]string, disk string) bool {
	return slices.ContainsFunc(diskTypes, func(typ string) bool { return has[typ] == disk })
}

// publishedBy which connections what changes is published: those that ask for the
// very thing, where there are two.
func (w *world) publishedBy(name string, before, after map[string]string) {
	for family, is := range after {
		if is == before[family] {
			continue
		}
		types := w.types(name, family)
		asks := func(typ string) bool { return slices.Contains(strings.Fields(is), w.services[name].connections[typ]) }
		if slices.ContainsFunc(types, asks) {
			types = slices.DeleteFunc(types, func(typ string) bool { return !asks(typ) })
		}
		w.by[name+" "+family] = types
	}
}

// another says whether the connections of a family that a workload has now are of other
// types than those which its pods have it by: these left, and the others are new.
func (w *world) another(name, family string) bool {
	by, types := w.by[name+" "+family], w.types(name, family)
	return len(by) > 0 && !slices.ContainsFunc(by, func(typ string) bool { return slices.Contains(types, typ) })
}

// types of connections of a family that the team wants for a workload.
func (w *world) types(name, family string) []string {
	s := w.services[name]
	if s == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(s.connections)), func(typ string) bool { return thingOf(typ) != family })
}

// connected says whether a workload's connections of a family are, by the status.
func (w *world) connected(name, family string) bool {
	s := w.services[name]
	for typ := range s.connections {
		if thingOf(typ) == family && w.reason(s.service, typ) != "Connected" {
			return false
		}
	}
	return true
}

// takenBack says whether a list excludes what a pod gets.
func (w *world) takenBack(family, what string) bool {
	fields := strings.Fields(what)
	if len(fields) < 3 {
		return false
	}
	if family != "aws" || fields[1] != "Pod" {
		return w.excludes(family, fields[1])
	}
	// The association says which role it is.
	for key, o := range w.composed {
		if g := grantOf(key, o); g.access && g.family == "aws" && g.account == fields[len(fields)-1] {
			return false
		}
	}
	return w.lists.roles != nil
}

// excludes says whether a list is there and excludes a value. A section that is gone
// takes its list with it.
func (w *world) excludes(family, value string) bool {
	section := map[string]string{"aws": "aws", "azure": "azure", "google": "gcp"}[family]
	l := map[string]*[]string{"aws": w.lists.roles, "azure": w.lists.identities, "google": w.lists.accounts}[family]
	return l != nil && section != w.without && !slices.Contains(*l, value)
}

// revoked: nothing that a list excludes is granted any more, whatever the claim is
// like.
func (w *world) revoked() {
	for key, o := range w.composed {
		if g := grantOf(key, o); g.access && w.excludes(g.family, g.value) {
			w.rt.Fatalf("(e) %q is still there, although a list excludes %q; %s", key, g.value, fatalOf(w.rsp))
		}
	}
}

// ready says whether a managed resource's own condition does, whatever its provider
// says of its last attempt.
func ready(o map[string]any) bool {
	return slices.ContainsFunc(list(o, "status", "conditions"), func(v any) bool {
		c, _ := v.(map[string]any)
		return c["type"] == "Ready" && c["status"] == "True"
	})
}
