package plan

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
)

const (
	memberCRD = `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: serviceaccountiammembers.cloudplatform.gcp.m.upbound.io}, status: {conditions: [{type: Established, status: "True"}]}}`
)

// TestGrantWishes holds what is composed for connections that may be granted.
func TestGrantWishes(t *testing.T) {
	t.Parallel()
	g := wishFor(gather(world{services: google(sqlEmail)}.input(t))).all[0].Grants[0]
	name, _ := connection.Name(g.Object)
	there := `{apiVersion: ` + g.Kind.APIVersion + `, kind: ` + g.Kind.Kind + `, metadata: {name: ` + name + `, namespace: team-a`
	free := connection.Requirement{APIVersion: g.Kind.APIVersion, Kind: g.Kind.Kind, Namespace: "team-a", Name: name}
	former := free
	former.Name = g.Former.Name
	thereFormerly := strings.Replace(there, name, former.Name, 1)
	asThat, asOther := `, annotations: {crossplane.io/composition-resource-name: `+g.Former.Key+`}`, `, annotations: {crossplane.io/composition-resource-name: other.member.0000000000}`
	claimOf := `, labels: {crossplane.io/claim-name: cart}}}`
	user := func(service string) connection.Need {
		return connection.Need{Service: service, Type: claim.TypeGCPServiceAccount}
	}
	cases := map[string]struct {
		reason  string
		world   world
		answers bool
		desired string
		needs   []connection.Need
		refused connection.Reason
		blocked connection.Reason
	}{
		"Free":                 {reason: "the kind is installed and nobody has the name", world: world{services: google(sqlEmail), objects: []string{memberCRD}}, answers: true, needs: []connection.Need{user("a")}},
		"Shared":               {reason: "two services that ask for the same have one object", world: world{services: google(sqlEmail, sqlEmail), objects: []string{memberCRD}}, answers: true, needs: []connection.Need{user("a"), user("b")}},
		"Observed":             {reason: "what is there is of an installed kind and ours", world: world{services: google(sqlEmail), composed: map[string]string{g.Key: member("a/gcpServiceAccount", sqlEmail)}}, needs: []connection.Need{user("a")}},
		"NotAsked":             {reason: "Crossplane must look first", world: world{services: google(sqlEmail)}, blocked: connection.CrossplaneTooOld},
		"NotInstalled":         {reason: "to apply it would stop the whole reconcile", world: world{services: google(sqlEmail), objects: []string{`{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: serviceaccountiammembers.cloudplatform.gcp.m.upbound.io}}`}}, blocked: connection.ProviderNotInstalled},
		"OfAnotherClaim":       {reason: "that claim has what this one asks for", world: world{services: google(sqlEmail), objects: []string{memberCRD, there + `, labels: {crossplane.io/claim-name: cart}}}`}}, answers: true, refused: connection.ServiceAccountConflict},
		"OursUnseen":           {reason: "it is ours by its controller", world: world{services: google(sqlEmail), objects: []string{memberCRD, there + `, ownerReferences: [{uid: ` + xrUID + `, controller: true}]}}`}}, answers: true, needs: []connection.Need{user("a")}},
		"FormerOfAnotherClaim": {reason: "that claim has it since names had shorter hashes", world: world{services: google(sqlEmail), objects: []string{memberCRD, thereFormerly + asThat + claimOf}}, answers: true, refused: connection.ServiceAccountConflict},
		"FormerOfAnotherGrant": {reason: "its name has the same 40 bits, which is in nobody's way now", world: world{services: google(sqlEmail), objects: []string{memberCRD, thereFormerly + asOther + claimOf}}, answers: true, needs: []connection.Need{user("a")}},
		"FormerOfOurs":         {reason: "a twin would lose what it has when the first one goes", world: world{services: google(sqlEmail), objects: []string{memberCRD, thereFormerly + asThat + `, ownerReferences: [{uid: ` + xrUID + `, controller: true}]}}`}}, answers: true, blocked: connection.Creating},
		"KeyOfAnEarlierStep":   {reason: "what that step composes isn't overwritten", world: world{services: google(sqlEmail)}, desired: g.Key, refused: connection.NameConflict},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.world.objects = append(tc.world.objects, mine)
			in := tc.world.input(t)
			for _, r := range []connection.Requirement{free, former} {
				if _, there := in.Observed.Required[r.Key()]; !there && tc.answers {
					in.Observed.Required[r.Key()] = nil
				}
			}
			in.Desired = map[string]bool{tc.desired: true}
			gs := grantWishes(wishFor(gather(in)))
			if diff := cmp.Diff(tc.needs, gs.composed[g.Key].needs); diff != "" {
				t.Errorf("%s: needs, -want, +got:\n%s", tc.reason, diff)
			}
			want(t, len(tc.needs) > 0, slices.Contains(slices.Collect(maps.Keys(gs.composed)), g.Key), "composed, "+tc.reason)
			want(t, tc.refused, gs.connections[0].verdict.Reason, "refused, "+tc.reason)
			want(t, tc.blocked, gs.connections[0].blocked.Reason, "blocked, "+tc.reason)
		})
	}
}
