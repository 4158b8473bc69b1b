package plan

import (
	"cmp"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/settings"
)

const xrUID = "11111111-2222-3333-4444-555555555555"

// cluster settings of the tests of stages.
const cluster = `
cluster: {name: prod-eu}
aws: {accountId: "123456789012", region: eu-west-1, clusterName: prod-eu, allowedRoles: [{pattern: "my-app-*", namespaces: [team-a]}]}
gcp: {projectId: my-project-123456, serviceAccounts: [{name: sql-client, namespaces: [team-a]}, {name: other-client, namespaces: [team-a]}]}
`

// A world is what a stage's test gives to the stages before it.
type world struct {
	services string
	settings string

	// namespace of the claim, team-a if empty.
	namespace string

	// composed objects that are observed, by key, and other objects that were
	// asked for. ServiceAccounts that aren't among them don't exist.
	composed map[string]string
	objects  []string

	// rendered workloads by their composed resource key, and previous status.
	rendered map[string]string
	previous string
}

func decode(tb testing.TB, y string, into any) {
	tb.Helper()
	if err := yaml.Unmarshal([]byte(y), into); err != nil {
		tb.Fatalf("%v in:\n%s", err, y)
	}
}

func object(tb testing.TB, y string) map[string]any {
	tb.Helper()
	o := map[string]any{}
	decode(tb, y, &o)
	return o
}

// input of a plan for the claim shop.
func (w world) input(tb testing.TB) Input {
	tb.Helper()
	namespace := cmp.Or(w.namespace, "team-a")
	in := Input{
		Types:    connection.Builtin(),
		Claim:    &claim.Claim{Name: "shop", Namespace: namespace, Composite: "shop", UID: xrUID, Namespaced: true},
		Observed: connection.Observed{Composed: map[string]connection.Composed{}, Required: map[string]map[string]any{}},
		Rendered: Workloads{},
	}
	var services any
	decode(tb, w.services, &services)
	in.Claim.Read(connection.Builtin().Schema(), services, field.NewPath("spec", "services"))
	s, err := settings.Decode(object(tb, cmp.Or(w.settings, cluster)))
	if err != nil {
		tb.Fatal(err)
	}
	in.Settings = s
	for key, y := range w.composed {
		in.Observed.Composed[key] = connection.Composed{Object: object(tb, y), ManagedFields: func() []any { return nil }}
	}
	for _, s := range in.Claim.Services {
		name, _ := in.Claim.ServiceAccount(s.Service)
		in.Observed.Required[connection.ServiceAccountRequirement(namespace, name).Key()] = nil
	}
	for _, y := range w.objects {
		o := object(tb, y)
		name, namespace := connection.Name(o)
		apiVersion, _ := o["apiVersion"].(string)
		kind, _ := o["kind"].(string)
		in.Observed.Required[connection.Requirement{APIVersion: apiVersion, Kind: kind, Namespace: namespace, Name: name}.Key()] = o
	}
	for key, y := range w.rendered {
		o := object(tb, y)
		name, _ := connection.Name(o)
		apiVersion, _ := o["apiVersion"].(string)
		kind, _ := o["kind"].(string)
		in.Rendered[claim.Workload{APIVersion: apiVersion, Kind: kind, Name: name}] = Rendered{Key: key, Object: o, Observed: in.Observed.Composed[key]}
	}
	decode(tb, w.previous, &in.Previous)
	return in
}

const (
	api = `[{name: api, connections: [{type: awsRole, role: my-app-s3}]}]`

	deployment = `{apiVersion: apps/v1, kind: Deployment, metadata: {name: api, namespace: team-a, uid: d}, spec: {template: {spec: {containers: [{name: app, image: x}]}}}}`

	serviceAccount = `{apiVersion: v1, kind: ServiceAccount, metadata: {name: shop-api, namespace: team-a}}`
)

// managed resource of a kind that works.
func ready(kind, meta, forProvider string) string {
	return `{apiVersion: ` + kind + `, metadata: ` + meta + `, spec: {managementPolicies: [Observe, Create, Update, Delete], forProvider: ` + forProvider + `}, status: {conditions: [{type: Synced, status: "True"}, {type: Ready, status: "True"}]}}`
}

// association of ServiceAccount shop-api, needed by some connections.
func association(needs, roleARN string) string {
	return ready(`eks.aws.m.upbound.io/v1beta1, kind: PodIdentityAssociation`, `{name: a, namespace: team-a, annotations: {serviceconnections.io/needed-by: "`+needs+`"}}`,
		`{serviceAccount: shop-api, roleArn: "`+roleARN+`"}`)
}

// member that lets ServiceAccount shop-api act as a Google service account.
func member(needs, email string) string {
	return ready(`cloudplatform.gcp.m.upbound.io/v1beta1, kind: ServiceAccountIAMMember`, `{name: m, namespace: team-a, annotations: {serviceconnections.io/needed-by: "`+needs+`"}}`,
		`{serviceAccountId: "projects/my-project-123456/serviceAccounts/`+email+`"}`)
}

const (
	plainARN = "arn:aws:iam::123456789012:role/my-app-s3"
	sqlEmail = "sql-client@my-project-123456.iam.gserviceaccount.com"
	other    = "other-client@my-project-123456.iam.gserviceaccount.com"
)

func want[T comparable](tb testing.TB, expected, got T, what string) {
	tb.Helper()
	if got != expected {
		tb.Errorf("%s: got %v, want %v", what, got, expected)
	}
}
