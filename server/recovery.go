package server

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/crossplane/function-sdk-go/errors"
	"github.com/crossplane/function-sdk-go/logging"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/crossplane/function-sdk-go/response"
	"github.com/prometheus/client_golang/prometheus"
)

// A recoverer answers a call whose function panics with a fatal result, so that
// one broken claim leaves the others of the cluster alone.
//
// It wraps the function rather than being a gRPC interceptor: those of
// go-grpc-middleware can only turn a panic into a gRPC error, which Crossplane
// shows without saying which step of the pipeline failed and why, and one of
// our own would have to build the response of v1 and of v1beta1.
type recoverer struct {
	fnv1.UnimplementedFunctionRunnerServiceServer

	fn     fnv1.FunctionRunnerServiceServer
	log    logging.Logger
	panics prometheus.Counter
}

// RunFunction of the wrapped function. After a panic the response is fatal and
// holds the desired state and context of the request, and no condition:
// Crossplane then neither changes nor deletes a composed resource.
func (r *recoverer) RunFunction(ctx context.Context, req *fnv1.RunFunctionRequest) (rsp *fnv1.RunFunctionResponse, err error) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		r.panics.Inc()
		r.log.Info("Function panicked", "panic", fmt.Sprint(p), "xr", name(req), "tag", req.GetMeta().GetTag(), "stack", string(debug.Stack()))

		// A message that isn't UTF-8 can't be marshalled, and the caller would
		// get no response at all.
		cause := strings.ToValidUTF8(fmt.Sprint(p), "\uFFFD")
		rsp = response.To(req, response.DefaultTTL)
		response.Fatal(rsp, errors.Errorf("cannot run function: it panicked: %s; nothing was changed, please report this with the function's log", cause))
		err = nil
	}()
	return r.fn.RunFunction(ctx, req) //nolint:wrapcheck // Whether there was a panic must make no difference otherwise.
}

// name of the request's composite resource as <namespace>/<name>, for the log.
func name(req *fnv1.RunFunctionRequest) string {
	meta := req.GetObserved().GetComposite().GetResource().GetFields()["metadata"].GetStructValue().GetFields()
	return meta["namespace"].GetStringValue() + "/" + meta["name"].GetStringValue()
}
