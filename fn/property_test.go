package fn

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"
)

// TestInvariants drives one claim through random edits of itself, of the
// settings, of the cluster and of the pipeline's earlier steps, and after each
// reconcile asks whether anything was lost, adopted or overwritten that must
// not be. That is judged by what was drawn, not by what the function says of
// itself: no annotation, reason or rollout of its own is trusted.
func TestInvariants(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]variant{
		"Namespaced":        {},
		"NamespacedSharing": {sharing: true},
		"Claims":            {claims: true},
		"ClaimsSharing":     {claims: true, sharing: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) {
				m := newMachine(t, rt, v)
				steps := rapid.IntRange(1, 16).Draw(rt, "steps")
				for range steps {
					m.step()
					m.reconcile()
				}
			})
		})
	}
}

// A variant of what is drawn.
type variant struct {
	// claims mode: a claim makes the composite resource.
	claims bool

	// sharing says that the services run as one ServiceAccount, mostly.
	sharing bool
}

// A machine draws edits and checks what the function makes of them.
type machine struct {
	*cluster
	variant

	rt       *rapid.T
	services []drawnService
	lists    drawnLists

	// withoutAWS says that the settings have no aws section.
	withoutAWS bool

	// foreign objects, as they must stay.
	foreign map[string]string

	// workloads by name, and the keys that earlier steps ever used.
	workloads map[string]*drawnWorkload
	theirs    map[string]bool

	// removedCRDs are those of providers that are uninstalled.
	removedCRDs map[string]map[string]any

	history
}

type drawnService struct {
	name     string
	account  string
	workload string

	// connections by type, each with the value that it asks for.
	connections map[string]string
}

// drawnLists are the allow-lists: absent, or what they allow.
type drawnLists struct {
	roles, identities, accounts *[]string
}

var (
	drawnRoles      = []string{"my-app-a", "my-app-b", brokenRole}
	drawnIdentities = []string{"identity-a", "identity-b"}
	drawnAccounts   = []string{"account-a", "account-b"}
	drawnDisks      = []string{"cache-storage", "uploads", "scratch", "unknown"}
)

// brokenRole is a value that validation refuses.
const brokenRole = "not a role"

// The connections by type and name, their values and how they are written.
var drawnTypes = []struct {
	typ    string
	values []string
	format string
}{
	{"awsRole", drawnRoles, `{type: awsRole, role: %q}`},
	{"azureManagedIdentity", drawnIdentities, `{type: azureManagedIdentity, identityName: %q, resourceGroup: rg-shop}`},
	{"cloudSql", drawnAccounts, `{type: cloudSql, config: {cloudSqlConnectionName: "my-project-123456:europe-west1:db", cloudSqlDatabasePort: 5432, cloudSqlServiceAccount: %q}}`},
	{"gcpServiceAccount", drawnAccounts, `{type: gcpServiceAccount, serviceAccountEmail: "%s@my-project-123456.iam.gserviceaccount.com"}`},
	{"disk", drawnDisks, `{type: disk, config: {diskName: %q}}`},
	{"cloudSql/orders", drawnAccounts, `{type: cloudSql, name: orders, env: {host: PGHOST, port: PGPORT}, config: {cloudSqlConnectionName: "my-project-123456:europe-west1:orders", cloudSqlDatabasePort: 5433, cloudSqlServiceAccount: %q, ipType: Private}}`},
	{"disk/cache", drawnDisks, `{type: disk, name: cache, config: {diskName: %q, mountPath: /cache}}`},
}

func newMachine(t *testing.T, rt *rapid.T, v variant) *machine {
	t.Helper()
	m := &machine{
		rt: rt, variant: v, removedCRDs: map[string]map[string]any{}, foreign: map[string]string{}, theirs: map[string]bool{},
		history: newHistory(),
	}
	m.cluster = newCluster(t, "[]", "{cluster: {name: x}}")
	m.errorf = rt.Fatalf
	if v.claims {
		m.claimMode()
	}
	m.addForeign(cacheStorage)
	m.addForeign(`{apiVersion: v1, kind: ServiceAccount, metadata: {name: shared, namespace: team-a, uid: foreign-sa}}`)
	if rapid.Bool().Draw(rt, "a ServiceAccount of our name exists") {
		m.addForeign(`{apiVersion: v1, kind: ServiceAccount, metadata: {name: shop-web, namespace: team-a, uid: foreign-web}}`)
	}
	if rapid.Bool().Draw(rt, "a volume claim of a created disk exists") {
		m.addForeign(strings.ReplaceAll(cacheStorage, "cache-storage", "uploads"))
	}
	m.irsa = rapid.IntRange(0, 3).Draw(rt, "mode IRSA") == 0
	m.drawWorkloads()
	m.drawPipeline()
	m.drawLists()
	for _, name := range []string{"api", "web"} {
		m.drawService(name)
	}
	m.writeServices()
	m.reconcile()
	return m
}

// step changes one thing.
func (m *machine) step() {
	steps := map[string]func(){
		"edit the claim":        m.editClaim,
		"edit the settings":     m.drawLists,
		"edit the pipeline":     m.drawPipeline,
		"providers work":        m.provide,
		"providers fail":        m.failProviders,
		"providers come and go": m.toggleProvider,
		"restart a workload":    m.restartWorkload,
		"a workload goes":       m.toggleWorkload,
		"annotate":              m.annotate,
		"something foreign":     m.toggleForeign,
		"all settles":           m.settles,
	}
	// What makes a claim work is drawn most, or nothing would ever be in use.
	names := append(slices.Sorted(maps.Keys(steps)),
		"edit the claim", "edit the claim", "edit the claim",
		"providers work", "all settles", "all settles", "all settles",
		"restart a workload", "restart a workload",
	)
	name := rapid.SampledFrom(names).Draw(m.rt, "step")
	steps[name]()
	m.rt.Logf("reconcile %d, after %q: %v", m.n+1, name, m.services)
}

// settles lets the providers and the team do all that is asked of them.
func (m *machine) settles() {
	for range 2 {
		m.provide()
		m.annotate()
		m.reconcile()
	}
	m.provide()
}

// editClaim in one place, so that most of what is in use stays in use.
func (m *machine) editClaim() {
	name := rapid.SampledFrom([]string{"api", "web"}).Draw(m.rt, "service")
	i := slices.IndexFunc(m.services, func(s drawnService) bool { return s.name == name })
	edit := rapid.SampledFrom([]string{"value", "value", "type", "type", "account", "workload", "order", "order", "rivals", "service", "both"}).Draw(m.rt, "edit")
	switch {
	case i < 0:
		m.drawService(name)
	case edit == "value" || edit == "type":
		t := rapid.SampledFrom(drawnTypes).Draw(m.rt, "type")
		if _, ok := m.services[i].connections[t.typ]; ok && edit == "type" {
			delete(m.services[i].connections, t.typ)
			break
		}
		m.services[i].connections[t.typ] = rapid.SampledFrom(t.values).Draw(m.rt, "value")
	case edit == "account":
		m.services[i].account = m.drawAccount()
	case edit == "workload":
		m.services[i].rename()
	case edit == "rivals":
		m.rivals()
	case edit == "order":
		slices.Reverse(m.services)
	case edit == "service":
		m.services = slices.Delete(m.services, i, i+1)
	default:
		m.services = nil
		m.drawService("web")
		m.drawService("api")
	}
	m.writeServices()
	if rapid.IntRange(0, 5).Draw(m.rt, "another claim is first") == 0 {
		m.meetForeign()
	}
}

// rename the workload of a service to another that may be there already.
func (s *drawnService) rename() {
	switch s.workload {
	case "api":
		s.workload = "spare"
	case "spare":
		s.workload = "api"
	}
}

// rivals are two services that ask for different identities for one
// ServiceAccount.
func (m *machine) rivals() {
	t := rapid.SampledFrom(drawnTypes[:4]).Draw(m.rt, "type")
	for i := range m.services {
		s := &m.services[i]
		s.account = "shop-api"
		if s.name == "api" {
			s.account = ""
		}
		s.connections[t.typ] = t.values[i%2]
	}
}

func (m *machine) drawAccount() string {
	accounts := []string{"", "", "", "shared", "shop-api"}
	if m.sharing {
		accounts = []string{"shared", "shared", "shop-api", "shop-api"}
	}
	return rapid.SampledFrom(accounts).Draw(m.rt, "account")
}

// drawService at the end of the claim.
func (m *machine) drawService(name string) {
	s := drawnService{name: name, account: m.drawAccount(), workload: m.drawWorkloadOf(name), connections: map[string]string{}}
	for _, t := range drawnTypes {
		if rapid.Bool().Draw(m.rt, t.typ) {
			s.connections[t.typ] = rapid.SampledFrom(t.values).Draw(m.rt, t.typ+" value")
		}
	}
	m.services = append(m.services, s)
}

func (m *machine) writeServices() {
	var b strings.Builder
	for _, s := range m.services {
		account := ""
		if s.account != "" {
			account = "serviceAccountName: " + s.account + ", "
		}
		var connections []string
		for _, t := range drawnTypes {
			if v, ok := s.connections[t.typ]; ok {
				connections = append(connections, fmt.Sprintf(t.format, v))
			}
		}
		w := m.workloads[s.workload]
		fmt.Fprintf(&b, "- {name: %s, %sworkload: {apiVersion: %s, kind: %s, name: %s}, connections: [%s]}\n",
			s.name, account, w.apiVersion, w.kind, s.workload, strings.Join(connections, ", "))
	}
	m.setServices(b.String())
}

func (m *machine) drawLists() {
	draw := func(name string, values []string) *[]string {
		if rapid.IntRange(0, 4).Draw(m.rt, name+" list is absent") == 0 {
			return nil
		}
		l := []string{}
		for _, v := range values {
			if rapid.IntRange(0, 6).Draw(m.rt, v+" is allowed") > 0 {
				l = append(l, v)
			}
		}
		return &l
	}
	m.lists = drawnLists{roles: draw("roles", drawnRoles), identities: draw("identities", drawnIdentities), accounts: draw("accounts", drawnAccounts)}
	s := fromYAML(m.t, cutLine(cutLine(cutLine(allSettings, "allowedRoles"), "allowedIdentities"), "-client"))
	section := func(name string) map[string]any { x, _ := s[name].(map[string]any); return x }
	delete(section("gcp"), "serviceAccounts")
	rules := func(l *[]string, rule string) []any {
		out := make([]any, 0, len(*l))
		for _, v := range *l {
			out = append(out, fromYAML(m.t, fmt.Sprintf(rule, v)))
		}
		return out
	}
	if m.irsa {
		section("aws")["mode"] = "IRSA"
		section("aws")["oidcIssuer"] = "https://oidc.eks.eu-west-1.amazonaws.com/id/ABC"
		delete(section("aws"), "clusterName")
	}
	if m.lists.roles != nil {
		section("aws")["allowedRoles"] = rules(m.lists.roles, `{pattern: %q, namespaces: [team-a]}`)
	}
	if m.lists.identities != nil {
		section("azure")["allowedIdentities"] = rules(m.lists.identities, `{resourceGroup: rg-shop, identity: %q, namespaces: [team-a]}`)
	}
	if m.lists.accounts != nil {
		section("gcp")["serviceAccounts"] = rules(m.lists.accounts, `{name: %q, namespaces: [team-a]}`)
	}
	if rapid.IntRange(0, 5).Draw(m.rt, "disks leave the settings") == 0 {
		s["disks"] = []any{}
	}
	m.withoutAWS = rapid.IntRange(0, 5).Draw(m.rt, "aws leaves the settings") == 0
	if m.withoutAWS {
		delete(s, "aws")
		m.lists.roles = nil
	}
	b, err := yaml.Marshal(s)
	if err != nil {
		m.t.Fatal(err)
	}
	m.setSettings(strings.Replace(string(b), "20Gi", rapid.SampledFrom([]string{"20Gi", "5Gi", "40Gi"}).Draw(m.rt, "size"), 1))
}

func (m *machine) failProviders() {
	for _, k := range slices.Sorted(maps.Keys(m.composed)) {
		o := m.composed[k]
		if m.theirs[k] || o["kind"] == "ServiceAccount" || o["kind"] == "PersistentVolumeClaim" || !rapid.Bool().Draw(m.rt, "fails") {
			continue
		}
		o["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Synced", "status": "False", "message": "cloud is down"}}}
	}
}

func (m *machine) toggleProvider() {
	if len(m.removedCRDs) > 0 {
		maps.Copy(m.objects, m.removedCRDs)
		m.removedCRDs = map[string]map[string]any{}
		return
	}
	for k, o := range m.objects {
		if o["kind"] == "CustomResourceDefinition" {
			m.removedCRDs[k] = o
			delete(m.objects, k)
		}
	}
}

// addForeign adds an object that must stay as it is.
func (m *machine) addForeign(y string) {
	m.add(y)
	k := objectKey(fromYAML(m.t, y))
	m.foreign[k] = fmt.Sprint(m.objects[k])
}

// meetForeign puts something under a name that the function is about to use:
// another claim's, or what somebody made by hand.
func (m *machine) meetForeign() {
	required := m.required
	rsp := m.run()
	m.required = required
	var names []string
	for k := range rsp.GetDesired().GetResources() {
		if _, ok := m.composed[k]; !ok && m.desired.GetResources()[k] == nil {
			names = append(names, k)
		}
	}
	if len(names) == 0 {
		return
	}
	slices.Sort(names)
	key := rapid.SampledFrom(names).Draw(m.rt, "foreign")
	o := rsp.GetDesired().GetResources()[key].GetResource().AsMap()
	metadata, _ := o["metadata"].(map[string]any)
	metadata["uid"] = "foreign-" + key
	if rapid.Bool().Draw(m.rt, "of another claim") {
		metadata["ownerReferences"] = []any{map[string]any{"uid": "other", "name": "cart", "controller": true}}
	}
	m.objects[objectKey(o)] = o
	m.foreign[objectKey(o)] = fmt.Sprint(o)
}

// toggleForeign removes what meetForeign brought, or else brings something.
func (m *machine) toggleForeign() {
	for _, k := range slices.Sorted(maps.Keys(m.foreign)) {
		if strings.HasPrefix(str(m.objects[k], "metadata", "uid"), "foreign-") && str(m.objects[k], "metadata", "name") != "shared" {
			delete(m.objects, k)
			delete(m.foreign, k)
			return
		}
	}
	m.meetForeign()
}

// annotate the ServiceAccount that the team made, as the status asks it to.
func (m *machine) annotate() {
	annotations := map[string]any{}
	for _, s := range m.services {
		if s.account != "shared" {
			continue
		}
		for _, t := range drawnTypes {
			if v, ok := s.connections[t.typ]; ok {
				for k, v := range m.annotationsOf(t.typ, v) {
					annotations[k] = v
				}
			}
		}
	}
	k := "v1|ServiceAccount|team-a|shared"
	metadata, _ := m.objects[k]["metadata"].(map[string]any)
	metadata["annotations"] = annotations
	m.foreign[k] = fmt.Sprint(m.objects[k])
}
