package claim_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/serviceconnections/function-service-connections/fn/claim"
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
			values: []value{{absent, required}, {"", required}, {"ab", invalid}, {"a_-", ""}, {"-ab", invalid}, {a(128), ""}, {a(129), long}, {"a.b", invalid}, {"a/b/c", invalid}},
		},
		"ResourceGroup": {
			reason: "Azure's rules for names.", typ: claim.TypeAzureManagedIdentity, field: "resourceGroup",
			values: []value{{absent, required}, {"r", ""}, {"rg-(a).b_", ""}, {"rg.", invalid}, {a(90), ""}, {a(91), long}, {"a/b", invalid}},
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
				{"-t:my-project:europe-west1:db", invalid},
				{".com:my-project:europe-west1:db", invalid},
				{a(300) + ".com:my-project:europe-west1:db", long},
			},
		},
		"Port": {
			reason: "A port that isn't the proxy's own.", typ: claim.TypeCloudSQL, field: "config.cloudSqlDatabasePort",
			values: []value{{absent, required}, {float64(0), invalid}, {float64(-1), invalid}, {float64(1), ""}, {float64(65535), ""}, {float64(65536), invalid}, {float64(9801), invalid}},
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

	for typ := range good() {
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
