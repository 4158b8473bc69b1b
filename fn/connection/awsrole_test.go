package connection

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/settings"
	"github.com/serviceconnections/function-service-connections/input/v1beta1"
)

const awsSettings = `
cluster: {name: prod}
aws:
  accountId: "111122223333"
  region: eu-west-1
  clusterName: prod
  allowedRoles: [{pattern: "api*", namespaces: [team-a]}, {pattern: "arn:aws:iam::444455556666:role/*", namespaces: [team-a]}]
`

const irsaSettings = `{aws: {mode: IRSA, oidcIssuer: "https://oidc.example.com/id/1"}}`

// notThere is what a provider says of an object that it may only observe.
const notThere = `{status: {conditions: [{type: Synced, status: "False", message: "observe failed: external resource does not exist"}]}}`

func roleObserved(arn string) string { return roleTrusting(arn, "") }

// roleTrusting is a role as it is observed, with its trust policy.
func roleTrusting(arn, policy string) string {
	return `{status: {atProvider: {arn: "` + arn + `", assumeRolePolicy: '` + policy + `'}, conditions: [{type: Synced, status: "True"}, {type: Ready, status: "True"}]}}`
}

// Trust policies: that of the EKS user guide, one that lacks an action, and one
// that is open to all.
const (
	trustsPods      = `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "pods.eks.amazonaws.com"}, "Action": ["sts:AssumeRole", "sts:TagSession"]}]}`
	trustsNoTags    = `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "pods.eks.amazonaws.com"}, "Action": "sts:AssumeRole"}]}`
	trustsTagged    = `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "pods.eks.amazonaws.com"}, "Action": ["sts:AssumeRole", "sts:TagSession"], "Condition": {"StringEquals": {"aws:RequestTag/kubernetes-namespace": "team-a"}}}]}`
	trustsEverybody = `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sts:*"}]}`
)

// taggedAssociation of the role api whose object says that there are no session tags, or
// nothing of them, and what EKS does.
func taggedAssociation(untagged, inUse bool) string {
	const role = `roleArn: "arn:aws:iam::111122223333:role/api"`
	field := ""
	if untagged {
		field = ", disableSessionTags: true"
	}
	return fmt.Sprintf(`{spec: {forProvider: {%s%s}}, status: {atProvider: {%s, disableSessionTags: %t}, %s}`, role, field, role, inUse, strings.TrimPrefix(ready, "{"))
}

// anotherExists is what the provider says of an association where EKS has another one.
const anotherExists = `{spec: {forProvider: {clusterName: prod, namespace: team-a, serviceAccount: shop-api}}, status: {conditions: [{type: Synced, status: "False", message: "create failed: ResourceInUseException: Association already exists: a-1"}]}}`

// foundFor is the other one, as it was made for the composite resource of a UID.
func foundFor(uid string) string {
	return `{metadata: {annotations: {crossplane.io/external-name: a-1}}, status: {atProvider: {associationId: a-1, clusterName: prod, namespace: team-a, serviceAccount: shop-api, tagsAll: {serviceconnections.io/composed-by: ` + uid + `}}, ` + strings.TrimPrefix(ready, "{") + `}`
}

// tagsSetBy a manager.
func tagsSetBy(manager, operation string) []any {
	fields := map[string]any{"f:spec": map[string]any{"f:forProvider": map[string]any{"f:disableSessionTags": map[string]any{}}}}
	return []any{map[string]any{"manager": manager, "operation": operation, "fieldsV1": fields}}
}

// trustsSubject is a policy for one subject of the tests' OIDC provider.
func trustsSubject(sub string) string {
	return `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Federated": "arn:aws:iam::111122223333:oidc-provider/oidc.example.com/id/1"}, "Action": "sts:AssumeRoleWithWebIdentity", "Condition": {"StringLike": {"oidc.example.com/id/1:sub": "` + sub + `"}}}]}`
}

// Crossplane has set the tags of an association, or somebody else.
var (
	ourTags   = tagsSetBy(fieldManager+"/1", "Apply")
	theirTags = tagsSetBy("kubectl-edit", "Update")
)

func TestAWSRole(t *testing.T) {
	t.Parallel()

	expandCases(t, awsSettings, map[string]expandCase{
		"PodIdentity": {
			reason:     "a role that is seen is granted by an association",
			connection: `{type: awsRole, role: api}`,
			observed:   map[string]string{"role": roleObserved("arn:aws:iam::111122223333:role/api")},
			want: `
keys: [role, association]
identity: arn:aws:iam::111122223333:role/api
family: aws
target: arn:aws:iam::111122223333:role/api
decision: 3
published: true
annotations: null
verdict: Creating
warnings: []
grants:
  role:
    apiVersion: iam.aws.m.upbound.io/v1beta1
    kind: Role
    metadata: {namespace: team-a, annotations: {crossplane.io/external-name: api}}
    spec: {managementPolicies: [Observe], forProvider: {}, providerConfigRef: {kind: ClusterProviderConfig, name: default}, deletionPolicy: null}
    crd: roles.iam.aws.m.upbound.io
  association:
    apiVersion: eks.aws.m.upbound.io/v1beta1
    kind: PodIdentityAssociation
    metadata: {namespace: team-a, annotations: null}
    spec:
      managementPolicies: [Observe, Create, Update, Delete]
      forProvider: {region: eu-west-1, clusterName: prod, namespace: team-a, serviceAccount: shop-api, roleArn: "arn:aws:iam::111122223333:role/api", targetRoleArn: null}
env:
  AWS_CONTAINER_CREDENTIALS_FULL_URI: http://169.254.170.23/v1/credentials
  AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: /var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token
  AWS_REGION: eu-west-1
  AWS_DEFAULT_REGION: eu-west-1
  AWS_STS_REGIONAL_ENDPOINTS: regional
injection:
  volumes: [{name: eks-pod-identity-token, projected: {sources: [{serviceAccountToken: {audience: pods.eks.amazonaws.com, expirationSeconds: 86400, path: eks-pod-identity-token}}]}}]
  volumeMounts: [{name: eks-pod-identity-token, mountPath: /var/run/secrets/pods.eks.amazonaws.com/serviceaccount, readOnly: true}]
`,
		},
		"RoleNotSeenYet": {
			reason:     "EKS refuses a role that doesn't exist, so the association waits; pods heal from a late one, so they don't",
			connection: `{type: awsRole, role: api}`,
			want:       `{keys: [role], published: true, identity: "arn:aws:iam::111122223333:role/api", verdict: Creating, env: {AWS_REGION: eu-west-1}}`,
		},
		"OtherRoleNotSeenYet": {
			reason:     "what works is not changed to a role of which nothing is known",
			connection: `{type: awsRole, role: api}`,
			observed:   map[string]string{"association": `{spec: {forProvider: {roleArn: "arn:aws:iam::111122223333:role/team/api-old", targetRoleArn: "arn:aws:iam::444455556666:role/x"}}, status: ` + ready + `}`},
			want: `
keys: [role, association]
published: true
verdict: Creating
grants: {association: {spec: {forProvider: {roleArn: "arn:aws:iam::111122223333:role/team/api-old", targetRoleArn: "arn:aws:iam::444455556666:role/x"}}}}
`,
		},
		"RoleOfAnotherAccountNotSeenYet": {
			reason:     "nor is it where the settings have come to be of another account, which revokes nothing",
			connection: `{type: awsRole, role: api}`,
			observed:   map[string]string{"association": `{spec: {forProvider: {roleArn: "arn:aws:iam::999999999999:role/team/api-old"}}, status: ` + ready + `}`},
			want: `
keys: [role, association]
published: true
verdict: Creating
grants: {association: {spec: {forProvider: {roleArn: "arn:aws:iam::999999999999:role/team/api-old"}}}}
`,
		},
		"RevokedRoleAndOtherNotSeenYet": {
			reason:     "nor is what is revoked kept for it",
			connection: `{type: awsRole, role: api}`,
			observed:   map[string]string{"association": `{spec: {forProvider: {roleArn: "arn:aws:iam::111122223333:role/other"}}, status: ` + ready + `}`},
			want:       `{keys: [role], published: true, verdict: Creating}`,
		},
		"RoleInUseNotSeen": {
			reason:     "a provider that is down for a while takes nothing",
			connection: `{type: awsRole, role: api}`,
			observed:   map[string]string{"association": `{spec: {forProvider: {roleArn: "arn:aws:iam::111122223333:role/team/api"}}, status: ` + ready + `}`},
			want:       `{keys: [role, association], published: true, grants: {association: {spec: {forProvider: {roleArn: "arn:aws:iam::111122223333:role/team/api"}}}}}`,
		},
		"TargetRoleChanges": {
			reason:     "EKS still chains into the role that was asked for before",
			connection: `{type: awsRole, role: api, targetRoleArn: "arn:aws:iam::444455556666:role/x"}`,
			observed: map[string]string{
				"role":        roleObserved("arn:aws:iam::111122223333:role/api"),
				"association": `{spec: {forProvider: {roleArn: "arn:aws:iam::111122223333:role/api", targetRoleArn: "arn:aws:iam::444455556666:role/x"}}, status: {atProvider: {roleArn: "arn:aws:iam::111122223333:role/api"}, ` + strings.TrimPrefix(ready, "{") + `}`,
			},
			want: `{published: true, verdict: Creating, message: 'still gives "no role to chain into", and is being changed to "arn:aws:iam::444455556666:role/x"'}`,
		},
		"TargetRoleLeaves": {
			reason:     "an update that names no target may leave the old one, which then needs more than waiting",
			connection: `{type: awsRole, role: api}`,
			observed: map[string]string{
				"role":        roleObserved("arn:aws:iam::111122223333:role/api"),
				"association": `{spec: {forProvider: {roleArn: "arn:aws:iam::111122223333:role/api"}}, status: {atProvider: {roleArn: "arn:aws:iam::111122223333:role/api", targetRoleArn: "arn:aws:iam::444455556666:role/x"}, ` + strings.TrimPrefix(ready, "{") + `}`,
			},
			want: `{published: true, verdict: Creating, message: 'still chains into "arn:aws:iam::444455556666:role/x", and is being changed to chain into none; if it stays so for minutes'}`,
		},
		"SessionTags": {
			reason:     "policies may rest on the tags, so nothing leaves them out unasked",
			connection: `{type: awsRole, role: api}`,
			observed:   map[string]string{"role": roleObserved("arn:aws:iam::111122223333:role/api")},
			want:       `{grants: {association: {spec: {forProvider: {disableSessionTags: null}}}}}`,
		},
		"NoSessionTags": {
			reason:     "a role whose policies leave no room for the tags is had without them",
			connection: `{type: awsRole, role: api, disableSessionTags: true}`,
			observed:   map[string]string{"role": roleObserved("arn:aws:iam::111122223333:role/api")},
			want: `
target: arn:aws:iam::111122223333:role/api without session tags
decision: 3
grants: {association: {spec: {forProvider: {disableSessionTags: true}}}}
`,
		},
		"NoSessionTagsYet": {
			reason:        "EKS still sends them",
			connection:    `{type: awsRole, role: api, disableSessionTags: true}`,
			managedFields: ourTags,
			observed:      map[string]string{"role": roleObserved("arn:aws:iam::111122223333:role/api"), "association": taggedAssociation(true, false)},
			want:          `{published: true, verdict: Creating, message: "still sends session tags, and is being changed to leave them out"}`,
		},
		"NoSessionTagsNow": {
			reason:        "EKS has been told",
			connection:    `{type: awsRole, role: api, disableSessionTags: true}`,
			managedFields: ourTags,
			observed:      map[string]string{"role": roleObserved("arn:aws:iam::111122223333:role/api"), "association": taggedAssociation(true, true)},
			want:          `{verdict: ""}`,
		},
		"SessionTagsAgain": {
			reason:        "what is asked for no more goes, and the provider sends the tags where the field is gone",
			connection:    `{type: awsRole, role: api}`,
			managedFields: ourTags,
			observed:      map[string]string{"role": roleObserved("arn:aws:iam::111122223333:role/api"), "association": taggedAssociation(true, true)},
			want: `
target: arn:aws:iam::111122223333:role/api
verdict: Creating
message: still leaves out session tags, and is being changed to send them
grants: {association: {spec: {forProvider: {disableSessionTags: null}}}}
`,
		},
		"SessionTagsOfOthers": {
			reason:        "what somebody else has set on the association stays theirs",
			connection:    `{type: awsRole, role: api}`,
			managedFields: theirTags,
			observed:      map[string]string{"role": roleObserved("arn:aws:iam::111122223333:role/api"), "association": taggedAssociation(true, true)},
			want:          `{verdict: "", target: "arn:aws:iam::111122223333:role/api without session tags", grants: {association: {spec: {forProvider: {disableSessionTags: null}}}}}`,
		},
		"SessionTagsInIRSA": {
			reason:     "a token has none anyway, so a claim may say so in both modes",
			settings:   irsaSettings,
			connection: `{type: awsRole, role: "arn:aws:iam::111122223333:role/api", disableSessionTags: true}`,
			want:       `{published: true, target: "arn:aws:iam::111122223333:role/api"}`,
		},
		"IPv6": {
			reason:     "pods without IPv4 reach the agent at its other address",
			settings:   `{aws: {ipFamily: IPv6}}`,
			connection: `{type: awsRole, role: api}`,
			want:       `{env: {AWS_CONTAINER_CREDENTIALS_FULL_URI: "http://[fd00:ec2::23]/v1/credentials"}}`,
		},
		"Ready": {
			reason:     "role and association are there, and the path of the role is in what is granted",
			connection: `{type: awsRole, role: api}`,
			observed:   map[string]string{"role": roleObserved("arn:aws:iam::111122223333:role/team/api"), "association": `{status: ` + ready + `}`},
			want: `
verdict: ""
identity: arn:aws:iam::111122223333:role/team/api
target: arn:aws:iam::111122223333:role/api
grants: {association: {spec: {forProvider: {roleArn: "arn:aws:iam::111122223333:role/team/api"}}}}
`,
		},

		"TargetRole": {
			reason:     "the association chains into the target, which the allow-list lets the namespace use",
			connection: `{type: awsRole, role: api, targetRoleArn: "arn:aws:iam::444455556666:role/x"}`,
			observed:   map[string]string{"role": roleObserved("arn:aws:iam::111122223333:role/api")},
			want: `
target: arn:aws:iam::111122223333:role/api and arn:aws:iam::444455556666:role/x
decision: 3
grants: {association: {spec: {forProvider: {targetRoleArn: "arn:aws:iam::444455556666:role/x"}}}}
`,
		},
		"TargetRoleExcluded": {
			reason:     "a role that the namespace may use opens no target that it may not",
			connection: `{type: awsRole, role: api, targetRoleArn: "arn:aws:iam::777788889999:role/x"}`,
			want:       `{decision: 1}`,
		},
		"RoleExcluded": {
			reason:     "nor does a target that it may use open the role",
			connection: `{type: awsRole, role: other, targetRoleArn: "arn:aws:iam::444455556666:role/x"}`,
			want:       `{decision: 1}`,
		},
		"TargetRoleInIRSA": {
			reason:     "a token exchange chains into no role",
			settings:   irsaSettings,
			connection: `{type: awsRole, role: api, targetRoleArn: "arn:aws:iam::444455556666:role/x"}`,
			want:       `{keys: [], published: false, verdict: InvalidField, message: needs EKS Pod Identity}`,
		},
		"ForeignRole": {
			reason:     "Pod Identity takes roles of the cluster's account only",
			connection: `{type: awsRole, role: "arn:aws:iam::444455556666:role/x"}`,
			want:       `{keys: [], published: false, verdict: InvalidField, message: is in account 444455556666}`,
		},
		"NotConfigured": {
			reason:     "a cloud that the settings don't have is the platform's to add",
			settings:   `{aws: null}`,
			connection: `{type: awsRole, role: api}`,
			want:       `{keys: [], published: false, verdict: CloudNotConfigured, message: no aws section}`,
		},
		"China": {
			reason:     "a bare name is of the region's partition",
			settings:   `{aws: {region: cn-north-1}}`,
			connection: `{type: awsRole, role: api}`,
			want:       `{identity: "arn:aws-cn:iam::111122223333:role/api", decision: 3, env: {AWS_REGION: cn-north-1}}`,
		},
		"IdentityMismatch": {
			reason:     "a role that is another one than asked for is not granted",
			connection: `{type: awsRole, role: api}`,
			observed:   map[string]string{"role": roleObserved("arn:aws:iam::444455556666:role/api")},
			want:       `{keys: [role], published: false, verdict: IdentityMismatch, message: '"arn:aws:iam::444455556666:role/api"'}`,
		},
		"RoleNotFound": {
			reason:     "a role that nobody made is named with its account",
			connection: `{type: awsRole, role: api}`,
			observed:   map[string]string{"role": notThere},
			want:       `{keys: [role], published: true, verdict: RoleNotFound, message: 'IAM role "api" does not exist in account 111122223333'}`,
		},
		"ProviderError": {
			reason:     "a provider's message is cut to what can be read",
			connection: `{type: awsRole, role: api}`,
			observed: map[string]string{
				"role":        roleObserved("arn:aws:iam::111122223333:role/api"),
				"association": `{status: {conditions: [{type: Synced, status: "False", message: "` + strings.Repeat("x", 500) + `"}]}}`,
			},
			want: `{published: true, verdict: ProviderError, message: "` + strings.Repeat("x", 290) + `…x"}`,
		},
		"AssociationChanges": {
			reason:     "EKS still gives the role that was asked for before, which must stay until it doesn't",
			connection: `{type: awsRole, role: api}`,
			observed: map[string]string{
				"role":        roleObserved("arn:aws:iam::111122223333:role/team/api"),
				"association": `{spec: {forProvider: {roleArn: "arn:aws:iam::111122223333:role/team/api"}}, status: {atProvider: {roleArn: "arn:aws:iam::111122223333:role/old"}, ` + strings.TrimPrefix(ready, "{") + `}`,
			},
			want: `{published: true, verdict: Creating, message: 'still gives "arn:aws:iam::111122223333:role/old", and is being changed to "arn:aws:iam::111122223333:role/team/api"'}`,
		},
		"AssociationExists": {
			reason:     "an association that somebody else made is told with what to delete",
			connection: `{type: awsRole, role: api}`,
			observed: map[string]string{
				"role":        roleObserved("arn:aws:iam::111122223333:role/api"),
				"association": anotherExists,
				"found":       foundFor("another"),
			},
			want: `{published: true, verdict: AssociationExists, message: 'EKS cluster "prod" has another pod identity association for ServiceAccount "shop-api" in namespace "team-a"; ask whoever administers EKS to delete that one there'}`,
		},
		"AssociationToHandOver": {
			reason:     "a person may know that it was made for this, as after a restore",
			connection: `{type: awsRole, role: api}`,
			observed: map[string]string{
				"role":        roleObserved("arn:aws:iam::111122223333:role/api"),
				"association": anotherExists,
				"found":       foundFor("another"),
			},
			want: `{published: true, verdict: AssociationExists, message: 'kubectl -n team-a annotate podidentityassociations.eks.aws.m.upbound.io shop-api-association-97af599d62f8f8e7 crossplane.io/external-name=a-1'}`,
		},
		"AssociationLookedUp": {
			reason:     "whose it is isn't known yet",
			connection: `{type: awsRole, role: api}`,
			observed:   map[string]string{"role": roleObserved("arn:aws:iam::111122223333:role/api"), "association": anotherExists},
			want:       `{published: true, verdict: Creating, message: 'EKS has association a-1 for ServiceAccount "shop-api" already', grants: {association: {metadata: {annotations: null}}}}`,
		},
		"AssociationHandedOver": {
			reason:     "one that the provider made, and was stopped before it knew the id, has a tag that proves it",
			connection: `{type: awsRole, role: api}`,
			observed: map[string]string{
				"role":        roleObserved("arn:aws:iam::111122223333:role/api"),
				"association": anotherExists,
				"found":       foundFor("uid-shop"),
			},
			want: `{published: true, verdict: Creating, message: 'made association a-1 for it, and gets it back', grants: {association: {metadata: {annotations: {crossplane.io/external-name: a-1}}}}}`,
		},
		"Claim": {
			reason:     "a cluster-scoped composite resource composes the cluster-scoped kinds, which know one kind of ProviderConfig and the older deletion policy",
			connection: `{type: awsRole, role: api}`,
			context:    func(c *Context) { c.Claim.Namespaced = false },
			observed:   map[string]string{"role": roleObserved("arn:aws:iam::111122223333:role/api")},
			want: `
grants:
  role:
    apiVersion: iam.aws.upbound.io/v1beta1
    metadata: {namespace: null}
    spec: {deletionPolicy: Orphan, providerConfigRef: {name: default, kind: null}}
    crd: roles.iam.aws.upbound.io
  association:
    apiVersion: eks.aws.upbound.io/v1beta1
    metadata: {namespace: null}
    spec: {deletionPolicy: Delete, providerConfigRef: {name: default, kind: null}}
`,
		},
		"LongServiceAccount": {
			reason:     "names stay label values",
			connection: `{type: awsRole, role: api}`,
			context:    func(c *Context) { c.ServiceAccount = strings.Repeat("long-name.", 25) + "a" },
			observed:   map[string]string{"role": roleObserved("arn:aws:iam::111122223333:role/api")},
			want:       `{keys: [role, association]}`,
		},
	})
}

func TestAWSRoleTrust(t *testing.T) {
	t.Parallel()

	const arn = "arn:aws:iam::111122223333:role/api"
	expandCases(t, awsSettings, map[string]expandCase{
		"Trusted": {
			reason:     "a policy that lets the pods in is no finding",
			connection: `{type: awsRole, role: api}`,
			observed:   map[string]string{"role": roleTrusting(arn, trustsPods), "association": `{status: ` + ready + `}`},
			want:       `{verdict: "", warnings: []}`,
		},
		"BeforeAssociation": {
			reason:     "the policy is the cause, and the association would only be said to be on its way",
			connection: `{type: awsRole, role: api}`,
			observed:   map[string]string{"role": roleTrusting(arn, trustsNoTags)},
			want:       `{keys: [role, association], published: true, verdict: TrustMissingTagSession, message: 'IAM role "arn:aws:iam::111122223333:role/api"', warnings: []}`,
		},
		"InUse": {
			reason:     "what is granted and injected stays, since the finding is no more than that",
			connection: `{type: awsRole, role: api}`,
			observed:   map[string]string{"role": roleTrusting(arn, trustsNoTags), "association": `{status: ` + ready + `}`},
			want:       `{keys: [role, association], published: true, verdict: TrustMissingTagSession, env: {AWS_REGION: eu-west-1}}`,
		},
		"NoSessionTags": {
			reason:     "an association that sends no session tags needs no right to",
			connection: `{type: awsRole, role: api}`,
			observed:   map[string]string{"role": roleTrusting(arn, trustsNoTags), "association": `{spec: {forProvider: {disableSessionTags: true}}, status: ` + ready + `}`},
			want:       `{verdict: "", warnings: []}`,
		},
		"NoSessionTagsAskedFor": {
			reason:     "so leaving the tags out makes such a role work",
			connection: `{type: awsRole, role: api, disableSessionTags: true}`,
			observed:   map[string]string{"role": roleTrusting(arn, trustsNoTags), "association": taggedAssociation(false, false)},
			want:       `{verdict: Creating, message: still sends session tags, grants: {association: {spec: {forProvider: {disableSessionTags: true}}}}}`,
		},
		"SessionTagsNeeded": {
			reason:     "a role that knows its pods by the tags keeps them, and the claim is told",
			connection: `{type: awsRole, role: api, disableSessionTags: true}`,
			observed:   map[string]string{"role": roleTrusting(arn, trustsTagged), "association": taggedAssociation(false, false)},
			want:       `{verdict: TrustMissingTagSession, message: disables session tags, grants: {association: {spec: {forProvider: {disableSessionTags: null}}}}}`,
		},
		"SessionTagsUnwanted": {
			reason:        "a role that doesn't take tags goes on without them until it does",
			connection:    `{type: awsRole, role: api}`,
			managedFields: ourTags,
			observed:      map[string]string{"role": roleTrusting(arn, trustsNoTags), "association": taggedAssociation(true, true)},
			want:          `{verdict: TrustMissingTagSession, message: no statement allows it sts:TagSession, grants: {association: {spec: {forProvider: {disableSessionTags: true}}}}}`,
		},
		"Warning": {
			reason:     "what is only dangerous doesn't block",
			connection: `{type: awsRole, role: api}`,
			observed:   map[string]string{"role": roleTrusting(arn, trustsEverybody), "association": `{status: ` + ready + `}`},
			want:       `{verdict: "", warnings: [TrustUnscoped]}`,
		},
		"Unreadable": {
			reason:     "nor does what can't be read",
			connection: `{type: awsRole, role: api}`,
			observed:   map[string]string{"role": roleTrusting(arn, "?"), "association": `{status: ` + ready + `}`},
			want:       `{verdict: "", warnings: [TrustUnverifiable]}`,
		},
		"RoleNotFound": {
			reason:     "the policy of a role that is gone is of no interest",
			connection: `{type: awsRole, role: api}`,
			observed: map[string]string{
				"role": `{status: {atProvider: {arn: "` + arn + `", assumeRolePolicy: '` + trustsEverybody + `'}, conditions: [{type: Synced, status: "False", message: "observe failed: external resource does not exist"}]}}`,
			},
			want: `{verdict: RoleNotFound, warnings: []}`,
		},
		"IdentityMismatch": {
			reason:     "nor is that of another role",
			connection: `{type: awsRole, role: api}`,
			observed:   map[string]string{"role": roleTrusting("arn:aws:iam::444455556666:role/api", trustsNoTags)},
			want:       `{verdict: IdentityMismatch, warnings: []}`,
		},
		"IRSA": {
			reason:     "in mode IRSA only the policy says what the pods would meet",
			settings:   irsaSettings,
			connection: `{type: awsRole, role: api}`,
			observed:   map[string]string{"role": roleTrusting(arn, trustsSubject("system:serviceaccount:team-b:shop-api"))},
			want:       `{keys: [role], published: true, verdict: TrustSubjectMismatch, message: '"system:serviceaccount:team-a:shop-api"', warnings: [RevocationExternal], env: {AWS_ROLE_ARN: "arn:aws:iam::111122223333:role/api"}}`,
		},
		"IRSATrusted": {
			reason:     "a policy for the ServiceAccount",
			settings:   irsaSettings,
			connection: `{type: awsRole, role: api}`,
			observed:   map[string]string{"role": roleTrusting(arn, trustsSubject("system:serviceaccount:team-a:shop-api"))},
			want:       `{verdict: "", warnings: [RevocationExternal]}`,
		},
		"IRSAUnscoped": {
			reason:     "a policy for the whole cluster",
			settings:   irsaSettings,
			connection: `{type: awsRole, role: api}`,
			observed:   map[string]string{"role": roleTrusting(arn, trustsSubject("*"))},
			want:       `{verdict: "", warnings: [TrustUnscoped, RevocationExternal]}`,
		},
		"OtherAccount": {
			reason:     "a role of another account isn't observed, so nothing is said of its policy",
			settings:   irsaSettings,
			connection: `{type: awsRole, role: "arn:aws:iam::444455556666:role/x"}`,
			want:       `{verdict: "", warnings: [RevocationExternal]}`,
		},
	})
}

func TestAWSRoleIRSA(t *testing.T) {
	t.Parallel()

	annotated := func(arn string) string {
		return `{kind: ServiceAccount, metadata: {annotations: {eks.amazonaws.com/role-arn: "` + arn + `"}}}`
	}
	expandCases(t, awsSettings, map[string]expandCase{
		"Path": {
			reason:     "the annotation has the path that was observed",
			settings:   irsaSettings,
			connection: `{type: awsRole, role: api}`,
			observed:   map[string]string{"role": roleObserved("arn:aws:iam::111122223333:role/team/api")},
			want: `
keys: [role]
published: true
verdict: ""
identity: arn:aws:iam::111122223333:role/team/api
annotations:
  eks.amazonaws.com/role-arn: arn:aws:iam::111122223333:role/team/api
  eks.amazonaws.com/sts-regional-endpoints: "true"
  eks.amazonaws.com/audience: sts.amazonaws.com
env:
  AWS_ROLE_ARN: arn:aws:iam::111122223333:role/team/api
  AWS_WEB_IDENTITY_TOKEN_FILE: /var/run/secrets/eks.amazonaws.com/serviceaccount/token
  AWS_CONTAINER_CREDENTIALS_FULL_URI: null
injection:
  volumes: [{name: aws-iam-token, projected: {sources: [{serviceAccountToken: {audience: sts.amazonaws.com, expirationSeconds: 86400, path: token}}]}}]
  volumeMounts: [{name: aws-iam-token, mountPath: /var/run/secrets/eks.amazonaws.com/serviceaccount, readOnly: true}]
warnings: [RevocationExternal]
`,
		},
		"BareName": {
			reason:     "a bare name waits for its path, since a pod doesn't heal from a wrong one",
			settings:   irsaSettings,
			connection: `{type: awsRole, role: api}`,
			want:       `{keys: [role], published: false, identity: "", annotations: null, env: {AWS_ROLE_ARN: null}, verdict: Creating, warnings: [RevocationExternal]}`,
		},
		"FullARN": {
			reason:     "an ARN leaves nothing open",
			settings:   irsaSettings,
			connection: `{type: awsRole, role: "arn:aws:iam::111122223333:role/team/api"}`,
			want:       `{keys: [role], published: true, verdict: Creating, annotations: {eks.amazonaws.com/role-arn: "arn:aws:iam::111122223333:role/team/api"}}`,
		},
		"OtherAccount": {
			reason:     "a role of another account can't be observed, and its trust policy alone grants it",
			settings:   irsaSettings,
			connection: `{type: awsRole, role: "arn:aws:iam::444455556666:role/x"}`,
			want:       `{keys: [], published: true, verdict: "", decision: 3, env: {AWS_ROLE_ARN: "arn:aws:iam::444455556666:role/x"}}`,
		},
		"Annotated": {
			reason:     "what the ServiceAccount says was observed once, and stays while the provider is silent",
			settings:   irsaSettings,
			connection: `{type: awsRole, role: api}`,
			observed:   map[string]string{"serviceaccount": annotated("arn:aws:iam::111122223333:role/team/api")},
			want:       `{published: true, identity: "arn:aws:iam::111122223333:role/team/api", env: {AWS_ROLE_ARN: "arn:aws:iam::111122223333:role/team/api"}}`,
		},
		"AnnotatedRequired": {
			reason:     "a ServiceAccount that is named says it just as well",
			settings:   irsaSettings,
			connection: `{type: awsRole, role: api}`,
			context: func(c *Context) {
				c.Observed.Required[ServiceAccountRequirement("team-a", "shop-api").Key()] = map[string]any{
					"metadata": map[string]any{"annotations": map[string]any{annotationRoleARN: "arn:aws:iam::111122223333:role/p/api"}},
				}
			},
			want: `{published: true, identity: "arn:aws:iam::111122223333:role/p/api"}`,
		},
		"AnnotatedOther": {
			reason:     "an annotation of another role tells nothing of this one",
			settings:   irsaSettings,
			connection: `{type: awsRole, role: api}`,
			observed:   map[string]string{"serviceaccount": annotated("arn:aws:iam::111122223333:role/team/api-old")},
			want:       `{published: false, identity: ""}`,
		},
		"IdentityMismatch": {
			reason:     "a role that is another one than asked for names no annotation",
			settings:   irsaSettings,
			connection: `{type: awsRole, role: api}`,
			observed:   map[string]string{"role": roleObserved("arn:aws:iam::111122223333:role/api-other")},
			want:       `{published: false, annotations: null, verdict: IdentityMismatch}`,
		},
		"China": {
			reason:     "partitions differ in their ARNs, not in their audience",
			settings:   `{aws: {mode: IRSA, oidcIssuer: "https://oidc.example.com/id/1", region: cn-north-1}}`,
			connection: `{type: awsRole, role: "arn:aws-cn:iam::111122223333:role/api"}`,
			want: `
decision: 3
annotations: {eks.amazonaws.com/role-arn: "arn:aws-cn:iam::111122223333:role/api", eks.amazonaws.com/audience: sts.amazonaws.com}
`,
		},
	})
}

// TestDollarsInAPath reach the pod as they are: Kubernetes expands what looks like a
// reference in the value of a variable, which would name another role.
func TestDollarsInAPath(t *testing.T) {
	t.Parallel()

	admitted := regexp.MustCompile(awsRole.Injects.Env["AWS_ROLE_ARN"])
	for name, tc := range map[string]struct{ reason, path, want string }{
		"Single":    {reason: "A dollar alone means nothing to Kubernetes.", path: "a$b", want: "a$b"},
		"Reference": {reason: "What looks like a reference to a variable isn't one.", path: "a$(HOME)b", want: "a$$(HOME)b"},
		"Double":    {reason: "Two dollars would become one.", path: "a$$b", want: "a$$$$b"},
		"Last":      {reason: "The path's last slash follows.", path: "a$", want: "a$"},
		"Only":      {reason: "The path's last slash follows.", path: "$", want: "$"},
		"Both":      {reason: "Two dollars before a parenthesis are two dollars.", path: "a$$(HOME)$b", want: "a$$$$(HOME)$$b"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			arn := func(path string) string { return "arn:aws:iam::123456789012:role/" + path + "/r" }
			c := Context{Settings: &settings.Settings{Settings: v1beta1.Settings{AWS: &v1beta1.AWS{Mode: settings.ModeIRSA}}}}
			e := c.irsa(Expansion{}, roleState{roleARN: parseRoleARN(arn(tc.path)), known: true})
			i := slices.IndexFunc(e.Injection.Env, func(v claim.EnvVar) bool { return v.Name == "AWS_ROLE_ARN" })
			if got := e.Injection.Env[i].Value; got != arn(tc.want) {
				t.Errorf("%s irsa(...): want AWS_ROLE_ARN %q, got %q", tc.reason, arn(tc.want), got)
			}
			if !admitted.MatchString(arn(tc.want)) {
				t.Errorf("%s The admission policy lets %q through to no pod", tc.reason, arn(tc.want))
			}
		})
	}
}
