// Command floor is the least that a composition function can do: it decodes a
// request, and encodes a response with as many composed resources. What that takes
// is gRPC's, protobuf's and function-sdk-go's.
package main

import (
	"context"

	"github.com/alecthomas/kong"
	"github.com/crossplane/function-sdk-go"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/crossplane/function-sdk-go/response"
)

// Flags that the benchmark starts each function with.
type Flags struct {
	Address  string `help:"Address at which to listen for gRPC connections." required:"true"`
	Insecure bool   `help:"Run without mTLS credentials."`
}

// Run the function until it is killed.
func (f *Flags) Run() error {
	//nolint:wrapcheck // It says what it can't do.
	return function.Serve(&Function{}, function.Listen("tcp", f.Address), function.Insecure(f.Insecure), function.WithMetricsServer(""))
}

// A Function desires what is observed.
type Function struct {
	fnv1.UnimplementedFunctionRunnerServiceServer
}

// RunFunction returns what it got.
func (*Function) RunFunction(_ context.Context, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
	rsp := response.To(req, response.DefaultTTL)
	rsp.Desired = req.GetObserved()
	return rsp, nil
}

func main() {
	ctx := kong.Parse(&Flags{})
	ctx.FatalIfErrorf(ctx.Run())
}
