package fn

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/workload"
	testschema "github.com/serviceconnections/function-service-connections/test/schema"
)

// TestClusterRole holds Crossplane's rights to what the function needs of
// Kubernetes, no less and no more. Providers' kinds are left out, since
// Crossplane gives itself the rights to those.
func TestClusterRole(t *testing.T) {
	t.Parallel()
	var (
		read  = []string{"get", "list", "watch"}
		write = []string{"get", "list", "watch", "create", "update", "patch", "delete"}
	)
	want := map[string][]string{}
	need := func(apiVersion, kind string, verbs []string) {
		gvk := schema.FromAPIVersionAndKind(apiVersion, kind)
		if connection.Builtin().Manages(map[string]any{"apiVersion": apiVersion, "kind": kind}) {
			return
		}
		r, _ := meta.UnsafeGuessKindToResource(gvk)
		if name := r.GroupResource().String(); len(verbs) > len(want[name]) {
			want[name] = verbs
		}
	}
	irsa := strings.Replace(allSettings, "  clusterName: prod-eu", "  mode: IRSA\n  oidcIssuer: https://oidc.eks.eu-west-1.amazonaws.com/id/ABC", 1)
	for _, settings := range []string{allSettings, irsa} {
		for _, claimed := range []bool{false, true} {
			c := everything(t, settings+"- {name: archive, namespaces: [team-a]}\n")
			if claimed {
				c.claimMode()
			}
			c.settle()
			if fatal := fatalOf(c.rsp); fatal != "" {
				t.Fatal(fatal)
			}
			for _, s := range c.required {
				need(s.GetApiVersion(), s.GetKind(), read)
			}
			for _, o := range c.composed {
				need(fmt.Sprint(o["apiVersion"]), fmt.Sprint(o["kind"]), write)
			}
		}
	}

	b, err := os.ReadFile("../package/cluster/rbac.yaml")
	if err != nil {
		t.Fatal(err)
	}
	role := &rbacv1.ClusterRole{}
	if err := yaml.UnmarshalStrict(b, role); err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, rule := range role.Rules {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				got[schema.GroupResource{Group: group, Resource: resource}.String()] = rule.Verbs
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what the function requires and composes, and what the ClusterRole grants: -want, +got:\n%s", diff)
	}
}

// everything that a claim may ask for: every kind of workload that the schema
// knows, every connection, every form of a disk, a ServiceAccount of the team's
// own, and settings from an EnvironmentConfig.
func everything(t *testing.T, settings string) *cluster {
	t.Helper()
	services := &strings.Builder{}
	disks := []string{"cache-storage", "uploads", "scratch", "archive"}
	for i, k := range workloadKinds(t) {
		fmt.Fprintf(services, "- {name: s%d, workload: {apiVersion: %s, kind: %s, name: w%d}, connections: [%s]}\n",
			i, k.APIVersion, k.Kind, i, strings.Join([]string{
				awsConnection, azureConnection, sqlConnection, gcpConnection,
				`{type: disk, config: {diskName: ` + disks[i%len(disks)] + `}}`,
			}, ", "))
	}
	fmt.Fprintf(services, "- {name: own, serviceAccountName: own, connections: [%s]}\n", awsConnection)
	c := newCluster(t, services.String(), settings)
	c.input["settingsFrom"] = map[string]any{"environmentConfig": map[string]any{"name": "cluster-settings"}}
	for _, o := range []string{
		`{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: archive, namespace: team-a}, spec: {storageClassName: slow}, status: {phase: Pending}}`,
		`{apiVersion: apiextensions.crossplane.io/v1beta1, kind: EnvironmentConfig, metadata: {name: cluster-settings}, data: {}}`,
		`{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: rollouts.argoproj.io}, status: {conditions: [{type: Established, status: "True"}]}}`,
		`{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: cache-storage, namespace: team-a}, spec: {accessModes: [ReadWriteMany], volumeName: v}, status: {phase: Bound}}`,
	} {
		c.add(o)
	}
	return c
}

// workloadKinds that the schema of a claim lets a service name.
func workloadKinds(t *testing.T) []workload.Kind {
	t.Helper()
	crd := testschema.Defined(t, "../package/configuration/definition.yaml")[0]
	services := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"].Properties["services"]
	w := services.Items.Schema.Properties["workload"]
	var kinds []workload.Kind
	for _, kind := range w.Properties["kind"].Enum {
		for _, apiVersion := range w.Properties["apiVersion"].Enum {
			if k, ok := workload.KindOf(strings.Trim(string(apiVersion.Raw), `"`), strings.Trim(string(kind.Raw), `"`)); ok {
				kinds = append(kinds, k)
			}
		}
	}
	if len(kinds) < len(w.Properties["kind"].Enum) {
		t.Fatalf("workloads of the schema: %s; those of the function: %v", w.Properties["kind"].Enum, kinds)
	}
	return kinds
}
