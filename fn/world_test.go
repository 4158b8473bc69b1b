package fn

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestWorld drives one claim through a world in which pods exist. Workloads roll out
// pod by pod and stop half-way; providers take their time; teams make mistakes and
// mend them. After each reconcile it asks what the project promises: that what runs
// keeps running. What is promised is judged by the world alone: by what pods were
// made with, what the team meant, and what the settings take away.
func TestWorld(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, rt)
		for range rapid.IntRange(1, 20).Draw(rt, "steps") {
			w.step()
			w.reconcile()
		}
	})
}

// A world is a cluster with its workloads and their pods, one claim, and the people
// who edit them.
type world struct {
	*cluster

	rt *rapid.T
	n  int

	// services as the team means them, by the workload that each is of: a mistake
	// is no wish.
	services map[string]*wish
	mistake  string

	// What the settings say.
	lists   drawnLists
	irsa    bool
	without string // a section that is gone

	workloads map[string]*controller

	// mounted are the disks that a connection of a workload's service ever had, by the
	// two of them, and had are its connections to disks when the function last read it.
	mounted map[string]map[string]bool
	had     map[string][]string

	// accounts that services ever had.
	accounts map[string]map[*wish]bool

	// leftover is what pods have of connections that left: workload and family → what.
	leftover map[string]string

	// seen of each service, when the function last saw it as it is meant: its name and
	// its workload.
	seen map[*wish][2]string

	// by which types of connections pods have what they have: workload and family →
	// types.
	by map[string][]string

	away map[string]map[string]any // providers that are taken away
}

// A wish is what the team wants for a workload.
type wish struct {
	service     string
	account     string
	connections map[string]string

	// tags that its awsRole says about sessions, as it is written; empty for none.
	tags string
}

// sessionTags are what an awsRole may say about them.
var sessionTags = []string{"", ", disableSessionTags: true", ", disableSessionTags: false"}

var worldWorkloads = []string{"api", "web"}

// The values that connections may have in the world.
var worldValues = map[string][]string{
	"awsRole": drawnRoles[:2], "azureManagedIdentity": drawnIdentities,
	"cloudSql": drawnAccounts, "cloudSql/orders": drawnAccounts, "gcpServiceAccount": drawnAccounts, "disk": drawnDisks[:3], "disk/cache": drawnDisks[:3],
}

func newWorld(t *testing.T, rt *rapid.T) *world {
	t.Helper()
	w := &world{
		rt: rt, cluster: newCluster(t, "[]", "{cluster: {name: x}}"), away: map[string]map[string]any{}, leftover: map[string]string{}, by: map[string][]string{}, seen: map[*wish][2]string{}, accounts: map[string]map[*wish]bool{},
		services: map[string]*wish{}, workloads: map[string]*controller{}, mounted: map[string]map[string]bool{}, had: map[string][]string{},
	}
	w.errorf = rt.Fatalf
	w.add(cacheStorage)
	w.add(`{apiVersion: v1, kind: ServiceAccount, metadata: {name: shared, namespace: team-a, uid: foreign-sa}}`)
	w.add(`{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: rollouts.argoproj.io}, status: {conditions: [{type: Established, status: "True"}]}}`)
	w.irsa = rapid.IntRange(0, 3).Draw(rt, "IRSA") == 0
	// Most histories begin with what is connected: nothing is taken from the others.
	if rapid.IntRange(0, 3).Draw(rt, "lists are absent") > 0 {
		roles, identities, accounts := worldValues["awsRole"], worldValues["azureManagedIdentity"], worldValues["cloudSql"]
		w.lists = drawnLists{roles: &roles, identities: &identities, accounts: &accounts}
	}
	for _, name := range worldWorkloads {
		kind := rapid.SampledFrom([]string{"Deployment", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Rollout"}).Draw(rt, name+" is a")
		c := &controller{
			kind: kind, strategy: rapid.SampledFrom(strategies[kind]).Draw(rt, "strategy"),
			rendered: rapid.IntRange(0, 2).Draw(rt, "rendered") == 0, replicas: rapid.IntRange(1, 3).Draw(rt, "replicas"),
		}
		c.workloadRef = kind == "Rollout" && !c.rendered && rapid.IntRange(0, 3).Draw(rt, "workloadRef") == 0
		w.workloads[name] = c
		s := &wish{service: name, connections: map[string]string{}}
		for _, typ := range slices.Sorted(maps.Keys(worldValues)) {
			if rapid.Bool().Draw(rt, typ) {
				s.connections[typ] = rapid.SampledFrom(worldValues[typ]).Draw(rt, "value")
			}
		}
		s.tags = rapid.SampledFrom(sessionTags).Draw(rt, "session tags")
		w.services[name] = s
		w.create(name)
	}
	w.writeSettings()
	w.writeClaim()
	w.reconcile()
	w.settles()
	w.reconcile()
	return w
}

// step is one thing that somebody, or a controller, does.
func (w *world) step() {
	steps := map[string]func(){
		"edit a connection":       w.editConnection,
		"edit a service":          w.editService,
		"make a mistake":          w.err,
		"mend the mistake":        func() { w.mistake = "" },
		"edit the lists":          w.editLists,
		"edit the settings":       w.editSettings,
		"providers work":          w.providersWork,
		"providers fail":          w.providersFail,
		"pause managed resources": w.pauseManaged,
		"providers come and go":   w.toggleProviders,
		"all settles":             w.settles,
		"restart":                 w.restart,
		"controllers work":        w.controllersWork,
		"a rollout stops":         w.stop,
		"a rollout goes on":       w.goOn,
		"scale":                   w.scale,
		"pods are deleted":        w.deletePods,
		"delete and make anew":    w.recreate,
		"replace, half-way":       w.replaceHalfway,
		"all in one edit":         w.editAtOnce,
	}
	names := append(slices.Sorted(maps.Keys(steps)),
		"edit a connection", "edit a connection", "edit a connection", "providers work",
		"all settles", "all settles", "restart", "restart", "controllers work", "controllers work", "mend the mistake",
		"replace, half-way", "replace, half-way", "all in one edit", "all in one edit")
	name := rapid.SampledFrom(names).Draw(w.rt, "step")
	steps[name]()
	w.writeSettings()
	w.writeClaim()
	w.n++
	w.rt.Logf("step %d, after %q: %s", w.n, name, w)
}

func (w *world) String() string {
	var b strings.Builder
	for _, name := range worldWorkloads {
		c := w.workloads[name]
		fmt.Fprintf(&b, "%s %s %s: %d pods, %d old, %d orphans", c.kind, name, c.strategy, len(c.pods), len(c.old()), len(c.orphans))
		if s := w.services[name]; s != nil {
			fmt.Fprintf(&b, ", service %s as %q %v", s.service, s.account, s.connections)
		}
		b.WriteString("; ")
	}
	return b.String() + w.mistake + w.without
}

// What the team does to its claim.

func (w *world) wished() []string { return slices.Sorted(maps.Keys(w.services)) }

func (w *world) editConnection() {
	name := rapid.SampledFrom(worldWorkloads).Draw(w.rt, "workload")
	s := w.services[name]
	if s == nil {
		// Its name may be the other's by now.
		s = &wish{service: name, connections: map[string]string{}}
		if w.taken(name, s) {
			s.service = name + "-server"
		}
		w.services[name] = s
		return
	}
	typ := rapid.SampledFrom(slices.Sorted(maps.Keys(worldValues))).Draw(w.rt, "type")
	if _, ok := s.connections[typ]; ok && rapid.IntRange(0, 3).Draw(w.rt, "it leaves") == 0 {
		delete(s.connections, typ)
		return
	}
	s.connections[typ] = rapid.SampledFrom(worldValues[typ]).Draw(w.rt, "value")
	if typ == "awsRole" {
		s.tags = rapid.SampledFrom(sessionTags).Draw(w.rt, "session tags")
	}
}

func (w *world) editService() {
	name := rapid.SampledFrom(worldWorkloads).Draw(w.rt, "workload")
	s := w.services[name]
	switch edit := rapid.SampledFrom([]string{"account", "rename", "swap", "disk", "name", "leave"}).Draw(w.rt, "edit"); {
	case s == nil:
	case edit == "account":
		s.account = rapid.SampledFrom([]string{"", "shared"}).Draw(w.rt, "account")
	case edit == "rename":
		if renamed := rapid.SampledFrom([]string{name, name + "-server"}).Draw(w.rt, "name"); !w.taken(renamed, s) {
			s.service = renamed
		}
	case edit == "swap":
		// Each service is of the other's workload now.
		w.services["api"], w.services["web"] = w.services["web"], w.services["api"]
		maps.DeleteFunc(w.services, func(_ string, s *wish) bool { return s == nil })
	case edit == "disk":
		w.moveDisk(name)
	case edit == "name":
		s.nameDisk()
	default:
		delete(w.services, name)
	}
}

// taken says whether another service has a name: the API server refuses a claim that
// has one twice.
func (w *world) taken(name string, by *wish) bool {
	return slices.ContainsFunc(slices.Collect(maps.Values(w.services)), func(s *wish) bool { return s != by && s.service == name })
}

// moveDisk of a service to the other one.
func (w *world) moveDisk(name string) {
	s, other := w.services[name], w.services[map[string]string{"api": "web", "web": "api"}[name]]
	if s == nil || other == nil || s.connections["disk"] == "" {
		return
	}
	other.connections["disk"] = s.connections["disk"]
	delete(s.connections, "disk")
}

// nameDisk gives a connection a name, or takes it away. Where there are two, they
// exchange theirs.
func (s *wish) nameDisk() {
	was := maps.Clone(s.connections)
	for from, to := range map[string]string{"disk": "disk/cache", "disk/cache": "disk"} {
		delete(s.connections, to)
		if disk := was[from]; disk != "" {
			s.connections[to] = disk
		}
	}
}

// err is a mistake that the team will mend.
func (w *world) err() {
	w.mistake = rapid.SampledFrom([]string{
		"no such disk", "a misspelt field", "a misspelt connection", "an invalid name", "no such ServiceAccount", "no such disk", "an invalid value", "a misspelt workload", "a misspelt serviceAccountName", "no list",
	}).Draw(w.rt, "mistake")
	if w.mistake == "no such disk" && rapid.Bool().Draw(w.rt, "it moves") {
		w.moveDisk(rapid.SampledFrom(worldWorkloads).Draw(w.rt, "from"))
	}
}

// editAtOnce several things, some of them by mistake: one edit of a file is rarely of
// one thing.
func (w *world) editAtOnce() {
	edits := map[string]func(){"connection": w.editConnection, "service": w.editService, "mistake": w.err}
	for range rapid.IntRange(2, 3).Draw(w.rt, "edits") {
		edits[rapid.SampledFrom(slices.Sorted(maps.Keys(edits))).Draw(w.rt, "of a")]()
	}
}

// replaceHalfway what a workload's pods use: the team or the platform edits, the
// providers follow, and then a rollout begins, which may stop after any pod. No step of
// these is rare, but all in a row are.
func (w *world) replaceHalfway() {
	w.settles()
	w.reconcile()
	name, c := w.draw()
	w.supersede(name)
	w.writeSettings()
	w.writeClaim()
	w.providersFinish()
	w.change(name, func(c *controller) { c.version++ })
	if c.workloadRef {
		c.generation--
	}
	for range rapid.IntRange(0, 3*c.replicas).Draw(w.rt, "pods") {
		w.sync(name)
	}
	if rapid.Bool().Draw(w.rt, "stuck") {
		w.change(name, func(c *controller) { c.stuck = true })
		w.sync(name)
	}
}

// supersede what the pods of a workload hold for as long as they live.
func (w *world) supersede(name string) {
	s := w.services[name]
	other := func(typ string) {
		i := slices.Index(worldValues[typ], s.connections[typ])
		s.connections[typ] = worldValues[typ][(i+1)%len(worldValues[typ])]
	}
	switch edit := rapid.SampledFrom([]string{"identity", "identity", "disk", "account", "service", "connection", "mode"}).Draw(w.rt, "superseded by"); {
	case edit == "mode":
		w.irsa = !w.irsa
	case edit == "connection", s == nil:
		w.editConnection()
	case edit == "service":
		w.editService()
	case edit == "account":
		s.account = map[string]string{"": "shared"}[s.account]
	case edit == "disk":
		other(rapid.SampledFrom([]string{"disk", "disk/cache"}).Draw(w.rt, "of disk"))
	default:
		other("azureManagedIdentity")
	}
}

// newcomers are services whose name and workload have both changed since the function
// saw them last: nobody can tell from the claim that they aren't others.
func (w *world) newcomers() {
	for name, s := range w.services {
		if was, ok := w.seen[s]; ok && was[0] != s.service && was[1] != name {
			another := *s
			w.services[name] = &another
		}
	}
}

// readable says whether the claim says which service is of which workload.
func (w *world) readable() bool {
	return slices.Contains([]string{"", "no such ServiceAccount", "no such disk", "an invalid value"}, w.mistake)
}

// see the services, where the names in the claim can be read.
func (w *world) see() {
	if !w.readable() {
		return
	}
	clear(w.seen)
	for name, s := range w.services {
		w.seen[s] = [2]string{s.service, name}
	}
}

func (w *world) writeClaim() {
	w.newcomers()
	var b strings.Builder
	for _, name := range w.wished() {
		s, c := w.services[name], w.workloads[name]
		if w.accounts["shop-"+s.service] == nil {
			w.accounts["shop-"+s.service] = map[*wish]bool{}
		}
		// Nobody can tell of which workload a service is that comes with that misspelt, and
		// so not that it goes on under another name.
		if s.account == "" && w.readable() {
			w.accounts["shop-"+s.service][s] = true
		}
		service, account, connections, extra := s.service, s.account, "connections", ""
		workload, serviceAccountName := "workload", "serviceAccountName"
		var written []string
		for _, t := range drawnTypes {
			v, ok := s.connections[t.typ]
			if !ok {
				continue
			}
			if familyOf(t.typ) == "disk" && w.mistake == "no such disk" {
				v += "-misspelt"
			}
			if w.mistake == "an invalid value" && (familyOf(t.typ) == "disk" || t.typ == "awsRole") {
				v = "not a name"
			}
			entry := fmt.Sprintf(t.format, v)
			if t.typ == "awsRole" {
				entry = strings.TrimSuffix(entry, "}") + s.tags + "}"
			}
			written = append(written, entry)
		}
		switch w.mistake {
		case "a misspelt field":
			extra = "replica: 1, "
		case "a misspelt connection":
			connections = "conections"
		case "an invalid name":
			service = strings.ToUpper(service[:1]) + service[1:]
		case "no such ServiceAccount":
			account = "misspelt"
		case "a misspelt workload":
			workload = "worklod"
		case "a misspelt serviceAccountName":
			serviceAccountName = "serviceAcountName"
		}
		if account != "" {
			extra += serviceAccountName + ": " + account + ", "
		}
		fmt.Fprintf(&b, "- {name: %s, %s%s: {apiVersion: %s, kind: %s, name: %s}, %s: [%s]}\n",
			service, extra, workload, str(c.object(name), "apiVersion"), c.kind, name, connections, strings.Join(written, ", "))
	}
	w.setServices(b.String())
	if spec, _ := w.xr["spec"].(map[string]any); w.mistake == "no list" {
		spec["services"] = "none"
	} else if spec["services"] == nil {
		spec["services"] = []any{}
	}
}

// What the platform team does to the settings.

func (w *world) editLists() {
	draw := func(name string, values []string) *[]string {
		if rapid.IntRange(0, 4).Draw(w.rt, name+" list is absent") == 0 {
			return nil
		}
		l := slices.DeleteFunc(slices.Clone(values), func(v string) bool { return rapid.IntRange(0, 3).Draw(w.rt, v+" is excluded") == 0 })
		return &l
	}
	w.lists = drawnLists{roles: draw("roles", drawnRoles[:2]), identities: draw("identities", drawnIdentities), accounts: draw("accounts", drawnAccounts)}
}

func (w *world) editSettings() {
	switch rapid.SampledFrom([]string{"mode", "section", "section", "all is there"}).Draw(w.rt, "setting") {
	case "mode":
		w.irsa = !w.irsa
	case "section":
		w.without = rapid.SampledFrom([]string{"aws", "azure", "gcp", "disks"}).Draw(w.rt, "section")
	default:
		w.without = ""
	}
}

func (w *world) writeSettings() {
	s := fromYAML(w.t, cutLine(cutLine(cutLine(allSettings, "allowedRoles"), "allowedIdentities"), "-client"))
	section := func(name string) map[string]any { x, _ := s[name].(map[string]any); return x }
	delete(section("gcp"), "serviceAccounts")
	rules := func(to map[string]any, field string, l *[]string, rule string) {
		if l == nil {
			return
		}
		out := make([]any, 0, len(*l))
		for _, v := range *l {
			out = append(out, fromYAML(w.t, fmt.Sprintf(rule, v)))
		}
		to[field] = out
	}
	rules(section("aws"), "allowedRoles", w.lists.roles, `{pattern: %q, namespaces: [team-a]}`)
	rules(section("azure"), "allowedIdentities", w.lists.identities, `{resourceGroup: rg-shop, identity: %q, namespaces: [team-a]}`)
	rules(section("gcp"), "serviceAccounts", w.lists.accounts, `{name: %q, namespaces: [team-a]}`)
	if w.irsa {
		section("aws")["mode"] = "IRSA"
		section("aws")["oidcIssuer"] = "https://oidc.eks.eu-west-1.amazonaws.com/id/ABC"
	}
	if w.without == "disks" {
		s["disks"] = []any{}
	} else {
		delete(s, w.without)
	}
	w.input["settings"] = s
}

// What providers do.

// managed keys, in order.
func (w *world) managed() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(w.composed)), func(k string) bool {
		o := w.composed[k]
		return !strings.Contains(str(o, "apiVersion"), "upbound.io/") && o["kind"] != "Object"
	})
}

// providersWork on some resources, and not yet on others.
func (w *world) providersWork() {
	for _, k := range w.managed() {
		o := w.composed[k]
		switch rapid.SampledFrom([]string{"not yet", "creating", "ready"}).Draw(w.rt, k) {
		case "creating":
			if o["status"] == nil {
				o["status"] = map[string]any{"conditions": []any{
					map[string]any{"type": "Synced", "status": "True", "reason": "ReconcileSuccess"},
					map[string]any{"type": "Ready", "status": "False", "reason": "Creating"},
				}}
			}
		case "ready":
			w.provideOne(o)
		}
	}
}

func (w *world) provideOne(o map[string]any) {
	made, err := clouds.Provide(o)
	if err != nil {
		w.rt.Fatal(err)
	}
	if _, there := w.objects[objectKey(made)]; made != nil && !there {
		w.objects[objectKey(made)] = made
	}
}

func (w *world) providersFail() {
	for _, k := range w.managed() {
		if rapid.Bool().Draw(w.rt, k+" fails") {
			w.condition(k, "ReconcileError", "cloud is down")
		}
	}
}

// pauseManaged resources for maintenance: what the provider knew of them stays.
func (w *world) pauseManaged() {
	for _, k := range w.managed() {
		if rapid.Bool().Draw(w.rt, k+" is paused") {
			w.condition(k, "ReconcilePaused", "Reconciliation is paused either through the `spec.managementPolicies` or the pause annotation")
		}
	}
}

func (w *world) condition(key, reason, message string) {
	o := w.composed[key]
	status, _ := o["status"].(map[string]any)
	conditions := []any{map[string]any{"type": "Synced", "status": "False", "reason": reason, "message": message}}
	for _, c := range list(o, "status", "conditions") {
		if c, _ := c.(map[string]any); c["type"] == "Ready" {
			conditions = append(conditions, c)
		}
	}
	status = maps.Clone(status)
	if status == nil {
		status = map[string]any{}
	}
	status["conditions"] = conditions
	o["status"] = status
}

func (w *world) toggleProviders() {
	if len(w.away) > 0 {
		maps.Copy(w.objects, w.away)
		w.away = map[string]map[string]any{}
		return
	}
	for k, o := range w.objects {
		if name := str(o, "metadata", "name"); o["kind"] == "CustomResourceDefinition" && name != "rollouts.argoproj.io" {
			w.away[k] = o
			delete(w.objects, k)
		}
	}
}

// settles lets everybody do all that is asked of them.
func (w *world) settles() {
	w.providersFinish()
	w.controllersFinish()
}

// providersFinish all that is asked of them, and the team what is asked of it.
func (w *world) providersFinish() {
	for range 3 {
		w.provide()
		w.annotate()
		w.reconcile()
	}
	w.provide()
}

// annotate the team's own ServiceAccount, as the status asks, which never asks to take an
// annotation away.
func (w *world) annotate() {
	metadata, _ := w.objects["v1|ServiceAccount|team-a|shared"]["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	if annotations = maps.Clone(annotations); annotations == nil {
		annotations = map[string]any{}
	}
	m := &machine{history: history{irsa: w.irsa}}
	for _, name := range w.wished() {
		if s := w.services[name]; s.account == "shared" {
			for typ, v := range s.connections {
				for k, v := range m.annotationsOf(typ, v) {
					annotations[k] = v
				}
			}
		}
	}
	metadata["annotations"] = annotations
}
