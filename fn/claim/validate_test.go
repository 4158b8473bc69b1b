package claim_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"pgregory.net/rapid"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/test/schema"
)

// good connections of each type, with each of their fields.
func good() map[claim.ConnectionType]map[string]any {
	return map[claim.ConnectionType]map[string]any{
		claim.TypeAWSRole:              {"role": "r", "targetRoleArn": "arn:aws:iam::123456789012:role/r"},
		claim.TypeAzureManagedIdentity: {"identityName": "abc", "resourceGroup": "rg", "subscriptionId": "00000000-1111-2222-3333-444444444444"},
		claim.TypeCloudSQL: {"config": map[string]any{
			"cloudSqlConnectionName": "my-project:europe-west1:db", "cloudSqlDatabasePort": float64(5432), "cloudSqlServiceAccount": "my-account",
			"ipType": "Public", "autoIamAuthn": false,
		}},
		claim.TypeDisk: {"config": map[string]any{
			"diskName": "d", "mountPath": "/data/d", "readOnly": false, "subPath": "a", "fsGroup": float64(1),
		}},
		claim.TypeGCPServiceAccount: {"serviceAccountEmail": "my-account@my-project.iam.gserviceaccount.com"},
	}
}

// with is a services list of one good connection that has one field set, or
// removed where the value is absent.
func with(t claim.ConnectionType, path string, value any) []any {
	conn := good()[t]
	conn["type"] = string(t)
	at, name := conn, path

	if rest, ok := strings.CutPrefix(path, "config."); ok {
		at, _ = conn["config"].(map[string]any)
		if at == nil {
			at = map[string]any{}
			conn["config"] = at
		}

		name = rest
	}

	at[name] = value
	if value == absent {
		delete(at, name)
	}

	return []any{map[string]any{"name": "api", "connections": []any{conn}}}
}

type absence struct{}

var absent = absence{}

func TestFields(t *testing.T) {
	t.Parallel()

	a := func(n int) string { return strings.Repeat("a", n) }

	const (
		required = "FieldValueRequired"
		invalid  = "FieldValueInvalid"
		long     = "FieldValueTooLong"
	)

	type value struct {
		value any
		want  string // Type of the mistake, empty for none.
	}

	cases := map[string]struct {
		reason string
		typ    claim.ConnectionType
		field  string
		values []value
	}{
		"Role": {
			reason: "A role is named by its name, or by an ARN of any partition.", typ: claim.TypeAWSRole, field: "role",
			values: []value{
				{absent, required},
				{"", required},
				{"My_App+=,.@-1", ""},
				{a(64), ""},
				{a(65), invalid},
				{"a b", invalid},
				{"a/b", invalid},
				{"r\n", invalid},
				{"arn:aws:iam::123456789012:role/r", ""},
				{"arn:aws-cn:iam::123456789012:role/a/b/r", ""},
				{"arn:aws-iso-b:iam::123456789012:role/r", ""},
				{"arn:aws:iam::12345678901:role/r", invalid},
				{"arn:aws:iam::123456789012:user/r", invalid},
				{"arn:aws:iam::123456789012:role/", invalid},
				{"arn:aws:iam::123456789012:role/" + a(513) + "/r", invalid},
			},
		},
		"TargetRoleARN": {
			reason: "Another account's role needs an ARN.", typ: claim.TypeAWSRole, field: "targetRoleArn",
			values: []value{{absent, ""}, {"", required}, {"r", invalid}, {"arn:aws:iam::123456789012:role/r", ""}},
		},
		"IdentityName": {
			reason: "Azure's rules for names.", typ: claim.TypeAzureManagedIdentity, field: "identityName",
			values: []value{{absent, required}, {"", required}, {"ab", invalid}, {"a_-", ""}, {"-ab", invalid}, {a(128), ""}, {a(129), invalid}, {"a.b", invalid}, {"a/b/c", invalid}},
		},
		"ResourceGroup": {
			reason: "Azure's rules for names.", typ: claim.TypeAzureManagedIdentity, field: "resourceGroup",
			values: []value{{absent, required}, {"r", ""}, {"rg-(a).b_", ""}, {"rg.", invalid}, {a(90), ""}, {a(91), invalid}, {"a/b", invalid}},
		},
		"SubscriptionID": {
			reason: "A subscription is a UUID.", typ: claim.TypeAzureManagedIdentity, field: "subscriptionId",
			values: []value{{absent, ""}, {"", required}, {"00000000-1111-2222-3333-44444444444", invalid}, {"ABCDEFab-1111-2222-3333-444444444444", ""}, {"g0000000-1111-2222-3333-444444444444", invalid}},
		},
		"ConnectionName": {
			reason: "The name is an argument of the proxy, and so may hold no option.", typ: claim.TypeCloudSQL, field: "config.cloudSqlConnectionName",
			values: []value{
				{absent, required},
				{"", required},
				{"example.com:my-project:europe-west1:db", ""},
				{"my-project:db", invalid},
				{"my-project:europe-west1:db?port=1", invalid},
				{"my-project:europe-west1:db&a=b", invalid},
				{"my-project:europe-west1:db,x", invalid},
				{"my-project:europe-west1:db --x", invalid},
				{"my-project:europe-west1:db\n", invalid},
				{"--x:my-project:europe-west1:db", ""},
				{a(300) + ".com:my-project:europe-west1:db", long},
			},
		},
		"Port": {
			reason: "A port that isn't the proxy's own.", typ: claim.TypeCloudSQL, field: "config.cloudSqlDatabasePort",
			values: []value{{absent, required}, {float64(0), invalid}, {float64(-1), invalid}, {float64(1), ""}, {float64(65535), ""}, {float64(65536), invalid}, {float64(claim.ProxyHTTPPort), invalid}},
		},
		"SQLAccount": {
			reason: "An account is named by its id, or by the e-mail of a service account.", typ: claim.TypeCloudSQL, field: "config.cloudSqlServiceAccount",
			values: []value{
				{absent, required},
				{"", required},
				{"abcde", invalid},
				{"abcdef", ""},
				{a(30), ""},
				{a(31), invalid},
				{"1bcdef", invalid},
				{"123456789012-compute@developer.gserviceaccount.com", ""},
				{"abcdef@example.com", invalid},
				{"abcdef@" + a(128) + ".gserviceaccount.com", long},
			},
		},
		"IPType":   {reason: "The proxy has a flag for each.", typ: claim.TypeCloudSQL, field: "config.ipType", values: []value{{absent, ""}, {"Private", ""}, {"PSC", ""}, {"private", "FieldValueNotSupported"}, {"", required}}},
		"DiskName": {reason: "A disk must be able to exist.", typ: claim.TypeDisk, field: "config.diskName", values: []value{{absent, required}, {"", required}, {"A", invalid}, {"a.b", invalid}, {a(63), ""}, {a(64), invalid}}},
		"MountPath": {
			reason: "A disk may lie anywhere but over the system.", typ: claim.TypeDisk, field: "config.mountPath",
			values: []value{
				{absent, ""},
				{"", required},
				{"/data", ""},
				{"/...", ""},
				{"/.hidden/..a", ""},
				{"data", invalid},
				{"/", invalid},
				{"/data/", invalid},
				{"/a//b", invalid},
				{"/a/./b", invalid},
				{"/data/../etc", invalid},
				{"/a:b", invalid},
				{"/data\n", invalid},
				{"/a\x00", invalid},
				{"/etc", invalid},
				{"/etc/app", invalid},
				{"/etcetera", ""},
				{"/var/run/secrets/x", invalid},
				{"/var/lib/app", ""},
				{"/" + a(511), ""},
				{"/" + a(512), long},
			},
		},
		"SubPath": {
			reason: "A folder of the disk, and nothing above it.", typ: claim.TypeDisk, field: "config.subPath",
			values: []value{{absent, ""}, {"", required}, {"a/b", ""}, {"..a", ""}, {"/a", invalid}, {".", invalid}, {"..", invalid}, {"../a", invalid}, {"a/../../b", invalid}, {"a/", invalid}, {"a:b", invalid}, {"a\tb", invalid}},
		},
		"FSGroup": {reason: "Kubernetes' range of groups.", typ: claim.TypeDisk, field: "config.fsGroup", values: []value{{absent, ""}, {float64(0), ""}, {float64(-1), invalid}, {float64(1<<31 - 1), ""}, {float64(1 << 31), invalid}}},
		"Email": {
			reason: "Only service accounts, and no people.", typ: claim.TypeGCPServiceAccount, field: "serviceAccountEmail",
			values: []value{{absent, required}, {"", required}, {"my-account", invalid}, {"me@example.com", invalid}, {"abcdef@p.iam.gserviceaccount.com", ""}, {"abcdef@p.iam.gserviceaccount.com\n", invalid}, {"a@p.iam.gserviceaccount.com", invalid}},
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			for _, v := range tc.values {
				var want []string
				if v.want != "" {
					want = []string{v.want + " spec.services[0].connections[0]." + tc.field}
				}

				c := read(with(tc.typ, tc.field, v.value))
				if diff := cmp.Diff(want, mistakes(c.Errors)); diff != "" {
					t.Errorf("%s\n%s: %q: mistakes (-want +got):\n%s", tc.reason, tc.field, v.value, diff)
				}
			}
		})
	}
}

// A field of another type would be ignored, and somebody would rely on it.
func TestForeignFields(t *testing.T) {
	t.Parallel()

	paths := map[string][]claim.ConnectionType{}

	for typ, conn := range good() {
		for k := range conn {
			if k != "config" {
				paths[k] = append(paths[k], typ)
				continue
			}

			for n := range conn["config"].(map[string]any) {
				paths["config."+n] = append(paths["config."+n], typ)
			}
		}
	}

	for _, typ := range claim.Types() {
		for path, types := range paths {
			var want []string

			hasConfig := typ == claim.TypeCloudSQL || typ == claim.TypeDisk
			own := slices.Contains(types, typ)

			if !own && strings.HasPrefix(path, "config.") && !hasConfig {
				want = append(want, "FieldValueForbidden spec.services[0].connections[0].config")
			}

			if !own {
				want = append(want, "FieldValueForbidden spec.services[0].connections[0]."+path)
			}

			value := good()[types[0]][path]
			if name, ok := strings.CutPrefix(path, "config."); ok {
				value = good()[types[0]]["config"].(map[string]any)[name]
			}

			if diff := cmp.Diff(want, mistakes(read(with(typ, path, value)).Errors)); diff != "" {
				t.Errorf("%s in a connection of type %s: mistakes (-want +got):\n%s", path, typ, diff)
			}
		}
	}
}

// near a pattern: pieces of good and bad values, put together at random.
func near(pieces ...string) *rapid.Generator[string] {
	pieces = append(pieces, "", "a", "b1", "-", ".", "_", "/", ":", "@", " ", "\n", "A", "é", "0", "..", strings.Repeat("x", 62))

	return rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 1, 6).Draw(t, "pieces"), "")
	})
}

// A value that the API server takes and the function refuses, or the other way
// round, would be a claim that nobody can mend.
func TestAgreesWithSchema(t *testing.T) {
	t.Parallel()

	v := schema.New(schema.Defined(t, "../../package/configuration/definition.yaml")...)
	schemaErrors := func(services []any) field.ErrorList {
		return v.Validate(map[string]any{
			"apiVersion": "serviceconnections.io/v1alpha1", "kind": "ServiceConnection",
			"metadata": map[string]any{"name": "shop", "namespace": "team-a"},
			"spec":     map[string]any{"services": services},
		})
	}

	// The API server drops a null, so none gets here, except from another
	// kind's lenient schema.
	isNull := func(v any) bool { return v == nil }

	service := func(name string) func(any) []any {
		return func(value any) []any {
			s := with(claim.TypeAWSRole, "role", "r")
			s[0].(map[string]any)[name] = value

			return s
		}
	}
	connection := func(typ claim.ConnectionType, path string) func(any) []any {
		return func(value any) []any { return with(typ, path, value) }
	}

	text := func(g *rapid.Generator[string]) *rapid.Generator[any] {
		return rapid.Map(g, func(s string) any { return s })
	}
	number := rapid.Map(rapid.OneOf(rapid.Int64Range(-2, 70000), rapid.SampledFrom([]int64{1<<31 - 1, 1 << 31, 1 << 40})), func(i int64) any { return float64(i) })
	account := near("my-account", "abcdef", "my-account@", "p.iam", ".gserviceaccount.com", "@developer")
	arn := near("arn:aws", "arn:aws:iam::123456789012:role/", "-cn:iam::123456789012:role/", "my-app", "path/", "+=,.@-", strings.Repeat("p", 512)+"/")

	cases := map[string]struct {
		build  func(any) []any
		values *rapid.Generator[any]
		// stricter says that the function refuses on purpose a value that the
		// schema takes: system directories, and the proxy's own port.
		stricter func(any) bool
	}{
		"name":                   {build: service("name"), values: text(near("api"))},
		"serviceAccountName":     {build: service("serviceAccountName"), values: text(near("api", "api.sa", strings.Repeat("s", 250)))},
		"containers":             {build: func(v any) []any { return service("containers")([]any{v, "api"}) }, values: text(near("api"))},
		"workload.name":          {build: func(v any) []any { return service("workload")(map[string]any{"name": v}) }, values: text(near("api", "api.v2"))},
		"workload":               {build: service("workload"), values: workloads()},
		"type":                   {build: connection(claim.TypeAWSRole, "type"), values: rapid.SampledFrom([]any{"awsRole", "", "awsrole", nil, float64(1)})},
		"role":                   {build: connection(claim.TypeAWSRole, "role"), values: text(arn)},
		"targetRoleArn":          {build: connection(claim.TypeAWSRole, "targetRoleArn"), values: text(arn)},
		"identityName":           {build: connection(claim.TypeAzureManagedIdentity, "identityName"), values: text(near("my-identity", "ab"))},
		"resourceGroup":          {build: connection(claim.TypeAzureManagedIdentity, "resourceGroup"), values: text(near("rg-(a)", "()"))},
		"subscriptionId":         {build: connection(claim.TypeAzureManagedIdentity, "subscriptionId"), values: text(near("00000000-1111-2222-3333-444444444444", "00000000-1111-2222-3333-", "44444444444", "g"))},
		"cloudSqlConnectionName": {build: connection(claim.TypeCloudSQL, "config.cloudSqlConnectionName"), values: text(near("my-project:", "europe-west1:", "db", "example.com:", "?", "&", ",", "--"))},
		"cloudSqlDatabasePort": {
			build: connection(claim.TypeCloudSQL, "config.cloudSqlDatabasePort"), values: number,
			stricter: func(v any) bool { return v == float64(claim.ProxyHTTPPort) },
		},
		"cloudSqlServiceAccount": {build: connection(claim.TypeCloudSQL, "config.cloudSqlServiceAccount"), values: text(account)},
		"ipType":                 {build: connection(claim.TypeCloudSQL, "config.ipType"), values: text(rapid.SampledFrom([]string{"Public", "Private", "PSC", "psc", ""}))},
		"diskName":               {build: connection(claim.TypeDisk, "config.diskName"), values: text(near("cache"))},
		"mountPath": {
			build: connection(claim.TypeDisk, "config.mountPath"), values: text(near("/data", "/etc", "/var/run", "/./", "/...", "/..", "\x7f", "\x00", strings.Repeat("/dir", 100))),
			stricter: func(v any) bool {
				first := strings.Split(v.(string)+"//", "/")[1]
				return slices.Contains([]string{"etc", "var"}, first)
			},
		},
		"subPath":             {build: connection(claim.TypeDisk, "config.subPath"), values: text(near("dir", "./", "...", "\x7f", "\x00", strings.Repeat("dir/", 100)))},
		"fsGroup":             {build: connection(claim.TypeDisk, "config.fsGroup"), values: number},
		"readOnly":            {build: connection(claim.TypeDisk, "config.readOnly"), values: rapid.SampledFrom([]any{true, false, "true", nil, float64(1)}), stricter: isNull},
		"serviceAccountEmail": {build: connection(claim.TypeGCPServiceAccount, "serviceAccountEmail"), values: text(account)},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			// All values at once, each in a service of its own: the API
			// server's rules take long to start.
			values := make([]any, 100)
			services := make([]any, len(values))

			for i := range values {
				values[i] = tc.values.Example(i)
				s := tc.build(values[i])[0].(map[string]any)
				if s["name"] == "api" && name != "name" {
					s["name"] = fmt.Sprintf("s%d", i)
				}

				services[i] = s
			}

			api, own := allErrors(services, schemaErrors), byService(read(services).Errors)
			for i, value := range values {
				if len(api[i]) == 0 && len(own[i]) > 0 && tc.stricter != nil && tc.stricter(value) {
					continue
				}

				if (len(api[i]) == 0) != (len(own[i]) == 0) {
					t.Errorf("%s: %q\nthe API server says: %v\nthe function says: %v", name, value, api[i].ToAggregate(), own[i].ToAggregate())
				}
			}
		})
	}
}

// allErrors of the API server, by the place of the service. It evaluates rules
// only where all else is well, so the good ones are tried again without the bad.
func allErrors(services []any, validate func([]any) field.ErrorList) map[int]field.ErrorList {
	out := map[int]field.ErrorList{}

	for {
		var (
			left   []any
			places []int
		)

		for i, s := range services {
			if len(out[i]) == 0 {
				left, places = append(left, s), append(places, i)
			}
		}

		errs := byService(validate(left))
		if len(errs) == 0 || len(left) == 0 {
			return out
		}

		for i, e := range errs {
			out[places[i]] = e
		}
	}
}

// byService sorts mistakes by the place of the service that they are in.
func byService(errs field.ErrorList) map[int]field.ErrorList {
	out := map[int]field.ErrorList{}

	for _, err := range errs {
		var i int
		if _, scanErr := fmt.Sscanf(err.Field, "spec.services[%d]", &i); scanErr != nil {
			i = -1
		}

		out[i] = append(out[i], err)
	}

	return out
}

func workloads() *rapid.Generator[any] {
	apiVersions := []any{"apps/v1", "batch/v1", "v1", "argoproj.io/v1alpha1", "apps/v2", ""}
	kinds := []any{"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob", "Pod", "Rollout", "Service", ""}

	return rapid.Custom(func(t *rapid.T) any {
		w := map[string]any{"name": "api", "kind": rapid.SampledFrom(kinds).Draw(t, "kind"), "apiVersion": rapid.SampledFrom(apiVersions).Draw(t, "apiVersion")}
		for _, k := range slices.Sorted(maps.Keys(w)) {
			if rapid.IntRange(0, 4).Draw(t, "without "+k) == 0 {
				delete(w, k)
			}
		}

		return w
	})
}

// Whatever is in the API server, reading it must not panic, and what can't be
// expanded must say why.
func FuzzRead(f *testing.F) {
	for _, s := range []string{
		`[{"name":"api","connections":[{"type":"awsRole","role":"r"}]}]`,
		`[{"name":"api","workload":5,"containers":[1],"connections":[{"type":"cloudSql","config":{"cloudSqlDatabasePort":1e99}}]}]`,
		`[{"name":"a","connections":[{"type":"disk","config":{"diskName":"d","fsGroup":-1}},{"type":"disk"}]},{"name":"a"}]`,
		`[{"connections":{}},null,[],{"name":null,"connections":[null]}]`,
		`{"name":"api"}`,
		`null`,
	} {
		f.Add([]byte(s))
	}

	f.Fuzz(func(t *testing.T, data []byte) {
		var v any
		if json.Unmarshal(data, &v) != nil {
			return
		}

		c := read(v)
		if list, ok := v.([]any); !c.Incomplete && (!ok || len(list) != len(c.Services)) {
			t.Errorf("a claim that was read in full has each of its services\ngot %d: %s", len(c.Services), data)
		}

		if c.Incomplete && len(c.Errors) == 0 {
			t.Errorf("a claim that wasn't read in full must say why: %s", data)
		}

		for _, s := range c.Services {
			for _, e := range s.Entries {
				checkEntry(t, e, c.Errors)
			}
		}
	})
}

// checkEntry that has no mistakes for what expanding it relies on, and one that
// has some for their being told.
func checkEntry(t *testing.T, e claim.ConnectionEntry, told field.ErrorList) {
	t.Helper()

	for _, err := range e.Errors {
		if !slices.Contains(told, err) {
			t.Errorf("every mistake must be told, not: %v", err)
		}
	}

	if len(e.Errors) > 0 {
		return
	}

	valid := map[claim.ConnectionType]bool{
		claim.TypeAWSRole:              e.Role != "",
		claim.TypeAzureManagedIdentity: e.IdentityName != "" && e.ResourceGroup != "",
		claim.TypeCloudSQL:             e.Config.CloudSQLConnectionName != "" && e.Config.CloudSQLDatabasePort > 0 && e.Config.CloudSQLServiceAccount != "",
		claim.TypeDisk:                 e.Config.DiskName != "",
		claim.TypeGCPServiceAccount:    e.ServiceAccountEmail != "",
	}
	if !valid[e.Type] {
		t.Errorf("a connection without mistakes has all that its type needs\ngot: %+v", e.Connection)
	}
}
