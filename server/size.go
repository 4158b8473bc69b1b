package server

import (
	"context"

	"github.com/crossplane/function-sdk-go/errors"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/crossplane/function-sdk-go/response"
	"google.golang.org/protobuf/proto"
)

// maxSendBytes is the largest response that Crossplane takes. It leaves the limit
// at what gRPC gives to a client (crossplane, internal/xfn/function_runner.go;
// grpc, clientconn.go, defaultClientMaxReceiveMessageSize).
const maxSendBytes = 4 << 20

// A limiter answers a call whose response Crossplane wouldn't take with a fatal
// result, which says so. Crossplane would only tell of a message that is larger
// than max.
type limiter struct {
	fnv1.UnimplementedFunctionRunnerServiceServer

	fn fnv1.FunctionRunnerServiceServer
}

// RunFunction of the wrapped function. A response that is too large is replaced by
// a fatal result alone: Crossplane then neither changes nor deletes a composed
// resource.
func (l *limiter) RunFunction(ctx context.Context, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
	rsp, err := l.fn.RunFunction(ctx, req)
	n := proto.Size(rsp)
	if err != nil || n <= maxSendBytes {
		return rsp, err //nolint:wrapcheck // There must be no difference otherwise.
	}
	rsp = &fnv1.RunFunctionResponse{Meta: rsp.GetMeta()}
	response.Fatal(rsp, errors.Errorf("cannot answer: the response to a request of %d bytes has %d bytes, and Crossplane takes %d at most; nothing was changed; split the composite resource into several, or let the pipeline's earlier steps compose less", proto.Size(req), n, maxSendBytes))
	return rsp, nil
}
