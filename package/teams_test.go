package package_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// Teams get what they need of their ServiceConnections, and nothing that decides
// what these may do.
func TestRightsOfTeams(t *testing.T) {
	t.Parallel()

	data, err := os.ReadFile("cluster/teams.yaml")
	if err != nil {
		t.Fatalf("cannot read package file: %v", err)
	}

	got := map[string][]rbacv1.PolicyRule{}

	for doc := range strings.SplitSeq(string(data), "\n---\n") {
		role := &rbacv1.ClusterRole{}
		if err := yaml.UnmarshalStrict([]byte(doc), role); err != nil {
			t.Fatalf("cannot decode ClusterRole: %v", err)
		}

		for label, value := range role.Labels {
			if value == "true" {
				got[label] = slices.Concat(got[label], role.Rules)
			}
		}
	}

	rule := func(verbs ...string) []rbacv1.PolicyRule {
		return []rbacv1.PolicyRule{{APIGroups: []string{"serviceconnections.io"}, Resources: []string{"serviceconnections"}, Verbs: verbs}}
	}
	read := []string{"get", "list", "watch"}
	write := slices.Concat(read, []string{"create", "update", "patch", "delete"})
	want := map[string][]rbacv1.PolicyRule{
		rbacv1.GroupName + "/aggregate-to-view":  rule(read...),
		rbacv1.GroupName + "/aggregate-to-edit":  rule(write...),
		rbacv1.GroupName + "/aggregate-to-admin": rule(write...),
	}

	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what is added to Kubernetes' roles: neither a status, nor the composite resource of a claim (-want +got):\n%s", diff)
	}
}
