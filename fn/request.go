package fn

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/crossplane/crossplane-runtime/v2/pkg/fieldpath"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"google.golang.org/protobuf/types/known/structpb"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/plan"
	"github.com/serviceconnections/function-service-connections/fn/settings"
	"github.com/serviceconnections/function-service-connections/fn/workload"
	"github.com/serviceconnections/function-service-connections/input/v1beta1"
)

// The context key under which function-environment-configs leaves the
// environment, and ours in it. Other keys there belong to others.
const (
	contextKeyEnvironment = "apiextensions.crossplane.io/environment"
	environmentKey        = "serviceConnections"
)

// errPending says that Crossplane must first read what the function asks for.
var errPending = errors.New("waiting for Crossplane")

// An input as it was read: the settings stay undecoded until all their sources
// are there.
type input struct {
	v1beta1.Input

	inline map[string]any

	// Fields on the way from the composite resource to what source names.
	services, status, namespace []string
}

// readInput strictly: a field that isn't known is an error that names it.
func readInput(req *fnv1.RunFunctionRequest) (*input, error) {
	if req.GetInput() == nil {
		return nil, errors.New("cannot read the function's input: there is none; add an Input with settings or settingsFrom to the pipeline step")
	}
	m := object(req.GetInput())
	in := &input{}
	if v, ok := m["settings"]; ok {
		if in.inline, ok = v.(map[string]any); !ok {
			return nil, fmt.Errorf("cannot read the function's input: settings: must be an object, not %T", v)
		}
		delete(m, "settings")
	}
	b, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("cannot read the function's input: %w", err)
	}
	strict, err := kjson.UnmarshalStrict(b, &in.Input)
	if err == nil {
		err = errors.Join(strict...)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the function's input: %w", err)
	}
	if in.Kind != "" && in.Kind != "Input" {
		return nil, fmt.Errorf("cannot read the function's input: kind %q must be Input", in.Kind)
	}
	var errs [3]error
	in.services, errs[0] = source("services", in.Source.Services, "spec", "services")
	in.status, errs[1] = source("status", in.Source.Status, "status")
	in.namespace, errs[2] = source("namespace", in.Source.Namespace)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("cannot read the function's input: %w", err)
	}
	return in, nil
}

// source is a path of fields, parsed once: fieldpath starts a goroutine for each.
func source(name, path string, byDefault ...string) ([]string, error) {
	if path == "" {
		return byDefault, nil
	}
	segments, err := fieldpath.Parse(path)
	fields := make([]string, len(segments))
	for i, s := range segments {
		if fields[i] = s.Field; s.Type != fieldpath.SegmentField {
			err = errors.New("it has an index")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("source.%s: %q must be a field path such as spec.services: %w", name, path, err)
	}
	return fields, nil
}

// environmentConfig that the input names.
func environmentConfig(in *input) (connection.Requirement, bool) {
	if in.SettingsFrom == nil {
		return connection.Requirement{}, false
	}
	return connection.Requirement{
		APIVersion: "apiextensions.crossplane.io/v1beta1", Kind: "EnvironmentConfig",
		Name: in.SettingsFrom.EnvironmentConfig.Name,
	}, true
}

// resolveSettings from the pipeline's context, the EnvironmentConfig and the
// input, of which the later one wins field by field.
func resolveSettings(req *fnv1.RunFunctionRequest, in *input, observed connection.Observed) (*settings.Settings, error) {
	var layers []map[string]any
	environment := req.GetContext().GetFields()[contextKeyEnvironment].GetStructValue()
	if v, ok := environment.GetFields()[environmentKey]; ok {
		if v.GetStructValue() == nil {
			return nil, fmt.Errorf("cannot read settings: %s in the context's environment must be an object", environmentKey)
		}
		layers = append(layers, object(v.GetStructValue()))
	}
	if r, ok := environmentConfig(in); ok {
		config, known := observed.Lookup(r)
		if !known {
			return nil, fmt.Errorf("%w to read EnvironmentConfig %q; if this stays, Crossplane is older than 2.0", errPending, r.Name)
		}
		if config == nil {
			return nil, fmt.Errorf("cannot read settings: EnvironmentConfig %q does not exist; create it with the cluster settings under data", r.Name)
		}
		data, ok := config["data"].(map[string]any)
		if !ok {
			return nil, fmt.Errorf("cannot read settings: EnvironmentConfig %q has no data; put the cluster settings there", r.Name)
		}
		layers = append(layers, data)
	}
	return settings.Decode(append(layers, in.inline)...)
}

// errNotClaimed says that a composite resource belongs to no namespace.
var errNotClaimed = errors.New("belongs to no namespace, which is part of every trust")

// maxName is the length of the longest name of a Kubernetes object.
const maxName = 253

// readClaim from the composite resource.
func readClaim(in *input, xr *structpb.Struct, schema *claim.Schema, composed bool) (*claim.Claim, error) {
	text := func(fields ...string) string {
		v, _, err := valueAt(xr, fields)
		if err != nil {
			return ""
		}
		return v.GetStringValue()
	}
	c := &claim.Claim{
		Name:      text("metadata", "name"),
		Composite: text("metadata", "name"),
		UID:       text("metadata", "uid"),
		Namespace: text("metadata", "namespace"),
	}
	c.Namespaced = c.Namespace != ""
	if !c.Namespaced {
		if c.Namespace = text("spec", "claimRef", "namespace"); c.Namespace != "" {
			c.Name = text("spec", "claimRef", "name")
		} else if len(in.namespace) > 0 {
			c.Namespace = text(in.namespace...)
		}
	}
	if said := text("metadata", "annotations", claim.AnnotationPodsReplaced); said != "" {
		c.PodsReplaced = strings.Split(said, ",")
	}
	what := fmt.Sprintf("%.63s %.253q", text("kind"), c.Composite)
	if longest := max(len(c.Composite), len(c.Name), len(c.Namespace), len(c.UID)); longest > maxName {
		return nil, fmt.Errorf("cannot read %s: its name, its namespace or its uid has %d characters, and in Kubernetes they have %d at most", what, longest, maxName)
	}
	if c.Namespace == "" {
		next := "create it through its claim"
		if in.Source.Namespace != "" {
			next = "set " + in.Source.Namespace
		}
		return nil, fmt.Errorf("%s %w; %s", what, errNotClaimed, next)
	}
	return readServices(c, in, xr, schema, composed, what)
}

// readServices of a composite resource, which an error calls by what it is.
func readServices(c *claim.Claim, in *input, xr *structpb.Struct, schema *claim.Schema, composed bool, what string) (*claim.Claim, error) {
	path := field.NewPath(in.services[0], in.services[1:]...)
	v, found, err := valueAt(xr, in.services)
	services, ok := v.AsInterface().([]any)
	switch {
	case !found && err == nil && !composed:
		// A platform's own composite resource may have no connections.
		return c, nil
	case !ok && composed:
		// What is published and composed stays, but for what the settings revoke.
		c.Incomplete = true
		c.Errors = append(c.Errors, field.Required(path, "must be a list of services; to remove all connections, make the list empty"))
		return c, nil
	case !found || err != nil:
		return nil, fmt.Errorf("cannot read %s: %w; to remove all connections, make the list empty", what, cmp.Or(err, fmt.Errorf("it has no %s", path)))
	case !ok:
		return nil, fmt.Errorf("cannot read %s: %s must be a list of services, not %T", what, path, v.AsInterface())
	}
	c.Read(schema, services, path)
	return c, nil
}

// previous status as the last run wrote it. One that can't be read is none:
// nothing that is granted depends on it.
func previous(in *input, xr *structpb.Struct) claim.Status {
	s := claim.Status{}
	v, _, err := valueAt(xr, in.status)
	if err != nil || v.GetStructValue() == nil {
		return s
	}
	// Conditions, which are Crossplane's, and what other functions write are left out.
	m := map[string]any{"services": v.GetStructValue().GetFields()["services"].AsInterface()}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(m, &s); err != nil {
		return claim.Status{}
	}
	return s
}

// valueAt a path of fields, and whether there is one. An error says which field on the
// way isn't an object. The composite resource is read so, since most of it is
// Crossplane's and other functions', and would be decoded for nothing.
func valueAt(s *structpb.Struct, path []string) (v *structpb.Value, found bool, err error) {
	for i, f := range path {
		if v, found = s.GetFields()[f]; !found || i == len(path)-1 {
			break
		}
		if _, null := v.GetKind().(*structpb.Value_NullValue); null {
			return nil, false, nil
		}
		if s = v.GetStructValue(); s == nil {
			return nil, false, fmt.Errorf("%s is a %T, and must be an object", strings.Join(path[:i+1], "."), v.AsInterface())
		}
	}
	return v, found, nil
}

// observe what Crossplane read for this call. What an earlier step desires under
// a key is that step's, whatever it looks like.
func (f *Function) observe(req *fnv1.RunFunctionRequest) connection.Observed {
	o := connection.Observed{
		Composed: make(map[string]connection.Composed, len(req.GetObserved().GetResources())),
		Required: make(map[string]map[string]any, len(req.GetRequiredResources())),
	}
	theirs := desired(req)
	for key, r := range req.GetObserved().GetResources() {
		if !theirs[key] {
			o.Composed[key] = f.composed(key, r)
		}
	}
	for name, rs := range req.GetRequiredResources() {
		if isClaim(name) {
			continue // It is read for what it says of itself only.
		}
		o.Required[name] = nil
		for _, r := range rs.GetItems() {
			o.Required[name] = f.required(name, r)
		}
	}
	return o
}

// misplaced is an error where a composed resource of ours is observed by a key that
// isn't its own.
func misplaced(types *connection.Catalog, o connection.Observed) error {
	for _, key := range slices.Sorted(maps.Keys(o.Composed)) {
		object := o.Composed[key].Object
		if !types.Misplaced(key, object) {
			continue
		}
		u := unstructured.Unstructured{Object: object}
		own := "the one that it had"
		if u.GetKind() == "ServiceAccount" {
			own = fmt.Sprintf("%q", connection.ServiceAccountKey(u.GetName()))
		}
		return fmt.Errorf("%s %q has %q in its annotation crossplane.io/composition-resource-name, which isn't its own and may hide another object; nothing is changed or revoked until the annotation is %s again",
			u.GetKind(), u.GetName(), key, own)
	}
	return nil
}

// composed resource as it is observed. Its managed fields are decoded only where they
// are asked for.
func (f *Function) composed(key string, r *fnv1.Resource) connection.Composed {
	return connection.Composed{
		Object: partRead(r.GetResource(), make([]string, 0, 4), f.unreadOf("composed", key)),
		ManagedFields: func() []any {
			return r.GetResource().GetFields()["metadata"].GetStructValue().GetFields()["managedFields"].GetListValue().AsSlice()
		},
	}
}

// required object that was asked for by a name. Of what a team writes no more is read
// than is needed: what it holds goes into what is composed and told.
func (f *Function) required(name string, r *fnv1.Resource) map[string]any {
	switch r.GetResource().GetFields()["kind"].GetStringValue() {
	case "ServiceAccount", "PersistentVolumeClaim":
		return partRead(r.GetResource(), make([]string, 0, 4), f.unreadOf("required", name))
	default:
		return object(r.GetResource())
	}
}

// partRead is a part of an object, at a path of fields, as decoded JSON. What is unread
// is most of an observed composed resource, and would be decoded for nothing.
func partRead(s *structpb.Struct, path []string, unread func(path []string, bytes int) (unread, within bool)) map[string]any {
	m := map[string]any{}
	for k, v := range s.GetFields() {
		at := append(path, k) //nolint:gocritic // Each field is done with before the next one takes its place.
		is, within := unread(at, len(v.GetStringValue()))
		switch part := v.GetStructValue(); {
		case is, len(at) == 2 && k == "managedFields":
		case within && part != nil:
			m[k] = partRead(part, at, unread)
		default:
			m[k] = v.AsInterface()
		}
	}
	return m
}

// rendered are the workloads that earlier steps desire in the claim's
// namespace. One without a pod template of its own, such as a Rollout that refers
// to a Deployment, gets nothing here. Of two steps that render one workload, that
// counts whose key is the first.
func (f *Function) rendered(req *fnv1.RunFunctionRequest, c *claim.Claim) plan.Workloads {
	ws := plan.Workloads{}
	for _, key := range slices.Backward(slices.Sorted(maps.Keys(req.GetDesired().GetResources()))) {
		r := req.GetDesired().GetResources()[key]
		fields := r.GetResource().GetFields()
		apiVersion, kind := fields["apiVersion"].GetStringValue(), fields["kind"].GetStringValue()
		k, ok := workload.KindOf(apiVersion, kind)
		if !ok {
			continue
		}
		metadata := fields["metadata"].GetStructValue().GetFields()
		if ns := metadata["namespace"].GetStringValue(); ns != c.Namespace && (ns != "" || !c.Namespaced) {
			continue
		}
		o := object(r.GetResource())
		if _, ok := k.Template(o); !ok {
			continue
		}
		w := claim.Workload{APIVersion: apiVersion, Kind: kind, Name: metadata["name"].GetStringValue()}
		rendered := plan.Rendered{Key: key, Object: o}
		if observed, ok := req.GetObserved().GetResources()[key]; ok {
			rendered.Observed = f.composed(key, observed)
		}
		ws[w] = rendered
	}
	return ws
}

// desired are the composed resource keys of earlier steps.
func desired(req *fnv1.RunFunctionRequest) map[string]bool {
	keys := make(map[string]bool, len(req.GetDesired().GetResources()))
	for key := range req.GetDesired().GetResources() {
		keys[key] = true
	}
	return keys
}

// object is a protobuf struct as decoded JSON, without what only ever costs:
// managed fields, which are read where they are needed, of CustomResourceDefinitions
// all but which versions are served, and of ManagedResourceDefinitions all but whether
// they are active.
func object(s *structpb.Struct) map[string]any {
	fields := s.GetFields()
	kind := fields["kind"].GetStringValue()
	m := make(map[string]any, len(fields))
	for k, v := range fields {
		switch {
		case k == "metadata":
			m[k] = metadata(v)
		case k == "spec" && kind == "CustomResourceDefinition":
			m[k] = servedVersions(v)
		case k == "spec" && kind == connection.ManagedDefinition.Kind:
			m[k] = map[string]any{"state": v.GetStructValue().GetFields()["state"].GetStringValue()}
		default:
			m[k] = v.AsInterface()
		}
	}
	return m
}

// servedVersions of a CustomResourceDefinition's spec.
func servedVersions(spec *structpb.Value) map[string]any {
	all := spec.GetStructValue().GetFields()["versions"].GetListValue().GetValues()
	versions := make([]any, 0, len(all))
	for _, v := range all {
		f := v.GetStructValue().GetFields()
		versions = append(versions, map[string]any{"name": f["name"].GetStringValue(), "served": f["served"].GetBoolValue()})
	}
	if len(versions) == 0 {
		return nil
	}
	return map[string]any{"versions": versions}
}

func metadata(v *structpb.Value) any {
	s := v.GetStructValue()
	if s == nil {
		return v.AsInterface()
	}
	m := make(map[string]any, len(s.GetFields()))
	for k, f := range s.GetFields() {
		if k != "managedFields" {
			m[k] = f.AsInterface()
		}
	}
	return m
}
