package plan

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/serviceconnections/function-service-connections/fn/claim"
)

// TestAdvance holds when no pod of a workload can be older than its injection.
func TestAdvance(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason         string
		was            *claim.Rollout
		hash, template string
		want           *claim.Rollout
	}{
		"Nothing":         {reason: "there is nothing to remember", template: "t1"},
		"First":           {reason: "pods that run have nothing yet", hash: "h1", template: "t1", want: &claim.Rollout{Injection: "h1"}},
		"Published":       {reason: "from now on a change of the template counts", was: &claim.Rollout{Injection: "h1"}, hash: "h1", template: "t1", want: &claim.Rollout{Injection: "h1", Template: "t1"}},
		"NoWorkload":      {reason: "pods that come get what is published", was: &claim.Rollout{Injection: "h1"}, hash: "h1", want: &claim.Rollout{Injection: "h1", Current: true}},
		"NotRestarted":    {reason: "the template is the same", was: &claim.Rollout{Injection: "h1", Template: "t1"}, hash: "h1", template: "t1", want: &claim.Rollout{Injection: "h1", Template: "t1"}},
		"Restarted":       {reason: "the template is another", was: &claim.Rollout{Injection: "h1", Template: "t1"}, hash: "h1", template: "t2", want: &claim.Rollout{Injection: "h1", Current: true}},
		"Current":         {reason: "a new template makes nothing older", was: &claim.Rollout{Injection: "h1", Current: true}, hash: "h1", template: "t3", want: &claim.Rollout{Injection: "h1", Current: true}},
		"AnotherOne":      {reason: "a restart for the injection before counts for nothing", was: &claim.Rollout{Injection: "h1", Template: "t1"}, hash: "h2", template: "t2", want: &claim.Rollout{Injection: "h2"}},
		"Withdrawn":       {reason: "pods may still have what was published", was: &claim.Rollout{Injection: "h1", Current: true}, template: "t1", want: &claim.Rollout{}},
		"WithdrawnAndOut": {reason: "no pod has it any more", was: &claim.Rollout{Template: "t1"}, template: "t2", want: &claim.Rollout{Current: true}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, advance(tc.was, tc.hash, tc.template)); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestUnread holds what is remembered of a workload that may not be read now.
func TestUnread(t *testing.T) {
	t.Parallel()
	was := &claim.Rollout{Injection: "h1", Current: true}
	if diff := cmp.Diff(was, unread(was, "h1")); diff != "" {
		t.Errorf("the same injection: -want, +got:\n%s", diff)
	}
	if diff := cmp.Diff(&claim.Rollout{Injection: "h2"}, unread(was, "h2")); diff != "" {
		t.Errorf("another injection: -want, +got:\n%s", diff)
	}
	if got := unread(nil, "h1"); got != nil {
		t.Errorf("nothing remembered: got %v", got)
	}
}

// TestRollOut holds when a restart is advised.
func TestRollOut(t *testing.T) {
	t.Parallel()
	const command = "kubectl -n team-a rollout restart deployment/api"
	account := map[string]string{"shop-api.serviceaccount": serviceAccount}
	for name, tc := range map[string]struct {
		reason string
		world  world
		want   string
	}{
		"PodsAreOlder":  {"they have nothing of it", world{services: api, composed: account, objects: []string{deployment}}, command},
		"NoWorkload":    {"there is nothing to restart", world{services: api, composed: account}, ""},
		"OneIsRefused":  {"a restart would take from the pods what it gave them before", world{services: `[{name: api, connections: [{type: awsRole, role: my-app-s3}, {type: disk, config: {diskName: "Not Valid"}}]}]`, composed: account, objects: []string{deployment}}, ""},
		"RendersItself": {"its template changes by the injection", world{services: api, composed: map[string]string{"shop-api.serviceaccount": serviceAccount, "workload": deployment}, rendered: map[string]string{"workload": deployment}}, ""},
		"CanNotBeTaken": {"its pods would get nothing", world{services: `[{name: api, containers: [typo], connections: [{type: awsRole, role: my-app-s3}]}]`, composed: account, objects: []string{deployment}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rs := rollOut(deliver(conclude(injectedWorld(t, tc.world))))
			want(t, tc.want, rs.progress[0].restart, "restart, "+tc.reason)
		})
	}
}
