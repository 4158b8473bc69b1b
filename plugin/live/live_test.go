package live

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/workload"
)

func object(t *testing.T, y string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	b, err := yaml.YAMLToJSON([]byte(y))
	if err != nil {
		t.Fatal(err)
	}
	// As the API server's answers are decoded: whole numbers are int64.
	if err := json.Unmarshal(b, &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

const shop = `
apiVersion: serviceconnections.io/v1alpha1
kind: ServiceConnection
metadata: {name: shop, namespace: team-a, generation: 2}
spec:
  services:
  - {name: api, connections: [{type: awsRole, role: my-app}]}
`

// TestOf reads what an object says of itself.
func TestOf(t *testing.T) {
	t.Parallel()
	const reported = shop + `
status:
  conditions:
  - {type: Connected, status: "True", reason: Connected, lastTransitionTime: "2026-01-02T03:04:05Z", observedGeneration: 2}
  services:
  - name: api
    connections: [{type: awsRole, ready: true, reason: Connected}]
`
	for name, tc := range map[string]struct {
		reason   string
		object   string
		answered bool
		ready    bool
		err      string
	}{
		"NoStatus": {
			reason: "Nobody has answered yet.",
			object: shop,
		},
		"Ready": {
			reason: "The status is about the spec.",
			object: reported, answered: true, ready: true,
		},
		"EarlierGeneration": {
			reason: "The status says that all is well of a spec that is no more.",
			object: strings.Replace(reported, "observedGeneration: 2", "observedGeneration: 1", 1), ready: true,
		},
		"NoGeneration": {
			reason: "Not every Crossplane says which generation a condition is about.",
			object: strings.Replace(reported, ", observedGeneration: 2", "", 1), answered: true, ready: true,
		},
		"EarlierGenerationOfAClaim": {
			reason: "Crossplane writes a claim's generation into all its conditions, and the status knows better.",
			object: strings.Replace(reported, "status:\n", "status:\n  observedGeneration: 1\n", 1), ready: true,
		},
		"GenerationObserved": {
			reason: "The status says so itself.",
			object: strings.Replace(reported, "status:\n", "status:\n  observedGeneration: 2\n", 1), answered: true, ready: true,
		},
		"GenerationNotTold": {
			reason: "A function of a release before tells none, and the field has its default.",
			object: strings.Replace(reported, "status:\n", "status:\n  observedGeneration: -1\n", 1), answered: true, ready: true,
		},
		"Announced": {
			reason: "the composite resource has come to the spec as it is, and the claim may have conditions of before",
			object: strings.Replace(reported, "status:\n", "status:\n  observedGeneration: -3\n", 1), ready: true,
		},
		"NewConnection": {
			reason: "The status doesn't have it, so it isn't about this spec.",
			object: strings.Replace(reported, "{type: awsRole, role: my-app}", "{type: awsRole, role: my-app}, {type: disk, config: {diskName: a}}", 1), ready: true,
		},
		"Broken": {
			reason: "An object may pre-date its schema, and the rest of it is of interest.",
			object: strings.Replace(reported, "role: my-app", "role: 7, roles: []", 1), answered: true, ready: true,
		},
		"NoServices": {
			reason: "It is something else.",
			object: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shop}",
			err:    `cannot read ServiceConnection "shop": it has no spec.services`,
		},
		"BrokenStatus": {
			reason: "A status that Crossplane didn't write says nothing.",
			object: shop + "status: {services: many}",
			err:    `cannot read the status of ServiceConnection "shop"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := Of(connection.Builtin(), object(t, tc.object))
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("%s\nerror %v, want %s", tc.reason, err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if s.Answered != tc.answered {
				t.Errorf("%s\nanswered is %t", tc.reason, s.Answered)
			}
			if got := s.Services[0].Connections[0].Ready(); got != tc.ready {
				t.Errorf("%s\nready is %t", tc.reason, got)
			}
			if s.Services[0].ServiceAccount != "shop-api" {
				t.Errorf("ServiceAccount %q", s.Services[0].ServiceAccount)
			}
		})
	}
}

// TestReplacing reads whether pods that pre-date the injection need somebody's help.
func TestReplacing(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason, status string
		want           bool
	}{
		"UnderWay":   {"The template has changed, and pods of the one before are left.", "{name: api, rollout: {injection: new, template: before}}", true},
		"Over":       {"No pod is older, as far as the function sees.", "{name: api, rollout: {injection: new, template: before, current: true}}", false},
		"Asked":      {"Nothing replaces them.", "{name: api, restart: kubectl rollout restart, rollout: {injection: new, template: before}}", false},
		"NeverRead":  {"It knows of no template.", "{name: api, rollout: {injection: new}}", false},
		"NoRollout":  {"It knows of no pod.", "{name: api}", false},
		"NoServices": {"It has no status.", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := Of(connection.Builtin(), object(t, shop+"status: {services: ["+tc.status+"]}\n"))
			if err != nil {
				t.Fatal(err)
			}
			if got := s.Services[0].Replacing; got != tc.want {
				t.Errorf("%s\ngot %t", tc.reason, got)
			}
		})
	}
}

// TestPodState compares a pod's injection with what is published.
func TestPodState(t *testing.T) {
	t.Parallel()
	published := &claim.Injection{Hash: "now"}
	for name, tc := range map[string]struct {
		reason      string
		injection   *claim.Injection
		annotations map[string]string
		want        PodState
	}{
		"Current":     {"It has what is published.", published, map[string]string{annotationInjectedBy: "shop", workload.AnnotationInjection: "now"}, PodCurrent},
		"Desired":     {"A pipeline's template doesn't say by whom.", published, map[string]string{workload.AnnotationInjection: "now"}, PodCurrent},
		"Outdated":    {"What is published has changed since.", published, map[string]string{annotationInjectedBy: "shop", workload.AnnotationInjection: "then"}, PodOutdated},
		"Without":     {"It is older than the claim, or nobody injects.", published, nil, PodWithout},
		"OfAnother":   {"One pod takes the injection of one claim.", published, map[string]string{annotationInjectedBy: "other", workload.AnnotationInjection: "now"}, PodOfAnother},
		"Unpublished": {"There is nothing that it could lack yet.", nil, nil, PodUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod := &unstructured.Unstructured{Object: map[string]any{}}
			pod.SetAnnotations(tc.annotations)
			if got := podOf(pod, "shop", &Service{Injection: tc.injection}).State; got != tc.want {
				t.Errorf("%s\ngot %s", tc.reason, got)
			}
		})
	}
}

// TestRivals finds who else names a workload.
func TestRivals(t *testing.T) {
	t.Parallel()
	s, err := Of(connection.Builtin(), object(t, shop))
	if err != nil {
		t.Fatal(err)
	}
	other := strings.NewReplacer("name: shop", "name: other", "name: api", "name: web, workload: {name: api}").Replace(shop)
	s.findRivals([]*unstructured.Unstructured{
		object(t, shop),
		object(t, other),
		// Names are of a namespace, and a kind.
		object(t, strings.Replace(other, "team-a", "team-b", 1)),
		object(t, strings.NewReplacer("name: other", "name: third", "{name: api}", "{kind: StatefulSet, name: api}").Replace(other)),
		object(t, "apiVersion: serviceconnections.io/v1alpha1\nkind: ServiceConnection\nmetadata: {name: broken, namespace: team-a}\nspec: {}"),
	})
	if diff := cmp.Diff([]Rival{{ServiceConnection: "other", Service: "web"}}, s.Services[0].Rivals); diff != "" {
		t.Error(diff)
	}
}

// TestObject says how a composed object stands.
func TestObject(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason  string
		object  string
		ready   bool
		because string
	}{
		"Ready": {
			reason: "The provider says so.",
			object: `{kind: Role, status: {conditions: [{type: Ready, status: "True", reason: Available}, {type: Synced, status: "True"}]}}`, ready: true,
		},
		"Error": {
			reason:  "What the cloud refuses is in Synced, and says more than that it isn't ready.",
			object:  `{kind: Role, status: {conditions: [{type: Ready, status: "False", reason: Creating}, {type: Synced, status: "False", reason: ReconcileError, message: denied}]}}`,
			because: "ReconcileError denied",
		},
		"ErrorFirst": {
			reason:  "In either order.",
			object:  `{kind: Role, status: {conditions: [{type: Synced, status: "False", reason: ReconcileError, message: denied}, {type: Ready, status: "False", reason: Creating}]}}`,
			because: "ReconcileError denied",
		},
		"Unseen": {
			reason: "No provider has looked at it.",
			object: `{kind: Role}`, because: " ",
		},
		"Deleting": {
			reason:  "Something holds it.",
			object:  `{kind: Role, metadata: {deletionTimestamp: "2026-01-02T03:04:05Z"}, status: {conditions: [{type: Ready, status: "True"}, {type: Synced, status: "True"}]}}`,
			because: "Deleting ",
		},
		"ServiceAccount": {
			reason: "It is there, and that is all of it.",
			object: `{kind: ServiceAccount}`, ready: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := objectOf(object(t, tc.object))
			if o.Ready != tc.ready || !tc.ready && o.Reason+" "+o.Message != tc.because {
				t.Errorf("%s\ngot %+v", tc.reason, o)
			}
		})
	}
}

// TestReferences finds what is composed in both modes.
func TestReferences(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		object string
		want   []reference
	}{
		"Namespaced": {
			reason: "Objects are where the composite resource is.",
			object: `{metadata: {namespace: team-a}, spec: {crossplane: {resourceRefs: [{apiVersion: v1, kind: ServiceAccount, name: a}]}}}`,
			want:   []reference{{apiVersion: "v1", kind: "ServiceAccount", namespace: "team-a", name: "a"}},
		},
		"Claims": {
			reason: "A cluster-scoped one says where.",
			object: `{spec: {resourceRefs: [{apiVersion: v1, kind: ServiceAccount, namespace: team-b, name: a}, {apiVersion: iam.aws.upbound.io/v1beta1, kind: Role, name: b}]}}`,
			want:   []reference{{apiVersion: "v1", kind: "ServiceAccount", namespace: "team-b", name: "a"}, {apiVersion: "iam.aws.upbound.io/v1beta1", kind: "Role", name: "b"}},
		},
		"Unnamed": {
			reason: "Crossplane lists an object before it makes it.",
			object: `{spec: {resourceRefs: [{apiVersion: v1, kind: ServiceAccount}]}}`,
		},
		"None":   {reason: "It is new.", object: `{spec: {}}`},
		"Broken": {reason: "Somebody wrote something else there.", object: `{spec: {resourceRefs: [7]}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, references(object(t, tc.object)), cmp.AllowUnexported(reference{})); diff != "" {
				t.Errorf("%s\n%s", tc.reason, diff)
			}
		})
	}
}

// TestSentences joins what could not be read for one reason.
func TestSentences(t *testing.T) {
	t.Parallel()
	r := &reading{unread: map[unreadKey][]string{
		{namespace: "team-a", why: "you may not read", lost: "their own state is not shown"}: {"roles", "policies", "roles", "associations"},
		{why: "you may not read", lost: "nothing is known"}:                                  {"pods"},
	}}
	want := []string{
		`you may not read associations, policies and roles in namespace "team-a", so their own state is not shown`,
		`you may not read pods in the whole cluster, so nothing is known`,
	}
	if diff := cmp.Diff(want, r.sentences()); diff != "" {
		t.Error(diff)
	}
}
