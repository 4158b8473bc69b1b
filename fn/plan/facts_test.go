package plan

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/serviceconnections/function-service-connections/fn/connection"
)

// TestFindAccount holds which ServiceAccount a service has, and why it can't have
// the one that it should.
func TestFindAccount(t *testing.T) {
	t.Parallel()
	composed := strings.Replace(serviceAccount, "namespace: team-a", "namespace: team-a, annotations: {crossplane.io/composition-resource-name: shop-api.serviceaccount}, ownerReferences: [{uid: "+xrUID+", controller: true}]", 1)
	cases := map[string]struct {
		reason   string
		world    world
		unasked  bool
		want     connection.Reason
		observed bool
		taken    bool
	}{
		"NotYetComposed":   {reason: "nobody has the name", world: world{services: api}},
		"Composed":         {reason: "it is observed among ours", world: world{services: api, composed: map[string]string{"shop-api.serviceaccount": serviceAccount}}, observed: true},
		"ComposedUnseen":   {reason: "it is ours by its controller, before Crossplane has listed it", world: world{services: api, objects: []string{composed}}, observed: true},
		"Theirs":           {reason: "another claim has the name", world: world{services: api, objects: []string{theirs}}, want: connection.ServiceAccountTaken, taken: true},
		"NotAsked":         {reason: "it may be somebody else's, so nothing is granted to it", world: world{services: api}, unasked: true, want: connection.CrossplaneTooOld, taken: true},
		"Named":            {reason: "the team has made it", world: world{services: google(sqlEmail), objects: []string{mine}}, observed: true},
		"NamedAndNotThere": {reason: "the team has yet to make it", world: world{services: google(sqlEmail)}, want: connection.ServiceAccountNotFound},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := tc.world.input(t)
			if tc.unasked {
				clear(in.Observed.Required)
			}
			got := gather(in).services[0].account
			want(t, tc.want, got.verdict.Reason, "verdict, "+tc.reason)
			want(t, tc.observed, got.object != nil, "observed, "+tc.reason)
			want(t, tc.taken, got.taken(), "taken, "+tc.reason)
		})
	}
	t.Run("KeyOfAnEarlierStep", func(t *testing.T) {
		t.Parallel()
		in := world{services: api}.input(t)
		in.Desired = map[string]bool{"shop-api.serviceaccount": true}
		want(t, connection.NameConflict, gather(in).services[0].account.verdict.Reason, "verdict")
	})
}

// TestFindWorkload holds what is known of a service's workload.
func TestFindWorkload(t *testing.T) {
	t.Parallel()
	running := strings.Replace(deployment, "containers:", "serviceAccountName: shop-api, containers:", 1)
	cases := map[string]struct {
		reason string
		world  world
		want   workloadState
	}{
		"NotAsked":      {reason: "Crossplane hasn't answered yet", world: world{services: api}},
		"Read":          {reason: "it is in the cluster", world: world{services: api, objects: []string{running}}, want: workloadState{readable: true, serviceAccount: "shop-api"}},
		"MayNotRead":    {reason: "the settings say so", world: world{services: api, settings: cluster + "workload: {inspect: false}", objects: []string{running}}},
		"KindIsNotRead": {reason: "Crossplane would cache all Pods", world: world{services: `[{name: api, workload: {apiVersion: v1, kind: Pod, name: api}, connections: []}]`}},
		"Rendered": {
			reason: "what an earlier step renders is known before it runs",
			world:  world{services: api, rendered: map[string]string{"workload": running}},
			want:   workloadState{readable: true},
		},
		"RenderedAndRuns": {
			reason: "of a rendered workload the running one tells which ServiceAccount its pods use",
			world:  world{services: api, rendered: map[string]string{"workload": deployment}, composed: map[string]string{"workload": running}},
			want:   workloadState{readable: true, serviceAccount: "shop-api"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := gather(tc.world.input(t)).services[0].workload
			if diff := cmp.Diff([]any{tc.want.readable, tc.want.serviceAccount}, []any{got.readable, got.serviceAccount}); diff != "" {
				t.Errorf("%s: readable and ServiceAccount, -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
