package connection

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ryanuber/go-glob"
	"pgregory.net/rapid"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/settings"
	"github.com/serviceconnections/function-service-connections/fn/trust"
	"github.com/serviceconnections/function-service-connections/input/v1beta1"
)

const createSettings = awsSettings + `
  createRoles:
    namespaces: [team-a]
    permissionsBoundaryArn: arn:aws:iam::111122223333:policy/boundary
    allowedPolicyArns: ["arn:aws:iam::aws:policy/AmazonS3*"]
    allowInlinePolicies: true
`

const (
	uploads       = "sc-prod-team-a-uploads-35cd151ccf913c237d5287342983a634"
	createUploads = `{type: awsRole, role: uploads, create: {policyArns: ["arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"], policy: {Version: "2012-10-17", Statement: [{Effect: Allow, Action: "sqs:*", Resource: "*"}]}}}`
)

func TestCreatedRole(t *testing.T) {
	t.Parallel()

	expandCases(t, createSettings, map[string]expandCase{
		"PodIdentity": {
			reason:     "a role is created for the ServiceAccount only, bounded, with its policies, and associated once it is there",
			connection: createUploads,
			observed:   map[string]string{"ownedrole": roleObserved("arn:aws:iam::111122223333:role/serviceconnections/" + uploads + "")},
			want: `
keys: [ownedrole, attachment-AmazonS3ReadOnlyAccess, policy, policyattachment, association]
identity: arn:aws:iam::111122223333:role/serviceconnections/` + uploads + `
family: aws
target: arn:aws:iam::111122223333:role/` + uploads + `
decision: 3
published: true
annotations: null
verdict: Creating
warnings: []
grants:
  ownedrole:
    apiVersion: iam.aws.m.upbound.io/v1beta1
    kind: Role
    metadata: {namespace: team-a, annotations: {crossplane.io/external-name: ` + uploads + `}}
    spec:
      managementPolicies: [Observe, Create, Update, Delete]
      providerConfigRef: {kind: ClusterProviderConfig, name: default}
      forProvider:
        path: /serviceconnections/
        forceDetachPolicies: true
        permissionsBoundary: arn:aws:iam::111122223333:policy/boundary
        assumeRolePolicy: '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"],"Condition":{"StringEquals":{"aws:RequestTag/eks-cluster-arn":"arn:aws:eks:eu-west-1:111122223333:cluster/prod","aws:RequestTag/kubernetes-namespace":"team-a","aws:RequestTag/kubernetes-service-account":"shop-api","aws:SourceAccount":"111122223333"}}}]}'
    crd: roles.iam.aws.m.upbound.io
  attachment-AmazonS3ReadOnlyAccess:
    kind: RolePolicyAttachment
    metadata: {annotations: {crossplane.io/external-name: ` + uploads + `/arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess}}
    spec: {managementPolicies: [Observe, Create, Update, Delete], forProvider: {role: ` + uploads + `, policyArn: "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"}}
    crd: rolepolicyattachments.iam.aws.m.upbound.io
  policy:
    kind: Policy
    metadata: {annotations: {crossplane.io/external-name: ` + uploads + `}}
    spec:
      managementPolicies: [Observe, Create, Update, Delete]
      forProvider:
        path: /serviceconnections/
        policy: '{"Version":"2012-10-17","Statement":[{"Action":"sqs:*","Effect":"Allow","Resource":"*"}]}'
    crd: policies.iam.aws.m.upbound.io
  policyattachment:
    kind: RolePolicyAttachment
    spec: {forProvider: {role: ` + uploads + `, policyArn: "arn:aws:iam::111122223333:policy/serviceconnections/` + uploads + `"}}
  association:
    spec: {forProvider: {roleArn: "arn:aws:iam::111122223333:role/serviceconnections/` + uploads + `"}}
`,
		},
		"IRSA": {
			reason:     "in mode IRSA the token's issuer, subject and audience let in, and the annotation names the role; the list can take it back, so nothing is warned of",
			settings:   irsaSettings,
			connection: `{type: awsRole, role: uploads, create: {}}`,
			want: `
keys: [ownedrole]
published: true
verdict: Creating
warnings: []
grants:
  ownedrole:
    spec:
      forProvider:
        assumeRolePolicy: '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::111122223333:oidc-provider/oidc.example.com/id/1"},"Action":["sts:AssumeRoleWithWebIdentity"],"Condition":{"StringEquals":{"oidc.example.com/id/1:aud":"sts.amazonaws.com","oidc.example.com/id/1:sub":"system:serviceaccount:team-a:shop-api"}}}]}'
`,
		},
		"Claim": {
			reason:     "a cluster-scoped composite resource has the older kinds",
			connection: createUploads,
			context:    func(c *Context) { c.Claim.Namespaced = false },
			want: `
grants:
  ownedrole: {apiVersion: iam.aws.upbound.io/v1beta1, metadata: {namespace: null}, spec: {deletionPolicy: Delete, providerConfigRef: {name: default, kind: null}}}
  policy: {apiVersion: iam.aws.upbound.io/v1beta1, spec: {deletionPolicy: Delete}}
  policyattachment: {apiVersion: iam.aws.upbound.io/v1beta1, spec: {deletionPolicy: Delete}}
`,
		},
		"China": {
			reason:     "ARNs are of the region's partition",
			settings:   `{aws: {region: cn-north-1}}`,
			connection: `{type: awsRole, role: uploads, create: {}}`,
			want:       `{target: "arn:aws-cn:iam::111122223333:role/` + uploads + `"}`,
		},
		"OtherNamespace": {
			reason:     "the settings say who may have roles created",
			settings:   `{aws: {createRoles: {namespaces: [team-b]}}}`,
			connection: createUploads,
			want:       `{keys: [], published: false, verdict: NotAllowed, decision: 1, message: "add it to aws.createRoles.namespaces"}`,
		},
		"NotConfigured": {
			reason:     "settings that don't say create nothing, whatever roles they allow",
			settings:   `{aws: {createRoles: null, allowedRoles: [{pattern: "*", namespaces: ["*"]}]}}`,
			connection: createUploads,
			want:       `{keys: [], published: false, verdict: NotAllowed, decision: 0, message: "no aws.createRoles"}`,
		},
		"PolicyExcluded": {
			reason:     "a policy that isn't allowed is left out and told, and the rest goes on",
			connection: `{type: awsRole, role: uploads, create: {policyArns: ["arn:aws:iam::aws:policy/AdministratorAccess", "arn:aws:iam::aws:policy/AmazonS3FullAccess"]}}`,
			want:       `{keys: [ownedrole, attachment-AmazonS3FullAccess], published: true, verdict: NotAllowed, message: 'policy "arn:aws:iam::aws:policy/AdministratorAccess"'}`,
		},
		"NoPolicyList": {
			reason:     "without a list of policies no role gets any",
			settings:   `{aws: {createRoles: {allowedPolicyArns: null}}}`,
			connection: `{type: awsRole, role: uploads, create: {policyArns: ["arn:aws:iam::aws:policy/AmazonS3FullAccess"]}}`,
			want:       `{keys: [ownedrole], verdict: NotAllowed}`,
		},
		"DocumentNotAllowed": {
			reason:     "nor a document where the settings don't say so",
			settings:   `{aws: {createRoles: {allowInlinePolicies: null}}}`,
			connection: createUploads,
			want:       `{keys: [ownedrole, attachment-AmazonS3ReadOnlyAccess], verdict: NotAllowed, message: aws.createRoles.allowInlinePolicies}`,
		},
		"PolicyNameWithDots": {
			reason:     "a key's parts are told apart by dots",
			settings:   `{aws: {createRoles: {allowedPolicyArns: ["arn:*"]}}}`,
			connection: `{type: awsRole, role: uploads, create: {policyArns: ["arn:aws:iam::111122223333:policy/team/a.b.c"]}}`,
			want:       `{keys: [ownedrole, attachment-a-b-c]}`,
		},
		"TargetRole": {
			reason:     "a created role chains into another as any does, if that one is allowed",
			connection: `{type: awsRole, role: uploads, create: {}, targetRoleArn: "arn:aws:iam::444455556666:role/x"}`,
			observed:   map[string]string{"ownedrole": roleObserved("arn:aws:iam::111122223333:role/serviceconnections/" + uploads)},
			want:       `{decision: 3, grants: {association: {spec: {forProvider: {targetRoleArn: "arn:aws:iam::444455556666:role/x"}}}}}`,
		},
		"TargetRoleExcluded": {
			reason:     "the target is judged by allowedRoles",
			connection: `{type: awsRole, role: uploads, create: {}, targetRoleArn: "arn:aws:iam::777788889999:role/x"}`,
			want:       `{decision: 1}`,
		},
		"RoleFails": {
			reason:     "what the provider says of a part is told",
			connection: createUploads,
			observed:   map[string]string{"ownedrole": `{status: {conditions: [{type: Synced, status: "False", message: "AccessDenied: iam:CreateRole"}]}}`},
			want:       `{verdict: ProviderError, message: "AccessDenied: iam:CreateRole"}`,
		},
		"AnotherAccount": {
			reason:     "a role that came to be elsewhere is not granted",
			connection: `{type: awsRole, role: uploads, create: {}}`,
			observed:   map[string]string{"ownedrole": roleObserved("arn:aws:iam::444455556666:role/serviceconnections/" + uploads)},
			want:       `{keys: [ownedrole], published: false, verdict: IdentityMismatch, message: 'not the role'}`,
		},
		"Ready": {
			reason:     "all is there",
			connection: `{type: awsRole, role: uploads, create: {}}`,
			observed: map[string]string{
				"ownedrole":   roleObserved("arn:aws:iam::111122223333:role/serviceconnections/" + uploads),
				"association": `{status: ` + ready + `}`,
			},
			want: `{verdict: ""}`,
		},
		"GeneratedName": {
			reason:     "a role that was created is had by its base name only",
			settings:   `{aws: {allowedRoles: [{pattern: "*", namespaces: ["*"]}]}}`,
			connection: `{type: awsRole, role: ` + uploads + `}`,
			want:       `{keys: [], published: false, verdict: InvalidField, message: "write a base name"}`,
		},
		"NameThatBeginsTheSame": {
			reason:     "a role that only begins as those of created ones do is anybody's",
			settings:   `{aws: {allowedRoles: [{pattern: "*", namespaces: ["*"]}]}}`,
			connection: `{type: awsRole, role: sc-uploads}`,
			want:       `{keys: [role], decision: 3}`,
		},
	})
}

// TestCreatedName holds that such a name fits, is one of those that are
// reserved, and tells whose it is.
func TestCreatedName(t *testing.T) {
	t.Parallel()

	name := func(cluster, namespace, serviceAccount, role string) string {
		c := Context{
			Claim: &claim.Claim{Namespace: namespace}, ServiceAccount: serviceAccount, Connection: claim.Connection{Role: role},
			Settings: &settings.Settings{Settings: v1beta1.Settings{Cluster: v1beta1.Cluster{Name: cluster}, AWS: &v1beta1.AWS{Mode: settings.ModePodIdentity}}},
		}
		return c.createdName("/serviceconnections/")
	}
	label := rapid.StringMatching(`[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?`)
	rapid.Check(t, func(rt *rapid.T) {
		cluster := rapid.StringMatching(`.{1,80}`).Draw(rt, "cluster")
		ns, sa, role := label.Draw(rt, "namespace"), label.Draw(rt, "ServiceAccount"), rapid.StringMatching(`[\w+=.@-]{1,64}`).Draw(rt, "role")
		got := name(cluster, ns, sa, role)
		if len(got) > 64 || notInName.MatchString(got) {
			rt.Fatalf("IAM refuses the name %q of %d characters", got, len(got))
		}
		if !isCreatedName(got) || !createdFor(got, ns, sa) {
			rt.Fatalf("%q isn't told as a role of ServiceAccount %q in namespace %q", got, sa, ns)
		}
		if createdFor(got, ns+"x", sa) || createdFor(got, ns, sa+"x") {
			rt.Fatalf("%q is told as another ServiceAccount's", got)
		}
		for _, other := range []string{name(cluster+"x", ns, sa, role), name(cluster, ns+"x", sa, role), name(cluster, ns, sa+"x", role), name(cluster, ns, sa, role+"x")} {
			if strings.EqualFold(other, got) {
				rt.Fatalf("two roles have the name %q", got)
			}
		}
	})

	if got, want := name("prod", "team-a", "shop-api", "uploads"), uploads; got != want {
		t.Errorf("the name of a role must never change, or it would be made anew: got %q, want %q", got, want)
	}
}

// Names are cut where they are longest, so that each part can still be read.
func TestShorten(t *testing.T) {
	t.Parallel()

	got := strings.Join(shorten([]string{"production", "a-very-long-namespace", "uploads"}, 24), " ")
	if want := "producti a-very-lo uploads"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestOwnedTrust holds that the trust policy of a created role lets in its own
// ServiceAccount, by the rules that roles of the team's own are checked by, and no
// other.
func TestOwnedTrust(t *testing.T) {
	t.Parallel()

	for name, mode := range map[string]string{"PodIdentity": `{}`, "IRSA": irsaSettings} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newContext(t, createSettings, expandCase{settings: mode, connection: `{type: awsRole, role: uploads, create: {}}`})
			o, _ := c.createdRole()
			aws := c.Settings.AWS
			its := trust.Subject{
				Mode: trust.Mode(aws.Mode), Partition: aws.Partition, AccountID: aws.AccountID, Region: aws.Region,
				ClusterName: aws.ClusterName, OIDCIssuer: aws.OIDCIssuer,
				Namespace: c.Claim.Namespace, ServiceAccount: c.ServiceAccount,
			}
			check := func(s trust.Subject) string {
				return trust.Check(trust.Role{ARN: o.arn(), Policy: o.trustPolicy()}, s).Reason
			}
			if got := check(its); got != "" {
				t.Errorf("its own ServiceAccount is told %s", got)
			}
			for what, change := range map[string]func(*trust.Subject){
				"ServiceAccount": func(s *trust.Subject) { s.ServiceAccount = "shop-web" },
				"namespace":      func(s *trust.Subject) { s.Namespace = "team-b" },
				"cluster":        func(s *trust.Subject) { s.ClusterName, s.OIDCIssuer = "other", "https://oidc.example.com/id/2" },
			} {
				other := its
				change(&other)
				if check(other) == "" {
					t.Errorf("another %s is let in", what)
				}
			}
		})
	}
}

// TestRightsOnCreatedRoles holds that package/providers lets a cluster's provider at the
// roles and policies of its cluster, however their names are cut, and at no other's, where
// each has a path as the settings' documentation says.
func TestRightsOnCreatedRoles(t *testing.T) {
	t.Parallel()

	file, err := os.ReadFile(filepath.Join("..", "..", "package", "providers", "aws", "iam-policy-create-roles.json"))
	if err != nil {
		t.Fatal(err)
	}
	arns := func(t *testing.T, cluster, path, namespace string) []string {
		t.Helper()
		c := newContext(t, createSettings, expandCase{settings: `{cluster: {name: "` + cluster + `"}, aws: {accountId: "123456789012", createRoles: {path: ` + path + `}}}`, connection: createUploads})
		c.Claim.Namespace = namespace
		r, ok := c.createdRole()
		if !ok {
			t.Fatal("no role is created")
		}
		return []string{r.arn(), r.policyARN()}
	}
	for name, tc := range map[string]struct{ reason, cluster, other string }{
		"Prefix": {reason: "one cluster's name may begin with another's", cluster: "prod-eu", other: "prod-eu-2"},
		"Cut":    {reason: "a name of 64 characters has no room for what the path has", cluster: strings.Repeat("production-", 5) + "1", other: strings.Repeat("production-", 5) + "2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var policy struct{ Statement []struct{ Resource string } }
			if err := json.Unmarshal([]byte(strings.ReplaceAll(string(file), "prod-eu", tc.cluster)), &policy); err != nil {
				t.Fatal(err)
			}
			covered := func(arn string) bool {
				return slices.ContainsFunc(policy.Statement, func(s struct{ Resource string }) bool { return glob.Glob(s.Resource, arn) })
			}
			for _, namespace := range []string{"team-a", strings.Repeat("n", 63)} {
				for _, arn := range arns(t, tc.cluster, "/serviceconnections/"+tc.cluster+"/", namespace) {
					if !covered(arn) {
						t.Errorf("%s: the provider has no rights on %s", tc.reason, arn)
					}
				}
				for _, arn := range arns(t, tc.other, "/serviceconnections/"+tc.other+"/", namespace) {
					if covered(arn) {
						t.Errorf("%s: the provider has rights on %s of cluster %q", tc.reason, arn, tc.other)
					}
				}
			}
		})
	}
}
