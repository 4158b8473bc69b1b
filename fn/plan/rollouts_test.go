package plan

import (
	"cmp"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/workload"
)

// TestAdvance holds when no pod of a workload can be older than its injection.
func TestAdvance(t *testing.T) {
	t.Parallel()
	const (
		done    = `{replicas: 2, updatedReplicas: 2}`
		halfway = `{replicas: 3, updatedReplicas: 1}`
	)
	cases := map[string]struct {
		reason string
		was    *claim.Rollout
		hash   string
		// template hash of the workload, empty where it isn't there, and its
		// status. Nothing was ever published before the first.
		template, status string
		first            bool
		want             *claim.Rollout
		waits            string
	}{
		"Nothing":          {reason: "there is nothing to remember", template: "t1"},
		"First":            {reason: "pods that run have nothing yet", hash: "h1", template: "t1", first: true, want: &claim.Rollout{Injection: "h1"}, waits: notRestarted},
		"FirstAndUnseen":   {reason: "no pod can be older than the first that is published", hash: "h1", first: true, want: &claim.Rollout{Injection: "h1", Template: unseen}, waits: notRestarted},
		"StillUnseen":      {reason: "pods that come get what is published", was: &claim.Rollout{Injection: "h1", Template: unseen}, hash: "h1", want: &claim.Rollout{Injection: "h1", Current: true}},
		"SeenAfterAll":     {reason: "it may have come just before the injection", was: &claim.Rollout{Injection: "h1", Template: unseen}, hash: "h1", template: "t1", want: &claim.Rollout{Injection: "h1", Template: "t1"}, waits: notRestarted},
		"Published":        {reason: "from now on a change of the template counts", was: &claim.Rollout{Injection: "h1"}, hash: "h1", template: "t1", want: &claim.Rollout{Injection: "h1", Template: "t1"}, waits: notRestarted},
		"NotRestarted":     {reason: "the template is the same", was: &claim.Rollout{Injection: "h1", Template: "t1"}, hash: "h1", template: "t1", status: done, want: &claim.Rollout{Injection: "h1", Template: "t1"}, waits: notRestarted},
		"OnlyBegun":        {reason: "a rollout that is paused or stuck leaves old pods", was: &claim.Rollout{Injection: "h1", Template: "t1"}, hash: "h1", template: "t2", status: halfway, want: &claim.Rollout{Injection: "h1", Template: "t1"}, waits: "1 of its 3 pods are of the new template"},
		"RolledBack":       {reason: "the template is the one of old pods again", was: &claim.Rollout{Injection: "h1", Template: "t1"}, hash: "h1", template: "t1", status: done, want: &claim.Rollout{Injection: "h1", Template: "t1"}, waits: notRestarted},
		"Restarted":        {reason: "the template is another, and all pods are of it", was: &claim.Rollout{Injection: "h1", Template: "t1"}, hash: "h1", template: "t2", status: done, want: &claim.Rollout{Injection: "h1", Current: true}},
		"ScaledToZero":     {reason: "there is no pod at all", was: &claim.Rollout{Injection: "h1", Template: "t1"}, hash: "h1", template: "t1", status: `{replicas: 0}`, want: &claim.Rollout{Injection: "h1", Current: true}},
		"Current":          {reason: "a new template makes nothing older", was: &claim.Rollout{Injection: "h1", Current: true}, hash: "h1", template: "t3", status: halfway, want: &claim.Rollout{Injection: "h1", Current: true}},
		"Gone":             {reason: "it may have left its pods behind", was: &claim.Rollout{Injection: "h1", Template: "t1"}, hash: "h1", want: &claim.Rollout{Injection: "h1", Template: "t1"}, waits: absent},
		"NeverSeen":        {reason: "pods may name their service by labels", was: &claim.Rollout{Injection: "h2"}, hash: "h2", want: &claim.Rollout{Injection: "h2"}, waits: absent},
		"AnotherInjection": {reason: "a restart for the injection before counts for nothing", was: &claim.Rollout{Injection: "h1", Template: "t1"}, hash: "h2", template: "t2", status: done, want: &claim.Rollout{Injection: "h2"}, waits: notRestarted},
		"Withdrawn":        {reason: "pods may still have what was published", was: &claim.Rollout{Injection: "h1", Current: true}, template: "t1", want: &claim.Rollout{}, waits: notRestarted},
		"WithdrawnAndOut":  {reason: "no pod has it any more", was: &claim.Rollout{Template: "t1"}, template: "t2", status: done, want: &claim.Rollout{Current: true}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := sight{hash: tc.template, first: tc.first}
			now.kind, _ = workload.KindOf("apps/v1", "Deployment")
			if tc.template != "" {
				now.object = object(t, `{spec: {replicas: 2}, status: `+cmp.Or(tc.status, done)+`}`)
			}
			if tc.status == `{replicas: 0}` {
				now.object["spec"] = map[string]any{"replicas": 0.0}
			}
			got, waits := advance(tc.was, tc.hash, now)
			if diff := gocmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
			want(t, tc.waits, waits, "waits, "+tc.reason)
		})
	}
}

// TestUnread holds what is remembered of a workload that may not be read now.
func TestUnread(t *testing.T) {
	t.Parallel()
	was := &claim.Rollout{Injection: "h1", Current: true}
	if diff := gocmp.Diff(was, unread(was, "h1")); diff != "" {
		t.Errorf("the same injection: -want, +got:\n%s", diff)
	}
	if diff := gocmp.Diff(&claim.Rollout{Injection: "h2"}, unread(was, "h2")); diff != "" {
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
		"OneIsRefused":  {"one that never worked keeps the pods from nothing that does", world{services: `[{name: api, connections: [{type: awsRole, role: my-app-s3}, {type: disk, config: {diskName: "Not Valid"}}]}]`, composed: account, objects: []string{deployment}}, command},
		"AllAreRefused": {"there is nothing that they would gain", world{services: `[{name: api, connections: [{type: disk, config: {diskName: "Not Valid"}}]}]`, composed: account, objects: []string{deployment}}, ""},
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
