package fn

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/crossplane/function-sdk-go/logging"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/crossplane/function-sdk-go/resource"
	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/structpb"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/composer"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/settings"
	"github.com/serviceconnections/function-service-connections/input/v1beta1"
	"github.com/serviceconnections/function-service-connections/test/schema"
)

// A cluster drives the function through many reconciles of one composite
// resource, by what plays Crossplane around it. It is for sequences of edits;
// single runs go through the real engine in test/render.
type cluster struct {
	t testing.TB

	fn    *Function
	xr    map[string]any
	input map[string]any

	// desired and context of earlier steps.
	desired *fnv1.State
	context *structpb.Struct

	// objects of the cluster that aren't composed, by objectKey.
	objects map[string]map[string]any

	// composed resources by key.
	composed map[string]map[string]any

	// required by the last run, which the next one is seeded with.
	required map[string]*fnv1.ResourceSelector

	// calls of the last reconcile.
	calls int
	rsp   *fnv1.RunFunctionResponse

	// errorf tells of what a real cluster would refuse, or lose.
	errorf func(format string, args ...any)

	crossplane *composer.Composer
	clouds     composer.Cloud
}

// clouds of the settings that the tests have.
var clouds = composer.Cloud{Types: connection.Builtin(), Known: connection.Known{
	Settings: &settings.Settings{Settings: v1beta1.Settings{AWS: &v1beta1.AWS{Partition: "aws", AccountID: "123456789012"}}},
	Guess:    func(_, identity string) string { return "client-of-" + identity },
}}

const xrUID = "11111111-2222-3333-4444-555555555555"

func newCluster(tb testing.TB, services, clusterSettings string) *cluster {
	tb.Helper()
	c := &cluster{
		t: tb, fn: New(logging.NewNopLogger()), clouds: clouds,
		objects:  map[string]map[string]any{},
		composed: map[string]map[string]any{},
		errorf:   tb.Errorf,
	}
	c.crossplane = &composer.Composer{Function: c.fn, Lookup: c.lookup}
	c.xr = fromYAML(tb, `
apiVersion: serviceconnections.io/v1alpha1
kind: ServiceConnection
metadata: {name: shop, namespace: team-a, uid: `+xrUID+`}
spec: {}
`)
	c.setServices(services)
	c.setSettings(clusterSettings)
	for _, crd := range []string{
		"policies.iam.aws.m.upbound.io", "rolepolicyattachments.iam.aws.m.upbound.io",
		"policies.iam.aws.upbound.io", "rolepolicyattachments.iam.aws.upbound.io",
		"roles.iam.aws.m.upbound.io", "podidentityassociations.eks.aws.m.upbound.io",
		"userassignedidentities.managedidentity.azure.m.upbound.io", "federatedidentitycredentials.managedidentity.azure.m.upbound.io",
		"serviceaccountiammembers.cloudplatform.gcp.m.upbound.io", "objects.kubernetes.m.crossplane.io",
		"roles.iam.aws.upbound.io", "podidentityassociations.eks.aws.upbound.io",
		"userassignedidentities.managedidentity.azure.upbound.io", "federatedidentitycredentials.managedidentity.azure.upbound.io",
		"serviceaccountiammembers.cloudplatform.gcp.upbound.io", "objects.kubernetes.crossplane.io",
	} {
		c.add(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: ` + crd + `}
status: {conditions: [{type: Established, status: "True"}]}
`)
	}
	return c
}

// claimMode makes the composite resource cluster-scoped, made by a claim.
func (c *cluster) claimMode() {
	c.xr["kind"] = "XServiceConnection"
	c.xr["metadata"] = map[string]any{"name": "shop-x7k2p", "uid": xrUID}
	spec, _ := c.xr["spec"].(map[string]any)
	spec["claimRef"] = map[string]any{"name": "shop", "namespace": "team-a"}
}

func (c *cluster) setServices(y string) {
	c.t.Helper()
	var services []any
	if err := yaml.Unmarshal([]byte(y), &services); err != nil {
		c.t.Fatal(err)
	}
	spec, _ := c.xr["spec"].(map[string]any)
	spec["services"] = services
}

func (c *cluster) setSettings(y string) {
	c.t.Helper()
	c.input = map[string]any{
		"apiVersion": "serviceconnections.fn.crossplane.io/v1beta1", "kind": "Input",
		"settings": fromYAML(c.t, y),
	}
}

// referToSettings that stand in the cluster, as the packages' Compositions do.
func (c *cluster) referToSettings() {
	c.t.Helper()
	config := map[string]any{
		"apiVersion": "apiextensions.crossplane.io/v1beta1", "kind": "EnvironmentConfig",
		"metadata": map[string]any{"name": "cluster-settings"}, "data": c.input["settings"],
	}
	c.objects[objectKey(config)] = config
	delete(c.input, "settings")
	c.input["settingsFrom"] = map[string]any{"environmentConfig": map[string]any{"name": "cluster-settings"}}
}

// add an object that isn't composed.
func (c *cluster) add(y string) {
	c.t.Helper()
	o := fromYAML(c.t, y)
	c.objects[objectKey(o)] = o
}

// managedDefinition of associations, as a provider that starts safely makes it, in a
// state.
func (c *cluster) managedDefinition(state string) {
	c.t.Helper()
	c.add(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: managedresourcedefinitions.apiextensions.crossplane.io}
spec: {versions: [{name: v1alpha1, served: true, storage: true}]}
status: {conditions: [{type: Established, status: "True"}]}
`)
	c.add(`
apiVersion: apiextensions.crossplane.io/v1alpha1
kind: ManagedResourceDefinition
metadata: {name: podidentityassociations.eks.aws.m.upbound.io}
spec: {state: ` + state + `, group: eks.aws.m.upbound.io, names: {kind: PodIdentityAssociation}, versions: [{name: v1beta1, served: true}]}
`)
}

func (c *cluster) remove(kind, name string) {
	maps.DeleteFunc(c.objects, func(_ string, o map[string]any) bool {
		return o["kind"] == kind && str(o, "metadata", "name") == name
	})
}

func objectKey(o map[string]any) string {
	return fmt.Sprint(o["apiVersion"], "|", o["kind"], "|", str(o, "metadata", "namespace"), "|", str(o, "metadata", "name"))
}

// lookup an object that isn't composed.
func (c *cluster) lookup(s *fnv1.ResourceSelector) map[string]any {
	return c.objects[fmt.Sprint(s.GetApiVersion(), "|", s.GetKind(), "|", s.GetNamespace(), "|", s.GetMatchName())]
}

// play Crossplane from how everything stands now.
func (c *cluster) play() *composer.Composer {
	c.crossplane.Composite, c.crossplane.Input = c.xr, c.input
	c.crossplane.Desired, c.crossplane.Context = c.desired, c.context
	c.crossplane.Composed, c.crossplane.Required = c.composed, c.required
	return c.crossplane
}

func (c *cluster) request() *fnv1.RunFunctionRequest {
	c.t.Helper()
	req, err := c.play().Request()
	if err != nil {
		c.t.Fatal(err)
	}
	return req
}

// run the function until its requirements are stable, and do nothing else.
func (c *cluster) run() *fnv1.RunFunctionResponse {
	c.t.Helper()
	crossplane := c.play()
	rsp, err := crossplane.Run(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	c.calls, c.required = crossplane.Calls, crossplane.Required
	return rsp
}

// reconcile once. It returns the keys of the composed resources that were
// deleted.
func (c *cluster) reconcile() (deleted []string) {
	c.t.Helper()
	c.control()
	before := maps.Clone(c.composed)
	crossplane := c.play()
	rsp, deleted, err := crossplane.Reconcile(c.t.Context())
	if rsp == nil {
		c.t.Fatal(err)
	}
	if err != nil {
		c.errorf("%v", err)
	}
	c.rsp, c.calls, c.required = rsp, crossplane.Calls, crossplane.Required
	for key, o := range c.composed {
		was, there := before[key]
		switch {
		case !there:
			// Pods that are made now are of this template.
			rollOut(o)
		case str(o, "spec", "updateStrategy", "type") == "OnDelete" && !gocmp.Equal(was["spec"], o["spec"]):
			// Those that are there are not.
			delete(o, "status")
		}
	}
	for key, o := range rsp.GetDesired().GetResources() {
		c.validate(key, o.GetResource().AsMap())
	}
	return deleted
}

// validated objects, as JSON: one that is emitted again needn't be asked about
// again.
var validated sync.Map

// validate an object as the API server would, by the providers' own schemas.
// Those of other steps are theirs.
func (c *cluster) validate(key string, o map[string]any) {
	c.t.Helper()
	if c.desired != nil && c.desired.GetResources()[key] != nil {
		return
	}
	b, err := json.Marshal(o)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, done := validated.Load(string(b)); done {
		return
	}
	if errs := schema.Providers(c.t).Validate(o); len(errs) > 0 {
		c.errorf("the API server would refuse %q: %v", key, errs.ToAggregate())
		return
	}
	validated.Store(string(b), true)
}

func fieldAt(o map[string]any, path []string) any {
	v, _, _ := unstructured.NestedFieldNoCopy(o, path...)
	return v
}

// provide makes every managed resource ready, as the providers do once the
// cloud has what it stands for.
func (c *cluster) provide() {
	c.t.Helper()
	for _, o := range c.composed {
		made, err := c.clouds.Provide(o)
		if err != nil {
			c.t.Fatal(err)
		}
		if _, there := c.objects[objectKey(made)]; made != nil && !there {
			c.objects[objectKey(made)] = made
		}
	}
}

// control workloads, as their controllers do where nothing is in the way: all pods
// are of the current template. Those that wait for somebody to delete their pods
// have done nothing. Where a test has said how far one is, that holds.
func (c *cluster) control() {
	for _, objects := range []map[string]map[string]any{c.objects, c.composed} {
		for _, o := range objects {
			if _, said := o["status"]; !said && str(o, "spec", "updateStrategy", "type") != "OnDelete" {
				rollOut(o)
			}
		}
	}
}

// rollOut a workload: all its pods are of its template.
func rollOut(o map[string]any) {
	switch o["kind"] {
	case "Deployment", "StatefulSet", "ReplicaSet":
		n := 1.0
		if v, ok := fieldAt(o, []string{"spec", "replicas"}).(float64); ok {
			n = v
		}
		o["status"] = map[string]any{"replicas": n, "updatedReplicas": n}
	case "Rollout":
		o["status"] = map[string]any{"replicas": 1.0, "updatedReplicas": 1.0, "stableRS": "a", "currentPodHash": "a"}
	case "DaemonSet":
		o["status"] = map[string]any{"desiredNumberScheduled": 1.0, "updatedNumberScheduled": 1.0}
	}
}

// settle reconciles and provides until nothing changes.
func (c *cluster) settle() {
	c.t.Helper()
	for range 10 {
		before := c.snapshot()
		c.reconcile()
		c.provide()
		if before == c.snapshot() {
			return
		}
	}
	c.t.Fatal("it doesn't settle")
}

func (c *cluster) snapshot() string {
	b, err := json.Marshal([]any{c.xr, c.composed})
	if err != nil {
		c.t.Fatal(err)
	}
	return string(b)
}

// ready says whether the composite resource is, as Crossplane works it out
// (composition_functions.go): by what the function says of it, or else by all that
// is composed.
func (c *cluster) ready() bool {
	if r := c.rsp.GetDesired().GetComposite().GetReady(); r != fnv1.Ready_READY_UNSPECIFIED {
		return r == fnv1.Ready_READY_TRUE
	}
	for _, r := range c.rsp.GetDesired().GetResources() {
		if r.GetReady() != fnv1.Ready_READY_TRUE {
			return false
		}
	}
	return true
}

// reason of a connection in the status.
func (c *cluster) reason(service, typ string) string {
	conn := c.connection(service, typ)
	r, _ := conn["reason"].(string)
	return r
}

// connection of a service, by its type, and its name after a slash where it has one.
func (c *cluster) connection(service, id string) map[string]any {
	typ, name, _ := strings.Cut(id, "/")
	for _, v := range list(c.service(service), "connections") {
		if conn, _ := v.(map[string]any); conn["type"] == typ && str(conn, "name") == name {
			return conn
		}
	}
	return nil
}

func (c *cluster) service(name string) map[string]any {
	for _, v := range list(c.xr, "status", "services") {
		if s, _ := v.(map[string]any); s["name"] == name {
			return s
		}
	}
	return nil
}

// keys of the composed resources of a kind.
func (c *cluster) keys(kind string) []string {
	var ks []string
	for k, o := range c.composed {
		if o["kind"] == kind {
			ks = append(ks, k)
		}
	}
	slices.Sort(ks)
	return ks
}

// only composed resource of a kind.
func (c *cluster) only(kind string) map[string]any {
	c.t.Helper()
	ks := c.keys(kind)
	if len(ks) != 1 {
		c.t.Fatalf("composed %s: %v, want one", kind, ks)
	}
	return c.composed[ks[0]]
}

func fatalOf(rsp *fnv1.RunFunctionResponse) string { return composer.Fatal(rsp) }

func fromYAML(tb testing.TB, y string) map[string]any {
	tb.Helper()
	o := map[string]any{}
	if err := yaml.Unmarshal([]byte(y), &o); err != nil {
		tb.Fatalf("%v in:\n%s", err, y)
	}
	return o
}

func toStruct(tb testing.TB, o map[string]any) *structpb.Struct {
	tb.Helper()
	s, err := resource.AsStruct(&unstructured.Unstructured{Object: o})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func str(o map[string]any, path ...string) string {
	s, _, _ := unstructured.NestedString(o, path...)
	return s
}

func list(o map[string]any, path ...string) []any {
	v, _, _ := unstructured.NestedFieldNoCopy(o, path...)
	l, _ := v.([]any)
	return l
}
