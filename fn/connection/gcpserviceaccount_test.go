package connection

import (
	"strings"
	"testing"
)

const googleSettings = `
cluster: {name: prod}
gcp:
  projectId: my-project
  serviceAccounts:
  - {name: api-account, namespaces: [team-a]}
  - {name: other-account, namespaces: [team-b]}
  - {name: api-account@their-project.iam.gserviceaccount.com, namespaces: ["*"]}
`

func TestGCPServiceAccount(t *testing.T) {
	t.Parallel()

	const connection = `{type: gcpServiceAccount, serviceAccountEmail: api-account@my-project.iam.gserviceaccount.com}`
	expandCases(t, googleSettings, map[string]expandCase{
		"Binding": {
			reason:     "a binding on the account lets the ServiceAccount act as it; pods get nothing but their ServiceAccount",
			connection: connection,
			want: `
keys: [member]
identity: api-account@my-project.iam.gserviceaccount.com
target: api-account@my-project.iam.gserviceaccount.com
family: google
decision: 3
published: true
verdict: Creating
annotations: {iam.gke.io/gcp-service-account: api-account@my-project.iam.gserviceaccount.com}
injection: {env: null, volumes: null, initContainers: null, labels: null}
grants:
  member:
    apiVersion: cloudplatform.gcp.m.upbound.io/v1beta1
    kind: ServiceAccountIAMMember
    metadata: {namespace: team-a, annotations: {crossplane.io/external-name: "projects/my-project/serviceAccounts/api-account@my-project.iam.gserviceaccount.com/roles/iam.workloadIdentityUser/serviceAccount:my-project.svc.id.goog[team-a/shop-api]"}}
    spec:
      managementPolicies: [Observe, Create, Update, Delete]
      providerConfigRef: {kind: ClusterProviderConfig, name: default}
      forProvider:
        serviceAccountId: projects/my-project/serviceAccounts/api-account@my-project.iam.gserviceaccount.com
        role: roles/iam.workloadIdentityUser
        member: serviceAccount:my-project.svc.id.goog[team-a/shop-api]
`,
		},
		"Ready": {
			reason:     "a binding that is there connects",
			connection: connection,
			observed:   map[string]string{"member": `{status: ` + ready + `}`},
			want:       `{published: true, verdict: ""}`,
		},
		"OtherProject": {
			reason:     "an e-mail names the project of its account",
			connection: `{type: gcpServiceAccount, serviceAccountEmail: api-account@their-project.iam.gserviceaccount.com}`,
			want: `
decision: 3
grants: {member: {spec: {forProvider: {
  serviceAccountId: projects/their-project/serviceAccounts/api-account@their-project.iam.gserviceaccount.com,
  member: "serviceAccount:my-project.svc.id.goog[team-a/shop-api]"}}}}
`,
		},
		"DomainScoped": {
			reason:     "a domain-scoped project is in the e-mail the other way round, and in the pool as it is",
			settings:   `{gcp: {projectId: "example.com:my-project"}}`,
			connection: `{type: gcpServiceAccount, serviceAccountEmail: api-account@my-project.example.com.iam.gserviceaccount.com}`,
			want: `
decision: 3
grants: {member: {spec: {forProvider: {
  serviceAccountId: "projects/example.com:my-project/serviceAccounts/api-account@my-project.example.com.iam.gserviceaccount.com",
  member: "serviceAccount:example.com:my-project.svc.id.goog[team-a/shop-api]"}}}}
`,
		},
		"GoogleOwn": {
			reason:     "Google's own accounts don't name their project, so it is the cluster's",
			connection: `{type: gcpServiceAccount, serviceAccountEmail: 123456-compute@developer.gserviceaccount.com}`,
			want: `
decision: 2
grants: {member: {spec: {forProvider: {serviceAccountId: projects/my-project/serviceAccounts/123456-compute@developer.gserviceaccount.com}}}}
`,
		},
		"Excluded": {
			reason:     "an account that is registered for others",
			connection: `{type: gcpServiceAccount, serviceAccountEmail: other-account@my-project.iam.gserviceaccount.com}`,
			want:       `{decision: 1}`,
		},
		"SharedPool": {
			reason:     "another cluster of the pool may use the same binding, so it is never deleted",
			settings:   `{gcp: {workloadPool: fleet.svc.id.goog, sharedWorkloadPool: true}}`,
			connection: connection,
			want: `
grants: {member: {spec: {
  managementPolicies: [Observe, Create, Update], deletionPolicy: null,
  forProvider: {member: "serviceAccount:fleet.svc.id.goog[team-a/shop-api]"}}}}
`,
		},
		"Claim": {
			reason:     "a cluster-scoped composite resource composes the cluster-scoped kind, which has another version",
			connection: connection,
			context:    func(c *Context) { c.Claim.Namespaced = false },
			want: `
grants: {member: {
  apiVersion: cloudplatform.gcp.upbound.io/v1beta2, crd: serviceaccountiammembers.cloudplatform.gcp.upbound.io,
  metadata: {namespace: null}, spec: {deletionPolicy: Delete, providerConfigRef: {name: default, kind: null}}}}
`,
		},
		"ClaimOfSharedPool": {
			reason:     "the older deletion policy says as well that it is never deleted",
			settings:   `{gcp: {sharedWorkloadPool: true}}`,
			connection: connection,
			context:    func(c *Context) { c.Claim.Namespaced = false },
			want:       `{grants: {member: {spec: {deletionPolicy: Orphan, managementPolicies: [Observe, Create, Update]}}}}`,
		},
		"IdentityNotFound": {
			reason:     "an account that nobody made is named",
			connection: connection,
			observed:   map[string]string{"member": notThere},
			want:       `{verdict: IdentityNotFound, message: 'Google service account "api-account@my-project.iam.gserviceaccount.com" does not exist'}`,
		},
		"IdentityNotFoundByThePolicy": {
			reason:     "a member is managed, so what says that the account is missing is the policy that can't be read",
			connection: `{type: gcpServiceAccount, serviceAccountEmail: api-account@my-project.iam.gserviceaccount.com}`,
			observed:   map[string]string{"member": `{status: {conditions: [{type: Synced, status: "True"}, {type: Ready, status: "False"}, {type: LastAsyncOperation, status: "False", message: "create failed: async create failed: failed to create the resource: [{0 Error retrieving IAM policy for service account 'projects/my-project/serviceAccounts/api-account@my-project.iam.gserviceaccount.com': googleapi: Error 404: Unknown service account, notFound  []}]"}]}}`},
			want:       `{verdict: IdentityNotFound, message: 'Google service account "api-account@my-project.iam.gserviceaccount.com" does not exist'}`,
		},
		"ProviderError": {
			reason:     "a provider's message is cut to what can be read",
			connection: connection,
			observed:   map[string]string{"member": `{status: {conditions: [{type: Synced, status: "False", message: "` + strings.Repeat("x", 500) + `"}]}}`},
			want:       `{published: true, verdict: ProviderError, message: "` + strings.Repeat("x", 290) + `…x"}`,
		},
		"NotConfigured": {
			reason:     "a cloud that the settings don't have is the platform's to add",
			settings:   `{gcp: null}`,
			connection: connection,
			want:       `{keys: [], published: false, annotations: null, verdict: CloudNotConfigured, message: no gcp section}`,
		},
		"LongServiceAccount": {
			reason:     "names stay label values",
			connection: connection,
			context:    func(c *Context) { c.ServiceAccount = strings.Repeat("long-name.", 25) + "a" },
			want:       `{keys: [member]}`,
		},
	})
}
