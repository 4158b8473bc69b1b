package package_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/test/schema"
)

// The policies activate what connections compose in their mode: a kind that is missing
// leaves a team's connection ProviderNotActive, and one too many costs the API server.
func TestActivation(t *testing.T) {
	t.Parallel()

	want := map[string][]string{}
	for _, k := range connection.Builtin().Kinds() {
		switch {
		case k.CRD == "":
		case strings.Contains(k.CRD, ".m."):
			want["activation/namespaced.yaml"] = append(want["activation/namespaced.yaml"], k.CRD)
		default:
			want["activation/claims.yaml"] = append(want["activation/claims.yaml"], k.CRD)
		}
	}
	for file, want := range want {
		policy := load(t, file)
		if errs := schema.Crossplane(t).Validate(policy); len(errs) > 0 {
			t.Errorf("Crossplane's schema refuses %s: %v", file, errs.ToAggregate())
		}
		active := policy["spec"].(map[string]any)["activate"].([]any)
		got := make([]string, 0, len(active))
		for _, name := range active {
			got = append(got, name.(string))
		}
		slices.Sort(want)
		if diff := cmp.Diff(slices.Compact(want), got); diff != "" {
			t.Errorf("%s: -composed, +activated:\n%s", file, diff)
		}
	}
}
