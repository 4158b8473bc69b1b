package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/serviceconnections/function-service-connections/test/e2e/fleet"
)

// TestPeerInput holds what the peer composes against what this function does, by kind
// (test/e2e/fleet knows what that is).
func TestPeerInput(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		reason string
		claim  fleet.Claim
		want   map[string]int
	}{
		"Mixed": {
			reason: "of each type of connection there is one at least",
			claim:  fleet.FixedClaim("team", 0),
			want: map[string]int{
				"ServiceAccount": 3, "Role": 2, "PodIdentityAssociation": 2, "UserAssignedIdentity": 1,
				"FederatedIdentityCredential": 1, "ServiceAccountIAMMember": 2,
			},
		},
		"Wide": {
			reason: "patches can't loop, so each service has its own",
			claim:  fleet.WideClaim("team", 0, 100),
			want:   map[string]int{"ServiceAccount": 100, "Role": 100, "PodIdentityAssociation": 100, "ServiceAccountIAMMember": 100},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			input, err := peerInput(tc.claim)
			if err != nil {
				t.Fatal(err)
			}
			kinds, names := map[string]int{}, map[string]bool{}
			resources, _ := input["resources"].([]any)
			for _, v := range resources {
				r, _ := v.(map[string]any)
				base, _ := r["base"].(map[string]any)
				kind, _ := base["kind"].(string)
				resource, _ := r["name"].(string)
				kinds[kind]++
				names[resource] = true
			}
			if diff := cmp.Diff(tc.want, kinds); diff != "" {
				t.Errorf("%s: kinds, -want, +got:\n%s", tc.reason, diff)
			}
			if len(names) != len(resources) {
				t.Errorf("%d resources have %d names: %v", len(resources), len(names), slices.Sorted(maps.Keys(names)))
			}
		})
	}
}

// TestReport holds that a report has each figure, and tells a goal that is missed.
func TestReport(t *testing.T) {
	t.Parallel()

	o := &Flags{Claims: []int{1, 10}, Services: 100, Rounds: 2, Rest: time.Minute}
	bursts := o.mixed()
	for _, b := range o.alike() {
		bursts = append(bursts, b...)
	}
	turns := make([]turn, 0, o.Rounds*len(bursts)*len(implementations))
	for round := range o.Rounds {
		for n, i := range implementations {
			for _, b := range bursts {
				c := cost{
					calls: 110, reconciles: 100, crossplaneCPU: float64(1 + n), functionsCPU: 0.5, apiServerCPU: 2, stored: 50,
					writes: map[string]float64{"PATCH": 1000},
				}
				turns = append(turns, turn{
					round: round, of: i, burst: b, load: "0.10", cost: c, seconds: 4 - float64(n), peak: 100 * mebibyte,
					resting: &c, again: &c,
				})
			}
		}
	}
	text, err := o.report(turns)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| until all are ready | 4.0 s | 3.0 s | 1.33, 1.33 | ≤ 1.0, **missed** |",
		"| CPU of Crossplane and functions, a claim | 150 ms | 250 ms | 0.60, 0.60 | ≤ 1.0, met |",
		"| calls, a reconcile | 1.10 | 1.10 | 1.10, 1.10 | ≤ 1.2, met |",
		"| one claim alone until ready | 4.00 s | 3.00 s |",
		"  x-axis \"claims at once\" [1, 10]\n",
		"  line [1500, 150]\n  line [2500, 250]\n",
		"\n| one claim | ", "\n| a claim each | ", "\n| objects that were written in 1m0s | 0 | 0 |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
		t.Errorf("the report has a number that is none:\n%s", text)
	}
}
