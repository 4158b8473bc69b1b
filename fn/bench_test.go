package fn

import (
	"fmt"
	"strings"
	"testing"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"google.golang.org/protobuf/proto"
)

// steady is the request of a claim of n services with all five types of
// connections at rest: everything observed and ready, as Crossplane sends it
// over and over.
func steady(tb testing.TB, n int) (*Function, *fnv1.RunFunctionRequest) {
	tb.Helper()
	var services strings.Builder
	for i := range n {
		services.WriteString(service(fmt.Sprintf("api-%d", i), awsConnection, azureConnection, sqlConnection, diskConnection, gcpConnection))
	}
	c := newCluster(tb, services.String(), allSettings)
	c.add(cacheStorage)
	for i := range n {
		c.add(deployment(fmt.Sprintf("api-%d", i), ""))
	}
	c.settle()
	return c.fn, c.request()
}

// BenchmarkRunFunction measures one call in process, without the encoding that
// gRPC adds.
func BenchmarkRunFunction(b *testing.B) {
	for _, n := range []int{1, 10, 50, 100} {
		b.Run(fmt.Sprintf("services=%d", n), func(b *testing.B) {
			f, req := steady(b, n)
			var rsp *fnv1.RunFunctionResponse
			var err error
			b.ReportAllocs()
			for b.Loop() {
				if rsp, err = f.RunFunction(b.Context(), req); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(proto.Size(req)), "request-B")
			b.ReportMetric(float64(proto.Size(rsp)), "response-B")
		})
	}
}

// BenchmarkFirstCall measures the first call ever, with nothing observed.
func BenchmarkFirstCall(b *testing.B) {
	c := newCluster(b, service("api", awsConnection, azureConnection, sqlConnection, diskConnection, gcpConnection), allSettings)
	req := c.request()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.fn.RunFunction(b.Context(), req); err != nil {
			b.Fatal(err)
		}
	}
}
