package fn

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/crossplane/function-sdk-go/logging"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/crossplane/function-sdk-go/resource"
	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/test/schema"
)

// A cluster drives the function through many reconciles of one composite
// resource, by the steps of Crossplane's function composer
// (composition_functions.go): it seeds and fetches what is required, deletes
// what isn't desired any more, applies the rest and writes the status. It is
// for sequences of edits; single runs go through the real engine in
// test/render.
type cluster struct {
	t testing.TB

	fn    *Function
	xr    map[string]any
	input map[string]any

	// desired and context of earlier steps.
	desired *fnv1.State
	context *structpb.Struct

	// objects of the cluster that aren't composed, by requirement.
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

	// made counts the objects, so that each has a uid of its own.
	made int
}

// written by others than Crossplane once an object is there: fields that a
// provider, or a controller of Kubernetes, owns.
var written = [][]string{
	{"spec", "forProvider", "late"},
	{"spec", "volumeName"},
	{"metadata", "annotations", "crossplane.io/external-create-succeeded"},
}

const xrUID = "11111111-2222-3333-4444-555555555555"

func newCluster(tb testing.TB, services, settings string) *cluster {
	tb.Helper()
	c := &cluster{
		t: tb, fn: New(logging.NewNopLogger()),
		objects:  map[string]map[string]any{},
		composed: map[string]map[string]any{},
		errorf:   tb.Errorf,
	}
	c.xr = fromYAML(tb, `
apiVersion: serviceconnections.io/v1alpha1
kind: ServiceConnection
metadata: {name: shop, namespace: team-a, uid: `+xrUID+`}
spec: {}
`)
	c.setServices(services)
	c.setSettings(settings)
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

// add an object that isn't composed.
func (c *cluster) add(y string) {
	c.t.Helper()
	o := fromYAML(c.t, y)
	c.objects[objectKey(o)] = o
}

func (c *cluster) remove(kind, name string) {
	maps.DeleteFunc(c.objects, func(_ string, o map[string]any) bool {
		return o["kind"] == kind && str(o, "metadata", "name") == name
	})
}

func objectKey(o map[string]any) string {
	return fmt.Sprint(o["apiVersion"], "|", o["kind"], "|", str(o, "metadata", "namespace"), "|", str(o, "metadata", "name"))
}

func (c *cluster) fetch(s *fnv1.ResourceSelector) *fnv1.Resources {
	key := fmt.Sprint(s.GetApiVersion(), "|", s.GetKind(), "|", s.GetNamespace(), "|", s.GetMatchName())
	if o, ok := c.objects[key]; ok {
		return &fnv1.Resources{Items: []*fnv1.Resource{{Resource: toStruct(c.t, o)}}}
	}
	for _, o := range c.composed {
		if objectKey(o) == key {
			return &fnv1.Resources{Items: []*fnv1.Resource{{Resource: toStruct(c.t, o)}}}
		}
	}
	return &fnv1.Resources{}
}

func (c *cluster) request() *fnv1.RunFunctionRequest {
	req := &fnv1.RunFunctionRequest{
		Observed: &fnv1.State{
			Composite: &fnv1.Resource{Resource: toStruct(c.t, c.xr)},
			Resources: map[string]*fnv1.Resource{},
		},
		Context: c.context,
	}
	if c.input != nil {
		req.Input = toStruct(c.t, c.input)
	}
	if c.desired != nil {
		req.Desired, _ = proto.Clone(c.desired).(*fnv1.State)
	}
	for k, o := range c.composed {
		req.Observed.Resources[k] = &fnv1.Resource{Resource: toStruct(c.t, o)}
	}
	if len(c.required) > 0 {
		req.RequiredResources = map[string]*fnv1.Resources{}
		for k, s := range c.required {
			req.RequiredResources[k] = c.fetch(s)
		}
	}
	return req
}

// run the function until its requirements are stable, as Crossplane does.
func (c *cluster) run() *fnv1.RunFunctionResponse {
	c.t.Helper()
	for c.calls = 1; c.calls <= 6; c.calls++ {
		rsp, err := c.fn.RunFunction(c.t.Context(), c.request())
		if err != nil {
			c.t.Fatalf("RunFunction: %v", err)
		}
		if fatalOf(rsp) != "" {
			return rsp
		}
		next := rsp.GetRequirements().GetResources()
		if maps.EqualFunc(next, c.required, func(a, b *fnv1.ResourceSelector) bool { return proto.Equal(a, b) }) {
			return rsp
		}
		c.required = next
	}
	c.t.Fatal("requirements didn't stabilize")
	return nil
}

// reconcile once. It returns the keys of the composed resources that were
// deleted.
func (c *cluster) reconcile() (deleted []string) {
	c.t.Helper()
	c.rsp = c.run()
	if fatalOf(c.rsp) != "" {
		return nil
	}
	desired := c.rsp.GetDesired().GetResources()
	for _, k := range slices.Sorted(maps.Keys(c.composed)) {
		if _, ok := desired[k]; !ok {
			delete(c.composed, k)
			deleted = append(deleted, k)
		}
	}
	for k, r := range desired {
		o := r.GetResource().AsMap()
		c.validate(k, o)
		c.apply(k, o)
	}
	if s, ok := c.rsp.GetDesired().GetComposite().GetResource().AsMap()["status"]; ok {
		if at := empty(s, "status"); at != "" {
			c.errorf("%s is empty: the API server makes null of an applied object whose fields have gone, and refuses the status", at)
		}
		c.xr["status"] = s
	}
	return deleted
}

// empty object or list in decoded JSON, by its path; "" where there is none.
func empty(v any, path string) string {
	children := map[string]any{}
	switch v := v.(type) {
	case map[string]any:
		children = v
	case []any:
		for i, e := range v {
			children[strconv.Itoa(i)] = e
		}
	default:
		return ""
	}
	if len(children) == 0 {
		return path
	}
	for _, name := range slices.Sorted(maps.Keys(children)) {
		if at := empty(children[name], path+"."+name); at != "" {
			return at
		}
	}
	return ""
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

// apply a composed resource: its status and what others wrote stay, its other
// fields become the desired ones, and Crossplane owns exactly those.
func (c *cluster) apply(key string, desired map[string]any) {
	owned := map[string]any{}
	for k, v := range desired {
		if k != "apiVersion" && k != "kind" {
			owned["f:"+k] = fieldsOf(v)
		}
	}
	o := maps.Clone(desired)
	metadata, _ := o["metadata"].(map[string]any)
	metadata["ownerReferences"] = []any{map[string]any{"uid": xrUID, "name": "shop", "controller": true, "kind": c.xr["kind"]}}
	theirs := map[string]any{}
	was := c.composed[key]
	if was == nil {
		c.made++
		metadata["uid"] = fmt.Sprintf("uid-%s-%d", key, c.made)
	} else {
		metadata["uid"] = str(was, "metadata", "uid")
		metadata["name"] = str(was, "metadata", "name")
		if path := immutable(o); path != nil && !gocmp.Equal(fieldAt(was, path), fieldAt(o, path)) {
			c.errorf("the API server would refuse to change %v of %q, which is immutable: %s", path, key, gocmp.Diff(fieldAt(was, path), fieldAt(o, path)))
			return
		}
	}
	if s, ok := was["status"]; ok {
		o["status"] = s
	}
	for _, path := range written {
		v := fieldAt(was, path)
		if v == nil {
			continue
		}
		if fieldAt(o, path) != nil {
			c.errorf("%q takes over %v, which others own", key, path)
		}
		set(c.t, o, v, path)
		set(c.t, theirs, map[string]any{}, prefixed(path))
	}
	metadata["managedFields"] = []any{
		map[string]any{"manager": "apiextensions.crossplane.io/composed/abc", "operation": "Apply", "fieldsV1": owned},
		map[string]any{"manager": "provider", "operation": "Update", "fieldsV1": theirs},
	}
	c.composed[key] = o
}

// immutable is the path of what can't change in a workload, nil where all can.
func immutable(o map[string]any) []string {
	switch o["kind"] {
	case "Pod":
		return []string{"spec"}
	case "Job":
		return []string{"spec", "template"}
	default:
		return nil
	}
}

func fieldAt(o map[string]any, path []string) any {
	v, _, _ := unstructured.NestedFieldNoCopy(o, path...)
	return v
}

func set(tb testing.TB, o map[string]any, v any, path []string) {
	tb.Helper()
	if err := unstructured.SetNestedField(o, v, path...); err != nil {
		tb.Fatal(err)
	}
}

// prefixed path in the form of managed fields.
func prefixed(path []string) []string {
	fs := make([]string, len(path))
	for i, p := range path {
		fs[i] = "f:" + p
	}
	return fs
}

// fieldsOf a value in the form of managed fields, lists as a whole.
func fieldsOf(v any) map[string]any {
	m, _ := v.(map[string]any)
	fields := map[string]any{}
	for k, e := range m {
		fields["f:"+k] = fieldsOf(e)
	}
	return fields
}

// provide makes every managed resource ready, as the providers do once the
// cloud has what it stands for. They write fields of their own beside ours.
func (c *cluster) provide() {
	for _, o := range c.composed {
		if !strings.Contains(str(o, "apiVersion"), "upbound.io/") && o["kind"] != "Object" && o["kind"] != "PersistentVolumeClaim" {
			continue
		}
		at := map[string]any{}
		fp, _, _ := unstructured.NestedMap(o, "spec", "forProvider")
		external := str(o, "metadata", "annotations", "crossplane.io/external-name")
		switch o["kind"] {
		case "PersistentVolumeClaim":
			o["status"] = map[string]any{"phase": "Bound"}
			set(c.t, o, "pv-"+str(o, "metadata", "name"), written[1])
			continue
		case "Role":
			at["arn"] = "arn:aws:iam::123456789012:role" + cmp.Or(str(o, "spec", "forProvider", "path"), "/") + external
		case "PodIdentityAssociation":
			at["roleArn"] = fp["roleArn"]
		case "UserAssignedIdentity":
			at["id"] = external
			at["clientId"] = "client-of-" + external[strings.LastIndexByte(external, '/')+1:]
		case "Object":
			m, _ := fp["manifest"].(map[string]any)
			pvc := map[string]any{"status": map[string]any{"phase": "Bound"}}
			maps.Copy(pvc, m)
			if _, ok := c.objects[objectKey(pvc)]; !ok {
				c.objects[objectKey(pvc)] = pvc
			}
		}
		set(c.t, o, "initialized", written[0])
		set(c.t, o, "2026-01-02T03:04:05Z", written[2])
		o["status"] = map[string]any{"atProvider": at, "conditions": []any{
			map[string]any{"type": "Synced", "status": "True"},
			map[string]any{"type": "Ready", "status": "True"},
		}}
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

// reason of a connection in the status.
func (c *cluster) reason(service, typ string) string {
	conn := c.connection(service, typ)
	r, _ := conn["reason"].(string)
	return r
}

func (c *cluster) connection(service, typ string) map[string]any {
	for _, v := range list(c.service(service), "connections") {
		if conn, _ := v.(map[string]any); conn["type"] == typ {
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

func fatalOf(rsp *fnv1.RunFunctionResponse) string {
	for _, r := range rsp.GetResults() {
		if r.GetSeverity() == fnv1.Severity_SEVERITY_FATAL {
			return r.GetMessage()
		}
	}
	return ""
}

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
