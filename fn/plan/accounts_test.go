package plan

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestComposeAccounts holds the annotations of a composed ServiceAccount, which
// say as whom its pods act.
func TestComposeAccounts(t *testing.T) {
	t.Parallel()
	const annotation = "iam.gke.io/gcp-service-account"
	as := func(email string) map[string]string {
		return map[string]string{"shop-api.serviceaccount": strings.Replace(serviceAccount, "namespace: team-a", `namespace: team-a, annotations: {`+annotation+`: "`+email+`"}`, 1)}
	}
	with := func(composed map[string]string, key, object string) map[string]string {
		composed[key] = object
		return composed
	}
	google := func(email string) string {
		return `[{name: api, connections: [{type: gcpServiceAccount, serviceAccountEmail: ` + email + `}]}]`
	}
	cases := map[string]struct {
		reason string
		world  world
		want   string
	}{
		"First": {
			reason: "nothing else works yet, so it needn't wait for its grant",
			world:  world{services: google(sqlEmail)},
			want:   sqlEmail,
		},
		"SwitchBeforeTheGrant": {
			reason: "the old identity works until the new one does",
			world:  world{services: google(sqlEmail), composed: with(as(other), "shop-api.member.0123456789", member("api/gcpServiceAccount", other))},
			want:   other,
		},
		"SwitchWithoutAPredecessor": {
			reason: "what the annotation names works no more",
			world:  world{services: google(sqlEmail), composed: as(other)},
			want:   sqlEmail,
		},
		"SwitchFromARevokedOne": {
			reason: "nothing that is revoked holds anything up",
			world: world{
				services: google(sqlEmail), settings: strings.Replace(cluster, "name: other-client", "name: nobody", 1),
				composed: with(as(other), "shop-api.member.0123456789", member("api/gcpServiceAccount", other)),
			},
			want: sqlEmail,
		},
		"OfPodsThatAnotherServiceHasNow": {
			reason: "they keep the ServiceAccount until all works with that service's own, and so what it is annotated with",
			world: world{
				services: `[{name: api, workload: {name: web}, connections: []}, {name: web, workload: {name: api}, connections: [{type: gcpServiceAccount, serviceAccountEmail: ` + other + `}]}]`,
				composed: with(as(other), "shop-api.member.0123456789", member("api/gcpServiceAccount", other)),
				previous: `services: [{name: api, workload: {apiVersion: apps/v1, kind: Deployment, name: api}, connections: [{type: gcpServiceAccount, ready: true}],
					injection: {hash: "0123456789abcdef", complete: true, serviceAccountName: shop-api}}]`,
			},
			want: other,
		},
		"Mistake": {
			reason: "a connection that can't be expanded now takes nothing away",
			world:  world{services: google("not-an-email"), composed: as(other)},
			want:   other,
		},
		"MistakeAndRevoked": {
			reason: "a mistake keeps no identity that a list excludes",
			world:  world{services: google("not-an-email"), settings: strings.Replace(cluster, "name: other-client", "name: nobody", 1), composed: as(other)},
		},
		"Left": {
			reason: "no connection of its cloud is in the claim",
			world:  world{services: api, composed: as(other)},
		},
		"LeftAnIncompleteClaim": {
			reason: "its connection may be the one that can't be told apart",
			world:  world{services: `[{name: api, connections: [{type: unknown}]}]`, composed: as(other)},
			want:   other,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			accounts := composeAccounts(hold(grantWishes(wishFor(gather(tc.world.input(t))))))
			var got string
			object, ok := accounts.composesAccount(accounts.services[0].account)
			want(t, true, ok, "composed")
			if metadata, _ := object["metadata"].(map[string]any); metadata["annotations"] != nil {
				got, _ = metadata["annotations"].(map[string]any)[annotation].(string)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: annotation, -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
	for name, w := range map[string]world{
		"Taken": {services: api, objects: []string{theirs}},
		"Named": {services: strings.Replace(google(sqlEmail), "name: api", "name: api, serviceAccountName: mine", 1), objects: []string{mine}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want(t, 0, len(composeAccounts(hold(grantWishes(wishFor(gather(w.input(t)))))).serviceAccounts), "composed ServiceAccounts of others")
		})
	}
}
