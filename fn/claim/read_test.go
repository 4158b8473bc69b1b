package claim_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
)

// parse YAML as the function gets it: decoded JSON, whose numbers are float64.
func parse(tb testing.TB, text string) any {
	tb.Helper()

	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		tb.Fatalf("cannot decode: %v\n%s", err, text)
	}

	return v
}

func read(services any) *claim.Claim {
	c := &claim.Claim{Name: "shop", Namespace: "team-a"}
	c.Read(connection.Builtin().Schema(), services, field.NewPath("spec", "services"))

	return c
}

// mistakes by type and path, in order.
func mistakes(errs field.ErrorList) []string {
	if len(errs) == 0 {
		return nil
	}

	out := make([]string, 0, len(errs))
	for _, err := range errs {
		out = append(out, string(err.Type)+" "+err.Field)
	}

	return out
}

func TestRead(t *testing.T) {
	t.Parallel()

	c := read(parse(t, `
- name: api
  workload: {kind: StatefulSet, name: api.v2}
  containers: [api, migrate]
  serviceAccountName: api-sa
  requireInjection: true
  connections:
  - type: awsRole
    role: my-app
    targetRoleArn: arn:aws:iam::210987654321:role/data
    disableSessionTags: true
  - type: azureManagedIdentity
    identityName: my-identity
    resourceGroup: rg-(a).b
    subscriptionId: 00000000-1111-2222-3333-444444444444
  - type: cloudSql
    config: {cloudSqlConnectionName: "my-project:europe-west1:db", cloudSqlDatabasePort: 5432, cloudSqlServiceAccount: my-account, ipType: PSC, autoIamAuthn: true}
  - type: disk
    config: {diskName: cache, mountPath: /data/c, readOnly: false, subPath: a/b, fsGroup: 1000}
  - type: gcpServiceAccount
    serviceAccountEmail: my-account@my-project.iam.gserviceaccount.com
- name: web
  connections: [{type: disk, config: {diskName: d}}]
- name: none
`))

	all := []claim.Connection{
		{Type: claim.TypeAWSRole, Role: "my-app", TargetRoleARN: "arn:aws:iam::210987654321:role/data", DisableSessionTags: new(true), Config: &claim.Config{}},
		{
			Type: claim.TypeAzureManagedIdentity, IdentityName: "my-identity", ResourceGroup: "rg-(a).b",
			SubscriptionID: "00000000-1111-2222-3333-444444444444", Config: &claim.Config{},
		},
		{Type: claim.TypeCloudSQL, Config: &claim.Config{
			CloudSQLConnectionName: "my-project:europe-west1:db", CloudSQLDatabasePort: 5432, CloudSQLServiceAccount: "my-account",
			IPType: "PSC", AutoIAMAuthn: new(true),
		}},
		{Type: claim.TypeDisk, Config: &claim.Config{
			DiskName: "cache", MountPath: "/data/c", ReadOnly: new(false), SubPath: "a/b", FSGroup: new(int64(1000)),
		}},
		{Type: claim.TypeGCPServiceAccount, ServiceAccountEmail: "my-account@my-project.iam.gserviceaccount.com", Config: &claim.Config{}},
	}
	want := []claim.Service{
		{
			Name: "api", ServiceAccountName: "api-sa", Containers: []string{"api", "migrate"},
			Workload:         &claim.Workload{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "api.v2"},
			RequireInjection: new(true), Connections: all,
		},
		{
			Name: "web", Workload: &claim.Workload{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"},
			Connections: []claim.Connection{{Type: claim.TypeDisk, Config: &claim.Config{DiskName: "d"}}},
		},
		{Name: "none", Workload: &claim.Workload{APIVersion: "apps/v1", Kind: "Deployment", Name: "none"}},
	}

	var got []claim.Service
	for _, s := range c.Services {
		got = append(got, s.Service)

		var entries []claim.Connection
		for _, e := range s.Entries {
			entries = append(entries, e.Connection)
		}

		if diff := cmp.Diff(s.Connections, entries); diff != "" {
			t.Errorf("service %s: entries must be its connections (-want +got):\n%s", s.Name, diff)
		}
	}

	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("every field must be read and the workload default to the service's Deployment (-want +got):\n%s", diff)
	}

	if len(c.Errors) > 0 || c.Incomplete {
		t.Errorf("a good claim has no mistakes\ngot: %v, incomplete %v", c.Errors.ToAggregate(), c.Incomplete)
	}

	if got := c.Services[1].Path.String(); got != "spec.services[1]" {
		t.Errorf("a service knows its path\nwant spec.services[1], got %s", got)
	}
}

func TestReadMistakes(t *testing.T) {
	t.Parallel()

	const (
		first = "spec.services[0]"
		conn  = first + ".connections[0]"
		cfg   = conn + ".config"
		good  = `{type: awsRole, role: r}`
	)

	cases := map[string]struct {
		reason     string
		services   string
		want       []string // Mistakes, by type and path.
		incomplete bool
		usable     []string // Connections without mistakes, as service/type.
	}{
		// Shapes.
		"NoList":           {reason: "A list that can't be read says nothing of what left.", services: `{}`, want: []string{"FieldValueTypeInvalid spec.services"}, incomplete: true},
		"Null":             {reason: "Null is no list.", services: `null`, want: []string{"FieldValueRequired spec.services"}, incomplete: true},
		"ServiceNoObject":  {reason: "A service is an object.", services: `[api]`, want: []string{"FieldValueTypeInvalid " + first}, incomplete: true},
		"ServiceNull":      {reason: "A service is an object.", services: `[null]`, want: []string{"FieldValueRequired " + first}, incomplete: true},
		"NameMissing":      {reason: "Without a name, nobody knows which service it was.", services: `[{connections: [` + good + `]}]`, want: []string{"FieldValueRequired " + first + ".name"}, incomplete: true},
		"NameEmpty":        {reason: "An empty name is none.", services: `[{name: "", connections: [` + good + `]}]`, want: []string{"FieldValueRequired " + first + ".name"}, incomplete: true},
		"NameNumber":       {reason: "A name is text.", services: `[{name: 5, connections: [` + good + `]}]`, want: []string{"FieldValueTypeInvalid " + first + ".name"}, incomplete: true},
		"NameNoLabel":      {reason: "One mistake in a name is told once, and not again for the workload of the same name; whose it was meant to be can't be told.", services: `[{name: My_Api, connections: [` + good + `]}]`, want: []string{"FieldValueInvalid " + first + ".name"}, incomplete: true},
		"ConnectionsText":  {reason: "Connections that can't be read haven't left.", services: `[{name: api, connections: none}]`, want: []string{"FieldValueTypeInvalid " + first + ".connections"}, incomplete: true},
		"ConnectionsNull":  {reason: "Connections that can't be read haven't left.", services: `[{name: api, connections: null}]`, want: []string{"FieldValueRequired " + first + ".connections"}, incomplete: true},
		"ConnectionText":   {reason: "A connection is an object.", services: `[{name: api, connections: [awsRole, {type: disk, config: {diskName: d}}]}]`, want: []string{"FieldValueTypeInvalid " + conn}, incomplete: true, usable: []string{"api/disk"}},
		"TypeMissing":      {reason: "Without a type, nobody knows which connection it was.", services: `[{name: api, connections: [{role: r}]}]`, want: []string{"FieldValueRequired " + conn + ".type"}, incomplete: true},
		"TypeEmpty":        {reason: "An empty type is none.", services: `[{name: api, connections: [{type: "", role: r}]}]`, want: []string{"FieldValueRequired " + conn + ".type"}, incomplete: true},
		"TypeNumber":       {reason: "A type is text.", services: `[{name: api, connections: [{type: 1, role: r}]}]`, want: []string{"FieldValueTypeInvalid " + conn + ".type"}, incomplete: true},
		"TypeUnknown":      {reason: "A misspelt type could have been any.", services: `[{name: api, connections: [{type: awsrole, role: r}]}]`, want: []string{"FieldValueNotSupported " + conn + ".type"}, incomplete: true},
		"RoleNumber":       {reason: "A field of a wrong type isn't called missing as well.", services: `[{name: api, connections: [{type: awsRole, role: 5}]}]`, want: []string{"FieldValueTypeInvalid " + conn + ".role"}},
		"RoleNull":         {reason: "Null is no value.", services: `[{name: api, connections: [{type: awsRole, role: null}]}]`, want: []string{"FieldValueRequired " + conn + ".role"}},
		"ConfigText":       {reason: "One mistake is told once: what is in the config can't be missing.", services: `[{name: api, connections: [{type: cloudSql, config: text}]}]`, want: []string{"FieldValueTypeInvalid " + cfg}},
		"ConfigNull":       {reason: "Null is no config.", services: `[{name: api, connections: [{type: disk, config: null}]}]`, want: []string{"FieldValueRequired " + cfg}},
		"PortText":         {reason: "A port is a number.", services: `[{name: api, connections: [{type: cloudSql, config: {cloudSqlConnectionName: "my-project:r:db", cloudSqlServiceAccount: my-account, cloudSqlDatabasePort: "5432"}}]}]`, want: []string{"FieldValueTypeInvalid " + cfg + ".cloudSqlDatabasePort"}},
		"PortFraction":     {reason: "A port is whole.", services: `[{name: api, connections: [{type: cloudSql, config: {cloudSqlConnectionName: "my-project:r:db", cloudSqlServiceAccount: my-account, cloudSqlDatabasePort: 1.5}}]}]`, want: []string{"FieldValueTypeInvalid " + cfg + ".cloudSqlDatabasePort"}},
		"PortNull":         {reason: "Null is no port.", services: `[{name: api, connections: [{type: cloudSql, config: {cloudSqlConnectionName: "my-project:r:db", cloudSqlServiceAccount: my-account, cloudSqlDatabasePort: null}}]}]`, want: []string{"FieldValueRequired " + cfg + ".cloudSqlDatabasePort"}},
		"PortBeyondInt32":  {reason: "A port that is far too large must not wrap around into a good one.", services: `[{name: api, connections: [{type: cloudSql, config: {cloudSqlConnectionName: "my-project:r:db", cloudSqlServiceAccount: my-account, cloudSqlDatabasePort: 4294972728}}]}]`, want: []string{"FieldValueInvalid " + cfg + ".cloudSqlDatabasePort"}},
		"GroupBeyond2To53": {reason: "A number that lost digits on its way isn't one.", services: `[{name: api, connections: [{type: disk, config: {diskName: d, fsGroup: 1e300}}]}]`, want: []string{"FieldValueTypeInvalid " + cfg + ".fsGroup"}},
		"SwitchText":       {reason: "A switch is on or off.", services: `[{name: api, connections: [{type: disk, config: {diskName: d, readOnly: "yes"}}]}]`, want: []string{"FieldValueTypeInvalid " + cfg + ".readOnly"}},

		// Duplicates.
		"DuplicateService": {
			reason:   "Which of the two holds is unknown, so nothing has left; the first works.",
			services: `[{name: api, connections: [` + good + `]}, {name: api, connections: [{type: disk, config: {}}]}]`,
			want:     []string{"FieldValueDuplicate spec.services[1].name", "FieldValueRequired spec.services[1].connections[0].config.diskName"}, incomplete: true, usable: []string{"api/awsRole"},
		},
		"DuplicateType": {
			reason:   "The first of a type works, and mistakes in the second are told all the same.",
			services: `[{name: api, connections: [` + good + `, {type: awsRole}]}]`,
			want:     []string{"FieldValueDuplicate " + first + ".connections[1]", "FieldValueRequired " + first + ".connections[1].role"}, usable: []string{"api/awsRole"},
		},
		"DuplicateName": {
			reason:   "It may be another one of the service, whose name is a mistake, so none has left.",
			services: `[{name: api, connections: [{type: disk, name: a, config: {diskName: d}}, {type: disk, name: a, config: {diskName: e}}, ` + good + `]}]`,
			want:     []string{"FieldValueDuplicate " + first + ".connections[1]"}, incomplete: true, usable: []string{"api/disk/a", "api/awsRole"},
		},
		"DuplicateWithoutName": {
			reason:   "Of disks, only those that have a name may be several.",
			services: `[{name: api, connections: [{type: disk, config: {diskName: d}}, {type: disk, name: "", config: {diskName: e}}]}]`,
			want:     []string{"FieldValueDuplicate " + first + ".connections[1]"}, incomplete: true, usable: []string{"api/disk"},
		},
		"Names":             {reason: "Names tell connections of one type apart, and one may have none.", services: `[{name: api, connections: [{type: disk, name: a, config: {diskName: d}}, {type: disk, name: b-2, config: {diskName: e}}, {type: disk, config: {diskName: f}}]}]`, usable: []string{"api/disk/a", "api/disk/b-2", "api/disk"}},
		"NameOfNone":        {reason: "The API server writes an empty name where there is none.", services: `[{name: api, connections: [{type: awsRole, name: "", role: r}, {type: disk, name: "", config: {diskName: d}}]}]`, usable: []string{"api/awsRole", "api/disk"}},
		"NameOfAnIdentity":  {reason: "There is one of its type, so it is plain which it is.", services: `[{name: api, connections: [{type: awsRole, name: a, role: r}]}]`, want: []string{"FieldValueForbidden " + conn + ".name"}},
		"NameThatIsNone":    {reason: "Which connection it was can't be told.", services: `[{name: api, connections: [{type: disk, name: A_b, config: {diskName: d}}]}]`, want: []string{"FieldValueInvalid " + conn + ".name"}, incomplete: true},
		"NameThatIsNumber":  {reason: "Which connection it was can't be told.", services: `[{name: api, connections: [{type: disk, name: 5, config: {diskName: d}}]}]`, want: []string{"FieldValueTypeInvalid " + conn + ".name"}, incomplete: true},
		"NameThatIsTooLong": {reason: "It is part of other names.", services: `[{name: api, connections: [{type: disk, name: a23456789012345678901, config: {diskName: d}}]}]`, want: []string{"FieldValueTooLong " + conn + ".name"}, incomplete: true},
		"DisksAtOnePath":    {reason: "One would hide the other. Neither has left.", services: `[{name: api, connections: [{type: disk, name: a, config: {diskName: d}}, {type: disk, name: b, config: {diskName: e, mountPath: /data/d}}]}]`, want: []string{"FieldValueInvalid " + first + ".connections"}, usable: []string{"api/disk/a", "api/disk/b"}},
		"DisksOfTwoGroups":  {reason: "A pod has one group.", services: `[{name: api, connections: [{type: disk, name: a, config: {diskName: d, fsGroup: 1}}, {type: disk, name: b, config: {diskName: e}}, {type: disk, name: c, config: {diskName: f, fsGroup: 2}}]}]`, want: []string{"FieldValueInvalid " + first + ".connections"}, usable: []string{"api/disk/a", "api/disk/b", "api/disk/c"}},
		"DuplicateContainer": {
			reason:   "A set names each once.",
			services: `[{name: api, containers: [a, b, a], connections: [` + good + `]}]`,
			want:     []string{"FieldValueDuplicate " + first + ".containers[2]"},
		},

		// Mistakes in a service are those of all its connections.
		"Containers":         {reason: "Each container is told by its place.", services: `[{name: api, containers: [5, Bad], connections: [` + good + `]}]`, want: []string{"FieldValueTypeInvalid " + first + ".containers[0]", "FieldValueInvalid " + first + ".containers[1]"}},
		"ContainersText":     {reason: "Containers are a list.", services: `[{name: api, containers: api, connections: [` + good + `]}]`, want: []string{"FieldValueTypeInvalid " + first + ".containers"}},
		"ServiceAccount":     {reason: "It must be able to exist.", services: `[{name: api, serviceAccountName: A_B, connections: [` + good + `]}]`, want: []string{"FieldValueInvalid " + first + ".serviceAccountName"}},
		"ServiceAccountNone": {reason: "An empty name would quietly mean another account.", services: `[{name: api, serviceAccountName: "", connections: [` + good + `]}]`, want: []string{"FieldValueRequired " + first + ".serviceAccountName"}},
		"Requirement":        {reason: "A word in quotes isn't true, and must not pass for false.", services: `[{name: api, requireInjection: "true", connections: [` + good + `]}]`, want: []string{"FieldValueTypeInvalid " + first + ".requireInjection"}},
		"WorkloadText":       {reason: "A workload is an object.", services: `[{name: api, workload: api, connections: [` + good + `]}]`, want: []string{"FieldValueTypeInvalid " + first + ".workload"}},
		"WorkloadNoName":     {reason: "A workload has a name.", services: `[{name: api, workload: {kind: Job, apiVersion: batch/v1}, connections: [` + good + `]}]`, want: []string{"FieldValueRequired " + first + ".workload.name"}},
		"WorkloadName":       {reason: "It must be able to exist.", services: `[{name: api, workload: {name: A}, connections: [` + good + `]}]`, want: []string{"FieldValueInvalid " + first + ".workload.name"}},
		"WorkloadKind":       {reason: "Pods of other kinds can't be told.", services: `[{name: api, workload: {kind: Service, name: a}, connections: [` + good + `]}]`, want: []string{"FieldValueNotSupported " + first + ".workload.kind"}},
		"WorkloadAPIVersion": {reason: "A kind has one apiVersion.", services: `[{name: api, workload: {kind: CronJob, name: a}, connections: [` + good + `]}]`, want: []string{"FieldValueInvalid " + first + ".workload.apiVersion"}},

		// Unknown fields.
		"UnknownInService": {
			reason:   "A service-level field that isn't known may be connections misspelt, so none have left; those that can be read go on.",
			services: `[{name: api, containres: [api], requireInjections: true, connections: [` + good + `]}]`,
			want:     []string{"FieldValueForbidden " + first + ".containres", "FieldValueForbidden " + first + ".requireInjections"}, incomplete: true, usable: []string{"api/awsRole"},
		},
		"UnknownInWorkload": {
			reason:   "A workload's fields are of the service.",
			services: `[{name: api, workload: {name: api, namespace: b}, connections: [` + good + `]}]`,
			want:     []string{"FieldValueForbidden " + first + ".workload.namespace"}, incomplete: true, usable: []string{"api/awsRole"},
		},
		"UnknownInConnection": {
			reason:   "What a connection asks for in vain keeps it, and no other, from being expanded.",
			services: `[{name: api, connections: [{type: awsRole, role: r, crate: {}, roles: {}}, {type: disk, config: {diskName: d}}]}]`,
			want:     []string{"FieldValueForbidden " + conn + ".crate", "FieldValueForbidden " + conn + ".roles"}, usable: []string{"api/disk"},
		},
		"UnknownInConfig": {
			reason:   "A disk that should be read-only must not be mounted writable.",
			services: `[{name: api, connections: [{type: disk, config: {diskName: d, readonly: true}}, ` + good + `]}]`,
			want:     []string{"FieldValueForbidden " + cfg + ".readonly"}, usable: []string{"api/awsRole"},
		},
		"UnknownInForeignConfig": {
			reason:   "A config that doesn't belong there is one mistake, whatever is in it.",
			services: `[{name: api, connections: [{type: awsRole, role: r, config: {x: y}}]}]`,
			want:     []string{"FieldValueForbidden " + cfg},
		},
		"UnknownInDuplicate": {
			reason:   "Mistakes in the second of a type are told all the same.",
			services: `[{name: api, connections: [` + good + `, {type: awsRole, role: r, x: y}]}]`,
			want:     []string{"FieldValueDuplicate " + first + ".connections[1]", "FieldValueForbidden " + first + ".connections[1].x"}, usable: []string{"api/awsRole"},
		},

		// All at once.
		"Everything": {
			reason: "Every mistake is listed, and what is good works.",
			services: `
- workload: {name: Bad}
  connections: [{type: awsRole, role: "a b"}, {type: disk, role: r, config: {diskName: d, ipType: PSC}}]
- name: web
  connections: [{type: nope}, {type: gcpServiceAccount, serviceAccountEmail: me@example.com}, {type: disk, config: {diskName: d}}]
`,
			want: []string{
				"FieldValueRequired " + first + ".name",
				"FieldValueInvalid " + first + ".workload.name",
				"FieldValueInvalid " + first + ".connections[0].role",
				"FieldValueForbidden " + first + ".connections[1].role",
				"FieldValueForbidden " + first + ".connections[1].config.ipType",
				"FieldValueNotSupported spec.services[1].connections[0].type",
				"FieldValueInvalid spec.services[1].connections[1].serviceAccountEmail",
			},
			incomplete: true, usable: []string{"web/disk"},
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			c := read(parse(t, tc.services))

			if diff := cmp.Diff(tc.want, mistakes(c.Errors)); diff != "" {
				t.Errorf("%s\nmistakes (-want +got):\n%s\n%v", tc.reason, diff, c.Errors.ToAggregate())
			}

			if c.Incomplete != tc.incomplete {
				t.Errorf("%s\nwant incomplete %v, got %v", tc.reason, tc.incomplete, c.Incomplete)
			}

			var usable []string
			for _, s := range c.Services {
				for _, e := range s.Entries {
					if len(e.Errors) == 0 {
						usable = append(usable, s.Name+"/"+e.ID().String())
					}
				}
			}

			if diff := cmp.Diff(tc.usable, usable); diff != "" {
				t.Errorf("%s\nusable connections (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

// A message has what a team can do about it.
func TestUnknownFieldMessages(t *testing.T) {
	t.Parallel()

	c := read(parse(t, `[{name: api, containres: [], workload: {name: api, knd: Job}, connections: [{type: awsRole, role: r, creates: {}}, {type: disk, config: {diskName: d, readonly: true}}]}]`))
	want := []string{
		"spec.services[0].containres: Forbidden: unknown field; the fields here are name, workload, containers, serviceAccountName, requireInjection, connections",
		"spec.services[0].workload.knd: Forbidden: unknown field; the fields here are apiVersion, kind, name",
		"spec.services[0].connections[0].creates: Forbidden: unknown field; the fields here are type, role, create, targetRoleArn, disableSessionTags",
		"spec.services[0].connections[1].config.readonly: Forbidden: unknown field; the fields here are diskName, mountPath, readOnly, subPath, fsGroup",
	}

	got := make([]string, 0, len(c.Errors))
	for _, err := range c.Errors {
		got = append(got, err.Error())
	}

	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("an unknown field is told with those that are known (-want +got):\n%s", diff)
	}
}

// Integers come as float64 from JSON, and as int64 from Kubernetes' decoder.
func TestReadInt64(t *testing.T) {
	t.Parallel()

	c := read([]any{map[string]any{"name": "api", "connections": []any{
		map[string]any{"type": "disk", "config": map[string]any{"diskName": "d", "fsGroup": int64(7)}},
	}}})

	if diff := cmp.Diff(new(int64(7)), c.Services[0].Connections[0].Config.FSGroup); diff != "" || len(c.Errors) > 0 {
		t.Errorf("an int64 is an integer (-want +got):\n%s%v", diff, c.Errors.ToAggregate())
	}
}

func TestServiceAccount(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		reason   string
		service  claim.Service
		want     string
		composed bool
	}{
		"Composed": {reason: "A service gets a ServiceAccount of its own.", service: claim.Service{Name: "api"}, want: "shop-api", composed: true},
		"Named":    {reason: "A ServiceAccount that the team names is used.", service: claim.Service{Name: "api", ServiceAccountName: "mine"}, want: "mine"},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got, composed := (&claim.Claim{Name: "shop"}).ServiceAccount(tc.service)
			if got != tc.want || composed != tc.composed {
				t.Errorf("%s\nwant %q, composed %v; got %q, %v", tc.reason, tc.want, tc.composed, got, composed)
			}
		})
	}
}

func TestTooMuch(t *testing.T) {
	t.Parallel()

	repeat := func(n int, entry string) string { return "[" + strings.Repeat(entry+", ", n-1) + entry + "]" }
	unknown := ""
	for i := range 100 {
		unknown += fmt.Sprintf(", u%02d: x", i)
	}
	cases := map[string]struct {
		reason     string
		claim      string
		mistake    string
		mistakes   int
		incomplete bool
	}{
		"Services": {
			reason:  "What is beyond the schema's bound isn't read, so nothing has left.",
			claim:   repeat(1000, "{}"),
			mistake: "FieldValueTooMany spec.services", mistakes: 101, incomplete: true,
		},
		"Connections": {
			reason:  "The same holds for the connections of a service.",
			claim:   "[{name: api, connections: " + repeat(1000, "{type: disk, config: {diskName: d}}") + "}]",
			mistake: "FieldValueTooMany spec.services[0].connections", mistakes: 10, incomplete: true,
		},
		"Containers": {
			reason:  "Containers beyond the bound are no reason to keep what has left.",
			claim:   "[{name: api, containers: " + repeat(1000, "c") + "}]",
			mistake: "FieldValueTooMany spec.services[0].containers", mistakes: 32,
		},
		"UnknownFields": {
			reason:  "Ten of an object are told by name.",
			claim:   "[{name: api" + unknown + "}]",
			mistake: "FieldValueForbidden spec.services[0]", mistakes: 11, incomplete: true,
		},
		"Text": {
			reason:  "A text that no field takes isn't read, nor told.",
			claim:   "[{name: api, serviceAccountName: " + strings.Repeat("a", 10_000) + "}]",
			mistake: "FieldValueTooLong spec.services[0].serviceAccountName", mistakes: 1,
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			c := read(parse(t, tc.claim))
			if got := mistakes(c.Errors); !slices.Contains(got, tc.mistake) || len(got) != tc.mistakes {
				t.Errorf("%s\nwant %d mistakes with %q, got %q", tc.reason, tc.mistakes, tc.mistake, got)
			}
			if c.Incomplete != tc.incomplete {
				t.Errorf("%s\nincomplete: want %v, got %v", tc.reason, tc.incomplete, c.Incomplete)
			}
			if text := c.Errors.ToAggregate().Error(); len(text) > 100*200 {
				t.Errorf("%s\nthe mistakes have %d bytes", tc.reason, len(text))
			}
		})
	}
}
