package fn

import (
	"maps"
	"slices"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
)

// contextAsked is the key in the pipeline's context by which a call tells the next one
// of the same reconcile that Crossplane had to be asked.
const contextAsked = "serviceconnections.io/asked"

// hurryUnwatched shortens the time until the next reconcile where Crossplane doesn't
// watch what the function requires, or doesn't listen to what it watches. One that
// watches, as it has since 2.4, remembers what a reconcile required and hands it over with
// the first call of the next one (composition_functions.go, tracker). An older one has to
// be asked in every reconcile.
// No version or capability in a request says which it is, but both hand the context of
// one call to the next call of the reconcile (FetchingFunctionRunner in
// internal/xfn/required_resources.go, seen in 2.0.0 to 2.4.0), and only there.
func hurryUnwatched(req *fnv1.RunFunctionRequest, rsp *fnv1.RunFunctionResponse) {
	if slices.ContainsFunc(rsp.GetResults(), func(r *fnv1.Result) bool { return r.GetSeverity() == fnv1.Severity_SEVERITY_FATAL }) {
		return // There is no next call, and Crossplane tries again by its own time.
	}
	if !answered(req, rsp) {
		setContext(rsp, contextAsked, structpb.NewBoolValue(true))
		return
	}
	_, asked := req.GetContext().GetFields()[contextAsked]
	if asked {
		// It is for this function alone, so steps after it don't get to see it.
		setContext(rsp, contextAsked, nil)
	}
	if asked || deaf(req) {
		rsp.Meta.Ttl = durationpb.New(min(rsp.GetMeta().GetTtl().AsDuration(), ttlUnwatched))
	}
}

// deaf says that Crossplane listens to what it watches for this composite resource once
// in half a minute, and not at all when nothing more happens: too much happened, such as
// a team's writes to a workload of its claim (crossplane, internal/circuit, and
// WatchCircuitOpen in apis/apiextensions/v1/conditions.go). What takes a grant back may
// be what it didn't hear.
func deaf(req *fnv1.RunFunctionRequest) bool {
	return condition(req.GetObserved().GetComposite().GetResource(), "Responsive")["status"].GetStringValue() == "False"
}

// answered says whether the request has all that the response requires.
func answered(req *fnv1.RunFunctionRequest, rsp *fnv1.RunFunctionResponse) bool {
	for name := range rsp.GetRequirements().GetResources() {
		if _, ok := req.GetRequiredResources()[name]; !ok {
			return false
		}
	}
	return true
}

// setContext of the response, or delete its key. The request, whose context a response
// starts with, stays as it is.
func setContext(rsp *fnv1.RunFunctionResponse, key string, v *structpb.Value) {
	fields := maps.Clone(rsp.GetContext().GetFields())
	if fields == nil {
		fields = map[string]*structpb.Value{}
	}
	fields[key] = v
	if v == nil {
		delete(fields, key)
	}
	rsp.Context = &structpb.Struct{Fields: fields}
}
