package e2e

import (
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
)

// try a claim with the supplied services: the API server's answer, with nothing
// stored.
func (t *team) try(services string) error {
	t.t.Helper()
	objects, err := controlplane.Parse("apiVersion: serviceconnections.io/v1alpha1\nkind: ServiceConnection\nmetadata: {name: try}\nspec:\n  services:\n" + indent(services))
	if err != nil {
		t.t.Fatal(err)
	}
	objects[0].SetNamespace(t.namespace)
	// As kubectl does by default, so that a misspelt field is no silence.
	return t.Client.Create(t.t.Context(), objects[0], client.DryRunAll, client.FieldValidation("Strict"))
}

// TestRefusal of claims by the API server: the team reads at once which field is
// wrong, and in which service and connection.
func TestRefusal(t *testing.T) {
	t.Parallel()
	const at = "spec.services[0].connections[0]"
	connection := func(c string) string { return "- {name: api, connections: [" + c + "]}" }
	google := func(config string) string { return connection("{type: cloudSql, config: {" + config + "}}") }
	disk := func(config string) string {
		return connection("{type: disk, config: {diskName: uploads, " + config + "}}")
	}
	const awsRole = "{type: awsRole, role: my-app-s3-access}"
	cases := map[string]struct {
		reason   string
		services string

		// want is in the message, empty where the claim is taken.
		want string
	}{
		"Taken": {
			reason:   "What is right is taken.",
			services: connection(awsRole),
		},

		"NoConnections": {
			reason:   "A service without a connection is a mistake.",
			services: "- {name: api, connections: []}",
			want:     "spec.services[0].connections: Invalid value: 0:",
		},
		"ServiceWithoutName": {
			reason:   "The name is the key of the list.",
			services: "- {connections: [" + awsRole + "]}",
			want:     "spec.services[0].name: Required value",
		},
		"ServiceNameIsNoLabel": {
			reason:   "The name is part of object names.",
			services: "- {name: Api_1, connections: [" + awsRole + "]}",
			want:     "spec.services[0].name: Invalid value: \"Api_1\"",
		},
		"DuplicateService": {
			reason:   "One of each name.",
			services: "- {name: api, connections: [" + awsRole + "]}\n- {name: api, connections: [" + awsRole + "]}",
			want:     "spec.services[1]: Duplicate value: {\"name\":\"api\"}",
		},
		"UnknownFieldOfService": {
			reason:   "A misspelt field would be ignored.",
			services: "- {name: api, conections: []}",
			want:     `unknown field "spec.services[0].conections"`,
		},
		"ServiceAccountNameMalformed": {
			reason:   "The name of an object.",
			services: "- {name: api, serviceAccountName: Api_SA, connections: [" + awsRole + "]}",
			want:     "spec.services[0].serviceAccountName: Invalid value: \"Api_SA\"",
		},
		"ContainerMalformed": {
			reason:   "The name of a container.",
			services: "- {name: api, containers: [Main], connections: [" + awsRole + "]}",
			want:     "spec.services[0].containers[0]: Invalid value: \"Main\"",
		},
		"DuplicateContainer": {
			reason:   "A set.",
			services: "- {name: api, containers: [main, main], connections: [" + awsRole + "]}",
			want:     "spec.services[0].containers[1]: Duplicate value: \"main\"",
		},
		"WorkloadWithoutName": {
			reason:   "The default is the service's name, for a workload that isn't there at all.",
			services: "- {name: api, workload: {kind: StatefulSet}, connections: [" + awsRole + "]}",
			want:     "spec.services[0].workload.name: Required value",
		},
		"WorkloadKindUnknown": {
			reason:   "Only kinds whose pods are told apart.",
			services: "- {name: api, workload: {kind: Function, name: api}, connections: [" + awsRole + "]}",
			want:     "spec.services[0].workload.kind: Unsupported value: \"Function\"",
		},
		"WorkloadVersionOfAnotherKind": {
			reason:   "A Job isn't in apps/v1, which is the default.",
			services: "- {name: api, workload: {kind: Job, name: api}, connections: [" + awsRole + "]}",
			want:     "spec.services[0].workload.apiVersion: Invalid value: this kind has apiVersion batch/v1",
		},

		"ConnectionWithoutType": {
			reason:   "The type says what the rest means.",
			services: connection("{role: my-app-s3-access}"),
			want:     at + ".type: Required value",
		},
		"UnknownType": {
			reason:   "The message lists the types.",
			services: connection("{type: azureRole, role: my-app-s3-access}"),
			want:     at + `.type: Unsupported value: "azureRole": supported values: "awsRole", "azureManagedIdentity", "cloudSql", "disk", "gcpServiceAccount"`,
		},
		"DuplicateType": {
			reason:   "A service has one identity of each kind.",
			services: connection(awsRole + ", {type: awsRole, role: my-app-other}"),
			want:     "spec.services[0].connections[1]: Duplicate value: {\"name\":\"\",\"type\":\"awsRole\"}",
		},
		"UnknownField": {
			reason:   "A misspelt field would be ignored.",
			services: connection("{type: awsRole, roleName: my-app-s3-access}"),
			want:     `unknown field "` + at + `.roleName"`,
		},

		"AWSRoleWithoutRole": {
			reason:   "Which role?",
			services: connection("{type: awsRole}"),
			want:     at + ".role: Required value: role is required for awsRole",
		},
		"AWSRoleMalformed": {
			reason:   "A path needs the whole ARN.",
			services: connection("{type: awsRole, role: apps/my-app}"),
			want:     at + ".role: Invalid value: \"apps/my-app\": must be a role name of at most 64 letters",
		},
		"AWSRoleARNOfAUser": {
			reason:   "Only a role is assumed.",
			services: connection("{type: awsRole, role: 'arn:aws:iam::123456789012:user/me'}"),
			want:     at + ".role: Invalid value",
		},
		"TargetRoleMalformed": {
			reason:   "The target is in another account, which only an ARN names.",
			services: connection("{type: awsRole, role: my-app, targetRoleArn: other}"),
			want:     at + ".targetRoleArn: Invalid value: \"other\": must be a role ARN",
		},
		"AWSRoleWithFieldOfAzure": {
			reason:   "A field of another type is a mix-up.",
			services: connection("{type: awsRole, role: my-app, identityName: shop}"),
			want:     at + ".identityName: Forbidden: identityName is a field of azureManagedIdentity only",
		},
		"AWSRoleWithConfig": {
			reason:   "A field of another type is a mix-up.",
			services: connection("{type: awsRole, role: my-app, config: {diskName: uploads}}"),
			want:     at + ".config: Forbidden: config is a field of cloudSql and disk only",
		},

		"AzureWithoutIdentity": {
			reason:   "Which identity?",
			services: connection("{type: azureManagedIdentity, resourceGroup: rg-shop}"),
			want:     at + ".identityName: Required value: identityName is required for azureManagedIdentity",
		},
		"AzureWithoutResourceGroup": {
			reason:   "An identity's name is unique in its group.",
			services: connection("{type: azureManagedIdentity, identityName: shop}"),
			want:     at + ".resourceGroup: Required value: resourceGroup is required for azureManagedIdentity",
		},
		"AzureIdentityMalformed": {
			reason:   "Azure's rule for names.",
			services: connection("{type: azureManagedIdentity, identityName: a, resourceGroup: rg-shop}"),
			want:     at + ".identityName: Invalid value: \"a\": must be 3 to 128 letters",
		},
		"AzureResourceGroupMalformed": {
			reason:   "A slash would be another resource's id.",
			services: connection("{type: azureManagedIdentity, identityName: shop, resourceGroup: rg/../other}"),
			want:     at + ".resourceGroup: Invalid value: \"rg/../other\"",
		},
		"AzureSubscriptionMalformed": {
			reason:   "A subscription has a name too, which is not its id.",
			services: connection("{type: azureManagedIdentity, identityName: shop, resourceGroup: rg-shop, subscriptionId: production}"),
			want:     at + ".subscriptionId: Invalid value: \"production\": must be a UUID",
		},
		"AzureWithRole": {
			reason:   "A field of another type is a mix-up.",
			services: connection("{type: azureManagedIdentity, identityName: shop, resourceGroup: rg-shop, role: my-app}"),
			want:     at + ".role: Forbidden: role is a field of awsRole only",
		},

		"CloudSQLWithoutConfig": {
			reason:   "Which instance?",
			services: connection("{type: cloudSql}"),
			want:     at + ".config.cloudSqlConnectionName: Required value: config.cloudSqlConnectionName is required for cloudSql",
		},
		"CloudSQLWithoutPort": {
			reason:   "MySQL and PostgreSQL differ.",
			services: google("cloudSqlConnectionName: 'my-project-123456:europe-west1:orders', cloudSqlServiceAccount: sql-client"),
			want:     at + ".config.cloudSqlDatabasePort: Required value: config.cloudSqlDatabasePort is required for cloudSql",
		},
		"CloudSQLWithoutServiceAccount": {
			reason:   "As whom?",
			services: google("cloudSqlConnectionName: 'my-project-123456:europe-west1:orders', cloudSqlDatabasePort: 5432"),
			want:     at + ".config.cloudSqlServiceAccount: Required value: config.cloudSqlServiceAccount is required for cloudSql",
		},
		"CloudSQLConnectionNameMalformed": {
			reason:   "The instance's name alone doesn't say where it is.",
			services: google("cloudSqlConnectionName: orders, cloudSqlDatabasePort: 5432, cloudSqlServiceAccount: sql-client"),
			want:     at + ".config.cloudSqlConnectionName: Invalid value: \"orders\": must be project:region:instance",
		},
		"CloudSQLConnectionNameWithOption": {
			reason:   "It becomes an argument of the proxy, which takes options.",
			services: google("cloudSqlConnectionName: 'my-project-123456:europe-west1:orders?address=0.0.0.0', cloudSqlDatabasePort: 5432, cloudSqlServiceAccount: sql-client"),
			want:     at + ".config.cloudSqlConnectionName: Invalid value",
		},
		"CloudSQLPortZero": {
			reason:   "No port.",
			services: google("cloudSqlConnectionName: 'my-project-123456:europe-west1:orders', cloudSqlDatabasePort: 0, cloudSqlServiceAccount: sql-client"),
			want:     at + ".config.cloudSqlDatabasePort: Invalid value: 0:",
		},
		"CloudSQLPortOutOfRange": {
			reason:   "No port.",
			services: google("cloudSqlConnectionName: 'my-project-123456:europe-west1:orders', cloudSqlDatabasePort: 65536, cloudSqlServiceAccount: sql-client"),
			want:     at + ".config.cloudSqlDatabasePort: Invalid value: 65536:",
		},
		"CloudSQLPortInQuotes": {
			reason:   "A number.",
			services: google("cloudSqlConnectionName: 'my-project-123456:europe-west1:orders', cloudSqlDatabasePort: '5432', cloudSqlServiceAccount: sql-client"),
			want:     at + ".config.cloudSqlDatabasePort: Invalid value: \"string\"",
		},
		"CloudSQLServiceAccountMalformed": {
			reason:   "Neither id nor e-mail.",
			services: google("cloudSqlConnectionName: 'my-project-123456:europe-west1:orders', cloudSqlDatabasePort: 5432, cloudSqlServiceAccount: me@example.org"),
			want:     at + ".config.cloudSqlServiceAccount: Invalid value: \"me@example.org\"",
		},
		"CloudSQLIPTypeUnknown": {
			reason:   "The message lists them.",
			services: google("cloudSqlConnectionName: 'my-project-123456:europe-west1:orders', cloudSqlDatabasePort: 5432, cloudSqlServiceAccount: sql-client, ipType: Secret"),
			want:     at + `.config.ipType: Unsupported value: "Secret": supported values: "Public", "Private", "PSC"`,
		},
		"CloudSQLWithDisk": {
			reason:   "A field of another type is a mix-up.",
			services: google("cloudSqlConnectionName: 'my-project-123456:europe-west1:orders', cloudSqlDatabasePort: 5432, cloudSqlServiceAccount: sql-client, diskName: uploads"),
			want:     at + ".config.diskName: Forbidden: config.diskName is a field of disk only",
		},

		"DiskWithoutName": {
			reason:   "Which disk?",
			services: connection("{type: disk, config: {mountPath: /data}}"),
			want:     at + ".config.diskName: Required value: config.diskName is required for disk",
		},
		"DiskNameMalformed": {
			reason:   "The name of a volume claim.",
			services: connection("{type: disk, config: {diskName: Uploads}}"),
			want:     at + ".config.diskName: Invalid value: \"Uploads\"",
		},
		"DiskMountPathRelative": {
			reason:   "Relative to what?",
			services: disk("mountPath: data"),
			want:     at + ".config.mountPath: Invalid value: \"data\": must be an absolute path",
		},
		"DiskMountPathRoot": {
			reason:   "The image would be hidden.",
			services: disk("mountPath: /"),
			want:     at + ".config.mountPath: Invalid value: \"/\"",
		},
		"DiskMountPathEscapes": {
			reason:   "A path says where it is.",
			services: disk("mountPath: /data/../etc"),
			want:     at + ".config.mountPath: Invalid value: \"/data/../etc\"",
		},
		"DiskMountPathWithColon": {
			reason:   "Kubernetes would refuse the pod.",
			services: disk("mountPath: '/data:rw'"),
			want:     at + ".config.mountPath: Invalid value: \"/data:rw\"",
		},
		"DiskSubPathAbsolute": {
			reason:   "Within the disk.",
			services: disk("subPath: /api"),
			want:     at + ".config.subPath: Invalid value: \"/api\": must be a relative path within the disk",
		},
		"DiskSubPathEscapes": {
			reason:   "Within the disk.",
			services: disk("subPath: ../other"),
			want:     at + ".config.subPath: Invalid value: \"../other\"",
		},
		"DiskGroupNegative": {
			reason:   "No group.",
			services: disk("fsGroup: -1"),
			want:     at + ".config.fsGroup: Invalid value: -1:",
		},
		"DiskWithPort": {
			reason:   "A field of another type is a mix-up.",
			services: disk("cloudSqlDatabasePort: 5432"),
			want:     at + ".config.cloudSqlDatabasePort: Forbidden: config.cloudSqlDatabasePort is a field of cloudSql only",
		},

		"GCPWithoutEmail": {
			reason:   "As whom?",
			services: connection("{type: gcpServiceAccount}"),
			want:     at + ".serviceAccountEmail: Required value: serviceAccountEmail is required for gcpServiceAccount",
		},
		"GCPEmailOfAPerson": {
			reason:   "Pods act as service accounts only.",
			services: connection("{type: gcpServiceAccount, serviceAccountEmail: me@example.org}"),
			want:     at + ".serviceAccountEmail: Invalid value: \"me@example.org\": must be a service account e-mail",
		},
		"GCPWithRole": {
			reason:   "A field of another type is a mix-up.",
			services: connection("{type: gcpServiceAccount, serviceAccountEmail: sql-client@my-project-123456.iam.gserviceaccount.com, role: my-app}"),
			want:     at + ".role: Forbidden: role is a field of awsRole only",
		},
		"SecondConnectionIsWrong": {
			reason:   "The message says which one.",
			services: "- {name: web, connections: [" + awsRole + "]}\n- {name: api, connections: [" + awsRole + ", {type: disk}]}",
			want:     "spec.services[1].connections[1].config.diskName: Required value",
		},
	}
	eachMode(t, func(team *team) {
		for name, tc := range cases {
			team.t.Run(name, func(t *testing.T) {
				team := as(t, team)
				err := team.try(tc.services)
				switch {
				case tc.want == "" && err != nil:
					team.t.Errorf("%s\nclaim is refused: %v", tc.reason, err)
				case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
					team.t.Errorf("%s\nerror %v\nwant %s", tc.reason, err, tc.want)
				}
			})
		}
	})
}

// TestRefusalOfClaim beyond its services.
func TestRefusalOfClaim(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason, claim, want string
	}{
		"ServicesEmpty": {
			reason: "A claim without a service is a mistake.",
			claim:  "metadata: {name: try}\nspec: {services: []}",
			want:   "spec.services: Invalid value: 0: spec.services in body should have at least 1 items",
		},
		"NoServices": {
			reason: "An empty claim connects nothing.",
			claim:  "metadata: {name: try}\nspec: {}",
			want:   "spec.services: Required value",
		},
		"LongName": {
			reason: "The name becomes the value of a label.",
			claim:  "metadata: {name: " + strings.Repeat("a", 64) + "}\nspec: {services: [{name: api, connections: [{type: awsRole, role: my-app}]}]}",
			want:   "metadata.name",
		},
	}
	eachMode(t, func(team *team) {
		for name, tc := range cases {
			team.t.Run(name, func(t *testing.T) {
				team := as(t, team)
				objects, err := controlplane.Parse("apiVersion: serviceconnections.io/v1alpha1\nkind: ServiceConnection\n" + tc.claim)
				if err != nil {
					team.t.Fatal(err)
				}
				objects[0].SetNamespace(team.namespace)
				if err := team.Client.Create(team.t.Context(), objects[0], client.DryRunAll); err == nil || !strings.Contains(err.Error(), tc.want) {
					team.t.Errorf("%s\nerror %v\nwant %s", tc.reason, err, tc.want)
				}
			})
		}
	})
}
