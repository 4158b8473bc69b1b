package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/test/cloudapi"
	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
)

// TestProvidersRights holds that the rights that package/providers gives to the
// providers' identities are enough for every call that their controllers make while
// a claim of all grants is made, edited and deleted, on every resource that it is about.
// Who the caller is anybody may ask AWS.
func TestProvidersRights(t *testing.T) {
	t.Parallel()
	alone(t, func(team *team) {
		// As the files have it, and docs/install.md says.
		team.changeSettings(func(data map[string]any) {
			section(data, "cluster")["name"] = "prod-eu"
			section(data, "aws")["clusterName"] = "prod-eu"
			section(section(data, "aws"), "createRoles")["path"] = "/serviceconnections/prod-eu/"
		})
		// Names are cut to what IAM takes.
		long := strings.Replace(grants, "role: uploads", "role: uploads-of-everybody-in-the-department-for-sound-and-vision", 1)
		team.connect(long)
		team.awaitReady()
		name := team.the("Role").GetAnnotations()["crossplane.io/external-name"]
		if len(name) > 64 {
			team.t.Errorf("the role's name %q has %d characters, and IAM takes 64", name, len(name))
		}
		team.wantTracked()
		team.cloud.SetTrust(name, trustsPods(`"sts:*"`, "{}"))
		team.connect(strings.Replace(long, "sqs:SendMessage", "sqs:ReceiveMessage", 1))
		team.eventuallyCalled(cloudapi.CreatePolicyVersion, cloudapi.UpdateAssumeRolePolicy)
		all := team.managed()
		team.deleteNow()
		for _, o := range all {
			team.awaitGone(o)
		}
		if left := strings.Join(team.cloud.Contents(), "\n"); strings.Contains(left, name) {
			team.t.Errorf("the cloud still has something of role %s: %s", name, left)
		}

		may, called := granted(team.t, team.Root), team.cloud.Actions()
		for _, action := range called {
			if action != cloudapi.GetCallerIdentity && !slices.Contains(may, action) {
				team.t.Errorf("package/providers lacks %s, which the controllers call", action)
			}
		}
		for _, action := range may {
			if uncalled[action] == "" && !slices.Contains(called, action) {
				team.t.Errorf("package/providers has %s, which no controller calls", action)
			}
		}
		statements, asked := statementsOfAWS(team.t, team.Root), 0
		for _, call := range team.cloud.Asked() {
			// Other tests' clusters have other names.
			action, arn, _ := strings.Cut(call, " ")
			if !strings.Contains(arn, "prod-eu") {
				continue
			}
			asked++
			if !allowedBy(statements, action, arn) {
				team.t.Errorf("package/providers doesn't allow %s on %s, which the controllers call", action, arn)
			}
		}
		if asked < 10 {
			team.t.Errorf("%d calls were about the cluster's own, want those of all its roles, policies and associations", asked)
		}
		for action, arn := range map[string]string{
			cloudapi.CreateRole:                   "arn:aws:iam::123456789012:role/serviceconnections/prod-eu-2/" + name,
			cloudapi.DeletePolicy:                 "arn:aws:iam::123456789012:policy/serviceconnections/prod-eu-2/" + name,
			cloudapi.DeletePodIdentityAssociation: "arn:aws:eks:eu-west-1:123456789012:podidentityassociation/prod-eu-2/a-1",
		} {
			if allowedBy(statements, action, arn) {
				team.t.Errorf("package/providers allows %s on %s, which is another cluster's", action, arn)
			}
		}
	})
}

// wantTracked holds that the providers run with the rights that Crossplane's RBAC manager
// gives them, which aren't all, and that they track what uses their ProviderConfigs, as
// the real ones do before they do anything else.
func (t *team) wantTracked() {
	t.t.Helper()
	for _, o := range t.managed() {
		group := o.GroupVersionKind().Group
		family := group[strings.Index(group, ".")+1:]
		usage, err := t.Get(t.t.Context(), family+"/v1beta1", "ProviderConfigUsage", o.GetNamespace(), string(o.GetUID()))
		if err != nil || usage == nil {
			t.t.Errorf("%s %q has no ProviderConfigUsage of %s: %v", o.GetKind(), o.GetName(), family, err)
		}
	}
	for name, resource := range map[string]authorizationv1.ResourceAttributes{
		controlplane.ProviderAWS:        {Group: "eks.aws.m.upbound.io", Resource: "podidentityassociations"},
		controlplane.ProviderAzure:      {Group: "managedidentity.azure.m.upbound.io", Resource: "federatedidentitycredentials"},
		controlplane.ProviderGCP:        {Group: "cloudplatform.gcp.m.upbound.io", Resource: "serviceaccountiammembers"},
		controlplane.ProviderKubernetes: {Resource: "persistentvolumeclaims"},
	} {
		for verb, want := range map[string]bool{"update": true, "delete": false} {
			resource.Verb = verb
			review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
				User: "system:serviceaccount:" + controlplane.Namespace + ":" + name, ResourceAttributes: &resource,
			}}
			if err := t.Client.Create(t.t.Context(), review); err != nil || review.Status.Allowed != want {
				t.t.Errorf("%s may %s %s: %t (%v), want %t", name, verb, resource.Resource, review.Status.Allowed, err, want)
			}
		}
	}
}

// A statement of a policy of IAM.
type statement struct {
	Action   any
	Resource string
}

// actions of a statement, of which one alone may stand for a list.
func (s statement) actions() []string {
	switch a := s.Action.(type) {
	case string:
		return []string{a}
	case []any:
		var all []string
		for _, v := range a {
			one, _ := v.(string)
			all = append(all, one)
		}
		return all
	default:
		return nil
	}
}

// statementsOfAWS that package/providers has.
func statementsOfAWS(t *testing.T, root string) []statement {
	t.Helper()
	var grants, creates struct{ Statement []statement }
	if err := errors.Join(
		json.Unmarshal(readProviders(t, root, "aws", "iam-policy.json"), &grants),
		json.Unmarshal(readProviders(t, root, "aws", "iam-policy-create-roles.json"), &creates),
	); err != nil {
		t.Fatal(err)
	}
	return slices.Concat(grants.Statement, creates.Statement)
}

// allowedBy statements is an action on a resource. Their conditions are about the
// permissions boundary, which each role that is created has.
func allowedBy(statements []statement, action, arn string) bool {
	return slices.ContainsFunc(statements, func(s statement) bool {
		under, all := strings.CutSuffix(s.Resource, "*")
		return slices.Contains(s.actions(), action) && (all && strings.HasPrefix(arn, under) || s.Resource == arn)
	})
}

// uncalled are rights that are needed all the same: for what the clouds ask beside the
// call itself, and for calls that TestProvidersRights doesn't bring about.
var uncalled = map[string]string{
	"iam:PassRole":                     "EKS asks for it when a role is associated",
	"eks:TagResource":                  "EKS asks for it when an association is made with tags",
	"iam:TagRole":                      "IAM asks for it when a role is made with tags",
	"iam:TagPolicy":                    "IAM asks for it when a policy is made with tags",
	"eks:UntagResource":                "tags that provider-aws gives may change with its version",
	"iam:UntagRole":                    "the same",
	"iam:UntagPolicy":                  "the same",
	"iam:UpdateRole":                   "mends a duration of sessions that somebody has changed",
	"iam:UpdateRoleDescription":        "mends a description that somebody has changed",
	"iam:GetRolePolicy":                "reads an inline policy that somebody has added",
	"iam:DeleteRolePolicy":             "forceDetachPolicies deletes an inline policy that somebody has added",
	"iam:PutRolePermissionsBoundary":   "follows the settings",
	"iam:DeletePolicyVersion":          "makes room for a sixth version of a policy",
	"eks:UpdatePodIdentityAssociation": "changes the role in place",
}

// eventuallyCalled are actions of the cloud.
func (t *team) eventuallyCalled(actions ...string) {
	t.t.Helper()
	t.eventually(fmt.Sprintf("%v are called", actions), func(context.Context) error {
		for _, a := range actions {
			if t.cloud.Calls(a) == 0 {
				return fmt.Errorf("%s isn't", a)
			}
		}
		return nil
	})
}

// granted is what package/providers allows in the three clouds.
func granted(t *testing.T, root string) []string {
	t.Helper()
	var all []string
	for _, s := range statementsOfAWS(t, root) {
		all = append(all, s.actions()...)
	}
	var azure struct{ Actions []string }
	var google struct{ IncludedPermissions []string }
	if err := json.Unmarshal(readProviders(t, root, "azure", "role.json"), &azure); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(readProviders(t, root, "gcp", "role.yaml"), &google); err != nil {
		t.Fatal(err)
	}
	return slices.Concat(all, azure.Actions, google.IncludedPermissions)
}

// readProviders reads a file of package/providers.
func readProviders(t *testing.T, root string, parts ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{root, "package", "providers"}, parts...)...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
