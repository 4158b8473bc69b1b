package docs_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/printers"
	"sigs.k8s.io/yaml"
)

// claimsToFind are ServiceConnections as the API server lists them: one that is well, one
// that is read without its workload, and one whose requests are refused.
const claimsToFind = `
apiVersion: v1
kind: List
items:
- metadata: {namespace: team-a, name: well}
  status:
    conditions: [{type: Synced, status: "True"}, {type: Ready, status: "True"}]
    services: [{name: api, notes: [{reason: Superseded, message: kept}]}, {name: web}]
- metadata: {namespace: team-b, name: large}
  status:
    conditions: [{type: Synced, status: "True"}]
    services: [{name: api}, {name: worker, notes: [{reason: Superseded}, {reason: ReadWithoutWorkload}]}]
- metadata: {namespace: team-c, name: refused}
  status:
    conditions: [{type: Ready, status: "False"}, {type: Synced, status: "False", message: cannot read a request of 9000000 bytes}]
- metadata: {namespace: team-c, name: new}
`

// composedToFind are ServiceAccounts and volume claims: one of a team's own, one that is
// composed, and two whose name in Crossplane somebody has changed or taken away.
const composedToFind = `
apiVersion: v1
kind: List
items:
- {kind: ServiceAccount, metadata: {namespace: team-a, name: default}}
- kind: ServiceAccount
  metadata:
    namespace: team-a
    name: shop-api
    annotations: {crossplane.io/composition-resource-name: shop-api.serviceaccount}
    ownerReferences: [{apiVersion: serviceconnections.io/v1alpha1, controller: true}]
- kind: ServiceAccount
  metadata:
    namespace: team-a
    name: shop-web
    annotations: {crossplane.io/composition-resource-name: shop-web.association.df86318b5fa44363}
    ownerReferences: [{apiVersion: serviceconnections.io/v1alpha1, controller: true}]
- kind: PersistentVolumeClaim
  metadata:
    namespace: team-a
    name: uploads
    ownerReferences: [{apiVersion: serviceconnections.io/v1alpha1, controller: true}]
- kind: PersistentVolumeClaim
  metadata:
    namespace: team-a
    name: others
    ownerReferences: [{apiVersion: apps/v1, controller: true}]
`

// interruptedToFind are managed resources that are being deleted while their creation is
// pending, in a namespace and in none; then one that isn't deleted, one of somebody else,
// one whose creation isn't pending, and one without a status.
const interruptedToFind = `
apiVersion: v1
kind: List
items:
- apiVersion: eks.aws.m.upbound.io/v1beta1
  kind: PodIdentityAssociation
  metadata: {namespace: team-a, name: one, deletionTimestamp: "2026-01-01T00:00:00Z", annotations: {serviceconnections.io/needed-by: api/awsRole, crossplane.io/external-create-pending: "2026-01-01T00:00:00Z"}}
  status: {conditions: [{type: Ready, status: "True"}, {type: Synced, status: "False", message: cannot determine creation result - remove it}]}
- apiVersion: iam.aws.upbound.io/v1beta1
  kind: Policy
  metadata: {name: two, deletionTimestamp: "2026-01-01T00:00:00Z", annotations: {serviceconnections.io/needed-by: api/awsRole, crossplane.io/external-create-pending: "2026-01-01T00:00:00Z"}}
  status: {conditions: [{type: Synced, status: "False", message: cannot get it}]}
- metadata: {name: there, annotations: {serviceconnections.io/needed-by: api/awsRole, crossplane.io/external-create-pending: "2026-01-01T00:00:00Z"}}
  status: {conditions: [{type: Synced, status: "False", message: cannot determine creation result}]}
- metadata: {name: theirs, deletionTimestamp: "2026-01-01T00:00:00Z", annotations: {crossplane.io/external-create-pending: "2026-01-01T00:00:00Z"}}
  status: {conditions: [{type: Synced, status: "False", message: cannot determine creation result}]}
- metadata: {name: done, deletionTimestamp: "2026-01-01T00:00:00Z", annotations: {serviceconnections.io/needed-by: api/awsRole}}
  status: {conditions: [{type: Synced, status: "False", message: cannot determine creation result}]}
- metadata: {name: new, deletionTimestamp: "2026-01-01T00:00:00Z", annotations: {serviceconnections.io/needed-by: api/awsRole, crossplane.io/external-create-pending: "2026-01-01T00:00:00Z"}}
`

// TestCommandsFindThem runs the templates of docs/operate.md, by kubectl's own printer,
// on what they must find and on what they must leave out.
func TestCommandsFindThem(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		reason string
		with   string
		list   string
		want   string
	}{
		"ReadWithoutWorkload": {
			reason: "Whoever operates it must find whose claim is too large to be read whole.",
			with:   "ReadWithoutWorkload", list: claimsToFind, want: "team-b large worker\n",
		},
		"Refused": {
			reason: "A claim whose requests are refused isn't revoked, so it must be found.",
			with:   ": {{.message}}", list: claimsToFind, want: "team-c refused: cannot read a request of 9000000 bytes\n",
		},
		"Composed": {
			reason: "The last column tells what hides from Crossplane, also where it is empty.",
			with:   "ownerReferences}}{{if and .controller", list: composedToFind,
			want: "ServiceAccount team-a/shop-api shop-api.serviceaccount\nServiceAccount team-a/shop-web shop-web.association.df86318b5fa44363\nPersistentVolumeClaim team-a/uploads <no value>\n",
		},
		"Interrupted": {
			reason: "Only what is being deleted and is ours may go on, and what says why it waits is told with it.",
			with:   "external-create-pending", list: interruptedToFind,
			want: "eks.aws.m.upbound.io/v1beta1 PodIdentityAssociation one team-a cannot determine creation result - remove it\niam.aws.upbound.io/v1beta1 Policy two default cannot get it\n",
		},
	}

	templates := regexp.MustCompile(`-o go-template='([^']+)'`).FindAllStringSubmatch(read(t, "operate.md"), -1)

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			var found []string

			for _, m := range templates {
				if strings.Contains(m[1], tc.with) {
					found = append(found, m[1])
				}
			}

			if len(found) != 1 {
				t.Fatalf("want one command with %s, got %q", tc.with, found)
			}

			printer, err := printers.NewGoTemplatePrinter([]byte(found[0]))
			if err != nil {
				t.Fatal(err)
			}

			list := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(tc.list), &list.Object); err != nil {
				t.Fatal(err)
			}

			var out bytes.Buffer
			if err := printer.PrintObj(list, &out); err != nil {
				t.Fatal(err)
			}

			if diff := cmp.Diff(tc.want, out.String()); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
