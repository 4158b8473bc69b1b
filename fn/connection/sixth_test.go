package connection_test

import (
	"strings"
	"testing"

	"github.com/crossplane/function-sdk-go/logging"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/composer"
	"github.com/serviceconnections/function-service-connections/fn"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/plugin/graph"
	"github.com/serviceconnections/function-service-connections/plugin/live"
)

// sixth is a control plane whose function knows one more type of connection.
type sixth struct {
	*composer.Composer

	cloud composer.Cloud
}

func newSixth(t *testing.T) *sixth {
	t.Helper()
	types := connection.WithObjectStore()
	return &sixth{
		cloud: composer.Cloud{Types: types},
		Composer: &composer.Composer{
			Function:  fn.New(logging.NewNopLogger(), fn.WithTypes(types)),
			Composite: object(t, `{apiVersion: serviceconnections.io/v1alpha1, kind: ServiceConnection, metadata: {name: shop, namespace: team-a, uid: uid-shop}}`),
			Composed:  map[string]map[string]any{},
			Lookup: func(s *fnv1.ResourceSelector) map[string]any {
				if s.GetKind() != "CustomResourceDefinition" {
					return nil
				}
				return map[string]any{
					"apiVersion": s.GetApiVersion(), "kind": s.GetKind(), "metadata": map[string]any{"name": s.GetMatchName()},
					"status": map[string]any{"conditions": []any{map[string]any{"type": "Established", "status": "True"}}},
				}
			},
		},
	}
}

func object(t *testing.T, y string) map[string]any {
	t.Helper()
	o := map[string]any{}
	if err := yaml.Unmarshal([]byte(y), &o); err != nil {
		t.Fatal(err, y)
	}
	return o
}

// settles after an edit: what is asked for is made, as often as that changes
// something. It returns what is composed, by kind, and how the connection stands.
func (s *sixth) settles(t *testing.T, connections, buckets string) (composed []string, stands string) {
	t.Helper()
	s.Composite["spec"] = object(t, `{services: [{name: api, connections: [`+connections+`]}]}`)
	s.Input = object(t, `{settings: {cluster: {name: prod}, disks: `+buckets+`}}`)
	for range 4 {
		rsp, _, err := s.Reconcile(t.Context())
		if err != nil || composer.Fatal(rsp) != "" {
			t.Fatal(err, composer.Fatal(rsp))
		}
		for _, o := range s.Composed {
			if _, err := s.cloud.Provide(o); err != nil {
				t.Fatal(err)
			}
		}
	}
	for key, o := range s.Composed {
		if key != connection.ServiceAccountKey("shop-api") {
			composed = append(composed, (&unstructured.Unstructured{Object: o}).GetKind())
		}
	}
	status, _, _ := unstructured.NestedSlice(s.Composite, "status", "services")
	c := status[0].(map[string]any)["connections"].([]any)[0].(map[string]any)
	reason, _ := c["reason"].(string)
	message, _ := c["message"].(string)
	return composed, strings.TrimSuffix(reason+": "+message, ": ")
}

// A type of connection is a value, and nothing else knows it: one that is declared
// here is read, validated, composed, kept, revoked, told and drawn.
func TestSixthType(t *testing.T) {
	t.Parallel()

	const (
		listed = `[{name: photos, namespaces: [team-a]}]`
		photos = `{type: objectStore, bucket: photos}`
	)
	s := newSixth(t)
	steps := []struct {
		reason      string
		connections string
		buckets     string
		composed    []string
		stands      string
	}{
		{
			reason:      "its required field is asked for in the words of the others",
			connections: `{type: objectStore}`, buckets: listed,
			stands: "InvalidField: spec.services[0].connections[0].bucket: Required value: bucket is required for objectStore",
		},
		{
			reason:      "a field of another type isn't its own",
			connections: `{type: objectStore, bucket: photos, role: r}`, buckets: listed,
			stands: "InvalidField: spec.services[0].connections[0].role: Forbidden: role is not a field of objectStore",
		},
		{
			reason:      "nor is its field another's",
			connections: `{type: awsRole, role: r, bucket: photos}`, buckets: listed,
			stands: "InvalidField: spec.services[0].connections[0].bucket: Forbidden: bucket is not a field of awsRole",
		},
		{
			reason:      "what no list knows isn't granted",
			connections: photos, buckets: `[]`,
			stands: `NotAllowed: namespace "team-a" may not use "photos", which the cluster settings don't know; ask the platform team to allow it`,
		},
		{
			reason:      "its grant is composed, and it works",
			connections: photos, buckets: listed,
			composed: []string{"BucketAccess"}, stands: "Connected",
		},
		{
			reason:      "a mistake takes nothing away",
			connections: `{type: objectStore, bucket: Photos}`, buckets: listed,
			composed: []string{"BucketAccess"},
			stands:   `InvalidField: spec.services[0].connections[0].bucket: Invalid value: "Photos": a lowercase RFC 1123 label`,
		},
		{
			reason:      "what the list takes back is gone, also of a claim with a mistake",
			connections: `{type: objectStore, bucket: Photos}`, buckets: `[]`,
			stands: "InvalidField",
		},
	}
	for _, step := range steps {
		composed, stands := s.settles(t, step.connections, step.buckets)
		if diff := cmp.Diff(step.composed, composed); diff != "" {
			t.Errorf("%s: composed: -want, +got:\n%s", step.reason, diff)
		}
		if !strings.HasPrefix(stands, step.stands) {
			t.Errorf("%s:\nwant %s\n got %s", step.reason, step.stands, stands)
		}
	}
}

// A connection that has left the claim takes its grant along, and a picture shows
// what there is.
func TestSixthTypeLeaves(t *testing.T) {
	t.Parallel()

	s := newSixth(t)
	const listed = `[{name: photos, namespaces: [team-a]}]`
	s.settles(t, `{type: objectStore, bucket: photos}`, listed)

	sc, err := live.Of(connection.WithObjectStore(), &unstructured.Unstructured{Object: s.Composite})
	if err != nil {
		t.Fatal(err)
	}
	nodes := graph.Of(connection.WithObjectStore(), sc).Nodes
	drawn := make([]string, 0, len(nodes))
	for _, n := range nodes {
		drawn = append(drawn, n.Kind+" "+n.Name)
	}
	want := []string{"ServiceConnection team-a/shop", "service api", "ServiceAccount shop-api", "BucketAccess objectStore", "bucket photos"}
	if diff := cmp.Diff(want, drawn); diff != "" {
		t.Errorf("the picture leads to the bucket: -want, +got:\n%s", diff)
	}

	composed, _ := s.settles(t, `{type: disk, config: {diskName: photos}}`, listed)
	if diff := cmp.Diff([]string(nil), composed); diff != "" {
		t.Errorf("nothing of a connection stays that has left: -want, +got:\n%s", diff)
	}
}
