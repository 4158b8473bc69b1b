package fn

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"
)

// TestInvariants drives one claim through random edits of itself, of the
// settings and of the cluster, and after each reconcile asks whether anything
// was lost, adopted or overwritten that must not be. What may be lost is judged
// here by the claim and the settings as they are drawn, not by the function.
func TestInvariants(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		m := newMachine(t, rt)
		steps := rapid.IntRange(1, 14).Draw(rt, "steps")
		for range steps {
			rapid.SampledFrom([]func(){
				m.editClaim, m.editClaim, m.editSettings, m.provide, m.failProviders,
				m.restartWorkload, m.toggleProvider, m.toggleWorkload,
			}).Draw(rt, "step")()
			m.reconcile()
		}
	})
}

// A machine draws edits and checks what the function makes of them.
type machine struct {
	*cluster

	rt       *rapid.T
	services []drawnService
	lists    drawnLists
	foreign  map[string]string
	template int

	// removedCRDs are those of providers that are uninstalled.
	removedCRDs map[string]map[string]any
}

type drawnService struct {
	name        string
	account     string
	connections map[string]string
}

// drawnLists are the allow-lists: absent, or what they allow.
type drawnLists struct {
	roles, identities, accounts *[]string
}

var (
	drawnRoles      = []string{"my-app-a", "my-app-b", "not a role"}
	drawnIdentities = []string{"identity-a", "identity-b"}
	drawnAccounts   = []string{"account-a", "account-b"}
	drawnDisks      = []string{"cache-storage", "uploads", "scratch", "unknown"}
)

func newMachine(t *testing.T, rt *rapid.T) *machine {
	t.Helper()
	m := &machine{rt: rt, removedCRDs: map[string]map[string]any{}}
	m.cluster = newCluster(t, "[]", "{cluster: {name: x}}")
	m.add(cacheStorage)
	m.add(deployment("api", ""))
	m.add(`{apiVersion: v1, kind: ServiceAccount, metadata: {name: shared, namespace: team-a, uid: foreign-sa}}`)
	if rapid.Bool().Draw(rt, "a ServiceAccount of our name exists") {
		m.add(`{apiVersion: v1, kind: ServiceAccount, metadata: {name: shop-web, namespace: team-a, uid: foreign-web}}`)
	}
	if rapid.Bool().Draw(rt, "a volume claim of a created disk exists") {
		m.add(strings.ReplaceAll(cacheStorage, "cache-storage", "uploads"))
	}
	m.foreign = map[string]string{}
	for k, o := range m.objects {
		if o["kind"] == "ServiceAccount" || o["kind"] == "PersistentVolumeClaim" {
			m.foreign[k] = fmt.Sprint(o)
		}
	}
	m.drawLists()
	m.editClaim()
	m.reconcile()
	return m
}

func (m *machine) editClaim() {
	m.services = nil
	for _, name := range []string{"api", "web"} {
		if rapid.IntRange(0, 4).Draw(m.rt, name+" is in the claim") == 0 {
			continue
		}
		s := drawnService{name: name, account: rapid.SampledFrom([]string{"", "", "shared"}).Draw(m.rt, "account"), connections: map[string]string{}}
		draw := func(typ string, values []string, format string) {
			if rapid.Bool().Draw(m.rt, typ) {
				s.connections[typ] = fmt.Sprintf(format, rapid.SampledFrom(values).Draw(m.rt, typ+" value"))
			}
		}
		draw("awsRole", drawnRoles, `{type: awsRole, role: %q}`)
		draw("azureManagedIdentity", drawnIdentities, `{type: azureManagedIdentity, identityName: %q, resourceGroup: rg-shop}`)
		draw("cloudSql", drawnAccounts, `{type: cloudSql, config: {cloudSqlConnectionName: "my-project-123456:europe-west1:db", cloudSqlDatabasePort: 5432, cloudSqlServiceAccount: %q}}`)
		draw("gcpServiceAccount", drawnAccounts, `{type: gcpServiceAccount, serviceAccountEmail: "%s@my-project-123456.iam.gserviceaccount.com"}`)
		draw("disk", drawnDisks, `{type: disk, config: {diskName: %q}}`)
		m.services = append(m.services, s)
	}
	if rapid.Bool().Draw(m.rt, "order") {
		slices.Reverse(m.services)
	}
	var b strings.Builder
	for _, s := range m.services {
		account := ""
		if s.account != "" {
			account = "serviceAccountName: " + s.account + ", "
		}
		fmt.Fprintf(&b, "- {name: %s, %sconnections: [%s]}\n", s.name, account, strings.Join(slices.Sorted(maps.Values(s.connections)), ", "))
	}
	m.setServices(b.String())
}

func (m *machine) drawLists() {
	draw := func(name string, values []string) *[]string {
		if rapid.IntRange(0, 3).Draw(m.rt, name+" list is absent") == 0 {
			return nil
		}
		l := []string{}
		for _, v := range values {
			if rapid.IntRange(0, 4).Draw(m.rt, v+" is allowed") > 0 {
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
	if rapid.IntRange(0, 5).Draw(m.rt, "aws leaves the settings") == 0 {
		delete(s, "aws")
		m.lists.roles = nil
	}
	b, err := yaml.Marshal(s)
	if err != nil {
		m.t.Fatal(err)
	}
	m.setSettings(string(b))
}

func (m *machine) editSettings() { m.drawLists() }

func (m *machine) failProviders() {
	for _, k := range slices.Sorted(maps.Keys(m.composed)) {
		o := m.composed[k]
		if o["kind"] == "ServiceAccount" || o["kind"] == "PersistentVolumeClaim" || !rapid.Bool().Draw(m.rt, "fails") {
			continue
		}
		o["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Synced", "status": "False", "message": "cloud is down"}}}
	}
}

func (m *machine) restartWorkload() {
	m.template++
	m.add(strings.Replace(deployment("api", ""), "{app: x}", fmt.Sprintf("{app: x, v: v%d}", m.template), 1))
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

func (m *machine) toggleWorkload() {
	for _, o := range m.objects {
		if o["kind"] == "Deployment" {
			m.remove("Deployment", "api")
			return
		}
	}
	m.restartWorkload()
}

// reconcile, and check every invariant.
func (m *machine) reconcile() {
	before := maps.Clone(m.composed)
	m.deterministic()
	deleted := m.cluster.reconcile()
	if f := fatalOf(m.rsp); f != "" {
		m.rt.Fatalf("fatal: %s", f)
	}
	for _, key := range deleted {
		m.mayBeDeleted(key, before[key])
	}
	for key, o := range m.composed {
		if was, ok := before[key]; ok {
			if str(was, "metadata", "name") != str(o, "metadata", "name") || was["kind"] != o["kind"] {
				m.rt.Fatalf("%q was replaced by another object", key)
			}
		}
		if _, ok := m.foreign[objectKey(o)]; ok {
			m.rt.Fatalf("%q adopts the object that was there before: %v", key, o)
		}
	}
	for k, was := range m.foreign {
		if got := fmt.Sprint(m.objects[k]); got != was {
			m.rt.Fatalf("%s was changed: %s", k, cmp.Diff(was, got))
		}
	}
	m.keptAsOwned(before)
	m.revoked()
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

// mayBeDeleted fails unless a deleted object's connection left the claim, or
// its access is revoked, or its successor took over.
func (m *machine) mayBeDeleted(key string, o map[string]any) {
	if m.excluded(o) {
		return
	}
	needed := false
	for s := range strings.SplitSeq(str(o, "metadata", "annotations", "serviceconnections.io/needed-by"), ",") {
		service, typ, _ := strings.Cut(s, "/")
		for _, d := range m.services {
			if _, ok := d.connections[typ]; d.name == service && (ok || typ == "") {
				needed = true
				if typ != "" && typ != "disk" && m.reason(service, typ) == "Connected" && m.current(service) && m.granted(typ, service, key) {
					return
				}
			}
		}
	}
	if needed {
		m.rt.Fatalf("%q was deleted, although its connection is in the claim and no successor took over", key)
	}
}

// current says whether the status calls a service's pods new.
func (m *machine) current(service string) bool {
	r, _ := m.service(service)["rollout"].(map[string]any)
	return r["current"] == true
}

// granted says whether another object grants a connection now, and is ready.
func (m *machine) granted(typ, service, not string) bool {
	for key, o := range m.composed {
		if key == not || !strings.Contains(","+str(o, "metadata", "annotations", "serviceconnections.io/needed-by")+",", ","+service+"/"+typ+",") {
			continue
		}
		if s := fmt.Sprint(o["status"]); strings.Contains(s, "status:True type:Ready") {
			return true
		}
	}
	return false
}

// excluded says whether a present list excludes the identity that an object
// grants by its own spec.
func (m *machine) excluded(o map[string]any) bool {
	last := func(path ...string) string {
		s := str(o, path...)
		return s[strings.LastIndexByte(s, '/')+1:]
	}
	out := func(l *[]string, v string) bool { return l != nil && !slices.Contains(*l, v) }
	switch o["kind"] {
	case "PodIdentityAssociation":
		return out(m.lists.roles, last("spec", "forProvider", "roleArn"))
	case "FederatedIdentityCredential":
		return out(m.lists.identities, last("spec", "forProvider", "parentId"))
	case "ServiceAccountIAMMember":
		name, _, _ := strings.Cut(last("spec", "forProvider", "serviceAccountId"), "@")
		return out(m.lists.accounts, name)
	}
	return false
}

// revoked: nothing that a present list excludes is desired.
func (m *machine) revoked() {
	for key, o := range m.composed {
		if m.excluded(o) {
			m.rt.Fatalf("%q is desired, although a list excludes what it grants: %v", key, o["spec"])
		}
	}
}

// keptAsOwned: an object that no connection composes anew has the spec it had.
func (m *machine) keptAsOwned(before map[string]map[string]any) {
	for key, o := range m.composed {
		was, ok := before[key]
		if !ok || o["kind"] == "ServiceAccount" || o["kind"] == "Object" || o["kind"] == "PodIdentityAssociation" {
			// These are changed in place.
			continue
		}
		if diff := cmp.Diff(was["spec"], o["spec"]); diff != "" {
			m.rt.Fatalf("%q changed: %s", key, diff)
		}
	}
}
