package package_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/test/schema"
)

// claims are the kinds that a ServiceConnection's schema is in: what a team
// writes in each package, and the composite resource that Crossplane makes of a
// claim.
func claims(t *testing.T) map[string]func(spec any) field.ErrorList {
	t.Helper()

	namespaced := schema.New(schema.Defined(t, "configuration/definition.yaml")...)
	claimed := schema.New(schema.Defined(t, "configuration-claims/definition.yaml")...)

	object := func(v *schema.Validator, kind string, metadata map[string]any) func(any) field.ErrorList {
		return func(spec any) field.ErrorList {
			return v.Validate(map[string]any{
				"apiVersion": "serviceconnections.io/v1alpha1",
				"kind":       kind,
				"metadata":   metadata,
				"spec":       spec,
			})
		}
	}

	return map[string]func(any) field.ErrorList{
		"Namespaced": object(namespaced, "ServiceConnection", map[string]any{"name": "shop", "namespace": "team-a"}),
		"Claim":      object(claimed, "ServiceConnection", map[string]any{"name": "shop", "namespace": "team-a"}),
		"Composite":  object(claimed, "XServiceConnection", map[string]any{"name": "shop-x7k2p"}),
	}
}

const (
	cloudSQL = `{type: cloudSql, config: {cloudSqlConnectionName: "my-project:europe-west1:db", cloudSqlDatabasePort: 5432, cloudSqlServiceAccount: my-account}}`
	long64   = "a234567890123456789012345678901234567890123456789012345678901234"
)

func TestServiceConnection(t *testing.T) {
	t.Parallel()

	// connections puts a list of connections into a spec with one service.
	connections := func(list ...string) string {
		return `services: [{name: api, connections: [` + strings.Join(list, ", ") + `]}]`
	}

	// service puts fields into a service that is otherwise good.
	service := func(fields string) string {
		return `services: [{connections: [{type: awsRole, role: r}], ` + fields + `}]`
	}

	// sql has one field of a cloudSql connection replaced.
	sql := func(name, value string) string {
		good := map[string]string{
			"cloudSqlConnectionName": `"my-project:europe-west1:db"`,
			"cloudSqlDatabasePort":   `5432`,
			"cloudSqlServiceAccount": `my-account`,
		}
		good[name] = value

		var config []string

		for k, v := range good {
			if v != "" {
				config = append(config, k+": "+v)
			}
		}

		return connections(`{type: cloudSql, config: {` + strings.Join(config, ", ") + `}}`)
	}

	policy := func(statement string) string {
		return connections(`{type: awsRole, role: uploads, create: {policy: {Version: "2012-10-17", Statement: [` + statement + `]}}}`)
	}

	// roles of services, with so many policyArns each of so many characters.
	roles := func(services, arns, characters int, policy bool) string {
		var b strings.Builder

		b.WriteString("services:\n")

		for i := range services {
			fmt.Fprintf(&b, "- {name: s%d, connections: [{type: awsRole, role: r, create: {policyArns: [", i)

			for j := range arns {
				arn := fmt.Sprintf("arn:aws:iam::123456789012:policy/p%02d", j)
				fmt.Fprintf(&b, `"%s", `, strings.Replace(arn, "policy/", "policy/"+strings.Repeat("a", min(characters-len(arn)-1, 512))+"/", 1)+strings.Repeat("a", max(0, characters-len(arn)-513)))
			}

			b.WriteString("]")

			if policy {
				b.WriteString(`, policy: {Version: "2012-10-17", Statement: [{Effect: Allow}]}`)
			}

			b.WriteString("}}]}\n")
		}

		return b.String()
	}

	const (
		first  = "spec.services[0]"
		conn   = first + ".connections[0]"
		config = conn + ".config"
	)

	services := func(n int) string {
		var b strings.Builder

		b.WriteString("services:\n")

		for i := range n {
			fmt.Fprintf(&b, "- {name: s%d, connections: [{type: awsRole, role: r}]}\n", i)
		}

		return b.String()
	}

	cases := map[string]struct {
		reason string
		spec   string
		field  string // The field that the error must be on; empty if the spec is good.
		want   string // Part of the error.
	}{
		// What teams may write.
		"AllTypes": {
			reason: "A service may have one connection of each type, with every field.",
			spec: `
services:
- name: api
  workload: {apiVersion: apps/v1, kind: StatefulSet, name: api.v2}
  containers: [api, migrate]
  serviceAccountName: api-sa
  requireInjection: true
  connections:
  - type: awsRole
    role: arn:aws:iam::123456789012:role/teams/a/my-app-s3-access
    targetRoleArn: arn:aws:iam::210987654321:role/data
  - type: azureManagedIdentity
    identityName: my-identity
    resourceGroup: rg-(a).b
    subscriptionId: 00000000-1111-2222-3333-444444444444
  - type: cloudSql
    config:
      cloudSqlConnectionName: my-project-123456:europe-west1:my-instance
      cloudSqlDatabasePort: 5432
      cloudSqlServiceAccount: my-account@my-project-123456.iam.gserviceaccount.com
      ipType: Private
      autoIamAuthn: true
  - type: disk
    config: {diskName: cache-storage, mountPath: /data/cache, readOnly: true, subPath: a/b, fsGroup: 1000}
  - type: gcpServiceAccount
    serviceAccountEmail: my-account@my-project-123456.iam.gserviceaccount.com
`,
		},
		"Least": {
			reason: "Every optional field may be left out.",
			spec: connections(`{type: awsRole, role: r}`, `{type: azureManagedIdentity, identityName: abc, resourceGroup: r}`,
				cloudSQL, `{type: disk, config: {diskName: d}}`, `{type: gcpServiceAccount, serviceAccountEmail: abcdef@p.iam.gserviceaccount.com}`),
		},
		"SeveralDisks": {
			reason: "Names tell them apart, and one needs none. Two may be folders of one disk.",
			spec: connections(`{type: disk, config: {diskName: d, fsGroup: 1}}`, `{type: disk, name: uploads, config: {diskName: e, fsGroup: 1}}`,
				`{type: disk, name: e-2, config: {diskName: e, mountPath: /srv/e, subPath: a}}`),
		},
		"SeveralDatabases": {
			reason: "Names and ports tell them apart, and one needs no name.",
			spec: connections(`{type: cloudSql, config: {cloudSqlConnectionName: "my-project:r:db", cloudSqlDatabasePort: 5432, cloudSqlServiceAccount: my-account}}`,
				`{type: cloudSql, name: orders, config: {cloudSqlConnectionName: "my-project:r:db", cloudSqlDatabasePort: 5433, cloudSqlServiceAccount: my-account, ipType: PSC}}`),
		},
		"GivenVariables": {
			reason: "A database's variables are called as an application looks for them, or as another one's would be by default.",
			spec: connections(`{type: cloudSql, env: {host: PGHOST, port: PGPORT, instanceConnectionName: SQL_INSTANCE}, config: {cloudSqlConnectionName: "my-project:r:db", cloudSqlDatabasePort: 5432, cloudSqlServiceAccount: my-account}}`,
				`{type: cloudSql, name: orders, env: {host: DB_HOST, port: MYSQL_TCP_PORT}, config: {cloudSqlConnectionName: "my-project:r:db", cloudSqlDatabasePort: 5433, cloudSqlServiceAccount: my-account}}`),
		},
		"TenConnections": {
			reason: "As many as a service may have.",
			spec:   connections(disks(10)...),
		},
		"PorterExample": {
			reason: "A Cloud SQL connection that was written for porter.yaml works as it stands.",
			spec:   sql("cloudSqlServiceAccount", `"my-service-account"`),
		},
		"HundredServices": {
			reason: "A claim holds up to 100 services.",
			spec:   services(100),
		},
		"DomainScopedProject": {
			reason: "Old Google projects have a domain before their id.",
			spec:   sql("cloudSqlConnectionName", `"example.com:my-project:europe-west1:db"`),
		},
		"DefaultComputeAccount": {
			reason: "Google's own default accounts have other domains, and ids that start with a digit.",
			spec:   sql("cloudSqlServiceAccount", "123456789012-compute@developer.gserviceaccount.com"),
		},
		"GovCloudRole": {
			reason: "ARNs of all AWS partitions are ARNs.",
			spec:   connections(`{type: awsRole, role: "arn:aws-us-gov:iam::123456789012:role/r"}`),
		},
		"RoleNameCharacters": {
			reason: "IAM allows these in role names.",
			spec:   connections(`{type: awsRole, role: "My_App+=,.@-1"}`),
		},
		"Rollout": {
			reason: "An Argo Rollout is a workload.",
			spec:   service(`name: api, workload: {apiVersion: argoproj.io/v1alpha1, kind: Rollout, name: api}`),
		},
		"WorkloadDefaults": {
			reason: "apiVersion and kind default to those of a Deployment.",
			spec:   service(`name: api, workload: {name: other}`),
		},
		"SameTypeInTwoServices": {
			reason: "Only within one service is a type unique.",
			spec:   `services: [{name: a, connections: [{type: awsRole, role: r}]}, {name: b, connections: [{type: awsRole, role: r}]}]`,
		},
		"HighestPort": {
			reason: "Ports go up to 65535.",
			spec:   sql("cloudSqlDatabasePort", "65535"),
		},

		// Services.
		"NoServices": {
			reason: "A claim without services is a mistake.",
			spec:   `{}`,
			field:  "spec.services",
			want:   "Required value",
		},
		"EmptyServices": {
			reason: "A claim without services is a mistake.",
			spec:   `services: []`,
			field:  "spec.services",
			want:   "at least 1 items",
		},
		"TooManyServices": {
			reason: "The cost of a reconcile is bounded.",
			spec:   services(101),
			field:  "spec.services",
			want:   "must have at most 100 items",
		},
		"DuplicateService": {
			reason: "A service is known by its name.",
			spec:   `services: [{name: a, connections: [{type: awsRole, role: r}]}, {name: a, connections: [{type: awsRole, role: s}]}]`,
			field:  "spec.services[1]",
			want:   `Duplicate value: {"name":"a"}`,
		},
		"ServiceWithoutName": {
			reason: "A service is known by its name.",
			spec:   `services: [{connections: [{type: awsRole, role: r}]}]`,
			field:  first + ".name",
			want:   "Required value",
		},
		"ServiceNameNotALabel": {
			reason: "The name becomes part of object names.",
			spec:   service(`name: My_Api`),
			field:  first + ".name",
			want:   "should match",
		},
		"ServiceNameWithDot": {
			reason: "A dot would make two names out of one.",
			spec:   service(`name: a.b`),
			field:  first + ".name",
			want:   "should match",
		},
		"ServiceNameTooLong": {
			reason: "A DNS label has 63 characters.",
			spec:   service(`name: ` + long64),
			field:  first + ".name",
			want:   "may not be more than 63",
		},
		"ServiceNameTrailingNewline": {
			reason: "An end of text that also matches before a newline would let one through.",
			spec:   service(`name: "api\n"`),
			field:  first + ".name",
			want:   "should match",
		},
		"ServiceNameEmpty": {
			reason: "An empty name is none.",
			spec:   service(`name: ""`),
			field:  first + ".name",
			want:   "at least 1 chars",
		},
		"ServiceUnknownField": {
			reason: "A misspelt field must not be lost.",
			spec:   service(`name: api, serviceAccount: a`),
			field:  first + ".serviceAccount",
			want:   "unknown field",
		},
		"ServiceAccountNameMalformed": {
			reason: "It must be able to exist.",
			spec:   service(`name: api, serviceAccountName: Api`),
			field:  first + ".serviceAccountName",
			want:   "should match",
		},
		"ServiceAccountNameTrailingNewline": {
			reason: "The name becomes part of trust policies.",
			spec:   service(`name: api, serviceAccountName: "api\n"`),
			field:  first + ".serviceAccountName",
			want:   "should match",
		},
		"ContainerTwice": {
			reason: "The list is a set.",
			spec:   service(`name: api, containers: [a, a]`),
			field:  first + ".containers[1]",
			want:   `Duplicate value: "a"`,
		},
		"ContainerMalformed": {
			reason: "No container can have this name.",
			spec:   service(`name: api, containers: [A]`),
			field:  first + ".containers[0]",
			want:   "should match",
		},
		"NoConnections": {
			reason: "A service without connections is a mistake.",
			spec:   `services: [{name: api}]`,
			field:  first + ".connections",
			want:   "Required value",
		},
		"EmptyConnections": {
			reason: "A service without connections is a mistake.",
			spec:   `services: [{name: api, connections: []}]`,
			field:  first + ".connections",
			want:   "at least 1 items",
		},

		// Workloads.
		"UnknownWorkloadKind": {
			reason: "Only kinds whose pod template is known can be patched.",
			spec:   service(`name: api, workload: {apiVersion: v1, kind: ReplicationController, name: api}`),
			field:  first + ".workload.kind",
			want:   "Unsupported value",
		},
		"UnknownWorkloadAPIVersion": {
			reason: "No such API exists.",
			spec:   service(`name: api, workload: {apiVersion: apps/v2, kind: Deployment, name: api}`),
			field:  first + ".workload.apiVersion",
			want:   "Unsupported value",
		},
		"DeploymentInBatch": {
			reason: "A kind belongs to one API.",
			spec:   service(`name: api, workload: {apiVersion: batch/v1, kind: Deployment, name: api}`),
			field:  first + ".workload.apiVersion",
			want:   "this kind has apiVersion apps/v1",
		},
		"CronJobByDefaultAPIVersion": {
			reason: "The default apiVersion is a Deployment's, and the message says which one it should be.",
			spec:   service(`name: api, workload: {kind: CronJob, name: api}`),
			field:  first + ".workload.apiVersion",
			want:   "this kind has apiVersion batch/v1",
		},
		"PodByDefaultAPIVersion": {
			reason: "The default apiVersion is a Deployment's.",
			spec:   service(`name: api, workload: {kind: Pod, name: api}`),
			field:  first + ".workload.apiVersion",
			want:   "a Pod has apiVersion v1",
		},
		"RolloutByDefaultAPIVersion": {
			reason: "The default apiVersion is a Deployment's.",
			spec:   service(`name: api, workload: {kind: Rollout, name: api}`),
			field:  first + ".workload.apiVersion",
			want:   "a Rollout has apiVersion argoproj.io/v1alpha1",
		},
		"WorkloadWithoutName": {
			reason: "A workload that is stated needs a name.",
			spec:   service(`name: api, workload: {kind: StatefulSet}`),
			field:  first + ".workload.name",
			want:   "Required value",
		},
		"WorkloadNameMalformed": {
			reason: "No workload can have this name.",
			spec:   service(`name: api, workload: {name: Api}`),
			field:  first + ".workload.name",
			want:   "should match",
		},

		// Connections of all types.
		"UnknownType": {
			reason: "A type that nobody knows can't be connected.",
			spec:   connections(`{type: awsrole, role: r}`),
			field:  conn + ".type",
			want:   `Unsupported value: "awsrole": supported values: "awsRole"`,
		},
		"NoType": {
			reason: "Nothing else says what the fields mean.",
			spec:   connections(`{role: r}`),
			field:  conn + ".type",
			want:   "Required value",
		},
		"SecondOfOneType": {
			reason: "One service has one identity in each cloud.",
			spec:   connections(`{type: awsRole, role: r}`, `{type: awsRole, role: s}`),
			field:  first + ".connections[1]",
			want:   `Duplicate value: {"name":"","type":"awsRole"}`,
		},
		"SecondOfOneTypeWhy": {
			reason: "Why there can't be two is told, too.",
			spec:   connections(`{type: awsRole, role: r}`, `{type: awsRole, role: s}`),
			field:  first + ".connections",
			want:   "a service has one awsRole, because its pods run as one ServiceAccount",
		},
		"SecondWithAName": {
			reason: "A name doesn't make it two identities.",
			spec:   connections(`{type: gcpServiceAccount, serviceAccountEmail: abcdef@p.iam.gserviceaccount.com}`, `{type: gcpServiceAccount, name: b, serviceAccountEmail: abcdef@p.iam.gserviceaccount.com}`),
			field:  first + ".connections[1].name",
			want:   "a service has one gcpServiceAccount, because its pods run as one ServiceAccount",
		},
		"SecondDiskWithoutName": {
			reason: "Two disks are told apart by their names.",
			spec:   connections(`{type: disk, config: {diskName: d}}`, `{type: disk, config: {diskName: e}}`),
			field:  first + ".connections[1]",
			want:   `Duplicate value: {"name":"","type":"disk"}`,
		},
		"TwoOfOneName": {
			reason: "A name is one disk's.",
			spec:   connections(`{type: disk, name: a, config: {diskName: d}}`, `{type: disk, name: a, config: {diskName: e}}`),
			field:  first + ".connections[1]",
			want:   `Duplicate value: {"name":"a","type":"disk"}`,
		},
		"NameNoLabel": {
			reason: "It becomes part of a volume's name.",
			spec:   connections(`{type: disk, name: My_Disk, config: {diskName: d}}`),
			field:  conn + ".name",
			want:   "should match",
		},
		"NameTooLong": {
			reason: "It becomes part of a volume's name.",
			spec:   connections(`{type: disk, name: a23456789012345678901, config: {diskName: d}}`),
			field:  conn + ".name",
			want:   "may not be more than 20",
		},
		"TwoDisksAtOnePath": {
			reason: "One would hide the other, also where one is there by default.",
			spec:   connections(`{type: disk, name: a, config: {diskName: d}}`, `{type: disk, name: b, config: {diskName: e, mountPath: /data/d}}`),
			field:  first + ".connections",
			want:   "two disks of a service are mounted at one path",
		},
		"TwoGroups": {
			reason: "A pod has one group for all of its volumes.",
			spec:   connections(`{type: disk, name: a, config: {diskName: d, fsGroup: 1}}`, `{type: disk, config: {diskName: f}}`, `{type: disk, name: b, config: {diskName: e, fsGroup: 2}}`),
			field:  first + ".connections",
			want:   "a pod has one fsGroup",
		},
		"TwoDatabasesOnOnePort": {
			reason: "All containers of a pod share its ports.",
			spec: connections(`{type: cloudSql, config: {cloudSqlConnectionName: "my-project:r:db", cloudSqlDatabasePort: 5432, cloudSqlServiceAccount: my-account}}`,
				`{type: cloudSql, name: orders, config: {cloudSqlConnectionName: "my-project:r:orders", cloudSqlDatabasePort: 5432, cloudSqlServiceAccount: my-account}}`),
			field: first + ".connections",
			want:  "two databases of a service have one port",
		},
		"TwoDatabasesWithOneVariable": {
			reason: "It would lead to one of them only.",
			spec: connections(`{type: cloudSql, env: {port: PGPORT}, config: {cloudSqlConnectionName: "my-project:r:db", cloudSqlDatabasePort: 5432, cloudSqlServiceAccount: my-account}}`,
				`{type: cloudSql, name: orders, env: {port: PGPORT}, config: {cloudSqlConnectionName: "my-project:r:orders", cloudSqlDatabasePort: 5433, cloudSqlServiceAccount: my-account}}`),
			field: first + ".connections",
			want:  "two databases of a service have one variable; give one of them another env.port",
		},
		"AnothersVariableByDefault": {
			reason: "So would one that another database has by default.",
			spec: connections(`{type: cloudSql, env: {host: MY_ORDERS_DB_HOST}, config: {cloudSqlConnectionName: "my-project:r:db", cloudSqlDatabasePort: 5432, cloudSqlServiceAccount: my-account}}`,
				`{type: cloudSql, name: my-orders, config: {cloudSqlConnectionName: "my-project:r:orders", cloudSqlDatabasePort: 5433, cloudSqlServiceAccount: my-account}}`),
			field: first + ".connections",
			want:  "two databases of a service have one variable; give one of them another env.host",
		},
		"VariableOfALoader": {
			reason: "A process would obey it.",
			spec:   connections(strings.Replace(cloudSQL, "config:", "env: {host: LD_PRELOAD}, config:", 1)),
			field:  conn + ".env.host",
			want:   "must be capital letters, digits and _, with a word for databases",
		},
		"VariableTooLong": {
			reason: "What pods get is bounded.",
			spec:   connections(strings.Replace(cloudSQL, "config:", "env: {host: "+strings.Repeat("X", 60)+"_DB_HOST}, config:", 1)),
			field:  conn + ".env.host",
			want:   "may not be more than 63",
		},
		"VariableOfAnotherField": {
			reason: "A name says what it is for.",
			spec:   connections(strings.Replace(cloudSQL, "config:", "env: {port: PGHOST}, config:", 1)),
			field:  conn + ".env.port",
			want:   "before PORT, such as PGPORT",
		},
		"VariablesOfADisk": {
			reason: "It gives pods none.",
			spec:   connections(`{type: disk, env: {host: PGHOST}, config: {diskName: d}}`),
			field:  conn + ".env",
			want:   "Forbidden: env is a field of cloudSql only",
		},
		"ElevenConnections": {
			reason: "What pods get is bounded.",
			spec:   connections(disks(11)...),
			field:  first + ".connections",
			want:   "must have at most 10 items",
		},
		"UnknownField": {
			reason: "A misspelt field must not be lost.",
			spec:   connections(`{type: awsRole, role: r, roleArn: r}`),
			field:  conn + ".roleArn",
			want:   "unknown field",
		},
		"UnknownConfigField": {
			reason: "A misspelt field must not be lost.",
			spec:   connections(`{type: disk, config: {diskName: d, path: /d}}`),
			field:  config + ".path",
			want:   "unknown field",
		},

		// awsRole.
		"AWSNoRole": {
			reason: "The role is the point.",
			spec:   connections(`{type: awsRole}`),
			field:  conn + ".role",
			want:   "Required value: role is required for awsRole",
		},
		"AWSRoleEmpty": {
			reason: "An empty role is none.",
			spec:   connections(`{type: awsRole, role: ""}`),
			field:  conn + ".role",
			want:   "must be",
		},
		"AWSRoleMalformed": {
			reason: "IAM allows no spaces in names.",
			spec:   connections(`{type: awsRole, role: "my role"}`),
			field:  conn + ".role",
			want:   "must be",
		},
		"AWSRoleNumber": {
			reason: "A number is not a name.",
			spec:   connections(`{type: awsRole, role: 7}`),
			field:  conn + ".role",
			want:   "must be of type string",
		},
		"AWSRoleNameTooLong": {
			reason: "IAM allows 64 characters.",
			spec:   connections(`{type: awsRole, role: ` + long64 + `5}`),
			field:  conn + ".role",
			want:   "must be",
		},
		"AWSRolePathWithoutARN": {
			reason: "A name has no path, only an ARN has.",
			spec:   connections(`{type: awsRole, role: teams/a/r}`),
			field:  conn + ".role",
			want:   "must be",
		},
		"AWSRoleTrailingNewline": {
			reason: "The name becomes part of an ARN.",
			spec:   connections(`{type: awsRole, role: "r\n"}`),
			field:  conn + ".role",
			want:   "must be",
		},
		"AWSUserARN": {
			reason: "A user is not a role.",
			spec:   connections(`{type: awsRole, role: "arn:aws:iam::123456789012:user/u"}`),
			field:  conn + ".role",
			want:   "must be",
		},
		"AWSTargetRoleName": {
			reason: "The target is in another account, which only an ARN names.",
			spec:   connections(`{type: awsRole, role: r, targetRoleArn: s}`),
			field:  conn + ".targetRoleArn",
			want:   "must be",
		},
		"AWSWithoutSessionTags": {
			reason: "A role may be had without session tags.",
			spec:   connections(`{type: awsRole, role: r, disableSessionTags: true}`),
		},
		"CreatedRoleWithoutSessionTags": {
			reason: "Its trust policy knows the ServiceAccount by them.",
			spec:   connections(`{type: awsRole, role: r, disableSessionTags: true, create: {}}`),
			field:  conn + ".disableSessionTags",
			want:   "must not be true where the role is created",
		},
		"AWSWithIdentityName": {
			reason: "identityName belongs to Azure.",
			spec:   connections(`{type: awsRole, role: r, identityName: abc}`),
			field:  conn + ".identityName",
			want:   "Forbidden: identityName is a field of azureManagedIdentity only",
		},
		"AWSWithResourceGroup": {
			reason: "resourceGroup belongs to Azure.",
			spec:   connections(`{type: awsRole, role: r, resourceGroup: abc}`),
			field:  conn + ".resourceGroup",
			want:   "Forbidden: resourceGroup is a field of azureManagedIdentity only",
		},
		"AWSWithSubscription": {
			reason: "subscriptionId belongs to Azure.",
			spec:   connections(`{type: awsRole, role: r, subscriptionId: 00000000-1111-2222-3333-444444444444}`),
			field:  conn + ".subscriptionId",
			want:   "Forbidden: subscriptionId is a field of azureManagedIdentity only",
		},
		"AWSWithConfig": {
			reason: "config belongs to cloudSql and disk.",
			spec:   connections(`{type: awsRole, role: r, config: {}}`),
			field:  conn + ".config",
			want:   "Forbidden: config is a field of cloudSql and disk only",
		},

		// azureManagedIdentity.
		"AzureNoIdentityName": {
			reason: "The identity is the point.",
			spec:   connections(`{type: azureManagedIdentity, resourceGroup: r}`),
			field:  conn + ".identityName",
			want:   "Required value: identityName is required for azureManagedIdentity",
		},
		"AzureNoResourceGroup": {
			reason: "An identity's name is unique in its resource group only.",
			spec:   connections(`{type: azureManagedIdentity, identityName: abc}`),
			field:  conn + ".resourceGroup",
			want:   "Required value: resourceGroup is required for azureManagedIdentity",
		},
		"AzureIdentityNameTooShort": {
			reason: "Azure wants three characters.",
			spec:   connections(`{type: azureManagedIdentity, identityName: ab, resourceGroup: r}`),
			field:  conn + ".identityName",
			want:   "must be",
		},
		"AzureIdentityNameWithSlash": {
			reason: "The name becomes part of an ARM id.",
			spec:   connections(`{type: azureManagedIdentity, identityName: abc/def, resourceGroup: r}`),
			field:  conn + ".identityName",
			want:   "must be",
		},
		"AzureResourceGroupWithSlash": {
			reason: "The name becomes part of an ARM id.",
			spec:   connections(`{type: azureManagedIdentity, identityName: abc, resourceGroup: a/b}`),
			field:  conn + ".resourceGroup",
			want:   "must be",
		},
		"AzureResourceGroupEndsInDot": {
			reason: "Azure forbids it.",
			spec:   connections(`{type: azureManagedIdentity, identityName: abc, resourceGroup: a.}`),
			field:  conn + ".resourceGroup",
			want:   "must be",
		},
		"AzureResourceGroupTrailingNewline": {
			reason: "The name becomes part of an ARM id.",
			spec:   connections(`{type: azureManagedIdentity, identityName: abc, resourceGroup: "r\n"}`),
			field:  conn + ".resourceGroup",
			want:   "must be",
		},
		"AzureSubscriptionNotAUUID": {
			reason: "A subscription is known by its id, not its name.",
			spec:   connections(`{type: azureManagedIdentity, identityName: abc, resourceGroup: r, subscriptionId: my-subscription}`),
			field:  conn + ".subscriptionId",
			want:   "must be",
		},
		"AzureWithRole": {
			reason: "role belongs to AWS.",
			spec:   connections(`{type: azureManagedIdentity, identityName: abc, resourceGroup: r, role: r}`),
			field:  conn + ".role",
			want:   "Forbidden: role is a field of awsRole only",
		},
		"AzureWithTargetRole": {
			reason: "targetRoleArn belongs to AWS.",
			spec:   connections(`{type: azureManagedIdentity, identityName: abc, resourceGroup: r, targetRoleArn: "arn:aws:iam::123456789012:role/r"}`),
			field:  conn + ".targetRoleArn",
			want:   "Forbidden: targetRoleArn is a field of awsRole only",
		},
		"CreatedRole": {
			reason: "A role may be created, with managed policies and a document.",
			spec:   connections(`{type: awsRole, role: uploads, create: {policyArns: ["arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"], policy: {Version: "2012-10-17", Statement: [{Effect: Allow, Action: "s3:*", Resource: "*", Condition: {StringEquals: {a: b}}}]}}}`),
		},
		"WholeGrammarOfPolicies": {
			reason: "What IAM takes in a policy, a claim takes.",
			spec:   policy(`{Sid: a, Effect: Deny, NotAction: ["s3:Get*", "s3:Put*"], NotResource: ["arn:aws:s3:::a", "arn:aws:s3:::b/*"], Condition: {Bool: {"aws:SecureTransport": false}, NumericLessThan: {"s3:max-keys": [10, "20"]}, StringEquals: {"aws:PrincipalTag/team": ["a", "b"]}}}`),
		},
		"NestedPolicy": {
			reason: "No policy is nested more deeply than a condition's values, and what is would be more than the function can read.",
			spec:   policy(`{Condition: {StringEquals: {a: {b: c}}}}`),
			field:  conn + ".create.policy.Statement[0].Condition.StringEquals.a",
			want:   "Too many: 1",
		},
		"ListsInAPolicysList": {
			reason: "A list of lists could hold more values than the function reads.",
			spec:   policy(`{Resource: [[], []]}`),
			field:  conn + ".create.policy.Statement[0].Resource[0]",
			want:   "should have at least 1 items",
		},
		"ObjectsInAPolicysList": {
			reason: "So could one of objects.",
			spec:   policy(`{Resource: [{}]}`),
			field:  conn + ".create.policy.Statement[0].Resource[0]",
			want:   "should have at least 1 properties",
		},
		"LongListInAPolicy": {
			reason: "IAM takes 6,144 characters of a policy, and so no longer list.",
			spec:   policy(`{Resource: [` + strings.Repeat("a, ", 200) + `a]}`),
			field:  conn + ".create.policy.Statement[0].Resource",
			want:   "must have at most 200 items",
		},
		"AllRolesWithAllPolicies": {
			reason: "A hundred services may have roles created with ten policies each.",
			spec:   roles(100, 10, 60, false),
		},
		"TooManyPolicies": {
			reason: "With more, what is composed is larger than the function can read, and so revoke.",
			spec:   roles(100, 1, 60, true),
			field:  "spec.services",
			want:   "more than 1000 policyArns together, of which a policy counts as 10",
		},
		"TooLongPolicyARNs": {
			reason: "So it is where they are long.",
			spec:   roles(100, 2, 600, false),
			field:  "spec.services",
			want:   "policyArns of more than 100000 characters together",
		},
		"CreatedRoleByARN": {
			reason: "A role that is created is given its name.",
			spec:   connections(`{type: awsRole, role: "arn:aws:iam::123456789012:role/r", create: {}}`),
			field:  conn + ".role",
			want:   "must be a base name",
		},
		"CreateInAnotherType": {
			reason: "Only roles are created.",
			spec:   connections(`{type: disk, config: {diskName: d}, create: {}}`),
			field:  conn + ".create",
			want:   "Forbidden: create is a field of awsRole only",
		},

		// cloudSql.
		"SQLNoConfig": {
			reason: "All of a cloudSql connection is in its config.",
			spec:   connections(`{type: cloudSql}`),
			field:  config + ".cloudSqlConnectionName",
			want:   "Required value: config.cloudSqlConnectionName is required for cloudSql",
		},
		"SQLNoConnectionName": {
			reason: "The instance is the point.",
			spec:   sql("cloudSqlConnectionName", ""),
			field:  config + ".cloudSqlConnectionName",
			want:   "Required value",
		},
		"SQLNoPort": {
			reason: "The proxy needs a port.",
			spec:   sql("cloudSqlDatabasePort", ""),
			field:  config + ".cloudSqlDatabasePort",
			want:   "Required value",
		},
		"SQLNoServiceAccount": {
			reason: "Without an account there is no access.",
			spec:   sql("cloudSqlServiceAccount", ""),
			field:  config + ".cloudSqlServiceAccount",
			want:   "Required value",
		},
		"SQLPortZero": {
			reason: "0 is no port.",
			spec:   sql("cloudSqlDatabasePort", "0"),
			field:  config + ".cloudSqlDatabasePort",
			want:   "greater than or equal to 1",
		},
		"SQLPortTooHigh": {
			reason: "Ports go up to 65535.",
			spec:   sql("cloudSqlDatabasePort", "70000"),
			field:  config + ".cloudSqlDatabasePort",
			want:   "less than or equal to 65535",
		},
		"SQLPortOfTheProxy": {
			reason: "The proxy's own health checks listen there.",
			spec:   sql("cloudSqlDatabasePort", "9801"),
			field:  config + ".cloudSqlDatabasePort",
			want:   "the proxy's own health checks listen on this port; use another",
		},
		"SQLPortString": {
			reason: "A port is an integer.",
			spec:   sql("cloudSqlDatabasePort", `"5432"`),
			field:  config + ".cloudSqlDatabasePort",
			want:   "must be of type integer",
		},
		"SQLPortFraction": {
			reason: "A port is an integer.",
			spec:   sql("cloudSqlDatabasePort", `5432.5`),
			field:  config + ".cloudSqlDatabasePort",
			want:   "must be of type integer",
		},
		"SQLConnectionNameTwoParts": {
			reason: "A connection name has three parts.",
			spec:   sql("cloudSqlConnectionName", `"my-project:db"`),
			field:  config + ".cloudSqlConnectionName",
			want:   "must be",
		},
		"SQLConnectionNameQuestionMark": {
			reason: "What follows a question mark is options to the proxy.",
			spec:   sql("cloudSqlConnectionName", `"my-project:europe-west1:db?address=0.0.0.0"`),
			field:  config + ".cloudSqlConnectionName",
			want:   "must be",
		},
		"SQLConnectionNameAmpersand": {
			reason: "An ampersand separates options to the proxy.",
			spec:   sql("cloudSqlConnectionName", `"my-project:europe-west1:db&port=1"`),
			field:  config + ".cloudSqlConnectionName",
			want:   "must be",
		},
		"SQLConnectionNameComma": {
			reason: "A comma separates instances.",
			spec:   sql("cloudSqlConnectionName", `"my-project:europe-west1:db,my-project:europe-west1:other"`),
			field:  config + ".cloudSqlConnectionName",
			want:   "must be",
		},
		"SQLConnectionNameSpace": {
			reason: "A space separates arguments in many places.",
			spec:   sql("cloudSqlConnectionName", `"my-project:europe-west1:db --debug"`),
			field:  config + ".cloudSqlConnectionName",
			want:   "must be",
		},
		"SQLConnectionNameTrailingNewline": {
			reason: "The name becomes an argument of the proxy.",
			spec:   sql("cloudSqlConnectionName", `"my-project:europe-west1:db\n"`),
			field:  config + ".cloudSqlConnectionName",
			want:   "must be",
		},
		"SQLConnectionNameLeadingDash": {
			reason: "An argument that starts with a dash is a flag.",
			spec:   sql("cloudSqlConnectionName", `"-t:my-project:europe-west1:db"`),
			field:  config + ".cloudSqlConnectionName",
			want:   "must be",
		},
		"SQLServiceAccountTooShort": {
			reason: "An id has at least 6 characters.",
			spec:   sql("cloudSqlServiceAccount", `abcde`),
			field:  config + ".cloudSqlServiceAccount",
			want:   "must be",
		},
		"SQLServiceAccountOfAUser": {
			reason: "A user's e-mail is not a service account.",
			spec:   sql("cloudSqlServiceAccount", `abcdef@example.com`),
			field:  config + ".cloudSqlServiceAccount",
			want:   "must be",
		},
		"SQLServiceAccountTrailingNewline": {
			reason: "The account becomes an annotation and part of a resource name.",
			spec:   sql("cloudSqlServiceAccount", `"my-account\n"`),
			field:  config + ".cloudSqlServiceAccount",
			want:   "must be",
		},
		"SQLUnknownIPType": {
			reason: "The proxy has a flag for each of three ways.",
			spec:   sql("ipType", `private`),
			field:  config + ".ipType",
			want:   "Unsupported value",
		},
		"SQLAutoIAMAuthnString": {
			reason: "A switch is on or off.",
			spec:   sql("autoIamAuthn", `"yes"`),
			field:  config + ".autoIamAuthn",
			want:   "must be of type boolean",
		},
		"SQLWithDiskName":  {reason: "diskName belongs to disk.", spec: sql("diskName", `d`), field: config + ".diskName", want: "Forbidden: config.diskName is a field of disk only"},
		"SQLWithMountPath": {reason: "mountPath belongs to disk.", spec: sql("mountPath", `/d`), field: config + ".mountPath", want: "Forbidden: config.mountPath is a field of disk only"},
		"SQLWithReadOnly":  {reason: "readOnly belongs to disk.", spec: sql("readOnly", `false`), field: config + ".readOnly", want: "Forbidden: config.readOnly is a field of disk only"},
		"SQLWithSubPath":   {reason: "subPath belongs to disk.", spec: sql("subPath", `d`), field: config + ".subPath", want: "Forbidden: config.subPath is a field of disk only"},
		"SQLWithFSGroup":   {reason: "fsGroup belongs to disk.", spec: sql("fsGroup", `1`), field: config + ".fsGroup", want: "Forbidden: config.fsGroup is a field of disk only"},

		// disk.
		"DiskNoConfig": {
			reason: "All of a disk connection is in its config.",
			spec:   connections(`{type: disk}`),
			field:  config + ".diskName",
			want:   "Required value: config.diskName is required for disk",
		},
		"DiskNoName": {
			reason: "The disk is the point.",
			spec:   connections(`{type: disk, config: {mountPath: /d}}`),
			field:  config + ".diskName",
			want:   "Required value: config.diskName is required for disk",
		},
		"DiskNameMalformed": {
			reason: "It must be able to exist.",
			spec:   connections(`{type: disk, config: {diskName: Cache}}`),
			field:  config + ".diskName",
			want:   "should match",
		},
		"DiskNameTrailingNewline": {
			reason: "The name becomes that of a volume claim.",
			spec:   connections(`{type: disk, config: {diskName: "d\n"}}`),
			field:  config + ".diskName",
			want:   "should match",
		},
		"DiskMountPathRelative": {
			reason: "Relative to what?",
			spec:   connections(`{type: disk, config: {diskName: d, mountPath: data}}`),
			field:  config + ".mountPath",
			want:   "must be",
		},
		"DiskMountPathRoot": {
			reason: "A disk over the whole image leaves nothing to run.",
			spec:   connections(`{type: disk, config: {diskName: d, mountPath: /}}`),
			field:  config + ".mountPath",
			want:   "must be",
		},
		"DiskMountPathWithColon": {
			reason: "Kubernetes forbids colons in mount paths.",
			spec:   connections(`{type: disk, config: {diskName: d, mountPath: "/a:b"}}`),
			field:  config + ".mountPath",
			want:   "must be",
		},
		"DiskMountPathUpwards": {
			reason: "A path that climbs could end in a system directory.",
			spec:   connections(`{type: disk, config: {diskName: d, mountPath: /data/../etc}}`),
			field:  config + ".mountPath",
			want:   "must be",
		},
		"DiskMountPathSystem": {
			reason: "A disk over the system's directories hides what the image needs to run.",
			spec:   connections(`{type: disk, config: {diskName: d, mountPath: /etc}}`),
			field:  config + ".mountPath",
			want:   "is a system directory; mount the disk elsewhere, such as /data",
		},
		"DiskMountPathTokens": {
			reason: "Tokens are mounted there.",
			spec:   connections(`{type: disk, config: {diskName: d, mountPath: /var/run/secrets/x}}`),
			field:  config + ".mountPath",
			want:   "is a system directory",
		},
		"DiskMountPathTrailingNewline": {
			reason: "Nobody means a newline.",
			spec:   connections(`{type: disk, config: {diskName: d, mountPath: "/data\n"}}`),
			field:  config + ".mountPath",
			want:   "must be",
		},
		"DiskSubPathAbsolute": {
			reason: "A subPath is within the disk.",
			spec:   connections(`{type: disk, config: {diskName: d, subPath: /a}}`),
			field:  config + ".subPath",
			want:   "must be",
		},
		"DiskSubPathUpwards": {
			reason: "A subPath stays within the disk.",
			spec:   connections(`{type: disk, config: {diskName: d, subPath: a/../../b}}`),
			field:  config + ".subPath",
			want:   "must be",
		},
		"DiskFSGroupNegative": {
			reason: "A group id is not negative.",
			spec:   connections(`{type: disk, config: {diskName: d, fsGroup: -1}}`),
			field:  config + ".fsGroup",
			want:   "greater than or equal to 0",
		},
		"DiskFSGroupTooHigh": {
			reason: "Kubernetes allows 2147483647.",
			spec:   connections(`{type: disk, config: {diskName: d, fsGroup: 2147483648}}`),
			field:  config + ".fsGroup",
			want:   "less than or equal to 2147483647",
		},
		"DiskReadOnlyString": {
			reason: "A switch is on or off.",
			spec:   connections(`{type: disk, config: {diskName: d, readOnly: "true"}}`),
			field:  config + ".readOnly",
			want:   "must be of type boolean",
		},
		"DiskWithConnectionName": {
			reason: "cloudSqlConnectionName belongs to cloudSql.",
			spec:   connections(`{type: disk, config: {diskName: d, cloudSqlConnectionName: "my-project:europe-west1:db"}}`),
			field:  config + ".cloudSqlConnectionName",
			want:   "Forbidden: config.cloudSqlConnectionName is a field of cloudSql only",
		},
		"DiskWithPort": {
			reason: "cloudSqlDatabasePort belongs to cloudSql.",
			spec:   connections(`{type: disk, config: {diskName: d, cloudSqlDatabasePort: 5432}}`),
			field:  config + ".cloudSqlDatabasePort",
			want:   "Forbidden: config.cloudSqlDatabasePort is a field of cloudSql only",
		},
		"DiskWithServiceAccount": {
			reason: "cloudSqlServiceAccount belongs to cloudSql.",
			spec:   connections(`{type: disk, config: {diskName: d, cloudSqlServiceAccount: my-account}}`),
			field:  config + ".cloudSqlServiceAccount",
			want:   "Forbidden: config.cloudSqlServiceAccount is a field of cloudSql only",
		},
		"DiskWithIPType": {
			reason: "ipType belongs to cloudSql.",
			spec:   connections(`{type: disk, config: {diskName: d, ipType: PSC}}`),
			field:  config + ".ipType",
			want:   "Forbidden: config.ipType is a field of cloudSql only",
		},
		"DiskWithAutoIAMAuthn": {
			reason: "autoIamAuthn belongs to cloudSql.",
			spec:   connections(`{type: disk, config: {diskName: d, autoIamAuthn: false}}`),
			field:  config + ".autoIamAuthn",
			want:   "Forbidden: config.autoIamAuthn is a field of cloudSql only",
		},

		// gcpServiceAccount.
		"GCPNoEmail": {
			reason: "The account is the point.",
			spec:   connections(`{type: gcpServiceAccount}`),
			field:  conn + ".serviceAccountEmail",
			want:   "Required value: serviceAccountEmail is required for gcpServiceAccount",
		},
		"GCPIDOnly": {
			reason: "Porter's field is an e-mail.",
			spec:   connections(`{type: gcpServiceAccount, serviceAccountEmail: my-account}`),
			field:  conn + ".serviceAccountEmail",
			want:   "must be",
		},
		"GCPTrailingNewline": {
			reason: "The e-mail becomes an annotation and part of a resource name.",
			spec:   connections(`{type: gcpServiceAccount, serviceAccountEmail: "abcdef@p.iam.gserviceaccount.com\n"}`),
			field:  conn + ".serviceAccountEmail",
			want:   "must be",
		},
		"GCPWithConfig": {
			reason: "config belongs to cloudSql and disk.",
			spec:   connections(`{type: gcpServiceAccount, serviceAccountEmail: abcdef@p.iam.gserviceaccount.com, config: {diskName: d}}`),
			field:  conn + ".config",
			want:   "Forbidden: config is a field of cloudSql and disk only",
		},
		"DiskWithEmail": {
			reason: "serviceAccountEmail belongs to gcpServiceAccount.",
			spec:   connections(`{type: disk, serviceAccountEmail: abcdef@p.iam.gserviceaccount.com, config: {diskName: d}}`),
			field:  conn + ".serviceAccountEmail",
			want:   "Forbidden: serviceAccountEmail is a field of gcpServiceAccount only",
		},
	}

	for mode, validate := range claims(t) {
		for name, tc := range cases {
			t.Run(mode+"/"+name, func(t *testing.T) {
				t.Parallel()

				errs := validate(parse(t, tc.spec))
				if tc.field == "" {
					if len(errs) > 0 {
						t.Errorf("%s\nwant no error, got:\n%v", tc.reason, errs.ToAggregate())
					}

					return
				}

				for _, err := range errs {
					if err.Field == tc.field && strings.Contains(err.Error(), tc.want) {
						return
					}
				}

				t.Errorf("%s\nwant an error on %s with %q, got:\n%v", tc.reason, tc.field, tc.want, errs.ToAggregate())
			})
		}
	}
}

// What is missing is told in the same words, whichever of the two tells it.
func TestRequiredFields(t *testing.T) {
	t.Parallel()

	for mode, validate := range claims(t) {
		for _, typ := range connection.Builtin().Schema().Types() {
			services := []any{map[string]any{"name": "api", "connections": []any{map[string]any{"type": string(typ.Name)}}}}

			want, got := messages(validate(map[string]any{"services": services})), messages(readErrors(services))

			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: the function says of an empty %s (-API server +function):\n%s", mode, typ.Name, diff)
			}
		}
	}
}

// messages in an order of their own: the API server's is that of its rules.
func messages(errs field.ErrorList) []string {
	out := make([]string, len(errs))
	for i, err := range errs {
		out[i] = err.Error()
	}

	slices.Sort(out)

	return out
}

// One mistake makes one error, or a team has to guess which of them matters.
func TestServiceConnectionOneMistakeOneError(t *testing.T) {
	t.Parallel()

	specs := []string{
		`services: [{name: api, connections: [{type: awsRole}]}]`,
		`services: [{name: api, connections: [{type: awsRole, role: "my role"}]}]`,
		`services: [{name: api, connections: [{type: awsRole, role: ""}]}]`,
		`services: [{name: api, connections: [{type: disk, config: {diskName: d, ipType: PSC}}]}]`,
		`services: [{name: api, connections: [{type: disk, config: {diskName: d, mountPath: data}}]}]`,
		`services: [{name: api, workload: {kind: CronJob, name: api}, connections: [{type: awsRole, role: r}]}]`,
	}

	for mode, validate := range claims(t) {
		for _, spec := range specs {
			if errs := validate(parse(t, spec)); len(errs) != 1 {
				t.Errorf("%s: %s\nwant one error, got:\n%v", mode, spec, errs.ToAggregate())
			}
		}
	}
}

func TestServiceConnectionName(t *testing.T) {
	t.Parallel()

	v := schema.New(schema.Defined(t, "configuration/definition.yaml")...)
	obj := map[string]any{
		"apiVersion": "serviceconnections.io/v1alpha1",
		"kind":       "ServiceConnection",
		"metadata":   map[string]any{"name": long64, "namespace": "team-a"},
		"spec":       parse(t, `services: [{name: api, connections: [{type: awsRole, role: r}]}]`),
	}

	for _, err := range v.Validate(obj) {
		if err.Field == "metadata.name" {
			return
		}
	}

	t.Error("The claim's name becomes a label value, which has at most 63 characters.\nwant an error on metadata.name, got none")
}

func TestStatus(t *testing.T) {
	t.Parallel()

	v := schema.New(schema.Defined(t, "configuration/definition.yaml")...)
	obj := parse(t, `
apiVersion: serviceconnections.io/v1alpha1
kind: ServiceConnection
metadata: {name: shop, namespace: team-a}
spec: {services: [{name: api, connections: [{type: awsRole, role: r}]}]}
status:
  connected: 0/2
  services:
  - name: api
    workload: {apiVersion: apps/v2, kind: Unknown, name: Api}
    delivery: Admission
    connections:
    - {type: other, ready: false, reason: InvalidField, message: type other is not known}
    - {type: awsRole, ready: true, reason: Connected, identity: r}
`)

	if errs := v.Validate(obj); len(errs) > 0 {
		t.Errorf("A claim may pre-date the schema. Its status must be able to say what is wrong.\nwant no error, got:\n%v", errs.ToAggregate())
	}
}

// disks are connections to as many disks.
func disks(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("{type: disk, name: d%d, config: {diskName: d%d}}", i, i)
	}

	return all
}
