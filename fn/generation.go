package fn

import (
	"slices"
	"strings"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/status"
)

// announced is told in place of a generation that is about to be: no object's, and not
// the default either.
func announced(generation float64) float64 { return claim.NotObserved - generation }

// claimRequirement is how the names of requirements begin by which the function asks for
// the claim of a composite resource.
const claimRequirement = "claim|"

// tellGeneration writes into status.observedGeneration which generation the status is
// about, once all of it is.
//
// Crossplane applies what a function desires of the status before it writes the
// conditions (composition_functions.go and reconciler.go in
// internal/controller/apiextensions/composite). The conditions of the former generation,
// Ready among them, so stand beside the new status for a moment, and whoever looks at
// that moment must not take one for the other. Hence the generation is told by the run
// that finds the conditions written that it would write itself. Crossplane asks for that
// run, since it watches what it has written. While something is in progress, the
// conditions say that much of either generation; so the generation is told on the way,
// and what is ready in the end needs no run more to say so.
//
// A claim gets the conditions later than its composite resource, and may then get those of
// before once more: Crossplane looks at a composite resource again before its cache has
// what it wrote itself, and applies them beside the new status, until it writes them
// right. The claim that takes them over in that moment may still have the right ones in
// the cache from which the function gets it. No run applies them any more after one that
// has seen the right ones in the composite resource. So that run announces the generation
// there, and a claim that has the announcement gets nothing of before it.
//
// A schema that lacks the field lacks its default as well, and the API server would
// refuse the whole status for it: a platform's own, or one of a release before. There
// nothing is told.
func tellGeneration(req *fnv1.RunFunctionRequest, rsp *fnv1.RunFunctionResponse, ready bool) {
	xr := req.GetObserved().GetComposite().GetResource()
	v, found, err := valueAt(xr, []string{"status", "observedGeneration"})
	if !found || err != nil {
		return
	}
	desired := ensure(composite(rsp).GetResource(), "status")
	if _, theirs := desired.GetFields()["observedGeneration"]; theirs {
		return // An earlier step tells of its own.
	}
	applied := xr
	if r, ok := claimOf(xr); ok {
		requireAs(rsp, claimRequirement+r.Key(), r)
		applied = claimIn(req)
	}
	told := toTell(applied, xr, v.GetNumberValue(), func(o *structpb.Struct) bool {
		return inProgress(o) || settled(o, rsp.GetConditions(), ready)
	})
	if told != generation(applied) {
		rsp.Meta.Ttl = durationpb.New(ttlPending) // The event that asks for the next run may be lost.
	}
	desired.Fields["observedGeneration"] = structpb.NewNumberValue(told)
}

// toTell of what has been applied and its composite resource, where told is what that has
// told. An object stands where its conditions are about its spec.
func toTell(applied, xr *structpb.Struct, told float64, stands func(*structpb.Struct) bool) float64 {
	switch g := generation(applied); {
	case g == 0:
		return told // Crossplane has yet to hand over the claim.
	case told > g:
		return claim.NotObserved // Of an object that was restored, or by hand.
	case told == g || !sameSpec(applied, xr) || !stands(xr):
		return told
	case applied == xr:
		return g
	case told == announced(g) && observed(applied) == told && stands(applied) && isReady(applied) == isReady(xr):
		return g
	default:
		return announced(g)
	}
}

// claimOf a composite resource. Its generation is the one that a team knows, since
// Crossplane copies the status as it is; and it says nothing by itself of what became of
// it: Crossplane writes the claim's generation into all its conditions, whatever the
// composite resource's are about (internal/controller/apiextensions/claim/reconciler.go).
func claimOf(xr *structpb.Struct) (connection.Requirement, bool) {
	v, found, err := valueAt(xr, []string{"spec", "claimRef"})
	if !found || err != nil {
		return connection.Requirement{}, false
	}
	ref := v.GetStructValue().GetFields()
	r := connection.Requirement{
		APIVersion: ref["apiVersion"].GetStringValue(), Kind: ref["kind"].GetStringValue(),
		Namespace: ref["namespace"].GetStringValue(), Name: ref["name"].GetStringValue(),
	}
	return r, r.APIVersion != "" && r.Kind != "" && r.Namespace != "" && r.Name != ""
}

// claimIn a request, nil where it isn't there.
func claimIn(req *fnv1.RunFunctionRequest) *structpb.Struct {
	for name, rs := range req.GetRequiredResources() {
		for _, r := range rs.GetItems() {
			if isClaim(name) {
				return r.GetResource()
			}
		}
	}
	return nil
}

// isClaim says of the name of a requirement whether it is that for a claim.
func isClaim(requirement string) bool { return strings.HasPrefix(requirement, claimRequirement) }

// ofCrossplane are the fields of a claim's or composite resource's spec that Crossplane
// adds to the schema (crossplane-runtime, pkg/xcrd/schemas.go), of which each has others.
var ofCrossplane = []string{
	"claimRef", "compositeDeletePolicy", "compositionRef", "compositionRevisionRef", "compositionRevisionSelector",
	"compositionSelector", "compositionUpdatePolicy", "resourceRef", "resourceRefs", "writeConnectionSecretToRef",
}

// sameSpec says whether a claim and its composite resource have the same spec, but for
// what is Crossplane's. A composite resource that no claim made is its own.
func sameSpec(applied, xr *structpb.Struct) bool {
	if applied == xr {
		return true
	}
	a := applied.GetFields()["spec"].GetStructValue().GetFields()
	b := xr.GetFields()["spec"].GetStructValue().GetFields()
	differ := func(a, b map[string]*structpb.Value) bool {
		for name, v := range a {
			if !slices.Contains(ofCrossplane, name) && !proto.Equal(v, b[name]) {
				return true
			}
		}
		return false
	}
	return !differ(a, b) && !differ(b, a)
}

// settled says whether an object's conditions are those that are told now, and its
// condition Ready no better than that. Ready is also about what other steps compose, so
// it has to be about the object's generation, if it says which.
func settled(o *structpb.Struct, told []*fnv1.Condition, ready bool) bool {
	for _, c := range told {
		truth, _ := strings.CutPrefix(c.GetStatus().String(), "STATUS_CONDITION_")
		stands := condition(o, c.GetType())
		if !strings.EqualFold(stands["status"].GetStringValue(), truth) ||
			stands["reason"].GetStringValue() != c.GetReason() || stands["message"].GetStringValue() != c.GetMessage() {
			return false
		}
	}
	stands := condition(o, "Ready")
	about, says := stands["observedGeneration"]
	return stands != nil && (ready || !isReady(o)) && (!says || about.GetNumberValue() == generation(o))
}

// inProgress says whether an object's conditions tell of its generation that it is neither
// ready nor stalled. Those of a former generation don't: what Crossplane has written since
// may not have been seen yet.
func inProgress(o *structpb.Struct) bool {
	stands := condition(o, "Ready")
	return stands != nil && !isReady(o) && stands["observedGeneration"].GetNumberValue() == generation(o) &&
		condition(o, status.Stalled)["status"].GetStringValue() == "False"
}

func isReady(o *structpb.Struct) bool {
	return condition(o, "Ready")["status"].GetStringValue() == "True"
}

// condition of an object, nil where it has none of the type.
func condition(o *structpb.Struct, of string) map[string]*structpb.Value {
	v, _, err := valueAt(o, []string{"status", "conditions"})
	if err != nil {
		return nil
	}
	for _, c := range v.GetListValue().GetValues() {
		if fields := c.GetStructValue().GetFields(); fields["type"].GetStringValue() == of {
			return fields
		}
	}
	return nil
}

// generation of an object, 0 where there is none.
func generation(o *structpb.Struct) float64 { return number(o, "metadata", "generation") }

// observed is the status.observedGeneration of an object, 0 where it has none.
func observed(o *structpb.Struct) float64 { return number(o, "status", "observedGeneration") }

// number at a path of an object, 0 where there is none.
func number(o *structpb.Struct, path ...string) float64 {
	v, _, err := valueAt(o, path)
	if err != nil {
		return 0
	}
	return v.GetNumberValue()
}
