package fn

import (
	"fmt"
	"maps"
	"strings"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/crossplane/function-sdk-go/response"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/plan"
	"github.com/serviceconnections/function-service-connections/fn/status"
)

// compose the resources, beside those of earlier steps.
func compose(rsp *fnv1.RunFunctionResponse, composed map[string]plan.Composed) error {
	for key, c := range composed {
		s, err := structpb.NewStruct(c.Object)
		if err != nil {
			return fmt.Errorf("cannot encode composed resource %q: %w", key, err)
		}
		if c.NeededBy != "" {
			at := ensure(ensure(s, "metadata"), "annotations")
			at.Fields[connection.NeededBy] = structpb.NewStringValue(c.NeededBy)
		}
		for name, value := range c.Resume {
			ensure(ensure(s, "metadata"), "annotations").Fields[name] = structpb.NewStringValue(value)
		}
		r := fnv1.Ready_READY_FALSE
		if c.Ready {
			r = fnv1.Ready_READY_TRUE
		}
		resources(rsp)[key] = &fnv1.Resource{Resource: s, Ready: r}
	}
	return nil
}

// ensure that a struct has another one at a field.
func ensure(s *structpb.Struct, name string) *structpb.Struct {
	in := s.GetFields()[name].GetStructValue()
	if in == nil {
		in = &structpb.Struct{Fields: map[string]*structpb.Value{}}
		s.Fields[name] = structpb.NewStructValue(in)
	}
	return in
}

func resources(rsp *fnv1.RunFunctionResponse) map[string]*fnv1.Resource {
	if rsp.GetDesired() == nil {
		rsp.Desired = &fnv1.State{}
	}
	if rsp.GetDesired().GetResources() == nil {
		rsp.Desired.Resources = map[string]*fnv1.Resource{}
	}
	return rsp.GetDesired().GetResources()
}

// deliver the workloads that earlier steps render, as the plan changes them.
func deliver(rsp *fnv1.RunFunctionResponse, p *plan.Plan) error {
	for key, w := range p.Workloads {
		if w == nil {
			delete(resources(rsp), key)
			continue
		}
		o, err := structpb.NewStruct(w)
		if err != nil {
			return fmt.Errorf("cannot encode workload %q: %w", key, err)
		}
		resources(rsp)[key].Resource = o
	}
	return nil
}

// writeStatus at its path, beside what earlier steps wrote.
func writeStatus(rsp *fnv1.RunFunctionResponse, in *input, s claim.Status) error {
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&s)
	if err != nil {
		return fmt.Errorf("cannot encode status: %w", err)
	}
	xr := rsp.GetDesired().GetComposite().GetResource().AsMap()
	at, err := objectAt(xr, in.status)
	if err != nil {
		return fmt.Errorf("cannot write status at %q of the composite resource: %w", strings.Join(in.status, "."), err)
	}
	// Without a service there is no list, whatever an earlier step has there.
	delete(at, "services")
	maps.Copy(at, m)
	o, err := structpb.NewStruct(xr)
	if err != nil {
		return fmt.Errorf("cannot encode status: %w", err)
	}
	composite(rsp).Resource = o
	return nil
}

// objectAt a path of fields, made where there is none.
func objectAt(xr map[string]any, path []string) (map[string]any, error) {
	for _, f := range path {
		v, ok := xr[f]
		if !ok {
			v = map[string]any{}
			xr[f] = v
		}
		if xr, ok = v.(map[string]any); !ok {
			return nil, fmt.Errorf("an earlier step desires %T there, not an object", v)
		}
	}
	return xr, nil
}

func composite(rsp *fnv1.RunFunctionResponse) *fnv1.Resource {
	resources(rsp)
	if rsp.GetDesired().GetComposite() == nil {
		rsp.Desired.Composite = &fnv1.Resource{}
	}
	return rsp.GetDesired().GetComposite()
}

// require objects for the next call.
func require(rsp *fnv1.RunFunctionResponse, rs ...connection.Requirement) {
	for _, r := range rs {
		requireAs(rsp, r.Key(), r)
	}
}

// requireAs requires an object by a name, by which the next call has it.
func requireAs(rsp *fnv1.RunFunctionResponse, name string, r connection.Requirement) {
	if rsp.GetRequirements() == nil {
		rsp.Requirements = &fnv1.Requirements{Resources: map[string]*fnv1.ResourceSelector{}}
	}
	s := &fnv1.ResourceSelector{
		ApiVersion: r.APIVersion,
		Kind:       r.Kind,
		Match:      &fnv1.ResourceSelector_MatchName{MatchName: r.Name},
	}
	if r.Namespace != "" {
		s.Namespace = &r.Namespace
	}
	rsp.Requirements.Resources[name] = s
}

// setConditions on the composite resource and its claim.
func setConditions(rsp *fnv1.RunFunctionResponse, cs []status.Condition) {
	for _, c := range cs {
		var o *response.ConditionOption
		switch c.Status {
		case status.True:
			o = response.ConditionTrue(rsp, c.Type, c.Reason)
		case status.False:
			o = response.ConditionFalse(rsp, c.Type, c.Reason)
		case status.Unknown:
			o = response.ConditionUnknown(rsp, c.Type, c.Reason)
		}
		o.TargetCompositeAndClaim()
		if c.Message != "" {
			o.WithMessage(c.Message)
		}
	}
}

// tellChanges by results, of which Crossplane makes events of the composite resource and
// its claim, once it has written the status. A run that fails before that tells again, as
// it must; so does each run of a pipeline whose later step is fatal, and then Kubernetes
// counts them as one event. No result makes a composite resource more or less ready.
func tellChanges(rsp *fnv1.RunFunctionResponse, changes []status.Change) {
	for _, c := range changes {
		r := &fnv1.Result{Severity: fnv1.Severity_SEVERITY_NORMAL, Message: c.Message, Reason: &c.Reason, Target: fnv1.Target_TARGET_COMPOSITE_AND_CLAIM.Enum()}
		if c.Warning {
			r.Severity = fnv1.Severity_SEVERITY_WARNING
		}
		rsp.Results = append(rsp.Results, r)
	}
}

// setReady holds the composite resource back until every connection is ready. Then
// all of ours are, and Crossplane tells: it is ready once the resources of all steps
// are, also of those that come later and that nothing here knows.
func setReady(rsp *fnv1.RunFunctionResponse, ready bool, ours map[string]plan.Composed) {
	if !ready {
		composite(rsp).Ready = fnv1.Ready_READY_FALSE
		return
	}
	rsp.Meta.Ttl = durationpb.New(ttlReady)
	for key := range ours {
		resources(rsp)[key].Ready = fnv1.Ready_READY_TRUE
	}
}
