// Package inprocess measures calls of a function without gRPC.
package inprocess

import (
	"os"
	"testing"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"google.golang.org/protobuf/proto"
)

// Request is the environment variable that names a file with the request, in
// protobuf's binary form.
const Request = "BENCH_REQUEST"

// Benchmark calls of a function with the request.
func Benchmark(b *testing.B, fn fnv1.FunctionRunnerServiceServer) {
	path := os.Getenv(Request)
	if path == "" {
		b.Skip(Request + " names no request: make bench does")
	}
	file, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	req := &fnv1.RunFunctionRequest{}
	if err := proto.Unmarshal(file, req); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := fn.RunFunction(b.Context(), req); err != nil {
			b.Fatal(err)
		}
	}
}
