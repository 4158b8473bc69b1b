package connection

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/decoded"
	"github.com/serviceconnections/function-service-connections/fn/settings"
)

// An expandCase expands one connection of service api, in claim shop of
// namespace team-a.
type expandCase struct {
	reason string

	// settings over those of the whole test.
	settings   string
	connection string

	// context changes what the connection is expanded from.
	context func(*Context)

	// observed composed resources, by the grant in their key.
	observed map[string]string

	// managedFields of each of them.
	managedFields []any

	// want of the summary. What isn't named isn't compared; null is absent.
	want string
}

func expandCases(t *testing.T, base string, cases map[string]expandCase) {
	t.Helper()
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newContext(t, base, tc)
			summarized(t, tc.reason, builtin.Expand(c), tc.want)
		})
	}
}

func newContext(t *testing.T, base string, tc expandCase) Context {
	t.Helper()
	s, err := settings.Decode(decode(t, base), decode(t, tc.settings))
	if err != nil {
		t.Fatal(err)
	}
	cl := &claim.Claim{Name: "shop", Namespace: "team-a", UID: "uid-shop", Namespaced: true}
	cl.Read(builtin.Schema(), []any{map[string]any{
		"name": "api", "connections": []any{decode(t, tc.connection)},
	}}, field.NewPath("spec", "services"))
	if len(cl.Errors) > 0 {
		t.Fatal(cl.Errors)
	}
	c := Context{
		Claim: cl, Service: &cl.Services[0], Connection: cl.Services[0].Connections[0],
		ServiceAccount: "shop-api", Settings: s,
		Observed: Observed{Composed: map[string]Composed{}, Required: map[string]map[string]any{}},
	}
	if tc.context != nil {
		tc.context(&c)
	}
	// The keys of what is granted hold hashes, so they are asked for; that of an
	// association, which waits for its role, by itself.
	keys := map[string]string{"serviceaccount": ServiceAccountKey(c.ServiceAccount)}
	for _, g := range builtin.Expand(c).Grants {
		keys[grantOf(g.Key)] = g.Key
	}
	if s.AWS != nil {
		keys["association"] = c.associationKey()
		keys["found"] = associationHandOver.finderKey(c.associationKey(), "a-1")
	}
	for grant, object := range tc.observed {
		key, ok := keys[grant]
		if strings.HasPrefix(grant, diskKey("")) {
			key = grant
		} else if !ok {
			t.Fatalf("nothing is composed for %q", grant)
		}
		c.Observed.Composed[key] = Composed{Object: decode(t, object), ManagedFields: func() []any { return tc.managedFields }}
	}
	return c
}

// grantOf a composed resource key: its second to last part, or all of a disk's.
func grantOf(key string) string {
	parts := strings.Split(key, ".")
	if strings.HasPrefix(key, diskKey("")) || len(parts) < 3 {
		return key
	}
	return parts[len(parts)-2]
}

func decode(t *testing.T, s string) map[string]any {
	t.Helper()
	m := map[string]any{}
	if err := yaml.Unmarshal([]byte(s), &m); err != nil {
		t.Fatal(err, s)
	}
	return m
}

// summarized compares an expansion with what a case wants of it.
func familyName(f *Family) string {
	if f == nil {
		return ""
	}
	return f.Name
}

func summarized(t *testing.T, reason string, e Expansion, want string) {
	t.Helper()
	keys := make([]string, 0, len(e.Grants))
	warnings, messages := make([]string, 0, len(e.Warnings)), make([]string, 0, len(e.Warnings))
	grants := map[string]any{}
	for _, g := range e.Grants {
		keys = append(keys, grantOf(g.Key))
		o := maps.Clone(g.Object)
		o["data"] = g.Data
		o["crd"] = g.Kind.CRD
		grants[grantOf(g.Key)] = o
		name := decoded.Text(g.Object, "metadata", "name")
		if errs := validation.IsDNS1123Subdomain(name); len(errs) > 0 || len(name) > 63 {
			t.Errorf("%s: name %q has %d characters: %v", reason, name, len(name), errs)
		}
	}
	for _, w := range e.Warnings {
		warnings = append(warnings, string(w.Reason))
		messages = append(messages, w.Message)
	}
	env := map[string]string{}
	for _, v := range e.Injection.Env {
		env[v.Name] = v.Value
	}
	b, err := json.Marshal(map[string]any{
		"keys": keys, "grants": grants, "identity": e.Identity, "zone": e.Zone, "published": e.Published,
		"target": e.Target, "family": familyName(e.Family), "decision": e.Decision,
		"annotations": e.Annotations, "injection": e.Injection, "env": env,
		"verdict": e.Verdict.Reason, "message": e.Verdict.Message,
		"warnings": warnings, "warning": strings.Join(messages, "\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	got, w := decode(t, string(b)), decode(t, want)
	for _, k := range []string{"message", "warning"} {
		sub, _ := w[k].(string)
		if s, _ := got[k].(string); !strings.Contains(s, sub) {
			t.Errorf("%s: %s %q doesn't contain %q", reason, k, s, sub)
		}
		delete(w, k)
	}
	if diff := cmp.Diff(any(w), pick(got, w)); diff != "" {
		t.Errorf("%s: -want, +got:\n%s", reason, diff)
	}
}

// pick of a value what another one names. An empty map names everything.
func pick(got, want any) any {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok || len(w) == 0 {
			return got
		}
		out := map[string]any{}
		for k, v := range w {
			out[k] = pick(g[k], v)
		}
		return out
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return got
		}
		out := make([]any, len(g))
		for i := range g {
			out[i] = pick(g[i], w[i])
		}
		return out
	default:
		return got
	}
}

const ready = `{conditions: [{type: Synced, status: "True"}, {type: Ready, status: "True"}]}`

// TestState says how a managed resource stands by its conditions.
func TestState(t *testing.T) {
	t.Parallel()

	g := Grant{Key: "shop-api.role.1", Kind: roleKind.namespaced, Object: map[string]any{"metadata": map[string]any{"name": "r"}}}
	cases := map[string]struct {
		reason   string
		observed string
		want     Verdict
	}{
		"Unobserved": {
			reason: "what isn't there is being created",
			want:   Verdict{Reason: Creating, Message: `Role "r" is being created`},
		},
		"NoConditions": {
			reason:   "a provider that has said nothing yet",
			observed: `{kind: Role}`,
			want:     Verdict{Reason: Creating, Message: `Role "r" is being created`},
		},
		"Ready": {
			reason:   "a ready object leaves nothing to say",
			observed: `{kind: Role, status: ` + ready + `}`,
		},
		"NotReady": {
			reason:   "the provider's message says what it waits for",
			observed: `{kind: Role, status: {conditions: [{type: Synced, status: "True"}, {type: Ready, status: "False", message: wait}]}}`,
			want:     Verdict{Reason: Creating, Message: `Role "r" is not ready: wait`},
		},
		"NotSyncedYet": {
			reason:   "ready without being synced isn't ready",
			observed: `{kind: Role, status: {conditions: [{type: Ready, status: "True"}]}}`,
			want:     Verdict{Reason: Creating, Message: `Role "r" is being created`},
		},
		"Error": {
			reason:   "an error that is newer than readiness is told",
			observed: `{kind: Role, status: {conditions: [{type: Synced, status: "False", message: " denied\n"}, {type: Ready, status: "True"}]}}`,
			want:     Verdict{Reason: ProviderError, Message: `Role "r": denied; unless that is about your claim, show it to the platform team`},
		},
		"AsyncFailure": {
			reason:   "a provider that doesn't wait for the cloud tells of its refusal later, in a condition of its own",
			observed: `{kind: Role, status: {conditions: [{type: Synced, status: "True"}, {type: Ready, status: "False", reason: Creating}, {type: LastAsyncOperation, status: "False", message: denied}]}}`,
			want:     Verdict{Reason: ProviderError, Message: `Role "r": denied; unless that is about your claim, show it to the platform team`},
		},
		"AsyncFailureOfReady": {
			reason:   "what is ready works, whatever became of a later change",
			observed: `{kind: Role, status: {conditions: [{type: Synced, status: "True"}, {type: Ready, status: "True"}, {type: LastAsyncOperation, status: "False", message: denied}]}}`,
		},
		"ErrorWithoutMessage": {
			reason:   "an error is an error",
			observed: `{kind: Role, status: {conditions: [{type: Synced, status: "False"}]}}`,
			want:     Verdict{Reason: ProviderError, Message: `Role "r": the provider reports an error without a message; unless that is about your claim, show it to the platform team`},
		},
		"NotExist": {
			reason:   "the connection says what it is that doesn't exist",
			observed: `{kind: Role, status: {conditions: [{type: Synced, status: "False", message: "observe failed: external resource does not exist"}]}}`,
			want:     Verdict{Reason: notExist, Message: "observe failed: external resource does not exist"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := Context{}
			if tc.observed != "" {
				c.Observed.Composed = map[string]Composed{g.Key: {Object: decode(t, tc.observed)}}
			}
			if diff := cmp.Diff(tc.want, c.state(g)); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestReady holds which observed objects are.
func TestReady(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		reason string
		object map[string]any
		want   bool
	}{
		"Nothing":        {reason: "what isn't there isn't ready"},
		"ServiceAccount": {reason: "it is ready by being there", object: map[string]any{"kind": "ServiceAccount"}, want: true},
		"VolumeClaim":    {reason: "so is a volume claim, which may wait for its first consumer", object: map[string]any{"kind": "PersistentVolumeClaim"}, want: true},
		"Managed":        {reason: "a managed resource is by its conditions", object: map[string]any{"kind": "Role"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, Ready(tc.object)); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestNames holds that names and keys tell apart what is different, and say the
// same of what is shared.
func TestNames(t *testing.T) {
	t.Parallel()

	a := Context{Claim: &claim.Claim{Name: "shop", Namespace: "team-a"}, ServiceAccount: "shop-api"}
	otherClaim, otherNamespace, long, dotted := a, a, a, a
	otherClaim.Claim = &claim.Claim{Name: "desk", Namespace: "team-a"}
	otherNamespace.Claim = &claim.Claim{Name: "shop", Namespace: "team-b"}
	long.ServiceAccount = strings.Repeat("a", 253)
	dotted.ServiceAccount = strings.Repeat("a", 40) + strings.Repeat(".a", 50)
	key := a.key("association", "x", "y")

	if diff := cmp.Diff("shop-api.association."+hash("x", "y"), key); diff != "" {
		t.Errorf("key: -want, +got:\n%s", diff)
	}
	if a.sharedName(key, "association") != otherClaim.sharedName(key, "association") {
		t.Error("a shared object has another name for another claim")
	}
	if a.ownName(key, "role") == otherClaim.ownName(key, "role") {
		t.Error("a claim's own object has the name of another claim's")
	}
	if a.sharedName(key, "association") == otherNamespace.sharedName(key, "association") {
		t.Error("objects of two namespaces have one name, and the cluster-scoped kinds have no namespaces")
	}
	for _, c := range []Context{a, long, dotted} {
		for _, n := range []string{c.sharedName(key, "association"), c.ownName(key, "credential")} {
			if errs := validation.IsDNS1123Subdomain(n); len(errs) > 0 || len(n) > 63 {
				t.Errorf("name %q has %d characters: %v", n, len(n), errs)
			}
		}
	}
}

// TestHash holds the hash that is in the keys of what is composed: another one
// would grant everything anew.
func TestHash(t *testing.T) {
	t.Parallel()

	if diff := cmp.Diff("aa795aa4bbb61179", hash("a", "bc")); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
	if hash("a", "bc") == hash("ab", "c") || hash("a") == hash("a", "") {
		t.Error("lists that differ have one hash")
	}
}

func TestTruncate(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		reason string
		s      string
		n      int
		want   string
	}{
		"Short":     {reason: "what fits stays", s: "abc", n: 3, want: "abc"},
		"Long":      {reason: "what doesn't fit is cut", s: "abcd", n: 3, want: "abc"},
		"Separator": {reason: "a name doesn't end in separators", s: "ab.-cd", n: 4, want: "ab"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, truncate(tc.s, tc.n)); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
