package preview

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/crossplane/function-sdk-go/logging"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"google.golang.org/protobuf/types/known/structpb"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/serviceconnections/function-service-connections/fn"
	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/settings"
	"github.com/serviceconnections/function-service-connections/plugin/schema"
)

const (
	// maxCalls of the function in one reconcile, as Crossplane has it.
	maxCalls = 5

	// maxReconciles until nothing changes. A created role with its policies takes
	// the most, which are four.
	maxReconciles = 10

	annotationResourceName = "crossplane.io/composition-resource-name"
	labelComposite         = "crossplane.io/composite"
	labelClaimName         = "crossplane.io/claim-name"
	labelClaimNamespace    = "crossplane.io/claim-namespace"
	annotationExternalName = "crossplane.io/external-name"

	// uid of a composite resource that isn't there yet.
	uid = "00000000-0000-0000-0000-000000000000"
)

// A cluster is what files hold of one, and what is assumed of it.
type cluster struct {
	name, namespace string

	composite map[string]any
	step      map[string]any

	// composed resources by key, and other objects.
	observed map[string]map[string]any
	objects  []map[string]any

	settings *settings.Settings

	assumed               []string
	assumedServiceAccount bool
}

// A reconcile is what the function answered in the end.
type reconcile struct {
	status   claim.Status
	mistakes []string
	desired  map[string]map[string]any
}

// composed resources, in the order of their keys.
func (r *reconcile) composed() []map[string]any {
	objects := make([]map[string]any, 0, len(r.desired))
	for _, key := range slices.Sorted(maps.Keys(r.desired)) {
		objects = append(objects, r.desired[key])
	}
	return objects
}

func newCluster(in Input) (*cluster, error) {
	u := &unstructured.Unstructured{Object: runtime.DeepCopyJSON(in.Claim)}
	c := &cluster{name: u.GetName(), step: in.Step, observed: map[string]map[string]any{}, objects: slices.Concat(in.Objects, in.Workloads)}
	if c.name == "" {
		return nil, fmt.Errorf("the %s has no metadata.name", u.GetKind())
	}
	switch {
	case u.GetKind() == kindComposite:
		c.namespace, _, _ = unstructured.NestedString(u.Object, "spec", "claimRef", "namespace")
		if claimed, _, _ := unstructured.NestedString(u.Object, "spec", "claimRef", "name"); claimed != "" {
			c.name = claimed
		}
	case in.Claims:
		c.namespace = cmp.Or(u.GetNamespace(), in.Namespace, "default")
		u = compositeOf(u, c.namespace)
	default:
		c.namespace = cmp.Or(u.GetNamespace(), in.Namespace, "default")
		u.SetNamespace(c.namespace)
	}
	for _, o := range in.Objects {
		c.observe(u, &unstructured.Unstructured{Object: o})
	}
	if u.GetUID() == "" {
		u.SetUID(uid)
	}
	c.composite = u.Object
	return c, nil
}

// compositeOf a claim, as Crossplane makes it.
func compositeOf(claimed *unstructured.Unstructured, namespace string) *unstructured.Unstructured {
	spec, _, _ := unstructured.NestedMap(claimed.Object, "spec")
	if spec == nil {
		spec = map[string]any{}
	}
	spec["claimRef"] = map[string]any{
		"apiVersion": claimed.GetAPIVersion(), "kind": claimed.GetKind(), "name": claimed.GetName(), "namespace": namespace,
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": claimed.GetAPIVersion(), "kind": kindComposite,
		"metadata": map[string]any{"name": claimed.GetName() + "-preview"},
		"spec":     spec,
	}}
}

// observe an object as a composed resource, if it is one of this composite
// resource. Its controller tells the uid, where the claim doesn't.
func (c *cluster) observe(xr, o *unstructured.Unstructured) {
	key, labels := o.GetAnnotations()[annotationResourceName], o.GetLabels()
	of, claimed := labels[labelComposite], labels[labelClaimName] == c.name && labels[labelClaimNamespace] == c.namespace
	if key == "" || of != "" && of != xr.GetName() && !claimed || o.GetNamespace() != "" && o.GetNamespace() != c.namespace {
		return
	}
	c.observed[key] = o.Object
	for _, ref := range o.GetOwnerReferences() {
		if ref.Controller != nil && *ref.Controller && xr.GetUID() == "" {
			xr.SetUID(ref.UID)
		}
	}
}

// reconcile once: the function is called until it asks for nothing new.
func (c *cluster) reconcile(ctx context.Context) (*reconcile, error) {
	req, err := c.request()
	if err != nil {
		return nil, err
	}
	f := fn.New(logging.NewNopLogger())
	for range maxCalls {
		rsp, err := f.RunFunction(ctx, req)
		if err != nil {
			return nil, fmt.Errorf("the function failed: %w", err)
		}
		for _, r := range rsp.GetResults() {
			if r.GetSeverity() == fnv1.Severity_SEVERITY_FATAL {
				return nil, errors.New(r.GetMessage())
			}
		}
		asked, err := c.answer(req, rsp.GetRequirements().GetResources())
		if err != nil {
			return nil, err
		}
		if !asked {
			return read(rsp)
		}
	}
	return nil, fmt.Errorf("the function still asks for more after %d calls; this is a bug, please report it", maxCalls)
}

func (c *cluster) request() (*fnv1.RunFunctionRequest, error) {
	req := &fnv1.RunFunctionRequest{
		Observed:          &fnv1.State{Composite: &fnv1.Resource{}, Resources: map[string]*fnv1.Resource{}},
		RequiredResources: map[string]*fnv1.Resources{},
	}
	var errs [2]error
	req.Input, errs[0] = structpb.NewStruct(c.step)
	req.Observed.Composite.Resource, errs[1] = structpb.NewStruct(c.composite)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("cannot encode the request to the function: %w", err)
	}
	for key, o := range c.observed {
		s, err := structpb.NewStruct(o)
		if err != nil {
			return nil, fmt.Errorf("cannot encode observed resource %q: %w", key, err)
		}
		req.Observed.Resources[key] = &fnv1.Resource{Resource: s}
	}
	return req, nil
}

// answer what the function requires, and say whether anything was new.
func (c *cluster) answer(req *fnv1.RunFunctionRequest, requirements map[string]*fnv1.ResourceSelector) (asked bool, err error) {
	for name, selector := range requirements {
		if _, ok := req.GetRequiredResources()[name]; ok {
			continue
		}
		asked = true
		resources := &fnv1.Resources{}
		if o := c.lookup(selector); o != nil {
			s, err := structpb.NewStruct(o)
			if err != nil {
				return false, fmt.Errorf("cannot encode %s %q: %w", selector.GetKind(), selector.GetMatchName(), err)
			}
			resources.Items = []*fnv1.Resource{{Resource: s}}
		}
		req.RequiredResources[name] = resources
	}
	return asked, nil
}

// lookup an object. Providers are taken to be installed, unless a file says
// otherwise.
func (c *cluster) lookup(s *fnv1.ResourceSelector) map[string]any {
	for _, o := range slices.Concat(c.objects, slices.Collect(maps.Values(c.observed))) {
		u := unstructured.Unstructured{Object: o}
		if u.GetAPIVersion() != s.GetApiVersion() || u.GetKind() != s.GetKind() || u.GetName() != s.GetMatchName() {
			continue
		}
		// A manifest may leave the namespace to kubectl.
		if u.GetNamespace() == s.GetNamespace() || u.GetNamespace() == "" {
			return o
		}
	}
	if s.GetKind() == "CustomResourceDefinition" {
		return map[string]any{
			"apiVersion": s.GetApiVersion(), "kind": s.GetKind(),
			"metadata": map[string]any{"name": s.GetMatchName()},
			"status":   map[string]any{"conditions": []any{map[string]any{"type": "Established", "status": "True"}}},
		}
	}
	return nil
}

// read a response.
func read(rsp *fnv1.RunFunctionResponse) (*reconcile, error) {
	r := &reconcile{desired: map[string]map[string]any{}}
	for key, d := range rsp.GetDesired().GetResources() {
		o := d.GetResource().AsMap()
		r.desired[key] = o
	}
	xr := rsp.GetDesired().GetComposite().GetResource().AsMap()
	if status, ok := xr["status"].(map[string]any); ok {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(status, &r.status); err != nil {
			return nil, fmt.Errorf("cannot read the function's status: %w", err)
		}
	}
	for _, cond := range rsp.GetConditions() {
		if cond.GetType() == "Valid" && cond.GetStatus() == fnv1.Status_STATUS_CONDITION_FALSE {
			r.mistakes = split(cond.GetMessage())
		}
		if cond.GetType() == "SettingsResolved" && cond.GetStatus() != fnv1.Status_STATUS_CONDITION_TRUE {
			return nil, errors.New(cond.GetMessage())
		}
	}
	return r, nil
}

// split a message that holds several mistakes, each with its field first.
func split(message string) []string {
	mistakes := strings.Split(message, "; spec.")
	for i := range mistakes[1:] {
		mistakes[i+1] = "spec." + mistakes[i+1]
	}
	return mistakes
}

// fieldsOfCrossplane are those of a spec that Crossplane adds to the schema
// (crossplane-runtime, pkg/xcrd/schemas.go).
var fieldsOfCrossplane = []string{
	"crossplane",
	"claimRef", "compositeDeletePolicy", "compositionRef", "compositionRevisionRef", "compositionRevisionSelector",
	"compositionSelector", "compositionUpdatePolicy", "resourceRef", "resourceRefs", "writeConnectionSecretToRef",
}

// refusals are what the API server says of the claim by its schema.
func (c *cluster) refusals(ctx context.Context) ([]string, error) {
	s, err := schema.ServiceConnection()
	if err != nil {
		return nil, err
	}
	o := map[string]any{"apiVersion": apiVersion, "kind": kindClaim, "metadata": map[string]any{"name": c.name, "namespace": c.namespace}}
	if spec, ok := c.composite["spec"].(map[string]any); ok {
		spec = runtime.DeepCopyJSON(spec)
		for _, f := range fieldsOfCrossplane {
			delete(spec, f)
		}
		o["spec"] = spec
	}
	var refusals []string
	for _, err := range s.Validate(ctx, &unstructured.Unstructured{Object: o}) {
		refusals = append(refusals, err.Error())
	}
	return refusals, nil
}

// settle until nothing changes any more: whatever is asked for is made.
func (c *cluster) settle(ctx context.Context, r *reconcile) (*reconcile, error) {
	if err := c.readSettings(); err != nil {
		return nil, err
	}
	made := map[string]bool{}
	for range maxReconciles {
		changed := c.assume(r)
		for key, o := range r.desired {
			if _, ok := c.observed[key]; ok && !made[key] {
				continue // A file says how it is.
			}
			c.create(o)
			o := c.make(key, o)
			changed = changed || !reflect.DeepEqual(o, c.observed[key])
			c.observed[key], made[key] = o, true
		}
		if !changed {
			break
		}
		status, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&r.status)
		if err != nil {
			return nil, fmt.Errorf("cannot encode status: %w", err)
		}
		c.composite["status"] = status
		if r, err = c.reconcile(ctx); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// create what an Object of provider-kubernetes holds: a volume claim, which counts
// as bound.
func (c *cluster) create(object map[string]any) {
	manifest, ok, _ := unstructured.NestedMap(object, "spec", "forProvider", "manifest")
	u := unstructured.Unstructured{Object: manifest}
	if !ok || c.lookup(&fnv1.ResourceSelector{
		ApiVersion: u.GetAPIVersion(), Kind: u.GetKind(), Namespace: new(u.GetNamespace()),
		Match: &fnv1.ResourceSelector_MatchName{MatchName: u.GetName()},
	}) != nil {
		return
	}
	manifest["status"] = map[string]any{"phase": "Bound"}
	c.objects = append(c.objects, manifest)
}

// assume that there is what a claim refers to and no file holds.
func (c *cluster) assume(r *reconcile) bool {
	before := len(c.objects)
	for _, s := range r.status.Services {
		for _, conn := range s.Connections {
			switch connection.Reason(conn.Reason) {
			case connection.VolumeClaimNotFound:
				c.assumeObject(map[string]any{
					"apiVersion": "v1", "kind": "PersistentVolumeClaim",
					"metadata": map[string]any{"name": conn.Identity, "namespace": c.namespace},
					"status":   map[string]any{"phase": "Bound"},
				})
			case connection.ServiceAccountNotFound:
				c.assumedServiceAccount = true
				c.assumeObject(map[string]any{
					"apiVersion": "v1", "kind": "ServiceAccount",
					"metadata": map[string]any{"name": s.ServiceAccountName, "namespace": c.namespace},
				})
			case connection.StorageClassNotFound:
				c.assumeStorageClass(conn.Identity)
			default:
			}
		}
	}
	return len(c.objects) > before
}

// assumeStorageClass of a volume claim that a file holds and that is Pending.
func (c *cluster) assumeStorageClass(volumeClaim string) {
	for _, o := range c.objects {
		u := unstructured.Unstructured{Object: o}
		if class, _, _ := unstructured.NestedString(o, "spec", "storageClassName"); u.GetKind() == "PersistentVolumeClaim" && u.GetName() == volumeClaim {
			c.assumeObject(map[string]any{
				"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
				"metadata": map[string]any{"name": class}, "volumeBindingMode": "WaitForFirstConsumer",
			})
			return
		}
	}
}

func (c *cluster) assumeObject(o map[string]any) {
	u := unstructured.Unstructured{Object: o}
	what := fmt.Sprintf("%s %q", u.GetKind(), u.GetName())
	if !slices.Contains(c.assumed, what) {
		c.assumed = append(c.assumed, what)
		c.objects = append(c.objects, o)
	}
}

// make a composed resource: as it stands in the cluster once the provider is done.
// Where only the cloud knows a value, words stand in its place.
func (c *cluster) make(key string, desired map[string]any) map[string]any {
	u := &unstructured.Unstructured{Object: runtime.DeepCopyJSON(desired)}
	annotations := u.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[annotationResourceName] = key
	u.SetAnnotations(annotations)
	if u.GetKind() == "PersistentVolumeClaim" {
		u.Object["status"] = map[string]any{"phase": "Bound"}
	}
	if u.GroupVersionKind().Group == "" {
		return u.Object
	}
	status := map[string]any{"conditions": []any{
		map[string]any{"type": "Synced", "status": "True", "reason": "ReconcileSuccess"},
		map[string]any{"type": "Ready", "status": "True", "reason": "Available"},
	}}
	external := annotations[annotationExternalName]
	switch u.GetKind() {
	case "Role":
		path, _, _ := unstructured.NestedString(u.Object, "spec", "forProvider", "path")
		status["atProvider"] = map[string]any{"arn": c.roleARN(cmp.Or(path, "/") + external)}
	case "UserAssignedIdentity":
		status["atProvider"] = map[string]any{"clientId": "(client id of " + external[strings.LastIndex(external, "/")+1:] + ")"}
	}
	u.Object["status"] = status
	return u.Object
}

// roleARN of a role of the cluster's account, by its path and name.
func (c *cluster) roleARN(name string) string {
	aws := c.settings.AWS
	return "arn:" + aws.Partition + ":iam::" + aws.AccountID + ":role" + name
}

// readSettings as the function reads them, which it did before without an error.
func (c *cluster) readSettings() error {
	var layers []map[string]any
	if name, ok, _ := unstructured.NestedString(c.step, "settingsFrom", "environmentConfig", "name"); ok {
		config := c.lookup(&fnv1.ResourceSelector{
			ApiVersion: "apiextensions.crossplane.io/v1beta1", Kind: "EnvironmentConfig",
			Match: &fnv1.ResourceSelector_MatchName{MatchName: name},
		})
		data, _, _ := unstructured.NestedMap(config, "data")
		layers = append(layers, data)
	}
	inline, _, _ := unstructured.NestedMap(c.step, "settings")
	var err error
	c.settings, err = settings.Decode(append(layers, inline)...)
	return err
}
