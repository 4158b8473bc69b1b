//go:build !race

package main

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/crossplane/function-sdk-go/logging"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"pgregory.net/rapid"

	"github.com/serviceconnections/function-service-connections/composer"
	"github.com/serviceconnections/function-service-connections/fn"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/settings"
	"github.com/serviceconnections/function-service-connections/input/v1beta1"
	"github.com/serviceconnections/function-service-connections/plugin/schema"
	"github.com/serviceconnections/function-service-connections/test/decoded"
)

// largestSettings allow all that the largest claims ask for.
const largestSettings = `
cluster: {name: production-eu-west-1}
aws:
  accountId: "123456789012"
  region: eu-west-1
  clusterName: production-eu-west-1
  allowedRoles: [{pattern: "*", namespaces: ["*"]}]
  createRoles: {namespaces: ["*"], path: /service-connections/, permissionsBoundaryArn: "arn:aws:iam::123456789012:policy/boundary", allowedPolicyArns: ["arn:*"], allowInlinePolicies: true}
azure:
  subscriptionId: 00000000-0000-0000-0000-000000000001
  tenantId: 00000000-0000-0000-0000-000000000002
  oidcIssuer: https://example.org/00000000-0000-0000-0000-000000000002/00000000-0000-0000-0000-000000000003/
  allowedIdentities: [{identity: "*", resourceGroup: "*", namespaces: ["*"]}]
gcp:
  projectId: my-project-123456
  workloadPool: my-project-123456.svc.id.goog
  serviceAccounts: [{name: my-account, namespaces: ["*"]}]
disks: [{name: uploads, namespaces: ["*"], create: {size: 1Gi}}]
workload: {inspect: true}
`

// everything that a claim composes, once all of it is there, as the API server stores
// it.
func everything(t *testing.T, xr map[string]any) *fnv1.RunFunctionRequest {
	t.Helper()
	cloud := composer.Cloud{Types: connection.Builtin(), Known: connection.Known{
		Settings: &settings.Settings{Settings: v1beta1.Settings{AWS: &v1beta1.AWS{Partition: "aws", AccountID: "123456789012"}}},
		Guess:    func(_, of string) string { return "00000000-0000-0000-0000-00000000" + fmt.Sprintf("%.4x", of) },
	}}
	c := &composer.Composer{
		Function: fn.New(logging.NewNopLogger()), Composite: xr, Composed: map[string]map[string]any{},
		Input: map[string]any{"apiVersion": "serviceconnections.fn.crossplane.io/v1beta1", "kind": "Input", "settings": fromYAML(largestSettings)},
		Lookup: func(s *fnv1.ResourceSelector) map[string]any {
			if s.GetKind() == "CustomResourceDefinition" {
				return fromYAML(`{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: ` + s.GetMatchName() + `}, status: {conditions: [{type: Established, status: "True"}]}}`)
			}
			return nil
		},
	}
	for range 3 {
		rsp, _, err := c.Reconcile(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if f := composer.Fatal(rsp); f != "" {
			t.Fatal(f)
		}
		for _, o := range c.Composed {
			if _, err := cloud.Provide(o); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, o := range c.Composed {
		stored(o)
	}
	c.Required = nil
	req, err := c.Request()
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// stored adds to a composed resource what the API server, Crossplane and a provider made
// with upjet write into it.
func stored(o map[string]any) {
	const (
		at  = "2026-11-28T08:00:00Z"
		uid = "00000000-1111-2222-3333-444444444444"
	)
	metadata := o["metadata"].(map[string]any)
	entry := func(manager, operation string, owned map[string]any) map[string]any {
		return map[string]any{"apiVersion": o["apiVersion"], "fieldsType": "FieldsV1", "fieldsV1": owned, "manager": manager, "operation": operation, "time": at}
	}
	applied := fieldsV1(map[string]any{"metadata": map[string]any{"annotations": metadata["annotations"], "labels": map[string]any{"crossplane.io/composite": "shop"}, "generateName": "", "ownerReferences": map[string]any{}}, "spec": o["spec"]})
	managed := []any{entry("apiextensions.crossplane.io/composed/"+strings.Repeat("0", 64), "Apply", applied)}
	if forProvider, ok, _ := unstructured.NestedMap(o, "spec", "forProvider"); ok {
		status := o["status"].(map[string]any)
		atProvider := status["atProvider"].(map[string]any)
		maps.Copy(atProvider, forProvider)
		annotations := metadata["annotations"].(map[string]any)
		atProvider["id"], atProvider["createDate"], atProvider["uniqueId"] = annotations["crossplane.io/external-name"], at, "AROA1234567890ABCDEFG"
		tags := map[string]any{"crossplane-kind": "role.iam.aws.m.upbound.io", "crossplane-name": metadata["name"], "crossplane-providerconfig": "default"}
		atProvider["tags"], atProvider["tagsAll"] = tags, tags
		metadata["finalizers"] = []any{"finalizer.managedresource.crossplane.io"}
		annotations["crossplane.io/external-create-pending"], annotations["crossplane.io/external-create-succeeded"] = at, at
		status["conditions"] = many(3, func(i int) any {
			return map[string]any{"type": []string{"LastAsyncOperation", "Ready", "Synced"}[i], "status": "True", "reason": "ReconcileSuccess", "lastTransitionTime": at, "observedGeneration": 2}
		})
		reported := entry("provider", "Update", fieldsV1(map[string]any{"status": map[string]any{"atProvider": atProvider, "conditions": map[string]any{"Ready": status["conditions"].([]any)[0], "Synced": status["conditions"].([]any)[1]}}}))
		reported["subresource"] = "status"
		managed = append(managed, reported, entry("provider", "Update", fieldsV1(map[string]any{"metadata": map[string]any{"annotations": map[string]any{"crossplane.io/external-create-pending": at, "crossplane.io/external-create-succeeded": at}, "finalizers": map[string]any{}}})))
	}
	metadata["creationTimestamp"], metadata["resourceVersion"], metadata["uid"], metadata["generation"] = at, "123456789", uid, 2
	metadata["generateName"], metadata["labels"] = "shop-", map[string]any{"crossplane.io/composite": "shop"}
	metadata["ownerReferences"] = []any{map[string]any{"apiVersion": "serviceconnections.io/v1alpha1", "blockOwnerDeletion": true, "controller": true, "kind": "ServiceConnection", "name": "shop", "uid": uid}}
	metadata["managedFields"] = managed
}

// fieldsV1 of a value, as managed fields have them.
func fieldsV1(v any) map[string]any {
	m, _ := v.(map[string]any)
	fs := map[string]any{}
	for k, e := range m {
		fs["f:"+k] = fieldsV1(e)
	}
	return fs
}

// A mix of what makes a claim large.
type mix struct {
	services int

	// arns of each role, and how long they are.
	arns, arn int

	// policy of each role, in characters. Zero: none.
	policy int

	// others are the connections of all other types, and disks more of those to one.
	others bool
	disks  int

	// long names of everything that a team names.
	long bool
}

// claim of the mix.
func (m mix) claim() map[string]any {
	p := &plain{xr: fromYAML(`
apiVersion: serviceconnections.io/v1alpha1
kind: ServiceConnection
metadata: {name: shop, namespace: team-a, uid: 11111111-2222-3333-4444-555555555555}
`)}
	name := func(prefix string, i, most int) string {
		n := fmt.Sprint(prefix, "-", i)
		if m.long {
			n += strings.Repeat("x", most-len(n))
		}
		return n
	}
	p.services(many(m.services, func(i int) any {
		create := map[string]any{}
		if m.arns > 0 {
			create["policyArns"] = many(m.arns, func(i int) any {
				n := fmt.Sprintf("policy-%02d", i)
				return "arn:aws:iam::123456789012:policy/" + strings.Repeat("p", max(1, min(511, m.arn-60))) + "/" + n + strings.Repeat("x", max(0, m.arn-580))
			})
		}
		if m.policy > 0 {
			create["policy"] = map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{"Effect": "Allow", "Action": "s3:*", "Resource": many(1+m.policy/1024, func(int) any { return "arn:aws:s3:::" + strings.Repeat("b", min(1000, m.policy)) })}}}
		}
		cs := []any{map[string]any{"type": "awsRole", "role": name("role", i, 64), "create": create}}
		if m.others {
			cs = append(cs,
				map[string]any{"type": "azureManagedIdentity", "identityName": name("identity", i, 128), "resourceGroup": name("group", i, 90)},
				m.database(),
				map[string]any{"type": "disk", "config": map[string]any{"diskName": "uploads", "mountPath": "/" + name("path", i, 500)}},
				fromYAML(`{type: gcpServiceAccount, serviceAccountEmail: my-account@my-project-123456.iam.gserviceaccount.com}`))
			for n := range m.disks {
				cs = append(cs, map[string]any{"type": "disk", "name": name("disk", n, 20), "config": map[string]any{"diskName": "uploads", "mountPath": "/" + name(fmt.Sprint("path-", n), i, 500)}})
			}
		}
		return map[string]any{"name": name("service", i, 63), "connections": cs}
	})...)
	return p.xr
}

// database of the mix.
func (m mix) database() map[string]any {
	db := map[string]any{"type": "cloudSql", "config": map[string]any{"cloudSqlConnectionName": "my-project:europe-west1:db", "cloudSqlDatabasePort": int64(5432), "cloudSqlServiceAccount": "my-account"}}
	if m.long {
		env := map[string]any{}
		for field, end := range map[string]string{"host": "_DB_HOST", "port": "_DB_PORT", "instanceConnectionName": "_DB_INSTANCE"} {
			env[field] = strings.Repeat("X", 63-len(end)) + end
		}
		db["env"] = env
	}
	return db
}

// TestLargestClaims composes everything that the largest claims ask for which the API
// server takes: the function reads all of it, and can take it back.
func TestLargestClaims(t *testing.T) { //nolint:paralleltest // One at a time has the memory.
	binary := built(t)
	mixes := map[string]mix{
		"RolesWithManagedPolicies": {services: 100, arns: 10, arn: 60},
		"LongManagedPolicies":      {services: 100, arns: 2, arn: 500},
		"RolesWithPolicies":        {services: 100, policy: 5000},
		"Everything":               {services: 100, arns: 10, arn: 60, others: true, long: true},
		"EverythingWithPolicies":   {services: 100, policy: 5000, others: true, long: true},
		"ManyOfEach":               {services: 50, arns: 10, arn: 60, others: true, disks: 5, long: true},
	}
	anyMix := rapid.Custom(func(t *rapid.T) mix {
		return mix{
			services: rapid.IntRange(50, 100).Draw(t, "services"), arns: rapid.IntRange(0, 10).Draw(t, "arns"), arn: rapid.IntRange(60, 700).Draw(t, "arn"),
			policy: rapid.IntRange(0, 5000).Draw(t, "policy"), others: rapid.Bool().Draw(t, "others"), disks: rapid.IntRange(0, 5).Draw(t, "disks"), long: rapid.Bool().Draw(t, "long"),
		}
	})
	for seed := range 6 {
		mixes[fmt.Sprint("Any", seed)] = anyMix.Example(seed)
	}
	s, err := schema.ServiceConnection()
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range mixes { //nolint:paralleltest // See above.
		t.Run(name, func(t *testing.T) {
			xr := m.claim()
			if errs := s.Validate(t.Context(), &unstructured.Unstructured{Object: xr}); len(errs) > 0 {
				if !strings.HasPrefix(name, "Any") || !strings.Contains(errs.ToAggregate().Error(), "split the ServiceConnection") {
					t.Fatalf("%+v: %v", m, errs)
				}
				return
			}
			req := everything(t, xr)
			granted := grants(req.GetObserved().GetResources())
			p, conn := started(t, binary)
			for _, want := range []int{granted, 0} {
				if want == 0 {
					in := req.GetInput().AsMap()
					cluster := in["settings"].(map[string]any)
					cluster["aws"].(map[string]any)["createRoles"] = map[string]any{"namespaces": []any{}}
					cluster["azure"].(map[string]any)["allowedIdentities"] = []any{}
					cluster["gcp"].(map[string]any)["serviceAccounts"] = []any{}
					req.Input = encode(in)
				}
				rsp, err := fnv1.NewFunctionRunnerServiceClient(conn).RunFunction(t.Context(), req)
				if err != nil {
					t.Fatalf("%+v: RunFunction(...) of %d bytes and %d values: %v", m, proto.Size(req), decoded.Values(req), err)
				}
				if f := composer.Fatal(rsp); f != "" {
					t.Fatalf("%+v: RunFunction(...): %s", m, f)
				}
				if got := grants(rsp.GetDesired().GetResources()); got != want {
					t.Errorf("%+v: of %d objects that grant something, want %d desired, got %d", m, granted, want, got)
				}
			}
			used := memoryOf(t, p.PID)
			t.Logf("%+v: %d bytes, %d values, %d composed, %d MiB", m, proto.Size(req), decoded.Values(req), len(req.GetObserved().GetResources()), used/mebibyte)
			if used > tooMuch {
				t.Errorf("RunFunction(...): want at most %d MiB of memory, got %d MiB", tooMuch/mebibyte, used/mebibyte)
			}
		})
	}
}

// grants are the composed resources that grant something.
func grants(rs map[string]*fnv1.Resource) int {
	n := 0
	for _, r := range rs {
		switch r.GetResource().GetFields()["kind"].GetStringValue() {
		case "ServiceAccount", "Object", "UserAssignedIdentity":
		default:
			n++
		}
	}
	return n
}
