package fleet

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/serviceconnections/function-service-connections/test/e2e/cloud"
	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
)

// What claims of a fleet may ask for.
var (
	Roles      = []string{"my-app-s3-access", "my-app-other"}
	Identities = []string{"shop", "other"}
	Accounts   = []string{"sql-client", "other-client"}
	Disks      = []string{CacheStorage, Uploads, Scratch}
)

const (
	// CacheStorage is a disk that the team has made by hand.
	CacheStorage = "cache-storage"

	// Uploads is a disk that is created and outlives its connection.
	Uploads = "uploads"

	// Scratch is a disk that is created and goes with its connection.
	Scratch = "scratch"
)

// rolePaths of Roles.
var rolePaths = map[string]string{"my-app-s3-access": "/", "my-app-other": "/apps/"}

const (
	apiVersion = "serviceconnections.io/v1alpha1"
	kind       = "ServiceConnection"

	tenantID = "00000000-0000-0000-0000-000000000001"
	project  = "my-project-123456"
)

func roleARN(role string) string {
	return "arn:aws:iam::" + cloud.AccountID + ":role" + rolePaths[role] + role
}

func email(account string) string { return account + "@" + project + ".iam.gserviceaccount.com" }

// identityName of a namespace: Azure allows only 20 credentials on each.
func identityName(namespace, identity string) string { return namespace + "-" + identity }

func armID(namespace, identity string) string {
	return "/subscriptions/00000000-0000-0000-0000-000000000002/resourceGroups/rg-shop/providers/Microsoft.ManagedIdentity/userAssignedIdentities/" + identityName(namespace, identity)
}

const cacheStorage = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: cache-storage, namespace: %s}
spec: {accessModes: [ReadWriteMany], resources: {requests: {storage: 3Gi}}}
`

// settings of the cluster, under which claims may use all but the refused role.
func (f *Fleet) settings(note string) string {
	var patterns []string
	for _, role := range Roles {
		if role != f.refused {
			patterns = append(patterns, fmt.Sprintf("{pattern: %s, namespaces: ['*']}", role))
		}
	}
	return fmt.Sprintf(`
apiVersion: apiextensions.crossplane.io/v1beta1
kind: EnvironmentConfig
metadata: {name: cluster-settings, labels: {note: %q}}
data:
  cluster: {name: one}
  workload: {inspect: %v}
  aws: {accountId: %q, region: eu-west-1, clusterName: one, allowedRoles: [%s]}
  azure:
    subscriptionId: 00000000-0000-0000-0000-000000000002
    tenantId: %s
    oidcIssuer: %s
    allowedIdentities: [{resourceGroup: "rg-*", identity: "*", namespaces: ["*"]}]
  gcp:
    projectId: %s
    serviceAccounts: [{name: sql-client, namespaces: ["*"]}, {name: other-client, namespaces: ["*"]}]
  disks:
  - {name: cache-storage, namespaces: ["*"]}
  - {name: uploads, namespaces: ["*"], create: {size: 20Gi}}
  - {name: scratch, namespaces: ["*"], create: {size: 1Gi}, deletionPolicy: Delete}
`, note, f.Inspect, cloud.AccountID, strings.Join(patterns, ", "), tenantID, controlplane.Issuer, project)
}

// workload of a service.
func (c Claim) workload(service string) string { return c.Name + "-" + service }

// account that a service runs as, as namespace/name.
func (c Claim) account(service string) string { return c.Namespace + "/" + c.Name + "-" + service }

// Object that the team applies.
func (c Claim) Object() *unstructured.Unstructured {
	services := make([]any, 0, len(c.Services))
	for _, s := range c.Services {
		services = append(services, map[string]any{
			"name":        s.Name,
			"workload":    map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": c.workload(s.Name)},
			"connections": s.connections(c.Namespace),
		})
	}
	u := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"services": services}}}
	u.SetAPIVersion(apiVersion)
	u.SetKind(kind)
	u.SetNamespace(c.Namespace)
	u.SetName(c.Name)
	return u
}

func (s *Service) connections(namespace string) []any {
	var all []any
	if s.Role != "" {
		all = append(all, map[string]any{"type": "awsRole", "role": s.Role})
	}
	if s.Identity != "" {
		all = append(all, map[string]any{"type": "azureManagedIdentity", "identityName": identityName(namespace, s.Identity), "resourceGroup": "rg-shop"})
	}
	if s.Proxy {
		all = append(all, map[string]any{"type": "cloudSql", "config": map[string]any{
			"cloudSqlConnectionName": project + ":europe-west1:shop", "cloudSqlDatabasePort": int64(5432), "cloudSqlServiceAccount": s.Account,
		}})
	}
	if s.Disk != "" {
		all = append(all, map[string]any{"type": "disk", "config": map[string]any{"diskName": s.Disk}})
	}
	if s.Google {
		all = append(all, map[string]any{"type": "gcpServiceAccount", "serviceAccountEmail": email(s.Account)})
	}
	return all
}

// wanted objects, each with what it grants where that may change in place, and
// lines of the cloud. What is composed of a refused role but grants nothing may
// be there or not.
func (f *Fleet) wanted() (objects map[string]string, lines []string) {
	objects = map[string]string{}
	for _, c := range f.claims {
		for _, s := range c.Services {
			lines = append(lines, f.wantedOf(c, s, objects)...)
		}
	}
	for object := range f.disks {
		if f.disks.must(object) {
			objects[object] = ""
		}
	}
	return objects, lines
}

func (f *Fleet) wantedOf(c Claim, s Service, objects map[string]string) (lines []string) {
	account := c.account(s.Name)
	objects["ServiceAccount "+account] = ""
	if s.Role != "" && s.Role != f.refused {
		objects["Role "+account+" "+s.Role] = ""
		objects["PodIdentityAssociation "+account] = roleARN(s.Role)
		lines = append(lines, "association one "+account+" -> "+roleARN(s.Role))
	}
	if s.Identity != "" {
		objects["UserAssignedIdentity "+account+" "+identityName(c.Namespace, s.Identity)] = ""
		objects["FederatedIdentityCredential "+account+" "+identityName(c.Namespace, s.Identity)] = ""
		lines = append(lines, "credential on "+armID(c.Namespace, s.Identity)+": "+controlplane.Issuer+
			" system:serviceaccount:"+strings.ReplaceAll(account, "/", ":")+" api://AzureADTokenExchange")
	}
	if s.Google || s.Proxy {
		objects["ServiceAccountIAMMember "+account+" "+email(s.Account)] = ""
		lines = append(lines, "member serviceAccount:"+project+".svc.id.goog["+account+"] of "+email(s.Account))
	}
	if s.Disk == Scratch {
		// What was there before went with its connection.
		objects[diskObject(c.Namespace, s.Disk)] = ""
	}
	return lines
}

// reasonOf a connection's status.
func (f *Fleet) reasonOf(s Service, typ string) string {
	if typ == "awsRole" && s.Role == f.refused {
		return "NotAllowed"
	}
	return "Connected"
}

// refuses says whether a connection of a service is refused, whose other objects
// stay as they are until that is settled.
func (f *Fleet) refuses(c Claim, service string) bool {
	return f.refused != "" && slices.ContainsFunc(c.Services, func(s Service) bool { return s.Name == service && s.Role == f.refused })
}

// keeps says whether a ServiceAccount, as namespace/name, may still have a role:
// its service asks for the refused one instead, and this one isn't refused.
func (f *Fleet) keeps(account, arn string) bool {
	if f.refused == "" || arn == roleARN(f.refused) {
		return false
	}
	for _, c := range f.claims {
		for _, s := range c.Services {
			if s.Role == f.refused && c.account(s.Name) == account {
				return true
			}
		}
	}
	return false
}
