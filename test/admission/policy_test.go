// Package admission_test runs the admission policy as the API server does, with
// the API server's own library, and holds it against package workload: both
// deliveries must give the same pod the same injection.
package admission_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"
	"sigs.k8s.io/yaml"
)

// policyFile holds the policy and its binding.
const policyFile = "../../package/cluster/mutatingadmissionpolicy.yaml"

// oldest Kubernetes that has MutatingAdmissionPolicy on by default. The policy
// may use no CEL that is newer.
var oldest = version.MajorMinor(1, 36)

// oldestWithWebhook is the oldest Kubernetes that has the webhook instead. What is
// installed beside it may use no CEL that is newer.
var oldestWithWebhook = version.MajorMinor(1, 30)

// readPolicy and binding, strictly.
func readPolicy(t testing.TB) (*admissionregistrationv1.MutatingAdmissionPolicy, *admissionregistrationv1.MutatingAdmissionPolicyBinding) {
	t.Helper()
	b, err := os.ReadFile(policyFile)
	if err != nil {
		t.Fatal(err)
	}
	docs := strings.Split(string(b), "\n---\n")
	if len(docs) != 2 {
		t.Fatalf("%s: %d documents, want the policy and its binding", policyFile, len(docs))
	}
	p := &admissionregistrationv1.MutatingAdmissionPolicy{}
	if err := yaml.UnmarshalStrict([]byte(docs[0]), p); err != nil {
		t.Fatal(err)
	}
	binding := &admissionregistrationv1.MutatingAdmissionPolicyBinding{}
	if err := yaml.UnmarshalStrict([]byte(docs[1]), binding); err != nil {
		t.Fatal(err)
	}
	return p, binding
}

// A policy that is compiled as the API server compiles it.
type policy struct {
	compiler *cel.CompositedCompiler
	matcher  matchconditions.Matcher
	patcher  patch.Patcher
}

// compile the policy as when it is created. Every compile error fails the test.
func compile(t testing.TB) policy {
	t.Helper()
	p, _ := readPolicy(t)
	compiler, err := cel.NewCompositedCompiler(environment.MustBaseEnvSet(oldest))
	if err != nil {
		t.Fatal(err)
	}
	options := cel.OptionalVariableDeclarations{HasParams: true, HasAuthorizer: true}
	for _, v := range p.Spec.Variables {
		r := compiler.CompileAndStoreVariable(&validating.Variable{Name: v.Name, Expression: v.Expression}, options, environment.NewExpressions)
		if r.Error != nil {
			t.Errorf("variable %s: %v", v.Name, r.Error)
		}
	}
	conditions := make([]cel.ExpressionAccessor, 0, len(p.Spec.MatchConditions))
	for i, c := range p.Spec.MatchConditions {
		a := (*matchconditions.MatchCondition)(&p.Spec.MatchConditions[i])
		conditions = append(conditions, a)
		// The API server compiles them without variables when the policy is
		// created.
		alone := cel.NewCompiler(environment.MustBaseEnvSet(oldest))
		if r := alone.CompileCELExpression(a, options, environment.NewExpressions); r.Error != nil {
			t.Errorf("match condition %s: %v", c.Name, r.Error)
		}
	}
	c := policy{compiler: compiler}
	c.matcher = matchconditions.NewMatcher(compiler.CompileCondition(conditions, options, environment.NewExpressions), p.Spec.FailurePolicy, "policy", "mutate", p.Name)
	options.HasPatchTypes = true
	if len(p.Spec.Mutations) != 1 {
		t.Fatalf("%d mutations: with more than one, an error in a later one leaves half an injection", len(p.Spec.Mutations))
	}
	e := compiler.CompileMutatingEvaluator(&patch.JSONPatchCondition{Expression: p.Spec.Mutations[0].JSONPatch.Expression}, options, environment.NewExpressions)
	for _, err := range e.CompilationErrors() {
		t.Errorf("mutation: %v", err)
	}
	c.patcher = patch.NewJSONPatcher(e)
	if t.Failed() {
		t.FailNow()
	}
	return c
}

// scheme that the API server decodes pods with.
var scheme = func() *runtime.Scheme {
	s := runtime.NewScheme()
	if err := corev1.AddToScheme(s); err != nil {
		panic(err)
	}
	return s
}()

// admit a pod as the API server does: with failurePolicy Ignore an error leaves
// the pod as it was, and is returned beside it.
func (p policy) admit(pod *corev1.Pod, params map[string]any) (*corev1.Pod, error) {
	gvk := corev1.SchemeGroupVersion.WithKind("Pod")
	gvr := corev1.SchemeGroupVersion.WithResource("pods")
	pod = pod.DeepCopy()
	pod.SetGroupVersionKind(gvk)
	attributes := &admission.VersionedAttributes{
		Attributes:      admission.NewAttributesRecord(pod, nil, gvk, pod.Namespace, pod.Name, gvr, "", admission.Create, &metav1.CreateOptions{}, false, nil),
		VersionedKind:   gvk,
		VersionedObject: admission.NewLazyObject(pod),
	}
	ctx := p.compiler.CreateContext(context.Background())
	claim := &unstructured.Unstructured{Object: params}
	match := p.matcher.Match(ctx, attributes, claim, nil)
	if match.Error != nil || !match.Matches {
		return pod, match.Error
	}
	patched, err := p.patcher.Patch(ctx, patch.Request{
		MatchedResource:     gvr,
		VersionedAttributes: attributes,
		ObjectInterfaces:    admission.NewObjectInterfacesFromScheme(scheme),
		OptionalVariables:   cel.OptionalVariableBindings{VersionedParams: claim},
		Namespace:           &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: pod.Namespace}},
	}, celconfig.RuntimeCELCostBudget)
	if err != nil {
		return pod, err
	}
	got, ok := patched.(*corev1.Pod)
	if !ok {
		return pod, errors.New("the patched object is no pod")
	}
	return got, nil
}
