package e2e

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"

	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/test/cloudapi"
	"github.com/serviceconnections/function-service-connections/test/e2e/cloud"
)

// proxyImage and proxyArgs of the Cloud SQL Auth Proxy in these tests.
const (
	proxyImage = "gcr.io/cloud-sql-connectors/cloud-sql-proxy:2.28.0"
	proxyArgs  = "my-project-123456:europe-west1:orders?port=5432 --structured-logs --exit-zero-on-sigterm --health-check --http-address=0.0.0.0 --http-port=9801"
	cloudSQL   = "{type: cloudSql, config: {cloudSqlConnectionName: 'my-project-123456:europe-west1:orders', cloudSqlDatabasePort: 5432, cloudSqlServiceAccount: sql-client}}"
)

// TestConnections follows each type of connection from the claim to the pod. The
// cloud takes its time, so the team reads what it waits for; its pods don't wait,
// and are connected as they are created.
func TestConnections(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason     string
		connection string
		typ        claim.ConnectionType

		// held is the kind that the cloud holds back, and waiting what the
		// status says then.
		held, waiting string

		identity string

		// account is what the ServiceAccount is annotated with, by pattern.
		account map[string]string
		pod     string
	}{
		"AWSRole": {
			reason:     "EKS Pod Identity: a token for its agent, and where that is.",
			connection: "{type: awsRole, role: my-app-s3-access}",
			typ:        claim.TypeAWSRole,
			held:       "PodIdentityAssociation",
			waiting:    `^PodIdentityAssociation "shop-api-association-[0-9a-f]{16}" is being created$`,
			identity:   "arn:aws:iam::123456789012:role/my-app-s3-access",
			pod: `
serviceAccount shop-api
volume eks-pod-identity-token token pods.eks.amazonaws.com 86400s eks-pod-identity-token
container api registry.example.org/api:1
  env LOG_LEVEL=info
  env AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token
  env AWS_CONTAINER_CREDENTIALS_FULL_URI=http://169.254.170.23/v1/credentials
  env AWS_DEFAULT_REGION=eu-west-1
  env AWS_REGION=eu-west-1
  env AWS_STS_REGIONAL_ENDPOINTS=regional
  mount eks-pod-identity-token /var/run/secrets/pods.eks.amazonaws.com/serviceaccount ro
`,
		},
		"AWSRoleWithPath": {
			reason:     "The role's path is the cloud's to tell.",
			connection: "{type: awsRole, role: my-app-other}",
			typ:        claim.TypeAWSRole,
			held:       "PodIdentityAssociation",
			waiting:    `^PodIdentityAssociation "shop-api-association-[0-9a-f]{16}" is being created$`,
			identity:   "arn:aws:iam::123456789012:role/apps/my-app-other",
		},
		"AzureManagedIdentity": {
			reason:     "AKS's own webhook adds the token to pods with the label.",
			connection: "{type: azureManagedIdentity, identityName: shop, resourceGroup: rg-shop}",
			typ:        claim.TypeAzureManagedIdentity,
			held:       "FederatedIdentityCredential",
			waiting:    `^FederatedIdentityCredential "shop-api-credential-[0-9a-f]{16}" is being created$`,
			identity:   armID("shop"),
			account: map[string]string{
				"azure.workload.identity/client-id": `^c0000000-0000-0000-0000-.{12}$`,
				"azure.workload.identity/tenant-id": `^00000000-0000-0000-0000-000000000001$`,
			},
			pod: `
serviceAccount shop-api
label azure.workload.identity/use=true
container api registry.example.org/api:1
  env LOG_LEVEL=info
`,
		},
		"CloudSQL": {
			reason:     "A proxy beside the containers, and where it listens.",
			connection: cloudSQL,
			typ:        claim.TypeCloudSQL,
			held:       "ServiceAccountIAMMember",
			waiting:    `^ServiceAccountIAMMember "shop-api-member-[0-9a-f]{16}" is being created$`,
			identity:   "sql-client@my-project-123456.iam.gserviceaccount.com",
			account:    map[string]string{"iam.gke.io/gcp-service-account": `^sql-client@my-project-123456\.iam\.gserviceaccount\.com$`},
			pod: `
serviceAccount shop-api
sidecar sc-cloud-sql-proxy ` + proxyImage + `
  args ` + proxyArgs + `
container api registry.example.org/api:1
  env LOG_LEVEL=info
  env DB_HOST=127.0.0.1
  env DB_INSTANCE_CONNECTION_NAME=my-project-123456:europe-west1:orders
  env DB_PORT=5432
`,
		},
		"GCPServiceAccount": {
			reason:     "GKE's metadata server does the rest for the ServiceAccount.",
			connection: "{type: gcpServiceAccount, serviceAccountEmail: other-client@my-project-123456.iam.gserviceaccount.com}",
			typ:        claim.TypeGCPServiceAccount,
			held:       "ServiceAccountIAMMember",
			waiting:    `^ServiceAccountIAMMember "shop-api-member-[0-9a-f]{16}" is being created$`,
			identity:   "other-client@my-project-123456.iam.gserviceaccount.com",
			account:    map[string]string{"iam.gke.io/gcp-service-account": `^other-client@my-project-123456\.iam\.gserviceaccount\.com$`},
			pod: `
serviceAccount shop-api
container api registry.example.org/api:1
  env LOG_LEVEL=info
`,
		},
		"DiskCreatedAndRetained": {
			reason:     "A disk that outlives its claim is an Object's.",
			connection: "{type: disk, config: {diskName: uploads, mountPath: /srv/uploads, fsGroup: 1000}}",
			typ:        claim.TypeDisk,
			held:       "Object",
			waiting:    `^Object "disk-uploads-[0-9a-f]{16}" is being created$`,
			identity:   "uploads",
			pod: `
serviceAccount shop-api
fsGroup 1000
volume sc-disk claim uploads readOnly=false
container api registry.example.org/api:1
  env LOG_LEVEL=info
  mount sc-disk /srv/uploads rw
`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachMode(t, func(team *team) {
				team.cloud.HoldIn(team.namespace, tc.held)
				team.connect("- name: api\n  connections: [" + tc.connection + "]")
				waiting := team.awaitMessage("api", tc.typ, "Creating", regexp.MustCompile(tc.waiting).MatchString)
				team.wantConnected("0/1", "False", fmt.Sprintf("api/%s: Creating: %s", tc.typ, waiting.Message))

				team.awaitInjecting("shop", "api")
				team.apply(deployment("api"))
				pod := &team.awaitPods("api", 1)[0]
				team.wantInjected(pod, "shop", "api")
				if tc.pod != "" {
					team.wantPod(pod, tc.pod)
				}
				for k, pattern := range tc.account {
					if got := team.annotations("ServiceAccount", "shop-api")[k]; !regexp.MustCompile(pattern).MatchString(got) {
						team.t.Errorf("%s\nannotation %s of the ServiceAccount is %q, want %s", tc.reason, k, got, pattern)
					}
				}

				team.cloud.ReleaseIn(team.namespace, tc.held)
				connected := team.awaitMessage("api", tc.typ, "Connected", func(m string) bool { return m == "" })
				if connected.Identity != tc.identity || !connected.Ready {
					team.t.Errorf("%s\nconnection is %+v, want identity %q and ready", tc.reason, connected, tc.identity)
				}
				team.awaitReady()
				team.wantConnected("1/1", "True", "")
			})
		})
	}
}

// wantConnected is what a listing of the claim shows, kubectl get -o wide.
func (t *team) wantConnected(connected, status, message string) {
	t.t.Helper()
	t.eventually("columns of the claim", func(ctx context.Context) error {
		s, err := t.status(ctx)
		if err != nil {
			return err
		}
		gotStatus, gotMessage, err := t.condition(ctx, "Connected")
		if err != nil {
			return err
		}
		if s.Connected != connected || gotStatus != status || gotMessage != message {
			return fmt.Errorf("%q, condition Connected %s: %q; want %q, %s: %q", s.Connected, gotStatus, gotMessage, connected, status, message)
		}
		return nil
	})
}

// volumeClaim of a name, as a team writes it.
func volumeClaim(name string) string {
	return `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: ` + name + `}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
`
}

func TestDiskByReference(t *testing.T) {
	t.Parallel()
	eachMode(t, func(team *team) {
		team.connect(`
- name: api
  connections: [{type: disk, config: {diskName: cache-storage, readOnly: true, subPath: api}}]`)
		want := fmt.Sprintf(`PersistentVolumeClaim "cache-storage" does not exist in namespace %q; create it, or register the disk with a size in the cluster settings`, team.namespace)
		team.awaitMessage("api", claim.TypeDisk, "VolumeClaimNotFound", func(m string) bool { return m == want })
		// The pod stays Pending until the volume claim is there.
		team.awaitInjecting("shop", "api")
		team.apply(deployment("api"))
		team.wantPod(team.awaitPod("api"), `
serviceAccount shop-api
volume sc-disk claim cache-storage readOnly=true
container api registry.example.org/api:1
  env LOG_LEVEL=info
  mount sc-disk /data/cache-storage ro api
`)
		team.apply(volumeClaim("cache-storage"))
		team.awaitReason("api", claim.TypeDisk, "Connected")
		team.awaitReady()
		if pvc := team.get("v1", "PersistentVolumeClaim", "cache-storage"); len(pvc.GetOwnerReferences()) > 0 {
			team.t.Errorf("the team's volume claim has owners %v", pvc.GetOwnerReferences())
		}
	})
}

// TestDiskPending tells a volume claim that waits for its first pod from one that
// waits in vain, by its StorageClass.
func TestDiskPending(t *testing.T) {
	t.Parallel()
	eachMode(t, func(team *team) {
		class := "of-" + team.namespace
		team.apply(strings.Replace(volumeClaim("cache-storage"), "spec: {", "spec: {storageClassName: "+class+", ", 1))
		team.connect("- name: api\n  connections: [{type: disk, config: {diskName: cache-storage}}]")
		team.awaitMessage("api", claim.TypeDisk, "StorageClassNotFound", says(fmt.Sprintf("StorageClass %q does not exist", class)))

		create := func(mode storagev1.VolumeBindingMode) *storagev1.StorageClass {
			sc := &storagev1.StorageClass{
				ObjectMeta: metav1.ObjectMeta{Name: class}, Provisioner: "example.org/disks", VolumeBindingMode: &mode,
			}
			if err := team.Client.Create(team.t.Context(), sc); err != nil {
				team.t.Fatal(err)
			}
			return sc
		}
		sc := create(storagev1.VolumeBindingImmediate)
		team.awaitMessage("api", claim.TypeDisk, "Creating", says("run: kubectl -n "+team.namespace+" describe pvc cache-storage"))
		if err := team.Client.Delete(team.t.Context(), sc); err != nil {
			team.t.Fatal(err)
		}
		create(storagev1.VolumeBindingWaitForFirstConsumer)
		team.awaitReason("api", claim.TypeDisk, "Connected")
		team.awaitReady()
	})
}

// TestErrorsAreStable holds that a claim isn't written again and again because a
// provider tries again and again.
func TestErrorsAreStable(t *testing.T) {
	t.Parallel()
	alone(t, func(team *team) {
		team.cloud.Deny(cloudapi.CreatePodIdentityAssociation)
		team.t.Cleanup(func() { team.cloud.Allow(cloudapi.CreatePodIdentityAssociation) })
		team.connect("- name: api\n  connections: [{type: awsRole, role: my-app-s3-access}]")
		team.awaitMessage("api", claim.TypeAWSRole, "ProviderError", says("AccessDeniedException"))
		var version string
		tried := 0
		team.eventually("the claim is not written while the provider tries three times", func(ctx context.Context) error {
			u, err := team.Get(ctx, claimVersion, claimKind, team.namespace, "shop")
			if err != nil {
				return err
			}
			n := team.cloud.Calls(cloudapi.CreatePodIdentityAssociation)
			if u.GetResourceVersion() != version {
				version, tried = u.GetResourceVersion(), n
			}
			if n < tried+3 {
				return fmt.Errorf("%d tries since it was written: %v", n-tried, u.Object["status"])
			}
			return nil
		})
	})
}

// TestDiskCreated says whose the volume claim is: with Retain nobody's, with
// Delete the claim's.
func TestDiskCreated(t *testing.T) {
	t.Parallel()
	eachMode(t, func(team *team) {
		team.connect(`
- name: api
  connections: [{type: disk, config: {diskName: scratch}}]
- name: worker
  connections: [{type: disk, config: {diskName: uploads}}]`)
		team.awaitReason("api", claim.TypeDisk, "Connected")
		team.awaitReason("worker", claim.TypeDisk, "Connected")
		team.awaitReady()
		team.awaitInjecting("shop", "api")
		team.apply(deployment("api"))
		team.wantPod(&team.awaitPods("api", 1)[0], `
serviceAccount shop-api
volume sc-disk claim scratch readOnly=false
container api registry.example.org/api:1
  env LOG_LEVEL=info
  mount sc-disk /data/scratch rw
`)
		for name, composed := range map[string]bool{"scratch": true, "uploads": false} {
			pvc := team.get("v1", "PersistentVolumeClaim", name)
			if controlled := metav1.GetControllerOf(pvc) != nil; controlled != composed {
				team.t.Errorf("volume claim %s has a controller: %t, want %t", name, controlled, composed)
			}
		}
	})
}

// TestNotThereYet names what the team still has to create, and clears by itself
// once it has.
func TestNotThereYet(t *testing.T) {
	t.Parallel()
	eachMode(t, func(team *team) {
		role, identity := "my-app-"+team.namespace, "id-"+team.namespace
		team.connect(`
- name: api
  connections:
  - {type: awsRole, role: ` + role + `}
  - {type: azureManagedIdentity, identityName: ` + identity + `, resourceGroup: rg-shop}`)
		wantRole := fmt.Sprintf("IAM role %q does not exist in account 123456789012; correct the name, or ask whoever administers the account to create it", role)
		team.awaitMessage("api", claim.TypeAWSRole, "RoleNotFound", func(m string) bool { return m == wantRole })
		wantIdentity := fmt.Sprintf(`managed identity %q does not exist in resource group "rg-shop"; correct the name, or ask whoever administers the resource group to create it`, identity)
		team.awaitMessage("api", claim.TypeAzureManagedIdentity, "IdentityNotFound", func(m string) bool { return m == wantIdentity })
		team.cloud.AddRole("/", role)
		team.cloud.AddIdentity(armID(identity), tenantID)
		team.awaitReason("api", claim.TypeAWSRole, "Connected")
		team.awaitReason("api", claim.TypeAzureManagedIdentity, "Connected")
		team.awaitReady()
	})
}

// TestTrust says what the trust policy of a role lacks, and takes nothing away
// for it: the association and the injection stay as they are.
func TestTrust(t *testing.T) {
	t.Parallel()
	eachMode(t, func(team *team) {
		role := "my-app-" + team.namespace
		team.cloud.AddRole("/", role)
		team.cloud.SetTrust(role, trustsPods(`"sts:AssumeRole"`, "{}"))
		team.connect("- name: api\n  connections: [{type: awsRole, role: " + role + "}]")
		team.awaitReason("api", claim.TypeAWSRole, "TrustMissingTagSession")
		team.awaitInjecting("shop", "api")
		team.awaitContents("the association all the same", role)

		team.cloud.SetTrust(role, trustsPods(`"sts:*"`, "{}"))
		team.awaitReason("api", claim.TypeAWSRole, "Connected")
		team.awaitReady()

		team.cloud.SetTrust(role, trustsPods(`"sts:*"`, forNamespace("someone")))
		team.awaitMessage("api", claim.TypeAWSRole, "TrustSubjectMismatch", says(team.namespace))
		team.cloud.SetTrust(role, trustsPods(`"sts:*"`, forNamespace("team-*")))
		team.awaitReason("api", claim.TypeAWSRole, "TrustWildcardWithStringEquals")
		team.awaitInjecting("shop", "api")
		team.awaitContents("the association still", role)

		team.cloud.SetTrust(role, trustsPods(`"sts:*"`, forNamespace(team.namespace)))
		team.awaitReason("api", claim.TypeAWSRole, "Connected")
		team.awaitReady()
	})
}

// trustsPods is a trust policy for EKS Pod Identity.
func trustsPods(action, condition string) string {
	return `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "pods.eks.amazonaws.com"}, "Action": ` + action + `, "Condition": ` + condition + `}]}`
}

// forNamespace is the condition that EKS asks for pods of one.
func forNamespace(namespace string) string {
	return `{"StringEquals": {"aws:RequestTag/kubernetes-namespace": "` + namespace + `"}}`
}

// trustsSubject is a trust policy for a subject of the API server's tokens.
func trustsSubject(sub string) string {
	provider := strings.TrimPrefix(issuer, "https://")
	return `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Federated": "arn:aws:iam::` + cloud.AccountID + `:oidc-provider/` + provider + `"}, "Action": "sts:AssumeRoleWithWebIdentity", "Condition": {"StringEquals": {"` + provider + `:sub": "` + sub + `", "` + provider + `:aud": "sts.amazonaws.com"}}}]}`
}

// TestAllConnections of one service: one pod has them all.
func TestAllConnections(t *testing.T) {
	t.Parallel()
	eachMode(t, func(team *team) {
		team.connect(`
- name: api
  connections:
  - {type: awsRole, role: my-app-s3-access}
  - {type: azureManagedIdentity, identityName: shop, resourceGroup: rg-shop}
  - ` + cloudSQL + `
  - {type: disk, config: {diskName: uploads}}
  - {type: gcpServiceAccount, serviceAccountEmail: sql-client@my-project-123456.iam.gserviceaccount.com}`)
		team.awaitReady()
		team.wantConnected("5/5", "True", "")
		team.awaitInjecting("shop", "api")
		team.apply(deployment("api"))
		pod := &team.awaitPods("api", 1)[0]
		team.wantInjected(pod, "shop", "api")
		team.wantPod(pod, `
serviceAccount shop-api
label azure.workload.identity/use=true
volume eks-pod-identity-token token pods.eks.amazonaws.com 86400s eks-pod-identity-token
volume sc-disk claim uploads readOnly=false
sidecar sc-cloud-sql-proxy `+proxyImage+`
  args `+proxyArgs+`
container api registry.example.org/api:1
  env LOG_LEVEL=info
  env AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token
  env AWS_CONTAINER_CREDENTIALS_FULL_URI=http://169.254.170.23/v1/credentials
  env AWS_DEFAULT_REGION=eu-west-1
  env AWS_REGION=eu-west-1
  env AWS_STS_REGIONAL_ENDPOINTS=regional
  env DB_HOST=127.0.0.1
  env DB_INSTANCE_CONNECTION_NAME=my-project-123456:europe-west1:orders
  env DB_PORT=5432
  mount sc-disk /data/uploads rw
  mount eks-pod-identity-token /var/run/secrets/pods.eks.amazonaws.com/serviceaccount ro
`)
	})
}

// irsaSettings are the usual ones, but for IAM roles for service accounts.
func irsaSettings() string {
	return strings.Replace(settings, "    clusterName: one\n", "    mode: IRSA\n    oidcIssuer: "+issuer+"\n", 1)
}

func TestIRSA(t *testing.T) {
	t.Parallel()
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			team := withSettings(t, mode)
			if err := team.ApplyYAML(t.Context(), irsaSettings()); err != nil {
				t.Fatal(err)
			}
			// Without the role's path the ARN would be wrong, so nothing is
			// published before the cloud has told it.
			team.connect("- name: api\n  connections: [{type: awsRole, role: my-app-late}]")
			team.awaitReason("api", claim.TypeAWSRole, "RoleNotFound")
			if s, err := team.serviceOf(t.Context(), "shop", "api"); err != nil || s.Injection != nil {
				t.Errorf("published before the role is known: %v, %v", s, err)
			}
			// A role that was made for Pod Identity is told what it lacks, and
			// what it has that is another team's.
			team.cloud.AddRole("/apps/", "my-app-late")
			t.Cleanup(func() { team.cloud.RemoveRole("my-app-late") })
			team.awaitReason("api", claim.TypeAWSRole, "TrustMissingPrincipal")
			team.cloud.SetTrust("my-app-late", trustsSubject("system:serviceaccount:someone:shop-api"))
			subject := "system:serviceaccount:" + team.namespace + ":shop-api"
			team.awaitMessage("api", claim.TypeAWSRole, "TrustSubjectMismatch", says(subject))
			// Those of another cluster, and for another audience.
			provider := strings.TrimPrefix(issuer, "https://")
			team.cloud.SetTrust("my-app-late", strings.ReplaceAll(trustsSubject(subject), provider, "oidc.example.org/other"))
			team.awaitMessage("api", claim.TypeAWSRole, "TrustWrongIssuer", says("oidc.example.org/other"))
			team.cloud.SetTrust("my-app-late", strings.ReplaceAll(trustsSubject(subject), "sts.amazonaws.com", "sts.example.org"))
			team.awaitMessage("api", claim.TypeAWSRole, "TrustAudienceMismatch", says(`"sts.amazonaws.com"`))
			team.cloud.SetTrust("my-app-late", trustsSubject(subject))
			c := team.awaitMessage("api", claim.TypeAWSRole, "Connected", func(string) bool { return true })
			if want := "arn:aws:iam::123456789012:role/apps/my-app-late"; c.Identity != want {
				t.Errorf("identity %q, want %q", c.Identity, want)
			}
			if len(c.Warnings) != 1 || c.Warnings[0].Reason != "RevocationExternal" {
				t.Errorf("warnings %v, want RevocationExternal", c.Warnings)
			}
			team.awaitReady()
			team.awaitInjecting("shop", "api")
			team.apply(deployment("api"))
			team.wantPod(&team.awaitPods("api", 1)[0], `
serviceAccount shop-api
volume aws-iam-token token sts.amazonaws.com 86400s token
container api registry.example.org/api:1
  env LOG_LEVEL=info
  env AWS_DEFAULT_REGION=eu-west-1
  env AWS_REGION=eu-west-1
  env AWS_ROLE_ARN=arn:aws:iam::123456789012:role/apps/my-app-late
  env AWS_STS_REGIONAL_ENDPOINTS=regional
  env AWS_WEB_IDENTITY_TOKEN_FILE=/var/run/secrets/eks.amazonaws.com/serviceaccount/token
  mount aws-iam-token /var/run/secrets/eks.amazonaws.com/serviceaccount ro
`)
			team.wantTokenOfPod("api", "aws-iam-token")
			account := team.annotations("ServiceAccount", "shop-api")
			if account["eks.amazonaws.com/role-arn"] != c.Identity || account["eks.amazonaws.com/audience"] != "sts.amazonaws.com" {
				t.Errorf("annotations of the ServiceAccount are %v", account)
			}
		})
	}
}
