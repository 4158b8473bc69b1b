package admission_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// ownFile has the policies that keep Crossplane's part of a ServiceConnection.
const ownFile = "../../package/cluster/validatingadmissionpolicy.yaml"

// TestOwnKindsOnly holds that policies that fail closed can stop nothing but
// writes of ServiceConnections.
func TestOwnKindsOnly(t *testing.T) {
	t.Parallel()
	policies, bindings := readValidating(t, ownFile)
	if diff := cmp.Diff([]string{"service-connections-delete", "service-connections-spec", "service-connections-status"}, slices.Sorted(maps.Keys(policies))); diff != "" {
		t.Fatalf("policies -want +got:\n%s", diff)
	}
	for name, p := range policies {
		want := admissionregistrationv1.Fail
		if name == "service-connections-delete" {
			want = admissionregistrationv1.Ignore
		}
		if f := p.Spec.FailurePolicy; f == nil || *f != want {
			t.Errorf("%s: failurePolicy %v, want %s: what can't be checked must not be written, and may be deleted", name, f, want)
		}
		if p.Spec.ParamKind != nil || bindings[name].Spec.ParamRef != nil {
			t.Errorf("%s has parameters: without them, it would refuse every write", name)
		}
		for _, r := range p.Spec.MatchConstraints.ResourceRules {
			if diff := cmp.Diff([]string{"serviceconnections.io"}, r.APIGroups); diff != "" {
				t.Errorf("%s: API groups -want +got:\n%s", name, diff)
			}
			for _, resource := range r.Resources {
				if strings.HasPrefix(resource, "*") {
					t.Errorf("%s matches %s: name the resources", name, resource)
				}
			}
			if deletes := slices.Contains(r.Operations, admissionregistrationv1.Delete); deletes != (want == admissionregistrationv1.Ignore) {
				t.Errorf("%s: operations %v with failurePolicy %s", name, r.Operations, want)
			}
		}
	}
}

func parse(t testing.TB, y string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(y), &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

func TestSpecOfCrossplane(t *testing.T) {
	t.Parallel()
	const (
		claim     = "{apiVersion: serviceconnections.io/v1alpha1, kind: ServiceConnection, metadata: {name: shop, namespace: team-a}, spec: {SPEC}}"
		composite = "{apiVersion: serviceconnections.io/v1alpha1, kind: XServiceConnection, metadata: {name: shop-x7k2p}, spec: {SPEC}}"

		ofClaim     = `ServiceConnection "shop": user "jane" may not `
		ofComposite = `XServiceConnection "shop-x7k2p": user "jane" may not `
		revision    = `, which says where the settings are; leave compositionRevisionRef out, or ask the platform team to pin the revision`
		policy      = `set compositionUpdatePolicy to anything but Automatic, since it would not follow the settings then; leave it out, or ask the platform team to pin the revision`
		selector    = `choose revisions by compositionRevisionSelector, since they say where the settings are; leave it out, or ask the platform team to pin the revision`
		paused      = `pause it, since nothing of what it was granted could be taken back then; leave the annotation crossplane.io/paused out, or ask the platform team to pause it`
		held        = `", which would keep what it was granted when it is deleted; leave the finalizer out, and put it on an object of your own that must outlive it`
		resourceRef = `change resourceRef, which says its composite resource; `
		refs        = `change resourceRefs, the list of the objects that Crossplane has composed for it; `
		claimRef    = `change claimRef, which says the namespace that it has the rights of; create a ServiceConnection in that namespace`
	)
	cases := map[string]struct {
		reason   string
		kind     string
		old, now string
		create   bool
		platform bool
		want     string
	}{
		"CreatePlain":    {reason: "What a team writes.", kind: claim, create: true, now: "services: []"},
		"UpdatePlain":    {reason: "What a team writes.", kind: claim, old: "services: []", now: "services: [{name: api}]"},
		"WithoutAnySpec": {reason: "The schema refuses it, not this.", kind: "{apiVersion: serviceconnections.io/v1alpha1, kind: ServiceConnection, metadata: {name: shop}}", create: true},
		"GeneratedName": {
			reason: "It has no name yet.", create: true, now: "crossplane: {resourceRefs: [{name: a}]}",
			kind: "{apiVersion: serviceconnections.io/v1alpha1, kind: ServiceConnection, metadata: {generateName: shop-}, spec: {SPEC}}",
			want: `ServiceConnection "": user "jane" may not ` + refs + "leave it out",
		},
		"RefsAsTheyWere": {
			reason: "kubectl apply, edit and patch keep them.", kind: claim,
			old: "services: [], crossplane: {resourceRefs: [{name: a}], compositionRevisionRef: {name: serviceconnections-0123456}}",
			now: "services: [{name: api}], crossplane: {resourceRefs: [{name: a}], compositionRevisionRef: {name: serviceconnections-0123456}}",
		},
		"RefAdded": {
			reason: "Crossplane would take the object for its own.", kind: claim,
			old: "crossplane: {resourceRefs: [{name: a}]}", now: "crossplane: {resourceRefs: [{name: a}, {name: b}]}",
			want: ofClaim + refs + "leave it as it is, as kubectl apply and kubectl edit do",
		},
		"RefsRemoved": {
			reason: "What isn't on the list is never revoked.", kind: claim,
			old: "crossplane: {resourceRefs: [{name: a}]}", now: "services: []",
			want: ofClaim + refs + "leave it as it is, as kubectl apply and kubectl edit do",
		},
		"CreateWithRefs": {
			reason: "Nor may a new one have some.", kind: claim, create: true, now: "crossplane: {resourceRefs: [{name: a}]}",
			want: ofClaim + refs + "leave it out",
		},
		"RefsOfComposite": {
			reason: "There they are in the spec itself.", kind: composite, old: "resourceRefs: [{name: a}]", now: "resourceRefs: []",
			want: ofComposite + refs + "leave it as it is, as kubectl apply and kubectl edit do",
		},
		"Restore": {reason: "The platform team restores a backup.", kind: claim, create: true, platform: true, now: "crossplane: {resourceRefs: [{name: a}]}"},
		"OwnRevision": {
			reason: "An old one, or one that doesn't exist, takes nothing back.", kind: claim, create: true,
			now:  "crossplane: {compositionRevisionRef: {name: serviceconnections-0a1b2c3}}",
			want: ofClaim + `choose CompositionRevision "serviceconnections-0a1b2c3"` + revision,
		},
		"OwnRevisionOfComposite": {
			reason: "In claims mode it stands in the spec itself.", kind: claim, old: "compositionRevisionRef: {name: serviceconnections-1111111}", now: "compositionRevisionRef: {name: serviceconnections-0a1b2c3}",
			want: ofClaim + `choose CompositionRevision "serviceconnections-0a1b2c3"` + revision,
		},
		"RevisionByPlatformTeam": {
			reason: "Whoever may write Compositions may pin one.", kind: claim, create: true, platform: true,
			now: "crossplane: {compositionUpdatePolicy: Manual, compositionRevisionRef: {name: serviceconnections-0a1b2c3}}",
		},
		"Manual": {
			reason: "It would stay with its revision.", kind: claim, create: true, now: "crossplane: {compositionUpdatePolicy: Manual}",
			want: ofClaim + policy,
		},
		"ManualOfClaim": {
			reason: "In claims mode it stands in the spec itself.", kind: claim, old: "services: []", now: "compositionUpdatePolicy: Manual",
			want: ofClaim + policy,
		},
		"ManualAsItWas": {
			reason: "What the platform team has pinned, a team's edit keeps.", kind: claim,
			old: "crossplane: {compositionUpdatePolicy: Manual}", now: "crossplane: {compositionUpdatePolicy: Manual}, services: []",
		},
		"Automatic": {reason: "Crossplane's own default.", kind: claim, create: true, now: "compositionUpdatePolicy: Automatic"},
		"Selector": {
			reason: "One that selects nothing takes nothing back.", kind: claim, old: "services: []", now: "crossplane: {compositionRevisionSelector: {matchLabels: {a: b}}}",
			want: ofClaim + selector,
		},
		"SelectorAsItWas": {
			reason: "What the platform team has set, a team's edit keeps.", kind: claim,
			old: "compositionRevisionSelector: {matchLabels: {a: b}}", now: "compositionRevisionSelector: {matchLabels: {a: b}}, services: []",
		},
		"Paused": {
			reason: "Nothing of it is reconciled then.", create: true,
			kind: `{apiVersion: serviceconnections.io/v1alpha1, kind: ServiceConnection, metadata: {name: shop, annotations: {crossplane.io/paused: "true"}}}`,
			want: ofClaim + paused,
		},
		"PausedByPlatformTeam": {
			reason: "For maintenance.", create: true, platform: true,
			kind: `{apiVersion: serviceconnections.io/v1alpha1, kind: ServiceConnection, metadata: {name: shop, annotations: {crossplane.io/paused: "true"}}}`,
		},
		"PausedAsItWas": {
			reason: "What the platform team has paused, a team may edit.", old: "services: []", now: "services: [{name: api}]",
			kind: `{apiVersion: serviceconnections.io/v1alpha1, kind: ServiceConnection, metadata: {name: shop, annotations: {crossplane.io/paused: "true"}}, spec: {SPEC}}`,
		},
		"NotPaused": {
			reason: "Any other value pauses nothing.", create: true,
			kind: `{apiVersion: serviceconnections.io/v1alpha1, kind: ServiceConnection, metadata: {name: shop, annotations: {crossplane.io/paused: "false"}}}`,
		},
		"PollInterval": {
			reason: "Where nothing is watched, it would be looked at next year.", create: true,
			kind: `{apiVersion: serviceconnections.io/v1alpha1, kind: ServiceConnection, metadata: {name: shop, annotations: {crossplane.io/poll-interval: 8760h}}}`,
			want: ofClaim + `choose how often it is reconciled, since what it was granted could be taken back late then; leave the annotation crossplane.io/poll-interval out, or ask the platform team to set it`,
		},
		"PollIntervalByPlatformTeam": {
			reason: "It knows what that means.", create: true, platform: true,
			kind: `{apiVersion: serviceconnections.io/v1alpha1, kind: ServiceConnection, metadata: {name: shop, annotations: {crossplane.io/poll-interval: 8760h}}}`,
		},
		"PollIntervalAsItWas": {
			reason: "What the platform team has set, a team's edit keeps.", old: "services: []", now: "services: [{name: api}]",
			kind: `{apiVersion: serviceconnections.io/v1alpha1, kind: ServiceConnection, metadata: {name: shop, annotations: {crossplane.io/poll-interval: 5m}}, spec: {SPEC}}`,
		},
		"Finalizer": {
			reason: "One that is deleted but held is no longer revoked.", create: true,
			kind: "{apiVersion: serviceconnections.io/v1alpha1, kind: ServiceConnection, metadata: {name: shop, finalizers: [example.org/hold]}}",
			want: ofClaim + `set the finalizer "example.org/hold` + held,
		},
		"FinalizerOfCrossplane": {
			reason: "Crossplane sets its own; nobody would remove one of another kind's.", create: true,
			kind: "{apiVersion: serviceconnections.io/v1alpha1, kind: ServiceConnection, metadata: {name: shop, finalizers: [finalizer.apiextensions.crossplane.io]}}",
			want: ofClaim + `set the finalizer "finalizer.apiextensions.crossplane.io` + held,
		},
		"FinalizersAsTheyWere": {
			reason: "One that a team has set before stays until it takes it off.", old: "services: []", now: "services: [{name: api}]",
			kind: "{apiVersion: serviceconnections.io/v1alpha1, kind: ServiceConnection, metadata: {name: shop, finalizers: [example.org/hold, composite.apiextensions.crossplane.io]}, spec: {SPEC}}",
		},
		"ForegroundDeletion": {
			reason: "What it was granted goes first then.", create: true,
			kind: "{apiVersion: serviceconnections.io/v1alpha1, kind: ServiceConnection, metadata: {name: shop, finalizers: [foregroundDeletion]}}",
		},
		"CreateWithResourceRef": {
			reason: "It would claim what another one has.", kind: claim, create: true, now: "resourceRef: {name: other-x7k2p}",
			want: ofClaim + resourceRef + "leave it out",
		},
		"ResourceRefRemoved": {
			reason: "What it has would outlive it.", kind: claim, old: "resourceRef: {name: shop-x7k2p}", now: "services: []",
			want: ofClaim + resourceRef + "leave it as it is, as kubectl apply and kubectl edit do",
		},
		"ForeignRevision": {
			reason: "Another Composition may grant anything.", kind: claim, create: true, now: "crossplane: {compositionRevisionRef: {name: databases-0a1b2c3}}",
			want: ofClaim + `choose CompositionRevision "databases-0a1b2c3"` + revision,
		},
		"RevisionOfLongerName": {
			reason: "serviceconnections-test is another Composition.", kind: claim, create: true, now: "compositionRevisionRef: {name: serviceconnections-test-0a1b2c3}",
			want: ofClaim + `choose CompositionRevision "serviceconnections-test-0a1b2c3"` + revision,
		},
		"RevisionByPlatform": {
			reason: "What the platform team has pinned, a team's edit keeps.", kind: claim,
			old: "compositionRevisionRef: {name: canary-0a1b2c3}, services: []", now: "compositionRevisionRef: {name: canary-0a1b2c3}, services: [{name: api}]",
		},
		"OrphanFinalizer": {
			reason: "What it was granted would outlive it.", create: true,
			kind: "{apiVersion: serviceconnections.io/v1alpha1, kind: ServiceConnection, metadata: {name: shop, finalizers: [orphan]}}",
			want: ofClaim + `set the finalizer "orphan", which would leave what it was granted when it is deleted; leave the finalizer out`,
		},
		"ClaimRefAsItWas": {
			reason: "An operator annotates a composite resource.", kind: composite,
			old: "claimRef: {namespace: team-a, name: shop}", now: "claimRef: {namespace: team-a, name: shop}, services: []",
		},
		"ClaimRefOfAnotherNamespace": {
			reason: "It has the rights of that namespace.", kind: composite,
			old: "claimRef: {namespace: team-a, name: shop}", now: "claimRef: {namespace: team-b, name: shop}",
			want: ofComposite + claimRef,
		},
		"CreateWithClaimRef": {
			reason: "A claim makes it, or nobody.", kind: composite, create: true, now: "claimRef: {namespace: team-b, name: shop}",
			want: ofComposite + claimRef,
		},
	}
	policies, _ := readValidating(t, ownFile)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := write{
				object: parse(t, strings.Replace(tc.kind, "SPEC", tc.now, 1)), user: "jane", platform: tc.platform,
				resource: schema.GroupVersionResource{Group: "serviceconnections.io", Version: "v1alpha1", Resource: "serviceconnections"},
			}
			if !tc.create {
				w.old = parse(t, strings.Replace(tc.kind, "SPEC", tc.old, 1))
			}
			if diff := cmp.Diff(tc.want, denial(t, policies["service-connections-spec"], w)); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestFinalizersOfCrossplane are what a claim's composite resource is deleted by.
func TestFinalizersOfCrossplane(t *testing.T) {
	t.Parallel()
	policies, _ := readValidating(t, ownFile)
	const shop = "{apiVersion: serviceconnections.io/v1alpha1, kind: ServiceConnection, metadata: {name: shop, finalizers: [FINALIZERS]}}"
	for name, tc := range map[string]struct{ reason, old, now, want string }{
		"Removed": {
			reason: "The claim would be gone at once, and its composite resource would stay.", old: "finalizer.apiextensions.crossplane.io, example.org/hold", now: "example.org/hold",
			want: `ServiceConnection "shop": user "jane" may not remove the finalizer "finalizer.apiextensions.crossplane.io", by which Crossplane takes back what it was granted ` +
				`when it is deleted; leave it as it is, as kubectl apply and kubectl edit do`,
		},
		"OwnRemoved": {reason: "A team's own from before may go.", old: "finalizer.apiextensions.crossplane.io, example.org/hold", now: "finalizer.apiextensions.crossplane.io"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := denial(t, policies["service-connections-spec"], write{
				object: parse(t, strings.Replace(shop, "FINALIZERS", tc.now, 1)), old: parse(t, strings.Replace(shop, "FINALIZERS", tc.old, 1)), user: "jane",
				resource: schema.GroupVersionResource{Group: "serviceconnections.io", Version: "v1alpha1", Resource: "serviceconnections"},
			})
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestStatusOfCrossplane(t *testing.T) {
	t.Parallel()
	const refusal = `the status of ServiceConnection "shop" is written by system:serviceaccount:crossplane-system:crossplane alone, and not by "USER", ` +
		`since pods take their injection from it; change its spec, and the status follows. ` +
		`If that is your Crossplane, name it in ValidatingAdmissionPolicy service-connections-status`
	policies, _ := readValidating(t, ownFile)
	shop := "{apiVersion: serviceconnections.io/v1alpha1, kind: ServiceConnection, metadata: {name: shop, namespace: team-a}}"
	for user, tc := range map[string]struct {
		reason  string
		refused bool
	}{
		"system:serviceaccount:crossplane-system:crossplane":   {"Crossplane writes it.", false},
		"system:serviceaccount:crossplane-system:rbac-manager": {"Not each of Crossplane's accounts.", true},
		"system:serviceaccount:team-a:crossplane":              {"A team may name its own like that.", true},
		"jane": {"No person needs to.", true},
	} {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			want := ""
			if tc.refused {
				want = strings.Replace(refusal, "USER", user, 1)
			}
			got := denial(t, policies["service-connections-status"], write{
				object: parse(t, shop), old: parse(t, shop), subresource: "status", user: user, platform: true,
				resource: schema.GroupVersionResource{Group: "serviceconnections.io", Version: "v1alpha1", Resource: "serviceconnections"},
			})
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
			}
		})
	}
}
