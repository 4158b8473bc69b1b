package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// resourceName is the annotation in which Crossplane keeps a composed resource's
// name in the Composition.
const resourceName = "crossplane.io/composition-resource-name"

// An example is a folder of examples, as objects.
type example struct {
	composite *unstructured.Unstructured

	// input of the Composition's only step.
	input map[string]any

	// composed resources as they are observed.
	composed []*unstructured.Unstructured

	// cluster holds what else is there.
	cluster []*unstructured.Unstructured
}

func readExample(root, name string) (*example, error) {
	dir := filepath.Join(root, "example", name)
	e := &example{}
	files := map[string]*[]*unstructured.Unstructured{}
	var composites, compositions []*unstructured.Unstructured
	files["xr.yaml"], files["composition.yaml"], files["observed.yaml"] = &composites, &compositions, &e.composed
	for file, into := range files {
		objects, err := readObjects(filepath.Join(dir, file))
		if err != nil {
			return nil, err
		}
		*into = objects
	}
	for _, path := range []string{filepath.Join(dir, "required.yaml"), filepath.Join(dir, "deployment.yaml"), filepath.Join(root, "example", "cluster.yaml")} {
		objects, err := readObjects(path)
		if err != nil {
			return nil, err
		}
		e.cluster = append(e.cluster, objects...)
	}
	e.composite = composites[0]
	steps, _, err := unstructured.NestedSlice(compositions[0].Object, "spec", "pipeline")
	if err != nil || len(steps) != 1 {
		return nil, fmt.Errorf("cannot read %s: want a Composition of one step, not of %d: %w", dir, len(steps), err)
	}
	step, _ := steps[0].(map[string]any)
	e.input, _ = step["input"].(map[string]any)
	return e, nil
}

// readObjects of a YAML file.
func readObjects(path string) ([]*unstructured.Unstructured, error) {
	stream, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return nil, fmt.Errorf("cannot read objects: %w", err)
	}
	var objects []*unstructured.Unstructured
	for d := utilyaml.NewYAMLToJSONDecoder(bytes.NewReader(stream)); ; {
		o := &unstructured.Unstructured{}
		err := d.Decode(&o.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("cannot parse %s: %w", path, err)
		}
		if o.Object != nil {
			objects = append(objects, o)
		}
	}
}

// request of the example for our function.
func (e *example) request() (*fnv1.RunFunctionRequest, error) {
	names := map[string]string{}
	for _, o := range e.composed {
		names[o.GetKind()] = o.GetAnnotations()[resourceName]
	}
	return e.requestOf(e.input, names)
}

// requestOf another function for the same, with its own input and names of the
// composed resources, by their kind.
func (e *example) requestOf(input map[string]any, names map[string]string) (*fnv1.RunFunctionRequest, error) {
	in, err := structpb.NewStruct(input)
	if err != nil {
		return nil, fmt.Errorf("cannot encode input: %w", err)
	}
	xr, err := structpb.NewStruct(e.composite.Object)
	if err != nil {
		return nil, fmt.Errorf("cannot encode composite resource: %w", err)
	}
	observed := map[string]*fnv1.Resource{}
	for _, o := range e.composed {
		name, o := names[o.GetKind()], o.DeepCopy()
		if name == "" {
			return nil, fmt.Errorf("cannot observe %s %q: no composed resource is of its kind", o.GetKind(), o.GetName())
		}
		annotations := o.GetAnnotations()
		annotations[resourceName] = name
		o.SetAnnotations(annotations)
		s, err := structpb.NewStruct(o.Object)
		if err != nil {
			return nil, fmt.Errorf("cannot encode composed resource %q: %w", name, err)
		}
		observed[name] = &fnv1.Resource{Resource: s}
	}
	return &fnv1.RunFunctionRequest{
		Meta:     &fnv1.RequestMeta{Tag: "bench"},
		Input:    in,
		Observed: &fnv1.State{Composite: &fnv1.Resource{Resource: xr}, Resources: observed},
	}, nil
}

// patchAndTransform is the request for function-patch-and-transform.
func (e *example) patchAndTransform(input []byte) (*fnv1.RunFunctionRequest, error) {
	in := map[string]any{}
	if err := yaml.Unmarshal(input, &in); err != nil {
		return nil, fmt.Errorf("cannot parse input of function-patch-and-transform: %w", err)
	}
	resources, _, err := unstructured.NestedSlice(in, "resources")
	if err != nil {
		return nil, fmt.Errorf("cannot read input of function-patch-and-transform: %w", err)
	}
	names := map[string]string{}
	for _, r := range resources {
		m, _ := r.(map[string]any)
		kind, _, err := unstructured.NestedString(m, "base", "kind")
		if err != nil {
			return nil, fmt.Errorf("cannot read input of function-patch-and-transform: %w", err)
		}
		names[kind], _ = m["name"].(string)
	}
	return e.requestOf(in, names)
}

// A runner runs a function.
type runner func(context.Context, *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error)

// rounds of a request until nothing changes any more.
const rounds = 10

// settle a request as Crossplane does: what the function requires is there at the
// next call, and so is the status that it wrote. It returns the response of the
// claim at rest.
func (e *example) settle(ctx context.Context, run runner, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
	var last *fnv1.RunFunctionResponse
	for range rounds {
		rsp, err := run(ctx, req)
		if err != nil {
			return nil, err
		}
		for _, r := range rsp.GetResults() {
			if r.GetSeverity() == fnv1.Severity_SEVERITY_FATAL {
				return nil, fmt.Errorf("cannot settle claim: %s", r.GetMessage())
			}
		}
		if last != nil && proto.Equal(last, rsp) {
			return rsp, nil
		}
		last = rsp
		if status, ok := rsp.GetDesired().GetComposite().GetResource().GetFields()["status"]; ok {
			req.GetObserved().GetComposite().GetResource().GetFields()["status"] = status
		}
		if err := e.require(req, rsp.GetRequirements()); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("cannot settle claim: its responses still change after %d calls", rounds)
}

// require what the function asks for.
func (e *example) require(req *fnv1.RunFunctionRequest, required *fnv1.Requirements) error {
	req.RequiredResources = map[string]*fnv1.Resources{}
	for key, s := range required.GetResources() {
		found := &fnv1.Resources{}
		for _, o := range e.cluster {
			if o.GetAPIVersion() != s.GetApiVersion() || o.GetKind() != s.GetKind() || o.GetName() != s.GetMatchName() || o.GetNamespace() != s.GetNamespace() {
				continue
			}
			r, err := structpb.NewStruct(o.Object)
			if err != nil {
				return fmt.Errorf("cannot encode %s %q: %w", o.GetKind(), o.GetName(), err)
			}
			found.Items = append(found.Items, &fnv1.Resource{Resource: r})
		}
		req.RequiredResources[key] = found
	}
	return nil
}
