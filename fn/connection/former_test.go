package connection

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/settings"
	"github.com/serviceconnections/function-service-connections/input/v1beta1"
)

// TestCollisions is of pairs that were found by search, in seconds each: the hashes of 40
// bits, and that of 32 of a created role's owner, are the same for both.
func TestCollisions(t *testing.T) {
	t.Parallel()

	object, external := strings.Repeat("a", 40)+"-", strings.Repeat("a", 102)+"-"
	s := &settings.Settings{Settings: v1beta1.Settings{
		Cluster: v1beta1.Cluster{Name: "prod"},
		AWS:     &v1beta1.AWS{Region: "eu-west-1", ClusterName: "prod", Mode: settings.ModePodIdentity},
	}}
	of := func(namespace, serviceAccount string) Context {
		return Context{Claim: &claim.Claim{Namespace: namespace}, ServiceAccount: serviceAccount, Settings: s}
	}
	const issuer = "https://oidc.example.com/1/"
	cases := map[string]struct {
		reason      string
		one, other  Context
		former, now func(c Context) string
	}{
		"ObjectsOfTwoTeams": {
			reason: "in claims mode objects have no namespace, and one team's association stood in the way of the other's",
			one:    of("team-a", object+"16ad00"), other: of("team-b", object+"23d70c"),
			former: func(c Context) string {
				return c.formerly(c.formerKey("association", c.associationIdentity()...), "association").Name
			},
			now: func(c Context) string { return c.sharedName(c.associationKey(), "association") },
		},
		"CredentialsOfTwoTeams": {
			reason: "on one identity the provider took over the credential that was there, and gave it another subject",
			one:    of("team-a", external+"896ab"), other: of("team", "a-"+external+"4355c"),
			former: func(c Context) string {
				return credentialName(c.Claim.Namespace, c.ServiceAccount, formerHash(issuer, "system:serviceaccount:"+c.Claim.Namespace+":"+c.ServiceAccount))
			},
			now: func(c Context) string {
				return credentialName(c.Claim.Namespace, c.ServiceAccount, hash(issuer, "system:serviceaccount:"+c.Claim.Namespace+":"+c.ServiceAccount))
			},
		},
		"OwnersOfCreatedRoles": {
			reason: "a created role's name told that it was for either of the two",
			one:    of("team-a", "shop-978ed"), other: of("team-b", "cart-617"),
			former: func(c Context) string { return digest(formerOwnerLength, c.Claim.Namespace, c.ServiceAccount) },
			now: func(c Context) string {
				name := c.createdNameOf("/", hashLength)
				return name[len(name)-2*hashLength : len(name)-hashLength]
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if one, other := tc.former(tc.one), tc.former(tc.other); one != other {
				t.Errorf("%s: this is no collision: %q and %q", tc.reason, one, other)
			}
			if one, other := tc.now(tc.one), tc.now(tc.other); one == other {
				t.Errorf("%s: both have %q", tc.reason, one)
			}
		})
	}

	one, other := cases["OwnersOfCreatedRoles"].one, cases["OwnersOfCreatedRoles"].other
	if role := one.createdNameOf("/", hashLength); !createdFor(role, "team-a", one.ServiceAccount) || createdFor(role, "team-b", other.ServiceAccount) {
		t.Errorf("whose the role %q is isn't told", role)
	}
	if role := one.createdNameOf("/", formerOwnerLength); !isCreatedName(role) || !createdFor(role, "team-a", one.ServiceAccount) || createdFor(role, "team-b", "cart-1") {
		t.Errorf("whose the role %q of a former name is isn't told", role)
	}
}

// TestChangeToACollidingIdentity changes a claim from one identity to another whose key had
// the same 40 bits. In place, the credential on the first would stay in Azure while the
// object says that it is on the other, and no list could take it back.
func TestChangeToACollidingIdentity(t *testing.T) {
	t.Parallel()

	const one, other = "api-ad5f1", "api-22ad2b"
	credential := func(identity string, observed Observed) Grant {
		c := newContext(t, azureSettings, expandCase{connection: `{type: azureManagedIdentity, identityName: ` + identity + `, resourceGroup: rg}`})
		c.Observed = observed
		return c.credential(c.armID())
	}
	first, second := credential(one, Observed{}), credential(other, Observed{})
	if first.Former.Key != second.Former.Key || first.Key == second.Key {
		t.Fatalf("the pair is none: %q, %q", first.Former, second.Former)
	}
	seen := Observed{Composed: map[string]Composed{first.Former.Key: {Object: first.Object}}}
	if got := credential(one, seen); got.Key != first.Former.Key {
		t.Errorf("the credential that is there would be made anew, as %q", got.Key)
	}
	if got := credential(other, seen); got.Key != second.Key {
		t.Errorf("the credential on the first identity would be changed in place: both are %q", got.Key)
	}
}

// TestFormer holds that another claim's object of a former name is told from another
// grant's that happens to be called so.
func TestFormer(t *testing.T) {
	t.Parallel()

	f := Former{Key: "shop-api.association.df86318b5f", Name: "shop-api-association-f7145b35bd"}
	cases := map[string]struct {
		reason string
		object string
		want   bool
	}{
		"Absent":         {reason: "nothing is called so", object: `null`},
		"Namespaced":     {reason: "the same grant of another claim", object: `{metadata: {namespace: team-a, annotations: {crossplane.io/composition-resource-name: shop-api.association.df86318b5f}}}`, want: true},
		"ClusterScoped":  {reason: "a label has the namespace of its claim", object: `{metadata: {labels: {crossplane.io/claim-namespace: team-a}, annotations: {crossplane.io/composition-resource-name: shop-api.association.df86318b5f}}}`, want: true},
		"WithoutAKey":    {reason: "somebody may have taken it away", object: `{metadata: {namespace: team-a}}`, want: true},
		"OfAnotherGrant": {reason: "its name has the same 40 bits, and it isn't in the way any more", object: `{metadata: {namespace: team-a, annotations: {crossplane.io/composition-resource-name: shop-api.association.0000000000}}}`},
		"OfAnotherTeam":  {reason: "another namespace's is another grant", object: `{metadata: {labels: {crossplane.io/claim-namespace: team-b}, annotations: {crossplane.io/composition-resource-name: shop-api.association.df86318b5f}}}`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var object map[string]any
			if err := yaml.Unmarshal([]byte(tc.object), &object); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, f.Is(object, "team-a")); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
