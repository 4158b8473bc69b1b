package fn

import (
	"slices"
	"strings"
	"testing"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
)

// allSettings open everything for team-a.
const allSettings = `
cluster: {name: prod-eu}
aws:
  accountId: "123456789012"
  region: eu-west-1
  clusterName: prod-eu
  allowedRoles: [{pattern: "my-app-*", namespaces: [team-a]}, {pattern: "arn:aws:iam::210987654321:role/*", namespaces: [team-a]}]
azure:
  subscriptionId: 11111111-1111-1111-1111-111111111111
  tenantId: 22222222-2222-2222-2222-222222222222
  oidcIssuer: https://eastus.oic.prod-aks.azure.com/22222222-2222-2222-2222-222222222222/x/
  allowedIdentities: [{resourceGroup: "rg-*", identity: "*", namespaces: ["team-*"]}]
gcp:
  projectId: my-project-123456
  serviceAccounts:
  - {name: sql-client, namespaces: [team-a]}
  - {name: other-client, namespaces: [team-a]}
disks:
- {name: cache-storage, namespaces: [team-a]}
- {name: uploads, namespaces: ["*"], create: {size: 20Gi, storageClassName: gp3}}
- {name: scratch, namespaces: ["*"], create: {size: 1Gi}, deletionPolicy: Delete}
`

const (
	awsConnection   = `{type: awsRole, role: my-app-s3}`
	azureConnection = `{type: azureManagedIdentity, identityName: shop-identity, resourceGroup: rg-shop}`
	sqlConnection   = `{type: cloudSql, config: {cloudSqlConnectionName: "my-project-123456:europe-west1:db", cloudSqlDatabasePort: 5432, cloudSqlServiceAccount: sql-client}}`
	diskConnection  = `{type: disk, config: {diskName: cache-storage}}`
	gcpConnection   = `{type: gcpServiceAccount, serviceAccountEmail: sql-client@my-project-123456.iam.gserviceaccount.com}`
)

func service(name string, connections ...string) string {
	return "- {name: " + name + ", connections: [" + strings.Join(connections, ", ") + "]}\n"
}

const cacheStorage = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: cache-storage, namespace: team-a}
spec: {accessModes: [ReadWriteMany]}
status: {phase: Bound}
`

// TestExpand holds what each type of connection expands into, from nothing to
// connected, in both modes.
func TestExpand(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		reason   string
		services string
		settings string
		want     []string
		spec     map[string]string
	}{
		"AWSRole": {
			reason:   "a role is granted by an association, and observed for its path",
			services: service("api", awsConnection),
			want:     []string{"PodIdentityAssociation", "Role", "ServiceAccount"},
		},
		"AWSRoleOfAnotherAccount": {
			reason:   "a role of another account is chained into",
			services: service("api", `{type: awsRole, role: my-app-s3, targetRoleArn: "arn:aws:iam::210987654321:role/their-role"}`),
			want:     []string{"PodIdentityAssociation", "Role", "ServiceAccount"},
		},
		"IRSA": {
			reason:   "in mode IRSA the annotation names the role, and nothing else is granted",
			services: service("api", awsConnection),
			settings: strings.Replace(allSettings, "clusterName: prod-eu", "mode: IRSA\n  oidcIssuer: https://oidc.eks.eu-west-1.amazonaws.com/id/ABC", 1),
			want:     []string{"Role", "ServiceAccount"},
		},
		"Azure": {
			reason:   "an identity is granted by a federated credential, and observed for its client id",
			services: service("api", azureConnection),
			want:     []string{"FederatedIdentityCredential", "ServiceAccount", "UserAssignedIdentity"},
		},
		"CloudSQL": {
			reason:   "a Google service account is granted by a binding",
			services: service("api", sqlConnection),
			want:     []string{"ServiceAccount", "ServiceAccountIAMMember"},
		},
		"SharedWorkloadPool": {
			reason:   "a binding of a shared pool is never deleted",
			services: service("api", gcpConnection),
			settings: strings.Replace(allSettings, "projectId: my-project-123456", "projectId: my-project-123456\n  sharedWorkloadPool: true", 1),
			want:     []string{"ServiceAccount", "ServiceAccountIAMMember"},
		},
		"DiskByReference": {
			reason:   "a disk that exists is mounted, never composed",
			services: service("api", diskConnection),
			want:     []string{"ServiceAccount"},
		},
		"DiskRetained": {
			reason:   "a disk is created so that its data outlives the connection",
			services: service("api", `{type: disk, config: {diskName: uploads}}`),
			want:     []string{"Object", "ServiceAccount"},
		},
		"DiskDeleted": {
			reason:   "a disk is created to go with the connection, where the settings say so",
			services: service("api", `{type: disk, config: {diskName: scratch}}`),
			want:     []string{"PersistentVolumeClaim", "ServiceAccount"},
		},
		"All": {
			reason:   "two connections to one Google account share one binding",
			services: service("api", awsConnection, azureConnection, sqlConnection, diskConnection, gcpConnection),
			want:     []string{"FederatedIdentityCredential", "PodIdentityAssociation", "Role", "ServiceAccount", "ServiceAccountIAMMember", "UserAssignedIdentity"},
		},
	}
	for name, tc := range cases {
		for _, mode := range []string{"Namespaced", "Claims"} {
			t.Run(name+"/"+mode, func(t *testing.T) {
				t.Parallel()
				settings := tc.settings
				if settings == "" {
					settings = allSettings
				}
				c := newCluster(t, tc.services, settings)
				if mode == "Claims" {
					c.claimMode()
				}
				c.add(cacheStorage)
				c.settle()

				kinds := make([]string, 0, len(c.composed))
				for _, o := range c.composed {
					kinds = append(kinds, str(o, "kind"))
				}
				slices.Sort(kinds)
				if diff := cmp.Diff(tc.want, kinds); diff != "" {
					t.Errorf("%s: composed kinds: -want, +got:\n%s", tc.reason, diff)
				}
				if !c.ready() {
					t.Errorf("%s: not ready: %v", tc.reason, c.service("api"))
				}
				c.reconcile()
				if c.calls != 1 {
					t.Errorf("%s: %d calls of a steady reconcile, want 1", tc.reason, c.calls)
				}
				if _, ok := c.service("api")["injection"]; !ok {
					t.Errorf("%s: no injection is published", tc.reason)
				}
			})
		}
	}
}

// TestReasons holds what a user reads when a connection doesn't work.
func TestReasons(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		reason   string
		services string
		settings func(string) string
		cluster  func(*cluster)
		service  string
		typ      string
		want     string
		message  string
		others   map[string]string
	}{
		"InvalidField": {
			reason:   "a broken connection is told by its field, and the others work",
			services: service("api", `{type: awsRole, role: "no spaces allowed"}`, diskConnection),
			typ:      "awsRole", want: "InvalidField", message: "spec.services[0].connections[0].role",
			others: map[string]string{"disk": "Connected"},
		},
		"CloudNotConfigured": {
			reason:   "a cloud that the settings don't have is the platform's to add",
			services: service("api", azureConnection, awsConnection),
			settings: func(s string) string { return cutSection(s, "azure") },
			typ:      "azureManagedIdentity", want: "CloudNotConfigured", message: "no azure section",
			others: map[string]string{"awsRole": "Connected"},
		},
		"NotAllowed": {
			reason:   "a role that no rule names is refused",
			services: service("api", `{type: awsRole, role: admin}`),
			typ:      "awsRole", want: "NotAllowed", message: "arn:aws:iam::123456789012:role/admin",
		},
		"NotAllowedTarget": {
			reason:   "a role that may be used chains into one that may not, and the message names that one",
			services: service("api", `{type: awsRole, role: my-app-s3, targetRoleArn: "arn:aws:iam::333333333333:role/theirs"}`),
			typ:      "awsRole", want: "NotAllowed", message: `may not use "arn:aws:iam::333333333333:role/theirs"`,
		},
		"NotAllowedTargetOfCreated": {
			reason:   "a role that may be created chains into one that may not be used",
			services: service("api", `{type: awsRole, role: uploads, create: {}, targetRoleArn: "arn:aws:iam::333333333333:role/theirs"}`),
			settings: func(s string) string {
				return strings.Replace(s, "  region:", "  createRoles: {namespaces: [team-a], permissionsBoundaryArn: 'arn:aws:iam::123456789012:policy/boundary'}\n  region:", 1)
			},
			typ: "awsRole", want: "NotAllowed", message: `may not use "arn:aws:iam::333333333333:role/theirs"`,
		},
		"NotAllowedWithoutList": {
			reason:   "no list allows nothing new",
			services: service("api", awsConnection),
			settings: func(s string) string { return cutLine(s, "allowedRoles") },
			typ:      "awsRole", want: "NotAllowed", message: "no list",
		},
		"ForeignAccount": {
			reason:   "Pod Identity takes roles of its own account only",
			services: service("api", `{type: awsRole, role: "arn:aws:iam::210987654321:role/their-role"}`),
			typ:      "awsRole", want: "InvalidField", message: "targetRoleArn",
		},
		"ServiceAccountNotRegistered": {
			reason:   "a Google service account must be registered first",
			services: service("api", `{type: gcpServiceAccount, serviceAccountEmail: someone@my-project-123456.iam.gserviceaccount.com}`),
			typ:      "gcpServiceAccount", want: "ServiceAccountNotRegistered", message: "someone@",
		},
		"DiskNotRegistered": {
			reason:   "a disk must be registered first",
			services: service("api", `{type: disk, config: {diskName: mystery}}`),
			typ:      "disk", want: "DiskNotRegistered", message: "mystery",
		},
		"TwoGoogleAccounts": {
			reason:   "one ServiceAccount acts as one Google account; the first in the claim wins",
			services: service("api", sqlConnection, `{type: gcpServiceAccount, serviceAccountEmail: other-client@my-project-123456.iam.gserviceaccount.com}`),
			typ:      "gcpServiceAccount", want: "TwoGoogleAccounts", message: "sql-client@",
			others: map[string]string{"cloudSql": "Connected"},
		},
		"ServiceAccountConflict": {
			reason: "two roles for one ServiceAccount: the first in the claim wins",
			services: "- {name: web, serviceAccountName: shared, connections: [" + awsConnection + "]}\n" +
				"- {name: api, serviceAccountName: shared, connections: [{type: awsRole, role: my-app-other}]}",
			cluster: func(c *cluster) {
				c.add(`{apiVersion: v1, kind: ServiceAccount, metadata: {name: shared, namespace: team-a}}`)
			},
			typ: "awsRole", want: "ServiceAccountConflict", message: `"shared"`,
		},
		"SessionTagsConflict": {
			reason: "one ServiceAccount's sessions have tags or not; the first in the claim wins, and both are told apart",
			services: "- {name: web, serviceAccountName: shared, connections: [" + awsConnection + "]}\n" +
				"- {name: api, serviceAccountName: shared, connections: [{type: awsRole, role: my-app-s3, disableSessionTags: true}]}",
			cluster: func(c *cluster) {
				c.add(`{apiVersion: v1, kind: ServiceAccount, metadata: {name: shared, namespace: team-a}}`)
			},
			typ: "awsRole", want: "ServiceAccountConflict", message: `and can't have "arn:aws:iam::123456789012:role/my-app-s3 without session tags" too`,
		},
		"OtherClaim": {
			reason:   "what another claim grants is not granted again, and not taken over",
			services: service("api", awsConnection),
			cluster: func(c *cluster) {
				c.settle()
				o := c.only("PodIdentityAssociation")
				o["metadata"].(map[string]any)["ownerReferences"] = []any{map[string]any{"uid": "other", "name": "cart", "controller": true}}
				c.objects[objectKey(o)] = o
				delete(c.composed, c.keys("PodIdentityAssociation")[0])
			},
			typ: "awsRole", want: "ServiceAccountConflict", message: `"cart"`,
		},
		"WorkloadConflict": {
			reason: "one workload is one service's",
			services: "- {name: web, workload: {name: same}, connections: [" + awsConnection + "]}\n" +
				"- {name: api, workload: {name: same}, connections: [" + awsConnection + "]}",
			typ: "awsRole", want: "WorkloadConflict", message: `"web"`,
		},
		"ContainerNotFound": {
			reason:   "a container that the workload doesn't have",
			services: "- {name: api, containers: [nope], connections: [" + awsConnection + "]}",
			cluster:  func(c *cluster) { c.add(deployment("api", "")) },
			typ:      "awsRole", want: "ContainerNotFound", message: "nope",
		},
		"ServiceAccountInUse": {
			reason:   "a workload with a ServiceAccount of its own keeps it",
			services: service("api", awsConnection),
			cluster:  func(c *cluster) { c.add(deployment("api", "serviceAccountName: api-sa")) },
			typ:      "awsRole", want: "ServiceAccountInUse", message: "serviceAccountName: api-sa",
		},
		"PortConflict": {
			reason:   "the proxy's port is taken in the pod",
			services: service("api", sqlConnection),
			cluster:  func(c *cluster) { c.add(deployment("api", "", "{containerPort: 5432}")) },
			typ:      "cloudSql", want: "PortConflict", message: "5432",
		},
		"ProviderNotInstalled": {
			reason:   "a provider that isn't installed stops its connection alone",
			services: service("api", awsConnection, azureConnection),
			cluster: func(c *cluster) {
				c.remove("CustomResourceDefinition", "podidentityassociations.eks.aws.m.upbound.io")
			},
			typ: "awsRole", want: "ProviderNotInstalled", message: "podidentityassociations.eks.aws.m.upbound.io",
			others: map[string]string{"azureManagedIdentity": "Connected"},
		},
		"ProviderNotActive": {
			reason:   "a provider that starts safely is installed, and waits for the line that activates the kind",
			services: service("api", awsConnection, azureConnection),
			cluster: func(c *cluster) {
				c.remove("CustomResourceDefinition", "podidentityassociations.eks.aws.m.upbound.io")
				c.managedDefinition("Inactive")
			},
			typ: "awsRole", want: "ProviderNotActive", message: "- podidentityassociations.eks.aws.m.upbound.io",
			others: map[string]string{"azureManagedIdentity": "Connected"},
		},
		"ProviderBecomesActive": {
			reason:   "what is active gets its CustomResourceDefinition in a moment, and nobody has to do anything",
			services: service("api", awsConnection),
			cluster: func(c *cluster) {
				c.remove("CustomResourceDefinition", "podidentityassociations.eks.aws.m.upbound.io")
				c.managedDefinition("Active")
			},
			typ: "awsRole", want: "Creating", message: "is Active",
		},
		"ProviderNotInstalledBesideOthers": {
			reason:   "Crossplane knows ManagedResourceDefinitions, and has none of this kind",
			services: service("api", awsConnection),
			cluster: func(c *cluster) {
				c.remove("CustomResourceDefinition", "podidentityassociations.eks.aws.m.upbound.io")
				c.managedDefinition("Inactive")
				c.remove("ManagedResourceDefinition", "podidentityassociations.eks.aws.m.upbound.io")
			},
			typ: "awsRole", want: "ProviderNotInstalled", message: "install the provider that has PodIdentityAssociation",
		},
		"ServiceAccountNotFound": {
			reason:   "a ServiceAccount that is named must exist",
			services: "- {name: api, serviceAccountName: api-sa, connections: [" + awsConnection + "]}",
			typ:      "awsRole", want: "ServiceAccountNotFound", message: "api-sa",
		},
		"ServiceAccountTaken": {
			reason:   "a ServiceAccount of our name that somebody made is never adopted",
			services: service("api", awsConnection),
			cluster: func(c *cluster) {
				c.add(`{apiVersion: v1, kind: ServiceAccount, metadata: {name: shop-api, namespace: team-a}}`)
			},
			typ: "awsRole", want: "ServiceAccountTaken", message: "serviceAccountName: shop-api",
		},
		"ServiceAccountNotAnnotated": {
			reason:   "a ServiceAccount that is named must have the annotations, and the message has the command",
			services: "- {name: api, serviceAccountName: api-sa, connections: [" + gcpConnection + "]}",
			cluster: func(c *cluster) {
				c.add(`{apiVersion: v1, kind: ServiceAccount, metadata: {name: api-sa, namespace: team-a}}`)
			},
			typ: "gcpServiceAccount", want: "ServiceAccountNotAnnotated",
			message: "kubectl -n team-a annotate serviceaccount api-sa --overwrite iam.gke.io/gcp-service-account=sql-client@my-project-123456.iam.gserviceaccount.com",
		},
		"VolumeClaimNotFound": {
			reason:   "a disk that is only referenced must exist",
			services: service("api", diskConnection),
			cluster:  func(c *cluster) { c.remove("PersistentVolumeClaim", "cache-storage") },
			typ:      "disk", want: "VolumeClaimNotFound", message: "cache-storage",
		},
		"VolumeClaimLost": {
			reason:   "a volume claim that lost its volume",
			services: service("api", diskConnection),
			cluster: func(c *cluster) {
				c.add(strings.Replace(cacheStorage, "phase: Bound", "phase: Lost", 1))
			},
			typ: "disk", want: "VolumeClaimLost", message: "cache-storage",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings := allSettings
			if tc.settings != nil {
				settings = tc.settings(settings)
			}
			c := newCluster(t, tc.services, settings)
			c.add(cacheStorage)
			if tc.cluster != nil {
				tc.cluster(c)
			}
			c.settle()
			conn := c.connection("api", tc.typ)
			if diff := cmp.Diff(tc.want, conn["reason"]); diff != "" {
				t.Errorf("%s: reason: -want, +got:\n%s\n%v", tc.reason, diff, conn)
			}
			if m, _ := conn["message"].(string); !strings.Contains(m, tc.message) {
				t.Errorf("%s: message %q doesn't say %q", tc.reason, m, tc.message)
			}
			if ready, _ := conn["ready"].(bool); ready || c.rsp.GetDesired().GetComposite().GetReady() != fnv1.Ready_READY_FALSE {
				t.Errorf("%s: it is called ready", tc.reason)
			}
			for typ, want := range tc.others {
				if got := c.reason("api", typ); got != want {
					t.Errorf("%s: %s is %s, want %s", tc.reason, typ, got, want)
				}
			}
		})
	}
}

// TestUnreadable holds what stops a run before anything is applied.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason string
		change func(*cluster)
		fatal  string
	}{
		"UnknownSetting": {
			reason: "a misspelt setting must not read as an absent one",
			change: func(c *cluster) { c.setSettings(strings.Replace(allSettings, "allowedRoles", "alowedRoles", 1)) },
			fatal:  "alowedRoles",
		},
		"UnknownInput": {
			reason: "so must a misspelt input",
			change: func(c *cluster) { c.input["setings"] = map[string]any{} },
			fatal:  "setings",
		},
		"NoCluster": {
			reason: "every mistake in the settings is told at once",
			change: func(c *cluster) { c.setSettings(`{aws: {accountId: "12", region: nowhere}}`) },
			fatal:  "settings.cluster.name: Required value",
		},
		"NoInput": {
			reason: "without an input there are no settings",
			change: func(c *cluster) { c.input = nil },
			fatal:  "there is none",
		},
		"NoEnvironmentConfig": {
			reason: "settings that are gone revoke nothing",
			change: func(c *cluster) {
				delete(c.input, "settings")
				c.input["settingsFrom"] = map[string]any{"environmentConfig": map[string]any{"name": "gone"}}
			},
			fatal: `EnvironmentConfig "gone" does not exist`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, service("api", awsConnection, sqlConnection), allSettings)
			c.settle()
			tc.change(c)
			deleted := c.reconcile()
			if got := fatalOf(c.rsp); !strings.Contains(got, tc.fatal) {
				t.Errorf("%s: fatal %q doesn't say %q", tc.reason, got, tc.fatal)
			}
			if len(deleted) > 0 {
				t.Errorf("%s: deleted %v", tc.reason, deleted)
			}
			if len(c.rsp.GetConditions()) != 4 {
				t.Errorf("%s: conditions %v, want all four", tc.reason, c.rsp.GetConditions())
			}
			if c.rsp.GetDesired() != nil || c.rsp.GetContext() != nil {
				t.Errorf("%s: a large request would get a large answer that nobody reads", tc.reason)
			}
		})
	}
}

// TestNotClaimed holds that a composite resource without a namespace grants
// nothing, and that one which had a namespace keeps everything as it is: the run
// stops, or the workloads of earlier steps would lose their injection.
func TestNotClaimed(t *testing.T) {
	t.Parallel()
	c := newCluster(t, service("api", awsConnection), allSettings)
	metadata := c.xr["metadata"]
	c.xr["metadata"] = map[string]any{"name": "shop", "uid": xrUID}
	c.reconcile()
	if n := len(c.composed); n > 0 {
		t.Errorf("without a namespace, %d resources are composed", n)
	}
	notClaimed(t, c)

	c.xr["metadata"] = metadata
	c.settle()
	c.xr["metadata"] = map[string]any{"name": "shop", "uid": xrUID}
	if deleted := c.reconcile(); len(deleted) > 0 {
		t.Errorf("without a namespace, %v was deleted", deleted)
	}
	if fatalOf(c.rsp) == "" {
		t.Error("the run went on although the namespace is gone")
	}
	notClaimed(t, c)
}

func notClaimed(t *testing.T, c *cluster) {
	t.Helper()
	if !slices.ContainsFunc(c.rsp.GetConditions(), func(c *fnv1.Condition) bool { return c.GetReason() == "NotClaimed" }) {
		t.Errorf("conditions %v don't say NotClaimed", c.rsp.GetConditions())
	}
}

// TestSources holds that settings come from the context, an EnvironmentConfig
// and the input, the later one winning field by field.
func TestSources(t *testing.T) {
	t.Parallel()
	c := newCluster(t, service("api", awsConnection), `{aws: {region: eu-central-1}}`)
	c.context = toStruct(t, map[string]any{"apiextensions.crossplane.io/environment": map[string]any{
		"theirs":             map[string]any{"x": "y"},
		"serviceConnections": fromYAML(t, `{cluster: {name: prod}, aws: {accountId: "123456789012", region: us-east-1, clusterName: one}}`),
	}})
	c.input["settingsFrom"] = map[string]any{"environmentConfig": map[string]any{"name": "cluster-settings"}}
	c.add(`
apiVersion: apiextensions.crossplane.io/v1beta1
kind: EnvironmentConfig
metadata: {name: cluster-settings}
data: {aws: {clusterName: two, allowedRoles: [{pattern: "*", namespaces: ["*"]}]}}
`)
	c.settle()
	fp := c.only("PodIdentityAssociation")["spec"].(map[string]any)["forProvider"].(map[string]any)
	got := []any{fp["region"], fp["clusterName"], fp["roleArn"]}
	if diff := cmp.Diff([]any{"eu-central-1", "two", "arn:aws:iam::123456789012:role/my-app-s3"}, got); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
	if diff := cmp.Diff(c.context.AsMap(), c.rsp.GetContext().AsMap()); diff != "" {
		t.Errorf("the context of other steps changed: -want, +got:\n%s", diff)
	}
}

// TestDesiredDelivery holds that a workload of an earlier step is injected, and
// that all else of other steps passes unharmed.
func TestDesiredDelivery(t *testing.T) {
	t.Parallel()
	c := newCluster(t, service("api", awsConnection, sqlConnection), allSettings)
	c.desired = &fnv1.State{
		Composite: &fnv1.Resource{Resource: toStruct(t, map[string]any{"status": map[string]any{"theirs": 1.0}})},
		Resources: map[string]*fnv1.Resource{
			"workload": {Resource: toStruct(t, fromYAML(t, deployment("api", ""))), Ready: fnv1.Ready_READY_TRUE},
			"bucket":   {Resource: toStruct(t, fromYAML(t, `{apiVersion: s3.aws.m.upbound.io/v1beta1, kind: Bucket, metadata: {name: b}, spec: {x: 1}}`))},
		},
	}
	given, _ := proto.Clone(c.desired).(*fnv1.State)
	c.settle()

	spec := c.composed["workload"]["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)
	if got := str(spec, "serviceAccountName"); got != "shop-api" {
		t.Errorf("serviceAccountName is %q, want shop-api", got)
	}
	if n := len(list(spec, "initContainers")); n != 1 {
		t.Errorf("%d init containers, want the proxy", n)
	}
	if got := c.service("api")["delivery"]; got != "Desired" {
		t.Errorf("delivery is %v, want Desired", got)
	}
	if diff := cmp.Diff(given.GetResources()["bucket"].GetResource().AsMap(), c.rsp.GetDesired().GetResources()["bucket"].GetResource().AsMap()); diff != "" {
		t.Errorf("another step's resource changed: -want, +got:\n%s", diff)
	}
	if v := c.xr["status"].(map[string]any)["theirs"]; v != 1.0 {
		t.Errorf("another step's status is %v, want 1", v)
	}
	if r := c.rsp.GetDesired().GetComposite().GetReady(); r != fnv1.Ready_READY_UNSPECIFIED {
		t.Errorf("beside other resources, ready is %v, want it left to Crossplane", r)
	}

	c.setServices(service("api", awsConnection))
	c.settle()
	spec = c.composed["workload"]["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)
	if n := len(list(spec, "initContainers")); n != 0 {
		t.Errorf("%d init containers after cloudSql left, want none", n)
	}
}

// TestSource holds that another kind of composite resource may hold the list.
func TestSource(t *testing.T) {
	t.Parallel()
	c := newCluster(t, service("api", awsConnection), allSettings)
	c.xr = fromYAML(t, `
apiVersion: example.org/v1
kind: App
metadata: {name: shop, uid: `+xrUID+`}
spec: {team: team-a, identity: {services: [{name: api, connections: [`+awsConnection+`]}]}}
`)
	c.input["source"] = map[string]any{"services": "spec.identity.services", "status": "status.identity", "namespace": "spec.team"}
	c.settle()
	got, _ := c.rsp.GetDesired().GetComposite().GetResource().AsMap()["status"].(map[string]any)["identity"].(map[string]any)
	if got["connected"] != "1/1" {
		t.Errorf("status.identity is %v, want connected: 1/1", got)
	}
	if ns := str(c.only("PodIdentityAssociation"), "spec", "forProvider", "namespace"); ns != "team-a" {
		t.Errorf("namespace is %q, want team-a", ns)
	}
}

func cutLine(s, with string) string {
	lines := strings.Split(s, "\n")
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool { return strings.Contains(l, with) }), "\n")
}

func cutSection(s, name string) string {
	var out []string
	in := false
	for l := range strings.SplitSeq(s, "\n") {
		if !strings.HasPrefix(l, " ") && !strings.HasPrefix(l, "-") {
			in = strings.HasPrefix(l, name+":")
		}
		if !in {
			out = append(out, l)
		}
	}
	return strings.Join(out, "\n")
}

func deployment(name, podSpec string, ports ...string) string {
	if podSpec != "" {
		podSpec += ", "
	}
	return `
apiVersion: apps/v1
kind: Deployment
metadata: {name: ` + name + `, namespace: team-a, uid: d1}
spec:
  replicas: 1
  template:
    metadata: {labels: {app: x}}
    spec: {` + podSpec + `containers: [{name: app, image: x, ports: [` + strings.Join(ports, ",") + `]}]}
`
}
