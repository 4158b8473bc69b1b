package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/test/e2e/cloud"
	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
)

// createdRole is a service whose role is created, with the parts of it.
func createdRole(parts string) string {
	return "- name: api\n  connections: [{type: awsRole, role: uploads, create: {" + parts + "}}]"
}

const (
	readsBuckets = "policyArns: [\"arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess\"]"
	sendsJobs    = `policy: {Version: "2012-10-17", Statement: [{Effect: Allow, Action: ["sqs:SendMessage"], Resource: "arn:aws:sqs:eu-west-1:123456789012:jobs"}]}`
)

// generatedRole that the team's role in the cloud is, by its IAM name.
func (t *team) generatedRole() string {
	t.t.Helper()
	role := t.the("Role")
	name := role.GetAnnotations()["crossplane.io/external-name"]
	if prefix := "sc-one-" + t.namespace + "-uploads-"; !strings.HasPrefix(name, prefix) || len(name) > 64 {
		t.t.Fatalf("the role's name is %q, want one of at most 64 characters that starts with %q", name, prefix)
	}
	return name
}

// TestCreatedRole is created within its boundary, for one ServiceAccount, changes
// with its claim, and leaves nothing behind.
func TestCreatedRole(t *testing.T) {
	t.Parallel()
	eachMode(t, func(team *team) {
		team.connect(createdRole(readsBuckets + ", " + sendsJobs))
		team.awaitReady()
		name := team.generatedRole()
		arn := "arn:aws:iam::" + cloud.AccountID + ":role/serviceconnections/" + name
		role := "role " + name + " within arn:aws:iam::123456789012:policy/team-boundary"
		buckets := "attachment of AmazonS3ReadOnlyAccess to " + name
		association := team.namespace + "/shop-api -> " + arn
		team.awaitContents("all parts of the role", role, "policy "+name, buckets, "attachment of "+name+" to "+name, association)
		c := team.awaitMessage("api", claim.TypeAWSRole, "Connected", func(string) bool { return true })
		if c.Identity != arn || len(c.Warnings) > 0 {
			team.t.Errorf("identity %q and warnings %v, want %q and none", c.Identity, c.Warnings, arn)
		}
		team.awaitInjecting("shop", "api")
		team.apply(deployment("api"))
		team.wantInjected(&team.awaitPods("api", 1)[0], "shop", "api")

		trusted := team.cloud.TrustOf(name)
		for _, scope := range []string{`"aws:RequestTag/kubernetes-namespace":"` + team.namespace + `"`, `"aws:RequestTag/kubernetes-service-account":"shop-api"`, `"aws:RequestTag/eks-cluster-arn":"arn:aws:eks:eu-west-1:123456789012:cluster/one"`} {
			if !strings.Contains(trusted, scope) {
				team.t.Errorf("the trust policy lacks %s: %s", scope, trusted)
			}
		}
		team.cloud.SetTrust(name, trustsPods(`"sts:*"`, "{}"))
		team.eventually("the trust policy is as it was", func(context.Context) error {
			if got := team.cloud.TrustOf(name); got != trusted {
				return fmt.Errorf("it is %s", got)
			}
			return nil
		})

		kept := team.the("Role")
		team.connect(createdRole(readsBuckets))
		team.awaitContents("the role without its own policy", role, buckets, association)
		team.same("A policy that leaves takes no role with it.", kept)
		team.awaitReady()

		team.deleteNow()
		team.awaitContents("nothing")
	})
}

// TestCreatedRoleIsOfOneTeam: two teams that ask for one name have a role each, and
// neither can have the other's, or a policy that the settings don't list.
func TestCreatedRoleIsOfOneTeam(t *testing.T) {
	t.Parallel()
	eachMode(t, func(one *team) {
		two := &team{cluster: one.cluster, t: one.t, namespace: newNamespace(one.t, one.cluster, ""), deadline: deadline}
		two.leave(claimVersion, claimKind)
		one.connect(createdRole(readsBuckets))
		two.connect(createdRole(readsBuckets))
		one.awaitReady()
		two.awaitReady()
		theirs := one.generatedRole()
		if ours := two.generatedRole(); ours == theirs {
			two.t.Fatalf("both teams have role %q", ours)
		}
		contents := one.contents()

		arn := "arn:aws:iam::" + cloud.AccountID + ":role/serviceconnections/" + theirs
		for _, role := range []string{theirs, arn, "my-app-s3-access, targetRoleArn: \"" + arn + "\""} {
			two.connect("- name: api\n  connections: [{type: awsRole, role: " + role + "}]")
			two.awaitMessage("api", claim.TypeAWSRole, "InvalidField", says("for one ServiceAccount only"))
		}
		two.connect(createdRole("policyArns: [\"arn:aws:iam::aws:policy/AdministratorAccess\"]"))
		two.awaitMessage("api", claim.TypeAWSRole, "NotAllowed", says("aws.createRoles.allowedPolicyArns"))
		for _, line := range two.cloud.Contents() {
			if strings.Contains(line, "AdministratorAccess") {
				two.t.Errorf("the cloud has %s", line)
			}
		}
		one.awaitContents("what the first team has", contents...)
	})
}

// TestCreatedRoleRevoked leaves with all its parts once the settings take it back,
// and nothing leaves while they are silent.
func TestCreatedRoleRevoked(t *testing.T) {
	t.Parallel()
	alone(t, func(team *team) {
		team.connect(createdRole(readsBuckets + ", " + sendsJobs))
		team.awaitReady()
		contents := team.contents()
		revoke := func(edit func(createRoles map[string]any)) {
			team.changeSettings(func(data map[string]any) { edit(section(section(data, "aws"), "createRoles")) })
		}

		team.changeSettings(func(data map[string]any) { delete(section(data, "aws"), "createRoles") })
		team.awaitNote("api", "AllowListAbsent", "")
		team.awaitContents("all that it had", contents...)

		revoke(func(c map[string]any) { c["allowInlinePolicies"] = false })
		team.awaitMessage("api", claim.TypeAWSRole, "NotAllowed", says("aws.createRoles.allowInlinePolicies"))
		team.awaitContents("the role without its own policy", "role ", "AmazonS3ReadOnlyAccess", "association")

		revoke(func(c map[string]any) { c["namespaces"] = []any{"someone"} })
		team.awaitMessage("api", claim.TypeAWSRole, "NotAllowed", says("aws.createRoles.namespaces"))
		team.awaitContents("nothing")
		if s, err := team.serviceOf(t.Context(), "shop", "api"); err != nil || s.Injection != nil {
			team.t.Errorf("injected still: %v, %v", s, err)
		}

		team.changeSettings(func(map[string]any) {})
		team.awaitReady()
		team.awaitContents("all that it had", contents...)
	})
}

// TestCreatedRoleIRSA: the role's trust policy names the subject that the API
// server gives to the pod's token.
func TestCreatedRoleIRSA(t *testing.T) {
	t.Parallel()
	team := withSettings(t, controlplane.Namespaced)
	if err := team.ApplyYAML(t.Context(), irsaSettings()); err != nil {
		t.Fatal(err)
	}
	team.connect(createdRole(readsBuckets))
	team.awaitReady()
	trusted, sub := team.cloud.TrustOf(team.generatedRole()), `:sub":"system:serviceaccount:`+team.namespace+`:shop-api"`
	if !strings.Contains(trusted, sub) {
		t.Errorf("the trust policy lacks %s: %s", sub, trusted)
	}
	team.awaitInjecting("shop", "api")
	team.apply(deployment("api"))
	team.awaitPods("api", 1)
	team.wantTokenOfPod("api", "aws-iam-token")
	arn, _, _ := unstructured.NestedString(team.the("Role").Object, "status", "atProvider", "arn")
	if got := team.annotations("ServiceAccount", "shop-api")["eks.amazonaws.com/role-arn"]; got != arn || arn == "" {
		t.Errorf("the ServiceAccount's role is %q, want %q", got, arn)
	}
}
