package package_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"pgregory.net/rapid"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/test/schema"
)

// good connections of each type, with each of their fields.
func good() map[claim.ConnectionType]map[string]any {
	return map[claim.ConnectionType]map[string]any{
		claim.TypeAWSRole:              {"role": "r", "targetRoleArn": "arn:aws:iam::123456789012:role/r", "disableSessionTags": false},
		claim.TypeAzureManagedIdentity: {"identityName": "abc", "resourceGroup": "rg", "subscriptionId": "00000000-1111-2222-3333-444444444444"},
		claim.TypeCloudSQL: {"env": map[string]any{"host": "PGHOST"}, "config": map[string]any{
			"cloudSqlConnectionName": "my-project:europe-west1:db", "cloudSqlDatabasePort": float64(5432), "cloudSqlServiceAccount": "my-account",
			"ipType": "Public", "autoIamAuthn": false,
		}},
		claim.TypeDisk: {"config": map[string]any{
			"diskName": "d", "mountPath": "/data/d", "readOnly": false, "subPath": "a", "fsGroup": float64(1),
		}},
		claim.TypeGCPServiceAccount: {"serviceAccountEmail": "my-account@my-project.iam.gserviceaccount.com"},
	}
}

// with is a services list of one good connection that has one field set.
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

	return []any{map[string]any{"name": "api", "connections": []any{conn}}}
}

func readErrors(services []any) field.ErrorList {
	c := &claim.Claim{Name: "shop", Namespace: "team-a"}
	c.Read(connection.Builtin().Schema(), services, field.NewPath("spec", "services"))

	return c.Errors
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

	v := schema.New(schema.Defined(t, "configuration/definition.yaml")...)
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
	of := func(typ claim.ConnectionType, path string) func(any) []any {
		return func(value any) []any { return with(typ, path, value) }
	}

	create := func(name string) func(any) []any {
		return func(value any) []any {
			return with(claim.TypeAWSRole, "create", map[string]any{name: value})
		}
	}

	text := func(g *rapid.Generator[string]) *rapid.Generator[any] {
		return rapid.Map(g, func(s string) any { return s })
	}
	number := rapid.Map(rapid.OneOf(rapid.Int64Range(-2, 70000), rapid.SampledFrom([]int64{1<<31 - 1, 1 << 31, 1 << 40, 9801})), func(i int64) any { return float64(i) })
	account := near("my-account", "abcdef", "my-account@", "p.iam", ".gserviceaccount.com", "@developer")
	variable := near("DB", "PG", "MYSQL", "_", "HOST", "PORT", "INSTANCE", "CONNECTION_NAME", "ORDERS_")
	arn := near("arn:aws", "arn:aws:iam::123456789012:role/", "-cn:iam::123456789012:role/", "my-app", "path/", "+=,.@-", strings.Repeat("p", 512)+"/")

	paths := []string{
		"/data", "/./", "/...", "/..", "\x7f", "\x00", strings.Repeat("/dir", 100),
		"/bin", "/boot", "/dev", "/etc", "/lib", "64", "/proc", "/root", "/run", "/sbin", "/sys", "/usr", "/var", "/lib/kubelet",
	}

	cases := map[string]struct {
		build  func(any) []any
		values *rapid.Generator[any]
		// stricter says that the function refuses a value that the schema
		// takes: null, which the API server drops.
		stricter func(any) bool
	}{
		"name":                   {build: service("name"), values: text(near("api"))},
		"serviceAccountName":     {build: service("serviceAccountName"), values: text(near("api", "api.sa", strings.Repeat("s", 250)))},
		"requireInjection":       {build: service("requireInjection"), values: rapid.SampledFrom([]any{true, false, "true", nil, float64(1)}), stricter: isNull},
		"containers":             {build: func(v any) []any { return service("containers")([]any{v, "api"}) }, values: text(near("api"))},
		"workload.name":          {build: func(v any) []any { return service("workload")(map[string]any{"name": v}) }, values: text(near("api", "api.v2"))},
		"workload":               {build: service("workload"), values: workloads()},
		"type":                   {build: of(claim.TypeAWSRole, "type"), values: rapid.SampledFrom([]any{"awsRole", "", "awsrole", nil, float64(1)})},
		"role":                   {build: of(claim.TypeAWSRole, "role"), values: text(arn)},
		"targetRoleArn":          {build: of(claim.TypeAWSRole, "targetRoleArn"), values: text(arn)},
		"disableSessionTags":     {build: of(claim.TypeAWSRole, "disableSessionTags"), values: rapid.SampledFrom([]any{true, false, "true", nil, float64(1)}), stricter: isNull},
		"untagged created role":  {build: untaggedRole, values: rapid.SampledFrom([]any{true, false})},
		"create":                 {build: of(claim.TypeAWSRole, "create"), values: rapid.SampledFrom([]any{map[string]any{}, nil, "x", []any{}, map[string]any{"policies": "x"}}), stricter: isNull},
		"create role":            {build: createdRole, values: text(arn)},
		"policyArns":             {build: create("policyArns"), values: policyARNs()},
		"policy":                 {build: create("policy"), values: documents()},
		"identityName":           {build: of(claim.TypeAzureManagedIdentity, "identityName"), values: text(near("my-identity", "ab"))},
		"resourceGroup":          {build: of(claim.TypeAzureManagedIdentity, "resourceGroup"), values: text(near("rg-(a)", "()"))},
		"subscriptionId":         {build: of(claim.TypeAzureManagedIdentity, "subscriptionId"), values: text(near("00000000-1111-2222-3333-444444444444", "00000000-1111-2222-3333-", "44444444444", "g"))},
		"cloudSqlConnectionName": {build: of(claim.TypeCloudSQL, "config.cloudSqlConnectionName"), values: text(near("my-project:", "europe-west1:", "db", "example.com:", "?", "&", ",", "--"))},
		"cloudSqlDatabasePort":   {build: of(claim.TypeCloudSQL, "config.cloudSqlDatabasePort"), values: number},
		"cloudSqlServiceAccount": {build: of(claim.TypeCloudSQL, "config.cloudSqlServiceAccount"), values: text(account)},
		"env":                    {build: of(claim.TypeCloudSQL, "env"), values: rapid.SampledFrom([]any{map[string]any{}, nil, "PGHOST", []any{}, map[string]any{"hst": "PGHOST"}, map[string]any{"host": float64(1)}}), stricter: isNull},
		"env.host":               {build: func(v any) []any { return with(claim.TypeCloudSQL, "env", map[string]any{"host": v}) }, values: text(variable)},
		"env.port":               {build: func(v any) []any { return with(claim.TypeCloudSQL, "env", map[string]any{"port": v}) }, values: text(variable)},
		"env.instanceConnectionName": {build: func(v any) []any {
			return with(claim.TypeCloudSQL, "env", map[string]any{"instanceConnectionName": v})
		}, values: text(variable)},
		"two databases":          {build: twoDatabases, values: text(rapid.SampledFrom([]string{"PGHOST", "DB_HOST", "ORDERS_DB_HOST", "A_B_DB_HOST", "A__B_DB_HOST"}))},
		"ipType":                 {build: of(claim.TypeCloudSQL, "config.ipType"), values: text(rapid.SampledFrom([]string{"Public", "Private", "PSC", "psc", ""}))},
		"connection name":        {build: of(claim.TypeDisk, "name"), values: text(near("uploads", "a-b", "x2"))},
		"connection name of one": {build: of(claim.TypeAWSRole, "name"), values: text(near("a"))},
		"two disks":              {build: twoDisks, values: text(rapid.SampledFrom([]string{"/data/d", "/data/e", "/e"}))},
		"diskName":               {build: of(claim.TypeDisk, "config.diskName"), values: text(near("cache"))},
		"mountPath":              {build: of(claim.TypeDisk, "config.mountPath"), values: text(near(paths...))},
		"subPath":                {build: of(claim.TypeDisk, "config.subPath"), values: text(near("dir", "./", "...", "\x7f", "\x00", strings.Repeat("dir/", 100)))},
		"fsGroup":                {build: of(claim.TypeDisk, "config.fsGroup"), values: number},
		"readOnly":               {build: of(claim.TypeDisk, "config.readOnly"), values: rapid.SampledFrom([]any{true, false, "true", nil, float64(1)}), stricter: isNull},
		"serviceAccountEmail":    {build: of(claim.TypeGCPServiceAccount, "serviceAccountEmail"), values: text(account)},
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

			api, own := allErrors(services, schemaErrors), byService(readErrors(services))
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

// createdRole is a services list of a connection that creates the role.
func createdRole(role any) []any {
	s := with(claim.TypeAWSRole, "create", map[string]any{})
	s[0].(map[string]any)["connections"].([]any)[0].(map[string]any)["role"] = role

	return s
}

// untaggedRole is the same without session tags, or with them.
func untaggedRole(value any) []any {
	s := createdRole("uploads")
	s[0].(map[string]any)["connections"].([]any)[0].(map[string]any)["disableSessionTags"] = value

	return s
}

func policyARNs() *rapid.Generator[any] {
	arn := rapid.Map(near("arn:aws:iam::aws:policy/", "arn:aws-cn:iam::123456789012:policy/", "path/", "+=,.@-", strings.Repeat("p", 512)+"/"), func(s string) any { return s })
	bad := rapid.SampledFrom([]any{nil, "", float64(1), "arn:aws:iam::aws:policy/a"})

	return rapid.Custom(func(t *rapid.T) any {
		arns := []any{}
		for i := range rapid.SampledFrom([]int{0, 1, 2, 9, 10, 11}).Draw(t, "n") {
			arns = append(arns, fmt.Sprintf("arn:aws:iam::aws:policy/p%d", i))
		}

		if rapid.Bool().Draw(t, "any ARN") {
			arns = append(arns, arn.Draw(t, "arn"))
		}

		if rapid.IntRange(0, 3).Draw(t, "a bad one") == 0 {
			arns = append(arns, bad.Draw(t, "bad"), bad.Draw(t, "bad"))
		}

		return arns
	})
}

func documents() *rapid.Generator[any] {
	statement := map[string]any{"Effect": "Allow", "Action": []any{"s3:*"}, "Resource": "*"}
	statements := func(n int) []any {
		l := make([]any, n)
		for i := range l {
			l[i] = map[string]any{}
		}

		return l
	}

	return rapid.Custom(func(t *rapid.T) any {
		d := map[string]any{
			"Version":   rapid.SampledFrom([]any{"2012-10-17", "2012-10-17", "2008-10-17", "", float64(1)}).Draw(t, "version"),
			"Statement": rapid.SampledFrom([]any{[]any{statement}, []any{statement, statement}, []any{}, statements(100), statements(101), statement, "x", []any{"x"}, []any{map[string]any{}}}).Draw(t, "statement"),
		}
		if leave := rapid.SampledFrom([]string{"", "", "Version", "Statement"}).Draw(t, "without"); leave != "" {
			delete(d, leave)
		}

		if rapid.IntRange(0, 4).Draw(t, "more") == 0 {
			d["Id"] = "x"
		}

		return rapid.SampledFrom([]any{d, d, d, d, "x", []any{d}}).Draw(t, "document")
	})
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

// twoDatabases of a service, of which one has its host in a variable.
func twoDatabases(host any) []any {
	s := with(claim.TypeCloudSQL, "name", "a-b")
	service, _ := s[0].(map[string]any)
	first, _ := service["connections"].([]any)[0].(map[string]any)
	delete(first, "env")
	config := maps.Clone(first["config"].(map[string]any))
	config["cloudSqlDatabasePort"] = float64(5433)
	second := map[string]any{"type": "cloudSql", "env": map[string]any{"host": host}, "config": config}
	service["connections"] = append(service["connections"].([]any), second)

	return s
}

// twoDisks of a service, of which one is mounted at a path.
func twoDisks(path any) []any {
	s := with(claim.TypeDisk, "name", "a")
	service, _ := s[0].(map[string]any)
	second := map[string]any{"type": "disk", "name": "b", "config": map[string]any{"diskName": "e", "mountPath": path}}
	service["connections"] = append(service["connections"].([]any), second)

	return s
}
