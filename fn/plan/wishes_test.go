package plan

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/serviceconnections/function-service-connections/fn/connection"
)

const (
	mine = `{apiVersion: v1, kind: ServiceAccount, metadata: {name: mine, namespace: team-a}}`

	mineAsOther = `{apiVersion: v1, kind: ServiceAccount, metadata: {name: mine, namespace: team-a, annotations: {iam.gke.io/gcp-service-account: "` + other + `"}}}`

	// theirs is of a name that the claim would compose.
	theirs = `{apiVersion: v1, kind: ServiceAccount, metadata: {name: shop-api, namespace: team-a, labels: {crossplane.io/claim-name: cart}}}`
)

// google connections of services a, b and so on with ServiceAccount mine.
func google(emails ...string) string {
	services := make([]string, len(emails))
	for i, email := range emails {
		services[i] = `{name: ` + string(rune('a'+i)) + `, serviceAccountName: mine, connections: [{type: gcpServiceAccount, serviceAccountEmail: ` + email + `}]}`
	}
	return "[" + strings.Join(services, ", ") + "]"
}

// TestWishes holds which connections may be granted, and what is said of the
// others.
func TestWishes(t *testing.T) {
	t.Parallel()

	without := strings.Replace(cluster, `, serviceAccounts: [{name: sql-client, namespaces: [team-a]}, {name: other-client, namespaces: [team-a]}]`, "", 1)
	// key of the member that the claim asks for, as the function composes it.
	key := wishFor(gather(world{services: google(sqlEmail)}.input(t))).all[0].Grants[0].Key
	cases := map[string]struct {
		reason string
		world  world
		want   []connection.Reason
		warned bool
	}{
		"Allowed": {
			reason: "a list lets the namespace use the role",
			world:  world{services: api},
			want:   []connection.Reason{""},
		},
		"Invalid": {
			reason: "one broken connection hides no other",
			world:  world{services: `[{name: api, connections: [{type: awsRole, role: "not valid"}, {type: disk, config: {diskName: d}}]}]`},
			want:   []connection.Reason{connection.InvalidField, ""},
		},
		"Excluded": {
			reason: "a list that is there and doesn't name it grants nothing",
			world:  world{services: `[{name: api, connections: [{type: awsRole, role: admin}]}]`},
			want:   []connection.Reason{connection.NotAllowed},
		},
		"Unregistered": {
			reason: "Google accounts are registered, which is another step to take",
			world:  world{services: google("nobody@my-project-123456.iam.gserviceaccount.com"), objects: []string{mine}},
			want:   []connection.Reason{connection.ServiceAccountNotRegistered},
		},
		"ListIsAbsent": {
			reason: "an absent list grants nothing new, also where the annotation, which a team may write, says so",
			world:  world{services: google(other), settings: without, objects: []string{mineAsOther}},
			want:   []connection.Reason{connection.NotAllowed},
		},
		"ListIsAbsentAndItIsGranted": {
			reason: "an absent list takes nothing away",
			world:  world{services: google(sqlEmail), settings: without, objects: []string{mine}, composed: map[string]string{key: member("a/gcpServiceAccount", sqlEmail)}},
			want:   []connection.Reason{""},
			warned: true,
		},
		"ListIsAbsentAndAnotherIsGranted": {
			reason: "only the same target counts as granted",
			world:  world{services: google(sqlEmail), settings: without, objects: []string{mine}, composed: map[string]string{key: member("a/gcpServiceAccount", other)}},
			want:   []connection.Reason{connection.NotAllowed},
		},
		"ServiceAccountOfAnotherClaim": {
			reason: "a grant would go to somebody else's pods",
			world:  world{services: api, objects: []string{theirs}},
			want:   []connection.Reason{connection.ServiceAccountTaken},
		},
		"ServiceAccountThatDoesNotExist": {
			reason: "what is granted works as soon as the team has made it",
			world:  world{services: google(sqlEmail)},
			want:   []connection.Reason{""},
		},
		"ConflictWithNothingObserved": {
			reason: "the first of the claim wins",
			world:  world{services: google(sqlEmail, other), objects: []string{mine}},
			want:   []connection.Reason{"", connection.TwoGoogleAccounts},
		},
		"ConflictWithOneObserved": {
			reason: "an edit elsewhere in the claim must not switch a running service's identity",
			world:  world{services: google(sqlEmail, other), objects: []string{mine}, composed: map[string]string{"mine.member.0123456789": member("b/gcpServiceAccount", other)}},
			want:   []connection.Reason{connection.TwoGoogleAccounts, ""},
		},
		"ConflictWithBothObserved": {
			reason: "pods act as the one that the ServiceAccount's annotation names",
			world: world{services: google(sqlEmail, other), objects: []string{mineAsOther}, composed: map[string]string{
				"mine.member.0123456789": member("b/gcpServiceAccount", other), "mine.member.9876543210": member("a/gcpServiceAccount", sqlEmail),
			}},
			want: []connection.Reason{connection.TwoGoogleAccounts, ""},
		},
		"Agreement": {
			reason: "two services may share one identity",
			world:  world{services: google(sqlEmail, sqlEmail), objects: []string{mine}},
			want:   []connection.Reason{"", ""},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ws := wishFor(gather(tc.world.input(t)))
			got := make([]connection.Reason, 0, len(ws.all))
			for _, w := range ws.all {
				got = append(got, w.verdict.Reason)
				want(t, w.verdict.Reason == "", w.granted, "granted, "+tc.reason)
				want(t, tc.warned, len(w.warnings) > 0, "warned, "+tc.reason)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: reasons, -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
