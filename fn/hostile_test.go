package fn

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/crossplane/function-sdk-go/logging"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"pgregory.net/rapid"
)

// TestHostileRequests mutates real requests at random places: whatever the
// values, the function answers without a panic, and says in three conditions
// how it stands. It is drawn and not fuzzed, because mutated bytes are seldom a
// request at all.
func TestHostileRequests(t *testing.T) {
	t.Parallel()
	c := newCluster(t, service("api", awsConnection, azureConnection, sqlConnection, gcpConnection, `{type: disk, config: {diskName: scratch}}`), allSettings)
	c.add(deployment("api", ""))
	fresh := c.request()
	c.settle()
	requests := []*fnv1.RunFunctionRequest{fresh, c.request()}
	fn := New(logging.NewNopLogger())

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
		rsp, err := fn.RunFunction(t.Context(), req)
		if err != nil {
			rt.Fatalf("RunFunction: %v", err)
		}
		if n := len(rsp.GetConditions()); n != 3 {
			rt.Fatalf("%d conditions, want three: %v", n, rsp)
		}
	})
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
