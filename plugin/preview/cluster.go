package preview

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/crossplane/function-sdk-go/logging"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/serviceconnections/function-service-connections/composer"
	"github.com/serviceconnections/function-service-connections/fn"
	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/settings"
	"github.com/serviceconnections/function-service-connections/plugin/schema"
)

const (
	// maxReconciles until nothing changes. A created role with its policies takes
	// the most, which are four.
	maxReconciles = 10

	annotationResourceName = "crossplane.io/composition-resource-name"
	labelComposite         = "crossplane.io/composite"
	labelClaimName         = "crossplane.io/claim-name"
	labelClaimNamespace    = "crossplane.io/claim-namespace"

	// uid of a composite resource that isn't there yet.
	uid = "00000000-0000-0000-0000-000000000000"
)

// A cluster is what files hold of one, and what is assumed of it.
type cluster struct {
	name, namespace string

	crossplane *composer.Composer
	cloud      composer.Cloud

	// objects that aren't composed.
	objects []map[string]any

	assumed               []string
	assumedServiceAccount bool
}

// A reconcile is what the function answered in the end.
type reconcile struct {
	status claim.Status

	// composed resources as they are applied, in the order of their keys.
	composed []map[string]any
}

func newCluster(in Input) (*cluster, error) {
	u := &unstructured.Unstructured{Object: runtime.DeepCopyJSON(in.Claim)}
	c := &cluster{name: u.GetName(), objects: slices.Concat(in.Objects, in.Workloads)}
	c.crossplane = &composer.Composer{
		Function: fn.New(logging.NewNopLogger()), Input: in.Step,
		Composed: map[string]map[string]any{}, Fixed: map[string]bool{}, Lookup: c.lookup,
	}
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
	c.crossplane.Composite = u.Object
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
	// A file says how it is.
	c.crossplane.Composed[key], c.crossplane.Fixed[key] = o.Object, true
	for _, ref := range o.GetOwnerReferences() {
		if ref.Controller != nil && *ref.Controller && xr.GetUID() == "" {
			xr.SetUID(ref.UID)
		}
	}
}

// reconcile once, and read what the function answered.
func (c *cluster) reconcile(ctx context.Context) (*reconcile, error) {
	rsp, _, err := c.crossplane.Reconcile(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot play Crossplane: %w; this is a bug, please report it", err)
	}
	if message := composer.Fatal(rsp); message != "" {
		return nil, errors.New(message)
	}
	return read(rsp)
}

// lookup an object. Providers are taken to be installed, unless a file says
// otherwise.
func (c *cluster) lookup(s *fnv1.ResourceSelector) map[string]any {
	for _, o := range c.objects {
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
	r := &reconcile{}
	desired := rsp.GetDesired().GetResources()
	for _, key := range slices.Sorted(maps.Keys(desired)) {
		r.composed = append(r.composed, desired[key].GetResource().AsMap())
	}
	xr := rsp.GetDesired().GetComposite().GetResource().AsMap()
	if status, ok := xr["status"].(map[string]any); ok {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(status, &r.status); err != nil {
			return nil, fmt.Errorf("cannot read the function's status: %w", err)
		}
	}
	for _, cond := range rsp.GetConditions() {
		if cond.GetType() == "SettingsResolved" && cond.GetStatus() != fnv1.Status_STATUS_CONDITION_TRUE {
			return nil, errors.New(cond.GetMessage())
		}
	}
	return r, nil
}

// mistakes in the claim, as the function reads it, or else by its schema: the
// function may be given what pre-dates that, and is more lenient.
func (c *cluster) mistakes(ctx context.Context) ([]string, error) {
	services, _, err := unstructured.NestedFieldNoCopy(c.crossplane.Composite, "spec", "services")
	if err != nil {
		return nil, fmt.Errorf("cannot read the claim: %w", err)
	}
	read := &claim.Claim{}
	if services != nil {
		read.Read(connection.Builtin().Schema(), services, field.NewPath("spec", "services"))
	}
	var mistakes []string
	for _, err := range read.Errors {
		mistakes = append(mistakes, err.Error())
	}
	if len(mistakes) > 0 {
		return mistakes, nil
	}
	return c.refusals(ctx)
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
	if spec, ok := c.crossplane.Composite["spec"].(map[string]any); ok {
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
	for range maxReconciles {
		before, err := c.snapshot()
		if err != nil {
			return nil, err
		}
		c.assume(r)
		if err := c.provide(); err != nil {
			return nil, err
		}
		if r, err = c.reconcile(ctx); err != nil {
			return nil, err
		}
		after, err := c.snapshot()
		if err != nil || bytes.Equal(before, after) {
			return r, err
		}
	}
	return r, nil
}

// snapshot of all that a reconcile depends on.
func (c *cluster) snapshot() ([]byte, error) {
	b, err := json.Marshal([]any{c.crossplane.Composite, c.crossplane.Composed, c.objects})
	if err != nil {
		return nil, fmt.Errorf("cannot encode the cluster: %w", err)
	}
	return b, nil
}

// provide what is composed, but for that of which a file says how it is. Where only
// the cloud knows a value, words stand in its place.
func (c *cluster) provide() error {
	for _, key := range slices.Sorted(maps.Keys(c.crossplane.Composed)) {
		if c.crossplane.Fixed[key] {
			continue
		}
		made, err := c.cloud.Provide(c.crossplane.Composed[key])
		if err != nil {
			return fmt.Errorf("cannot provide %q: %w", key, err)
		}
		if made != nil && !slices.ContainsFunc(c.objects, func(o map[string]any) bool { return same(o, made) }) {
			c.objects = append(c.objects, made)
		}
	}
	return nil
}

// same says whether two manifests are of one object.
func same(a, b map[string]any) bool {
	x, y := unstructured.Unstructured{Object: a}, unstructured.Unstructured{Object: b}
	return x.GroupVersionKind() == y.GroupVersionKind() && x.GetName() == y.GetName() && (x.GetNamespace() == y.GetNamespace() || x.GetNamespace() == "")
}

// assume that there is what a claim refers to and no file holds.
func (c *cluster) assume(r *reconcile) {
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

// readSettings as the function reads them, which it did before without an error.
func (c *cluster) readSettings() error {
	var layers []map[string]any
	if name, ok, _ := unstructured.NestedString(c.crossplane.Input, "settingsFrom", "environmentConfig", "name"); ok {
		config := c.lookup(&fnv1.ResourceSelector{
			ApiVersion: "apiextensions.crossplane.io/v1beta1", Kind: "EnvironmentConfig",
			Match: &fnv1.ResourceSelector_MatchName{MatchName: name},
		})
		data, _, _ := unstructured.NestedMap(config, "data")
		layers = append(layers, data)
	}
	inline, _, _ := unstructured.NestedMap(c.crossplane.Input, "settings")
	read, err := settings.Decode(append(layers, inline)...)
	if err != nil {
		return fmt.Errorf("cannot read settings: %w", err)
	}
	c.cloud = composer.Cloud{Types: connection.Builtin(), Known: connection.Known{
		Settings: read,
		Guess:    func(what, of string) string { return "(" + what + " of " + of + ")" },
	}}
	return nil
}
