package admission_test

import (
	"cmp"
	"fmt"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const (
	// composedFile has the policies that keep what Crossplane has composed in a team's
	// namespace, and disksFile what claims need besides.
	composedFile = "../../package/cluster/composed.yaml"
	disksFile    = "../../package/cluster/claims/validatingadmissionpolicy.yaml"
)

func TestComposed(t *testing.T) {
	t.Parallel()
	const (
		theirs   = `{apiVersion: v1, kind: ServiceAccount, metadata: {name: shop-api, namespace: team-a}}`
		composed = `
apiVersion: v1
kind: ServiceAccount
metadata:
  name: shop-api
  namespace: team-a
  annotations: {crossplane.io/composition-resource-name: serviceaccount.shop-api, eks.amazonaws.com/role-arn: a}
  labels: {crossplane.io/composite: shop}
  ownerReferences: [{apiVersion: serviceconnections.io/v1alpha1, kind: ServiceConnection, name: shop, uid: a, controller: true, blockOwnerDeletion: true}]`

		what  = `ServiceAccount "shop-api": user "jane" may not `
		known = `, by which Crossplane knows what it has composed for ServiceConnection "shop"; leave it as it is, and write annotations and labels of your own`
		kept  = what + `change by which owner reference it belongs to ServiceConnection "shop"; leave it as it is, and for a ServiceAccount or volume claim of your own use another name`
	)
	cases := map[string]struct {
		reason string
		old    string

		// change of the old object, or of the one that is created.
		change  func(u *unstructured.Unstructured)
		deleted bool
		by      write
		want    string
	}{
		"OwnAnnotation": {
			reason: "A team may annotate it.", old: composed,
			change: func(u *unstructured.Unstructured) {
				_ = unstructured.SetNestedField(u.Object, "b", "metadata", "annotations", "eks.amazonaws.com/role-arn")
			},
		},
		"NameRemoved": {
			reason: "Crossplane reconciles nothing any more of a ServiceConnection that has one without a name.", old: composed,
			change: func(u *unstructured.Unstructured) {
				unstructured.RemoveNestedField(u.Object, "metadata", "annotations", "crossplane.io/composition-resource-name")
			},
			want: what + `change "crossplane.io/composition-resource-name"` + known,
		},
		"NameOfAnother": {
			reason: "The function would take it for the association.", old: composed,
			change: func(u *unstructured.Unstructured) {
				_ = unstructured.SetNestedField(u.Object, "aws.association.0123", "metadata", "annotations", "crossplane.io/composition-resource-name")
			},
			want: what + `change "crossplane.io/composition-resource-name"` + known,
		},
		"AnnotationAdded": {
			reason: "A composed object says nothing else of Crossplane's.", old: composed,
			change: func(u *unstructured.Unstructured) {
				_ = unstructured.SetNestedField(u.Object, "x", "metadata", "annotations", "meta.crossplane.io/x")
			},
			want: what + `change "meta.crossplane.io/x"` + known,
		},
		"LabelChanged": {
			reason: "It says whose it is.", old: composed,
			change: func(u *unstructured.Unstructured) { u.SetLabels(map[string]string{"crossplane.io/composite": "other"}) },
			want:   what + `change "crossplane.io/composite"` + known,
		},
		"OwnerRemoved": {
			reason: "What nobody controls isn't deleted.", old: composed,
			change: func(u *unstructured.Unstructured) { u.SetOwnerReferences(nil) },
			want:   kept,
		},
		"OwnerNoController": {
			reason: "An owner that doesn't control it is none to Crossplane.", old: composed,
			change: func(u *unstructured.Unstructured) {
				refs := u.GetOwnerReferences()
				refs[0].Controller = nil
				u.SetOwnerReferences(refs)
			},
			want: kept,
		},
		"OwnerOfAnotherUID": {
			reason: "Crossplane knows its own by the UID.", old: composed,
			change: func(u *unstructured.Unstructured) {
				refs := u.GetOwnerReferences()
				refs[0].UID = "b"
				u.SetOwnerReferences(refs)
			},
			want: kept,
		},
		"SecondOwner": {
			reason: "Others may own it beside.", old: composed,
			change: func(u *unstructured.Unstructured) {
				refs := u.GetOwnerReferences()
				u.SetOwnerReferences(append(refs, refs[0]))
				refs = u.GetOwnerReferences()
				refs[1].APIVersion, refs[1].Kind, refs[1].Controller = "v1", "ConfigMap", nil
				u.SetOwnerReferences(refs)
			},
		},
		"Forged": {
			reason: "What Crossplane hasn't composed must not look like it.",
			change: func(u *unstructured.Unstructured) { *u = *parse(t, composed) },
			want:   what + `make it belong to ServiceConnection "shop", which has not composed it; leave the controller out of its ownerReferences`,
		},
		"Adopted": {
			reason: "Nor may what a team has become such.", old: theirs,
			change: func(u *unstructured.Unstructured) { *u = *parse(t, composed) },
			want:   what + `make it belong to ServiceConnection "shop", which has not composed it; leave the controller out of its ownerReferences`,
		},
		"Deleted": {
			reason: "One that is made anew by a team has no name.", old: composed, deleted: true,
			want: what + `delete it, since Crossplane has composed it for ServiceConnection "shop", and would make it anew; take its connections out of the ServiceConnection instead`,
		},
		"DeletedWithNamespace":   {reason: "With a namespace goes all that is in it.", old: composed, deleted: true, by: write{ending: true}},
		"DeletedByCollector":     {reason: "Its owner is gone.", old: composed, deleted: true, by: write{user: "system:serviceaccount:kube-system:generic-garbage-collector", groups: []string{"system:serviceaccounts:kube-system"}}},
		"DeletedByPlatformTeam":  {reason: "It may.", old: composed, deleted: true, by: write{platform: true}},
		"ComposedByCrossplane":   {reason: "Crossplane may write Compositions.", change: func(u *unstructured.Unstructured) { *u = *parse(t, composed) }, by: write{platform: true}},
		"Own":                    {reason: "Other ServiceAccounts are a team's own.", change: func(*unstructured.Unstructured) {}},
		"OwnOfAnotherController": {reason: "Other controllers make some too.", old: `{apiVersion: v1, kind: ServiceAccount, metadata: {name: shop-api, namespace: team-a, ownerReferences: [{apiVersion: example.org/v1, kind: ServiceConnection, name: shop, uid: a, controller: true}]}}`, deleted: true},
		"OwnDeleted":             {reason: "Other ServiceAccounts are a team's own.", old: theirs, deleted: true},
	}
	policies, _ := readValidating(t, composedFile)
	p := policies["service-connections-composed"]
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := tc.by
			w.resource = corev1.SchemeGroupVersion.WithResource("serviceaccounts")
			if w.user == "" {
				w.user = "jane"
			}
			object := parse(t, theirs)
			if tc.old != "" {
				w.old, object = parse(t, tc.old), parse(t, tc.old)
			}
			if !tc.deleted {
				w.object = object
				tc.change(w.object)
			}
			if diff := gocmp.Diff(tc.want, denial(t, p, w)); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestComposedKindsOnly holds that the policy, which fails closed, looks at nothing
// but what Crossplane composes in a team's namespace.
func TestComposedKindsOnly(t *testing.T) {
	t.Parallel()
	policies, bindings := readValidating(t, composedFile)
	p := policies["service-connections-composed"]
	if p == nil || len(policies) != 2 {
		t.Fatalf("policies %v, want two", policies)
	}
	names := policies["service-connections-names"]
	if f := names.Spec.FailurePolicy; f == nil || *f != admissionregistrationv1.Ignore {
		t.Errorf("%s: failurePolicy %v: without ServiceConnections, nothing could be created", names.Name, f)
	}
	if f := p.Spec.FailurePolicy; f == nil || *f != admissionregistrationv1.Fail {
		t.Errorf("failurePolicy %v: a write that can't be checked must not pass", f)
	}
	if p.Spec.ParamKind != nil || bindings[p.Name].Spec.ParamRef != nil {
		t.Errorf("it has parameters: without them, it would refuse every write")
	}
	if n := len(p.Spec.MatchConditions); n != 1 {
		t.Errorf("%d match conditions: the API server evaluates each, and so would ask for rights because of any object", n)
	}
}

// TestNamesOfCrossplane holds that a team takes no name under which Crossplane is about
// to compose something. Of one that it has noted down and that is there without its
// annotation, it reconciles nothing any more (composition_functions.go, errAnonymousCD).
func TestNamesOfCrossplane(t *testing.T) {
	t.Parallel()
	const claim = `
apiVersion: serviceconnections.io/v1alpha1
kind: ServiceConnection
metadata: {name: shop, namespace: team-a, generation: 2}
spec: {services: [{name: api}], resourceRef: {apiVersion: serviceconnections.io/v1alpha1, kind: XServiceConnection, name: shop-x7k2p}}
status: {observedGeneration: %d}`
	unsettled, settled := fmt.Sprintf(claim, 1), fmt.Sprintf(claim, 2)
	const shop = `
apiVersion: serviceconnections.io/v1alpha1
kind: ServiceConnection
metadata: {name: shop, namespace: team-a}
spec:
  services: [{name: api}, {name: web, serviceAccountName: own}]
  crossplane: {resourceRefs: [{apiVersion: v1, kind: ServiceAccount, name: shop-left}, {apiVersion: v1, kind: PersistentVolumeClaim, name: uploads}, {apiVersion: v2, kind: ServiceAccount, name: other}, {apiVersion: v1, kind: ServiceAccount}]}`
	cases := map[string]struct {
		reason, kind, name string
		platform           bool

		// connection that isn't shop.
		connection string
		want       string
	}{
		"OfAService":     {reason: "It is composed as soon as Crossplane can.", kind: "ServiceAccount", name: "shop-api", want: `use another name, or say in the serviceAccountName of its service that it is one of your own`},
		"OfAServiceLeft": {reason: "It is noted down, whether it was ever there.", kind: "ServiceAccount", name: "shop-left", want: `use another name, or say in the serviceAccountName of its service that it is one of your own`},
		"OfADisk":        {reason: "So is a volume claim.", kind: "PersistentVolumeClaim", name: "uploads", want: `use another name, or take the disk out of the ServiceConnection first`},
		"ByCrossplane":   {reason: "It composes them.", kind: "ServiceAccount", name: "shop-api", platform: true},
		"NamedByService": {reason: "The service says that it is the team's.", kind: "ServiceAccount", name: "own"},
		"NotComposed":    {reason: "A service that names another has none composed.", kind: "ServiceAccount", name: "shop-web"},
		"OtherKind":      {reason: "A disk that is referenced is the team's to make, whatever it is called.", kind: "PersistentVolumeClaim", name: "shop-api"},
		"OtherVersion":   {reason: "It is another kind's.", kind: "ServiceAccount", name: "other"},
		"Own":            {reason: "All else is a team's own.", kind: "ServiceAccount", name: "mine"},

		"OfAServiceOfAClaim":     {reason: "A claim's services are composed as well.", connection: settled, kind: "ServiceAccount", name: "shop-api", want: `use another name, or say in the serviceAccountName of its service that it is one of your own`},
		"WhileAClaimChanges":     {reason: "A service that has just left may be noted down still, where no policy finds it.", connection: unsettled, kind: "ServiceAccount", name: "shop-left", want: `, or had a moment ago; use another name, or wait until its status.observedGeneration is its metadata.generation`},
		"OnceAClaimIsSettled":    {reason: "What has left is forgotten then.", connection: settled, kind: "ServiceAccount", name: "shop-left"},
		"OwnWhileAClaimChanges":  {reason: "No service had such a name.", connection: unsettled, kind: "ServiceAccount", name: "shopping"},
		"DiskWhileAClaimChanges": {reason: "Names of disks are the settings'.", connection: unsettled, kind: "PersistentVolumeClaim", name: "shop-left"},
	}
	policies, bindings := readValidating(t, composedFile)
	p := policies["service-connections-names"]
	if ref := bindings[p.Name].Spec.ParamRef; ref == nil || ref.Selector == nil || ref.ParameterNotFoundAction == nil || *ref.ParameterNotFoundAction != admissionregistrationv1.AllowAction {
		t.Errorf("paramRef %v: it must look at each ServiceConnection of the namespace, and at none where there is none", ref)
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			object := parse(t, "{apiVersion: v1, kind: "+tc.kind+", metadata: {name: "+tc.name+", namespace: team-a}}")
			resource := map[string]string{"ServiceAccount": "serviceaccounts", "PersistentVolumeClaim": "persistentvolumeclaims"}[tc.kind]
			want := ""
			if tc.want != "" {
				want = tc.kind + ` "` + tc.name + `": user "jane" may not create it, since ServiceConnection "shop" has it composed`
				if !strings.HasPrefix(tc.want, ", ") {
					want += "; "
				}
				want += tc.want
			}
			params := parse(t, cmp.Or(tc.connection, shop))
			got := denial(t, p, write{object: object, user: "jane", platform: tc.platform, params: params, resource: corev1.SchemeGroupVersion.WithResource(resource)})
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestNamesCost holds that no team makes the policy fail, which then would let through
// what it can't judge: not with the largest ServiceConnection, and all that it composes.
func TestNamesCost(t *testing.T) {
	t.Parallel()
	long := func(i int) string { return strings.Repeat("x", 250) + fmt.Sprintf("%03d", i%1000) }
	services, refs := make([]any, 0, 100), make([]any, 0, 3000)
	for i := range cap(services) {
		services = append(services, map[string]any{"name": strings.Repeat("x", 60) + fmt.Sprintf("%03d", i)})
	}
	for i := range cap(refs) {
		refs = append(refs, map[string]any{"apiVersion": "v1", "kind": "ServiceAccount", "name": long(i)})
	}
	shop := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "serviceconnections.io/v1alpha1", "kind": "ServiceConnection", "metadata": map[string]any{"name": strings.Repeat("x", 63), "generation": int64(1)},
		"spec": map[string]any{"services": services, "crossplane": map[string]any{"resourceRefs": append(refs, map[string]any{"apiVersion": "v1", "kind": "ServiceAccount", "name": "last"})}},
	}}
	policies, _ := readValidating(t, composedFile)
	account := parse(t, "{apiVersion: v1, kind: ServiceAccount, metadata: {name: last, namespace: team-a}}")
	got := denial(t, policies["service-connections-names"], write{object: account, user: "jane", params: shop, resource: corev1.SchemeGroupVersion.WithResource("serviceaccounts")})
	if !strings.Contains(got, "has it composed") {
		t.Errorf("a name that is noted down last can be taken: %q", got)
	}
}

// TestDisksOfClaims holds that a team takes no volume claim's name that the settings have
// composed, where Crossplane's own notes stand in the composite resource of a claim.
func TestDisksOfClaims(t *testing.T) {
	t.Parallel()
	const settings = `
apiVersion: apiextensions.crossplane.io/v1beta1
kind: EnvironmentConfig
metadata: {name: cluster-settings}
data:
  cluster: {name: one}
  disks:
  - {name: cache, namespaces: ["*"]}
  - {name: uploads, namespaces: ["*"], create: {size: 20Gi}}
  - {name: scratch, namespaces: ["other", "team-*"], create: {size: 1Gi}, deletionPolicy: Delete}
  - {name: exact, namespaces: ["team"], create: {size: 1Gi}, deletionPolicy: Delete}`
	cases := map[string]struct {
		reason, name string
		platform     bool
		settings     string
		refused      bool
	}{
		"Composed":       {reason: "Crossplane would stop at one that a team has made.", name: "scratch", refused: true},
		"ByCrossplane":   {reason: "It composes them.", name: "scratch", platform: true},
		"Retained":       {reason: "It is composed in an Object, by another name.", name: "uploads"},
		"Referenced":     {reason: "It is the team's to make.", name: "cache"},
		"OtherNamespace": {reason: "No claim of the namespace gets it.", name: "exact"},
		"Own":            {reason: "All else is a team's own.", name: "mine"},
		"NoSettings":     {reason: "Others have EnvironmentConfigs, too.", name: "scratch", settings: "{apiVersion: apiextensions.crossplane.io/v1beta1, kind: EnvironmentConfig, metadata: {name: other}, data: {disks: {scratch: 1}}}"},
		"NoData":         {reason: "One may hold nothing.", name: "scratch", settings: "{apiVersion: apiextensions.crossplane.io/v1beta1, kind: EnvironmentConfig, metadata: {name: other}}"},
	}
	policies, bindings := readValidating(t, disksFile)
	p := policies["service-connections-disks"]
	if ref := bindings[p.Name].Spec.ParamRef; ref == nil || ref.Selector == nil || ref.ParameterNotFoundAction == nil || *ref.ParameterNotFoundAction != admissionregistrationv1.AllowAction {
		t.Errorf("paramRef %v: it must look at each EnvironmentConfig, and let pass where there is none", ref)
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			object := parse(t, "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: "+tc.name+", namespace: team-a}}")
			want := ""
			if tc.refused {
				want = `PersistentVolumeClaim "` + tc.name + `": user "jane" may not create it, since the cluster settings have disk "` + tc.name + `" composed for ServiceConnections; connect to the disk, or use another name`
			}
			got := denial(t, p, write{object: object, user: "jane", platform: tc.platform, params: parse(t, cmp.Or(tc.settings, settings)), resource: corev1.SchemeGroupVersion.WithResource("persistentvolumeclaims")})
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
			}
		})
	}
}
