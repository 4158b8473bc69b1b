package plan

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/fn/connection"
)

// TestAsApplied holds that a kept object is put back with exactly the fields that
// Crossplane's field manager owns.
func TestAsApplied(t *testing.T) {
	t.Parallel()

	const object = `
apiVersion: eks.aws.m.upbound.io/v1beta1
kind: PodIdentityAssociation
metadata:
  name: api-association-1
  namespace: team-a
  uid: u1
  labels: {crossplane.io/composite: shop, theirs: x}
  annotations: {crossplane.io/external-name: a-1, serviceconnections.io/needed-by: api/awsRole}
  ownerReferences: [{uid: xr, controller: true}]
spec:
  managementPolicies: [Observe, Create, Late]
  forProvider: {region: eu-west-1, late: initialized}
  initProvider: {added: by the provider}
  atomic: [{a: 1}, {b: 2}]
  keyed: [{name: ours, value: 1, theirs: 2}, {name: other}]
  indexed: [x, y]
status: {phase: Ready}
`
	cases := map[string]struct {
		reason string
		fields string
		want   string
	}{
		"Owned": {
			reason: "what others own stays theirs, what we own stays ours",
			fields: `
- manager: apiextensions.crossplane.io/composed/0a1b
  operation: Apply
  fieldsV1:
    f:metadata:
      f:labels: {"f:crossplane.io/composite": {}}
      f:annotations: {"f:serviceconnections.io/needed-by": {}}
      f:ownerReferences: {'k:{"uid":"xr"}': {}}
    f:spec:
      f:managementPolicies: {'v:"Observe"': {}, 'v:"Create"': {}}
      f:forProvider: {"f:region": {}}
      f:initProvider: {}
      f:atomic: {}
      f:keyed: {'k:{"name":"ours"}': {".": {}, "f:name": {}, "f:value": {}}}
      f:indexed: {"i:1": {}}
- manager: apiextensions.crossplane.io/composed/0a1b
  operation: Apply
  subresource: status
  fieldsV1: {f:status: {f:phase: {}}}
- manager: provider
  operation: Update
  fieldsV1: {f:metadata: {f:annotations: {"f:crossplane.io/external-name": {}}}, f:spec: {f:forProvider: {f:late: {}}}}
`,
			want: `
apiVersion: eks.aws.m.upbound.io/v1beta1
kind: PodIdentityAssociation
metadata:
  name: api-association-1
  namespace: team-a
  labels: {crossplane.io/composite: shop}
  annotations: {serviceconnections.io/needed-by: api/awsRole}
spec:
  managementPolicies: [Observe, Create]
  forProvider: {region: eu-west-1}
  initProvider: {}
  atomic: [{a: 1}, {b: 2}]
  keyed: [{name: ours, value: 1}]
  indexed: [y]
`,
		},
		"SomeItems": {
			reason: "of a list whose items have keys, ours stay, in their order",
			fields: `
- manager: apiextensions.crossplane.io/composed/0a1b
  operation: Apply
  fieldsV1: {f:spec: {f:keyed: {'k:{"name":"ours"}': {"f:name": {}}, 'k:{"name":"other"}': {"f:name": {}}}}}
`,
			want: `
apiVersion: eks.aws.m.upbound.io/v1beta1
kind: PodIdentityAssociation
metadata: {name: api-association-1, namespace: team-a}
spec: {keyed: [{name: ours}, {name: other}]}
`,
		},
		"NotOurs": {
			reason: "an object of which we own nothing is named, and no field of it is taken",
			fields: `[{manager: kubectl, operation: Update, fieldsV1: {f:spec: {}}}]`,
			want:   `{apiVersion: eks.aws.m.upbound.io/v1beta1, kind: PodIdentityAssociation, metadata: {name: api-association-1, namespace: team-a}}`,
		},
		"Unreadable": {
			reason: "managed fields that can't be read own nothing",
			fields: `[{manager: apiextensions.crossplane.io/composed/0a1b, operation: Apply, fieldsV1: {x:spec: 3}}, nonsense]`,
			want:   `{apiVersion: eks.aws.m.upbound.io/v1beta1, kind: PodIdentityAssociation, metadata: {name: api-association-1, namespace: team-a}}`,
		},
		"NoManagedFields": {
			reason: "a rendering without an API server keeps all but what a server writes",
			fields: `[]`,
			want: `
apiVersion: eks.aws.m.upbound.io/v1beta1
kind: PodIdentityAssociation
metadata:
  name: api-association-1
  namespace: team-a
  labels: {crossplane.io/composite: shop, theirs: x}
  annotations: {crossplane.io/external-name: a-1, serviceconnections.io/needed-by: api/awsRole}
spec:
  managementPolicies: [Observe, Create, Late]
  forProvider: {region: eu-west-1, late: initialized}
  initProvider: {added: by the provider}
  atomic: [{a: 1}, {b: 2}]
  keyed: [{name: ours, value: 1, theirs: 2}, {name: other}]
  indexed: [x, y]
`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var o, want map[string]any
			var fields []any
			for text, v := range map[string]any{object: &o, tc.fields: &fields, tc.want: &want} {
				if err := yaml.Unmarshal([]byte(text), v); err != nil {
					t.Fatal(err)
				}
			}
			got := asApplied(connection.Composed{Object: o, ManagedFields: func() []any { return fields }})
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
