// Package fn is the composition function: it reads a request, decides by plain
// Go values, and writes the response. Protobuf is seen here and nowhere below.
package fn

import (
	"context"
	"errors"
	"time"

	"github.com/crossplane/function-sdk-go/logging"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/crossplane/function-sdk-go/response"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/plan"
	"github.com/serviceconnections/function-service-connections/fn/status"
)

// How soon Crossplane asks again without a change, give or take a tenth. Since 2.4
// it watches what the function reads, so this is for what no watch tells. An older one
// watches none of it (unwatched.go), and sees a list that takes a grant back no sooner.
const (
	ttlPending   = time.Minute
	ttlUnwatched = time.Minute
	ttlReady     = 10 * time.Minute
)

// A Function expands service connections.
type Function struct {
	fnv1.UnimplementedFunctionRunnerServiceServer

	log   logging.Logger
	types *connection.Catalog
}

// An Option of a Function.
type Option func(*Function)

// WithTypes makes a Function expand these types of connections, and no others.
func WithTypes(types *connection.Catalog) Option { return func(f *Function) { f.types = types } }

// New Function that logs to the supplied logger.
func New(log logging.Logger, options ...Option) *Function {
	f := &Function{log: log, types: connection.Builtin()}
	for _, o := range options {
		o(f)
	}
	return f
}

// RunFunction expands the service connections of one composite resource.
func (f *Function) RunFunction(ctx context.Context, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
	f.log.Debug("Running function", "tag", req.GetMeta().GetTag())
	rsp, err := f.run(ctx, req)
	if err != nil {
		return nil, err
	}
	hurryUnwatched(req, rsp)
	return rsp, nil
}

// run the function's steps. A fatal result stops Crossplane before it applies or
// deletes anything, so it answers only what can't be read at all; all else is told in
// the status.
func (f *Function) run(ctx context.Context, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
	rsp := response.To(req, ttlPending)
	in, err := readInput(req)
	if err != nil {
		return fatal(rsp, status.Unresolved(err), err), nil
	}
	if r, ok := environmentConfig(in); ok {
		require(rsp, r)
	}
	xr, observed := req.GetObserved().GetComposite().GetResource(), f.observe(req)
	if err := misplaced(f.types, observed); err != nil {
		// What is desired now is all that Crossplane remembers.
		return fatal(rsp, status.OutOfSight(err), err), nil
	}
	composed := plan.HasOurs(f.types, observed)
	c, err := readClaim(in, xr, f.types.Schema(), composed)
	switch {
	case errors.Is(err, errNotClaimed) && composed:
		// It had a namespace. What runs must stay as it is, the workloads of
		// earlier steps included.
		return fatal(rsp, status.Unclaimed(err), err), nil
	case errors.Is(err, errNotClaimed):
		return keep(rsp, f.types, observed, status.Unclaimed(err))
	case err != nil:
		return fatal(rsp, status.Unreadable(err), err), nil
	}
	s, err := resolveSettings(req, in, observed)
	switch {
	case errors.Is(err, errPending):
		require(rsp, plan.Foreseen(f.types, c, observed)...)
		return keep(rsp, f.types, observed, status.Pending(err))
	case err != nil:
		return fatal(rsp, status.Unresolved(err), err), nil
	}
	s = s.For(c.Namespace)
	before := previous(in, xr)
	p := plan.Make(plan.Input{
		Types:    f.types,
		Claim:    c,
		Settings: s,
		Observed: observed,
		Desired:  desired(req),
		Rendered: f.rendered(req, c),
		Previous: before,
	})
	if s.Inspect() && ctx.Value(lightened{}) != nil {
		tellLightened(p)
	}
	return respond(req, rsp, in, c, before, p)
}

// respond with what is composed, injected, required and told, and with what of it the
// status before doesn't say.
func respond(req *fnv1.RunFunctionRequest, rsp *fnv1.RunFunctionResponse, in *input, c *claim.Claim, before claim.Status, p *plan.Plan) (*fnv1.RunFunctionResponse, error) {
	if err := compose(rsp, p.Composed); err != nil {
		return nil, err
	}
	if err := deliver(rsp, p); err != nil {
		return nil, err
	}
	now := status.Of(p)
	if err := writeStatus(rsp, in, now); err != nil {
		return fatal(rsp, status.Unresolved(err), err), nil
	}
	require(rsp, p.Requires...)
	setConditions(rsp, status.Conditions(c, p))
	ready := status.Ready(c, p)
	setReady(rsp, ready, p.Composed)
	tellGeneration(req, rsp, ready)
	tellChanges(rsp, status.Changes(before, now))
	return rsp, nil
}

// keep everything as it is, because the claim can't be expanded yet.
func keep(rsp *fnv1.RunFunctionResponse, types *connection.Catalog, observed connection.Observed, cs []status.Condition) (*fnv1.RunFunctionResponse, error) {
	kept := plan.KeepAll(types, observed)
	if err := compose(rsp, kept); err != nil {
		return nil, err
	}
	setConditions(rsp, cs)
	setReady(rsp, false, kept)
	return rsp, nil
}

// fatal stops the run. Crossplane then leaves alone all that is there, and
// shows the conditions. It reads neither what is desired nor the context, which
// may be large.
func fatal(rsp *fnv1.RunFunctionResponse, cs []status.Condition, err error) *fnv1.RunFunctionResponse {
	rsp.Desired, rsp.Context = nil, nil
	setConditions(rsp, cs)
	response.Fatal(rsp, err)
	return rsp
}
