package admission_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	"k8s.io/apiserver/pkg/cel/environment"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/fn/admit"
	"github.com/serviceconnections/function-service-connections/fn/workload"
)

// A judge is a test of either kind.
type judge interface {
	Helper()
	Fatalf(format string, a ...any)
}

// webhook that knows some ServiceConnections.
func webhook(forms workload.Forms, connections ...map[string]any) *admit.Index {
	x := admit.NewIndex()
	for _, c := range connections {
		x.Put(admit.Read(runtimeCopy(c), forms))
	}
	return x
}

// review of a pod that is created, as the API server sends it.
func review(t judge, pod any) *admissionv1.AdmissionRequest {
	t.Helper()
	b, err := json.Marshal(pod)
	if err != nil {
		t.Fatalf("cannot encode pod: %v", err)
	}
	r := &admissionv1.AdmissionRequest{
		UID: "1", Namespace: "team-a", Operation: admissionv1.Create,
		Kind: metav1.GroupVersionKind{Version: "v1", Kind: "Pod"}, Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
	}
	r.Object.Raw = b
	return r
}

// conditions under which the API server asks the webhook about a pod at all, compiled as
// it compiles them, by the file of package/webhook that has them.
var conditions = sync.OnceValues(func() (map[string]matchconditions.Matcher, error) {
	all := map[string]matchconditions.Matcher{}
	for _, file := range []string{injecting, requiring} {
		b, err := os.ReadFile("../../package/webhook/" + file)
		if err != nil {
			return nil, err
		}
		c := struct {
			Webhooks []struct {
				MatchConditions []admissionregistrationv1.MatchCondition `json:"matchConditions"`
			} `json:"webhooks"`
		}{}
		if err := yaml.Unmarshal(b, &c); err != nil {
			return nil, err
		}
		if len(c.Webhooks) != 1 || len(c.Webhooks[0].MatchConditions) == 0 {
			return nil, fmt.Errorf("%s: want one webhook with conditions, got %+v", file, c.Webhooks)
		}
		options := cel.OptionalVariableDeclarations{HasAuthorizer: true}
		environments := environment.MustBaseEnvSet(oldestWithWebhook)
		accessors := make([]cel.ExpressionAccessor, 0, len(c.Webhooks[0].MatchConditions))
		for i := range c.Webhooks[0].MatchConditions {
			condition := (*matchconditions.MatchCondition)(&c.Webhooks[0].MatchConditions[i])
			if r := cel.NewCompiler(environments).CompileCELExpression(condition, options, environment.NewExpressions); r.Error != nil {
				return nil, fmt.Errorf("%s: %w", file, r.Error)
			}
			accessors = append(accessors, condition)
		}
		compiled := cel.NewConditionCompiler(environments).CompileCondition(accessors, options, environment.NewExpressions)
		all[file] = matchconditions.NewMatcher(compiled, new(admissionregistrationv1.Ignore), "webhook", "admit", file)
	}
	return all, nil
})

// The webhook's configurations.
const (
	injecting = "configuration.yaml"
	requiring = "require-injection/configuration.yaml"
)

// asked says whether the API server asks the webhook of a configuration about a pod.
func asked(t judge, file string, pod any) bool {
	t.Helper()
	all, err := conditions()
	if err != nil {
		t.Fatalf("cannot compile the webhook's conditions: %v", err)
	}
	b, err := json.Marshal(pod)
	if err != nil {
		t.Fatalf("cannot encode pod: %v", err)
	}
	typed := &corev1.Pod{}
	if err := json.Unmarshal(b, typed); err != nil {
		t.Fatalf("cannot decode pod: %v", err)
	}
	gvk := corev1.SchemeGroupVersion.WithKind("Pod")
	typed.SetGroupVersionKind(gvk)
	match := all[file].Match(context.Background(), &admission.VersionedAttributes{
		Attributes:      admission.NewAttributesRecord(typed, nil, gvk, typed.Namespace, typed.Name, corev1.SchemeGroupVersion.WithResource("pods"), "", admission.Create, &metav1.CreateOptions{}, false, nil),
		VersionedKind:   gvk,
		VersionedObject: admission.NewLazyObject(typed),
	}, nil, nil)
	if match.Error != nil {
		t.Fatalf("%s: the condition fails: %v", file, match.Error)
	}
	return match.Matches
}

// TestWebhookIsAsked holds that the API server neither encodes for the webhook what that
// wouldn't look at, nor asks once more about a pod that has its injection.
func TestWebhookIsAsked(t *testing.T) {
	t.Parallel()
	owned := func(n int, labels map[string]string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", Labels: labels, OwnerReferences: make([]metav1.OwnerReference, n)}}
	}
	annotated := func(key string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", Annotations: map[string]string{key: "0123456789abcdef"}}}
	}
	both, none, onlyRequire := []string{injecting, requiring}, []string(nil), []string{requiring}
	for name, tc := range map[string]struct {
		reason string
		pod    *corev1.Pod
		want   []string
	}{
		"Bare":       {"A pod may be a service by its own name.", owned(0, nil), both},
		"AtBound":    {"Any of these may be its controller.", owned(workload.MaxOwners, nil), both},
		"Above":      {"None of these is looked at.", owned(workload.MaxOwners+1, map[string]string{"app": "api"}), none},
		"Thousands":  {"Nor of these, and they are half a megabyte.", owned(3000, nil), none},
		"Labelled":   {"Its labels say whose it is.", owned(3000, map[string]string{workload.LabelClaim: "shop"}), both},
		"Injected":   {"It is injected once, and whether by what is required is looked at.", annotated(workload.AnnotationInjection), onlyRequire},
		"InjectedBy": {"The policy was here before, or the webhook, and the pod was changed since.", annotated(workload.AnnotationInjectedBy), onlyRequire},
		"Annotated":  {"This says nothing of an injection.", annotated("example.org/injection"), both},
	} {
		var got []string
		for _, file := range []string{injecting, requiring} {
			if asked(t, file, tc.pod) {
				got = append(got, file)
			}
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: %s\nwhich webhooks the API server asks: -want, +got:\n%s", name, tc.reason, diff)
		}
	}
}

// injectedByWebhook is the pod as the API server has it afterwards.
func injectedByWebhook(t judge, x *admit.Index, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	if !asked(t, injecting, pod) {
		return pod
	}
	r := review(t, pod)
	rsp, err := x.Inject(context.Background(), r)
	if err != nil || !rsp.Allowed {
		t.Fatalf("the webhook fails, or refuses a pod: %v, %+v", err, rsp)
	}
	patched := r.Object.Raw
	if rsp.Patch != nil {
		p, err := jsonpatch.DecodePatch(rsp.Patch)
		if err != nil {
			t.Fatalf("cannot decode patch %s: %v", rsp.Patch, err)
		}
		if patched, err = p.Apply(patched); err != nil {
			t.Fatalf("cannot apply patch %s: %v", rsp.Patch, err)
		}
	}
	out := &corev1.Pod{}
	if err := json.Unmarshal(patched, out); err != nil {
		t.Fatalf("cannot decode the patched pod: %v", err)
	}
	return out
}

// admitBoth ways, by the policy and by the webhook, which must give it the same to the
// byte.
func (p policy) admitBoth(t judge, forms workload.Forms, pod *corev1.Pod, connections ...map[string]any) (*corev1.Pod, error) {
	t.Helper()
	admitted := pod.DeepCopy()
	var failed error
	for _, c := range connections {
		var err error
		if admitted, err = p.admit(admitted, c); err != nil {
			failed = err
		}
	}
	want, got := encoded(t, admitted), encoded(t, injectedByWebhook(t, webhook(forms, connections...), pod))
	if want != got {
		t.Fatalf("the policy and the webhook give a pod different things:\npolicy:  %s\nwebhook: %s", want, got)
	}
	return admitted, failed
}

func encoded(t judge, pod *corev1.Pod) string {
	t.Helper()
	pod = pod.DeepCopy()
	pod.TypeMeta = metav1.TypeMeta{}
	b, err := json.Marshal(pod)
	if err != nil {
		t.Fatalf("cannot encode pod: %v", err)
	}
	return string(b)
}

// TestAnyClaimsAgree draws what of several claims names a pod, and what of it holds:
// workloads and labels, statuses that were written by hand, claims that go. The policy
// sees them in no order that anybody knows; the webhook's is one of those.
func TestAnyClaimsAgree(t *testing.T) {
	t.Parallel()
	p, forms := compile(t), readForms(t)
	rapid.Check(t, func(r *rapid.T) {
		claims := make([]map[string]any, 0, 3)
		for _, name := range []string{"other", "shop", "third"} {
			c := shop(t, injection(t, drawConnections(r)...))
			meta := c["metadata"].(map[string]any)
			meta["name"] = name
			if rapid.IntRange(0, 5).Draw(r, "deleted") == 0 {
				meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
			}
			one := statusOf(c)
			services := make([]any, 0, 2)
			for _, service := range []string{"api", "web"} {
				s := runtimeCopy(one)
				w := drawWorkload(r, service)
				s["name"], s["workload"] = service, map[string]any{"apiVersion": w.APIVersion, "kind": w.Kind, "name": w.Name}
				in := s["injection"].(map[string]any)
				in["serviceAccountName"] = name + "-" + service
				switch rapid.IntRange(0, 7).Draw(r, "published") {
				case 0:
					delete(s, "injection")
				case 1:
					tamper(r, in)
				}
				services = append(services, s)
			}
			c["status"].(map[string]any)["services"] = services
			claims = append(claims, c)
		}
		for range 10 {
			pod := drawPod(r)
			origin := drawOrigin(r)
			origin.Annotations = pod.Annotations
			if v, ok := pod.Labels["azure.workload.identity/use"]; ok {
				origin.Labels["azure.workload.identity/use"] = v
			}
			if rapid.IntRange(0, 9).Draw(r, "injected") == 0 {
				origin.Annotations = map[string]string{rapid.SampledFrom([]string{injectedBy, injected, workload.AnnotationInjection}).Draw(r, "annotation"): "{}"}
			}
			pod.ObjectMeta = origin
			_, _ = p.admitBoth(r, forms, pod, claims...)
		}
	})
}

// TestBothInstalled lets the policy and the webhook see a pod one after the other, in
// either order, as where one is switched for the other, and again, as where another
// webhook changes the pod afterwards.
func TestBothInstalled(t *testing.T) {
	t.Parallel()
	p, forms := compile(t), readForms(t)
	c := shop(t, injection(t, "podIdentity", "azure", "cloudSql", "disk"))
	x := webhook(forms, c)
	pod := readPod(t, `spec: {initContainers: [{name: migrate, image: api}], containers: [{name: api, image: api}]}`)
	want, err := p.admit(pod, c)
	if err != nil {
		t.Fatal(err)
	}
	first := injectedByWebhook(t, x, pod)
	second, err := p.admit(first, c)
	if err != nil {
		t.Fatal(err)
	}
	for order, got := range map[string]*corev1.Pod{
		"the webhook alone": first, "the webhook, then the policy": second,
		"the policy, then the webhook":       injectedByWebhook(t, x, want),
		"the webhook, the policy, and again": injectedByWebhook(t, x, second),
	} {
		if encoded(t, want) != encoded(t, got) {
			t.Errorf("%s: the pod isn't the one that the policy alone makes:\n%s\n%s", order, encoded(t, want), encoded(t, got))
		}
	}
}

// TestRequirementsAgree draws how several claims require a pod's injection.
func TestRequirementsAgree(t *testing.T) {
	t.Parallel()
	p, _ := readRequire(t)
	rapid.Check(t, func(r *rapid.T) {
		c := shop(t, injection(t))
		services, status := []any{}, []any{}
		for _, name := range []string{"api", "web"} {
			s := map[string]any{"name": name, "requireInjection": rapid.IntRange(0, 3).Draw(r, "required") > 0}
			if w := drawWorkload(r, name); rapid.Bool().Draw(r, "named") {
				s["workload"] = map[string]any{"apiVersion": w.APIVersion, "kind": w.Kind, "name": w.Name}
			}
			services = append(services, s)
			if rapid.IntRange(0, 3).Draw(r, "seen") == 0 {
				continue
			}
			stands := map[string]any{"name": name, "connections": []any{}}
			for _, connection := range subset(r, name+" connections", []string{"awsRole", "disk", "cloudSql"}) {
				stands["connections"] = append(stands["connections"].([]any), map[string]any{
					"type": connection, "ready": rapid.Bool().Draw(r, "ready"), "reason": "Creating",
					"message": rapid.SampledFrom([]string{"", "one\ntwo", "é"}).Draw(r, "message"),
				})
			}
			if rapid.IntRange(0, 3).Draw(r, "published") > 0 {
				stands["injection"] = map[string]any{"hash": rapid.SampledFrom([]string{"abc", "def"}).Draw(r, "hash"), "complete": rapid.Bool().Draw(r, "complete")}
			}
			status = append(status, stands)
		}
		c["spec"] = map[string]any{"services": services}
		c["status"] = map[string]any{"services": status}
		x := webhook(workload.Forms{}, c)
		for range 2 {
			meta := drawOrigin(r)
			if h := rapid.SampledFrom([]string{"", "abc", "def"}).Draw(r, "has"); h != "" {
				meta.Annotations = map[string]string{workload.AnnotationInjection: h}
			}
			w := creation(t, meta, &unstructured.Unstructured{Object: c})
			agreeOnDenial(r, x, w, denial(t, p, w))
		}
	})
}

// agreeOnDenial of the policy: the webhook's is the same to the byte.
func agreeOnDenial(t judge, x *admit.Index, w write, want string) {
	t.Helper()
	if !asked(t, requiring, w.object) {
		if want != "" {
			t.Fatalf("the policy denies %q, and the webhook isn't asked", want)
		}
		return
	}
	rsp, err := x.Require(context.Background(), review(t, w.object))
	if err != nil {
		t.Fatalf("the webhook fails: %v", err)
	}
	got := ""
	if rsp.Result != nil {
		got = rsp.Result.Message
	}
	if got != want || rsp.Allowed != (want == "") {
		t.Fatalf("the policy denies %q, and the webhook %q (allowed: %t)", want, got, rsp.Allowed)
	}
}
