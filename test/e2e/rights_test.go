package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/test/cloudapi"
	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
)

// TestProvidersRights holds that the rights that package/providers gives to the
// providers' identities are enough for every call that their controllers make while
// a claim of all grants is made, edited and deleted. Who the caller is anybody may
// ask AWS.
func TestProvidersRights(t *testing.T) {
	t.Parallel()
	team := withSettings(t, controlplane.Namespaced)
	team.connect(grants)
	team.awaitReady()
	team.cloud.SetTrust(team.generatedRole(), trustsPods(`"sts:*"`, "{}"))
	team.connect(strings.Replace(grants, "sqs:SendMessage", "sqs:ReceiveMessage", 1))
	team.eventuallyCalled(cloudapi.CreatePolicyVersion, cloudapi.UpdateAssumeRolePolicy)
	team.deleteNow()
	team.awaitContents("nothing")

	may, called := granted(t, team.Root), team.cloud.Actions()
	for _, action := range called {
		if action != cloudapi.GetCallerIdentity && !slices.Contains(may, action) {
			t.Errorf("package/providers lacks %s, which the controllers call", action)
		}
	}
	for _, action := range may {
		if uncalled[action] == "" && !slices.Contains(called, action) {
			t.Errorf("package/providers has %s, which no controller calls", action)
		}
	}
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
	read := func(parts ...string) []byte {
		b, err := os.ReadFile(filepath.Join(append([]string{root, "package", "providers"}, parts...)...))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var all []string
	for _, file := range []string{"iam-policy.json", "iam-policy-create-roles.json"} {
		var policy struct {
			Statement []struct{ Action any }
		}
		if err := json.Unmarshal(read("aws", file), &policy); err != nil {
			t.Fatal(err)
		}
		for _, s := range policy.Statement {
			switch a := s.Action.(type) {
			case string:
				all = append(all, a)
			case []any:
				for _, v := range a {
					all = append(all, v.(string))
				}
			}
		}
	}
	var azure struct{ Actions []string }
	var google struct{ IncludedPermissions []string }
	if err := json.Unmarshal(read("azure", "role.json"), &azure); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(read("gcp", "role.yaml"), &google); err != nil {
		t.Fatal(err)
	}
	return slices.Concat(all, azure.Actions, google.IncludedPermissions)
}
