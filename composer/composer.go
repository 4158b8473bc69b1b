// Package composer plays Crossplane around the function, on objects in memory, by
// the steps of Crossplane's own function composer (composition_functions.go in
// internal/controller/apiextensions/composite): it seeds and fetches what is
// required, deletes what isn't desired any more, applies the rest and writes the
// status. The preview and the tests of package fn run the function in it.
package composer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// maxCalls of a function in one reconcile (MaxRequirementsIterations in Crossplane's
// internal/xfn/required_resources.go, and the call that came before).
const maxCalls = 6

// A Composer reconciles one composite resource by one step of a pipeline.
type Composer struct {
	// Function that the step runs.
	Function fnv1.FunctionRunnerServiceServer

	// Composite resource. Reconcile writes its status.
	Composite map[string]any

	// Input of the function's step.
	Input map[string]any

	// Desired state and context that earlier steps leave to the function, nil
	// where there are none.
	Desired *fnv1.State
	Context *structpb.Struct

	// Composed resources that are observed, by key.
	Composed map[string]map[string]any

	// Fixed are the keys of composed resources that stay as they are, whatever
	// the function desires.
	Fixed map[string]bool

	// Lookup an object of the cluster that isn't composed, nil where there is
	// none.
	Lookup func(*fnv1.ResourceSelector) map[string]any

	// Required by the last run, by which the next one is seeded.
	Required map[string]*fnv1.ResourceSelector

	// Calls of the function that the last run took.
	Calls int

	// made counts the objects, so that each has a uid of its own.
	made int
}

// Request is what the function is first called with.
func (c *Composer) Request() (*fnv1.RunFunctionRequest, error) { return c.request(c.Required) }

// request with what is required.
func (c *Composer) request(required map[string]*fnv1.ResourceSelector) (*fnv1.RunFunctionRequest, error) {
	xr, err := encode(c.Composite)
	if err != nil {
		return nil, err
	}
	req := &fnv1.RunFunctionRequest{
		Observed: &fnv1.State{Composite: &fnv1.Resource{Resource: xr}, Resources: map[string]*fnv1.Resource{}},
		Context:  c.Context,
	}
	if c.Input != nil {
		if req.Input, err = encode(c.Input); err != nil {
			return nil, err
		}
	}
	if c.Desired != nil {
		req.Desired = proto.CloneOf(c.Desired)
	}
	for key, o := range c.Composed {
		s, err := encode(o)
		if err != nil {
			return nil, err
		}
		req.Observed.Resources[key] = &fnv1.Resource{Resource: s}
	}
	if len(required) > 0 {
		req.RequiredResources, err = c.fetch(required)
	}
	return req, err
}

// Run the function until it requires nothing new. A fatal result ends the run, and
// is no error.
func (c *Composer) Run(ctx context.Context) (*fnv1.RunFunctionResponse, error) {
	// What the last run required is handed over with each call, and with the first one
	// the function may have all it asks for.
	seeded, required := c.Required, c.Required
	answered := func(next map[string]*fnv1.ResourceSelector) bool {
		if c.Calls > 1 {
			return maps.EqualFunc(next, required, sameSelector)
		}
		for name, selector := range next {
			if s, ok := seeded[name]; !ok || !proto.Equal(s, selector) {
				return false
			}
		}
		return true
	}
	for c.Calls = 1; c.Calls <= maxCalls; c.Calls++ {
		all := maps.Clone(seeded)
		if all == nil {
			all = map[string]*fnv1.ResourceSelector{}
		}
		maps.Copy(all, required)
		// The function may answer with what is in its request.
		req, err := c.request(all)
		if err != nil {
			return nil, err
		}
		rsp, err := c.Function.RunFunction(ctx, req)
		if err != nil {
			return nil, fmt.Errorf("cannot run the function: %w", err)
		}
		if Fatal(rsp) != "" {
			return rsp, nil
		}
		next := rsp.GetRequirements().GetResources()
		if answered(next) {
			c.Required = next
			return rsp, nil
		}
		required = next
	}
	return nil, fmt.Errorf("the function still requires more after %d calls", maxCalls)
}

func sameSelector(a, b *fnv1.ResourceSelector) bool { return proto.Equal(a, b) }

// Reconcile the composite resource once: run the function, and unless its result is
// fatal, do what it desires. Deleted are the keys of composed resources that are
// gone. The error tells what a real cluster would refuse, or lose.
func (c *Composer) Reconcile(ctx context.Context) (rsp *fnv1.RunFunctionResponse, deleted []string, err error) {
	rsp, err = c.Run(ctx)
	if err != nil || Fatal(rsp) != "" {
		return rsp, nil, err
	}
	desired := rsp.GetDesired().GetResources()
	for _, key := range slices.Sorted(maps.Keys(c.Composed)) {
		if _, ok := desired[key]; !ok && !c.Fixed[key] {
			delete(c.Composed, key)
			deleted = append(deleted, key)
		}
	}
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(desired)) {
		if !c.Fixed[key] {
			errs = append(errs, c.apply(key, desired[key].GetResource().AsMap()))
		}
	}
	if s, ok := rsp.GetDesired().GetComposite().GetResource().AsMap()["status"]; ok {
		if at := empty(s, "status"); at != "" {
			errs = append(errs, fmt.Errorf("%s is empty: the API server makes null of an applied object whose fields have gone, and refuses the status", at))
		}
		c.Composite["status"] = s
	}
	return rsp, deleted, errors.Join(errs...)
}

// Fatal is the message of a response's fatal result, empty where there is none.
func Fatal(rsp *fnv1.RunFunctionResponse) string {
	for _, r := range rsp.GetResults() {
		if r.GetSeverity() == fnv1.Severity_SEVERITY_FATAL {
			return r.GetMessage()
		}
	}
	return ""
}

// fetch what is required, among what is composed as well.
func (c *Composer) fetch(required map[string]*fnv1.ResourceSelector) (map[string]*fnv1.Resources, error) {
	found := make(map[string]*fnv1.Resources, len(required))
	for name, selector := range required {
		found[name] = &fnv1.Resources{}
		o := c.Lookup(selector)
		for _, key := range slices.Sorted(maps.Keys(c.Composed)) {
			if o == nil && selects(selector, c.Composed[key]) {
				o = c.Composed[key]
			}
		}
		if o == nil {
			continue
		}
		s, err := encode(o)
		if err != nil {
			return nil, err
		}
		found[name].Items = []*fnv1.Resource{{Resource: s}}
	}
	return found, nil
}

func selects(s *fnv1.ResourceSelector, o map[string]any) bool {
	u := unstructured.Unstructured{Object: o}
	return u.GetAPIVersion() == s.GetApiVersion() && u.GetKind() == s.GetKind() && u.GetNamespace() == s.GetNamespace() && u.GetName() == s.GetMatchName()
}

func encode(o map[string]any) (*structpb.Struct, error) {
	s, err := structpb.NewStruct(o)
	if err != nil {
		u := unstructured.Unstructured{Object: o}
		return nil, fmt.Errorf("cannot encode %s %q: %w", u.GetKind(), u.GetName(), err)
	}
	return s, nil
}
