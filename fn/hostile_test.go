package fn

import (
	"context"
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/crossplane/function-sdk-go/logging"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
	"pgregory.net/rapid"

	"github.com/serviceconnections/function-service-connections/server"
)

// TestHostileRequests mutates real requests at random places and sends them to the
// function as it is served: whatever the values, it answers without a panic, which
// the server would tell by a result without conditions, and says in three conditions
// how it stands. It is drawn and not fuzzed, because mutated bytes are seldom a
// request at all.
func TestHostileRequests(t *testing.T) {
	t.Parallel()
	c := newCluster(t, service("api", awsConnection, azureConnection, sqlConnection, gcpConnection, `{type: disk, config: {diskName: scratch}}`), allSettings)
	c.add(deployment("api", ""))
	fresh := c.request()
	c.settle()
	requests := []*fnv1.RunFunctionRequest{fresh, c.request()}
	client := served(t)

	rapid.Check(t, func(rt *rapid.T) {
		b, err := protojson.Marshal(rapid.SampledFrom(requests).Draw(rt, "request"))
		if err != nil {
			rt.Fatal(err)
		}
		tree := map[string]any{}
		if err := json.Unmarshal(b, &tree); err != nil {
			rt.Fatal(err)
		}
		for range rapid.IntRange(1, 6).Draw(rt, "mutations") {
			mutate(rt, tree, 0)
		}
		if b, err = json.Marshal(tree); err != nil {
			rt.Fatal(err)
		}
		req := &fnv1.RunFunctionRequest{}
		if err := protojson.Unmarshal(b, req); err != nil {
			// A mutation of protobuf's own fields; gRPC refuses it as well.
			return
		}
		rsp, err := client.RunFunction(t.Context(), req)
		if err != nil {
			rt.Fatalf("RunFunction: %v", err)
		}
		if n := len(rsp.GetConditions()); n != 4 {
			rt.Fatalf("%d conditions, want four: %v", n, rsp)
		}
	})
}

// served function, until the test ends.
func served(t *testing.T) fnv1.FunctionRunnerServiceClient {
	t.Helper()
	f := New(logging.NewNopLogger())
	socket := filepath.Join(t.TempDir(), "function")
	ctx, stop := context.WithCancel(t.Context())
	s, err := server.Listen(ctx, f, server.Options{
		Network: "unix", Address: socket, MaxReceiveBytes: 4 << 20, MemoryBytes: 160 << 20, Patience: time.Minute, Dispensable: Dispensable, Unread: f.Unread, Lightened: Lightened, DrainTimeout: time.Minute,
	}, logging.NewNopLogger())
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Serve(...): %v", err)
		}
	})
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return fnv1.NewFunctionRunnerServiceClient(conn)
}

// mutate one value at a random depth: another value, or none.
func mutate(rt *rapid.T, v any, depth int) any {
	stop := depth > 3 && rapid.IntRange(0, 3).Draw(rt, "stop") == 0
	switch v := v.(type) {
	case map[string]any:
		if !stop && len(v) > 0 {
			k := rapid.SampledFrom(slices.Sorted(maps.Keys(v))).Draw(rt, "key")
			if depth > 2 && rapid.IntRange(0, 9).Draw(rt, "delete") == 0 {
				delete(v, k)
				return v
			}
			v[k] = mutate(rt, v[k], depth+1)
			return v
		}
	case []any:
		if !stop && len(v) > 0 {
			i := rapid.IntRange(0, len(v)-1).Draw(rt, "index")
			v[i] = mutate(rt, v[i], depth+1)
			return v
		}
	}
	return rapid.SampledFrom([]any{
		nil, true, -1.5, 1e300, "", "x", "a/b?c&d,e f\n", []any{}, []any{nil, 3}, map[string]any{}, map[string]any{"x": []any{"y"}},
	}).Draw(rt, "value")
}
