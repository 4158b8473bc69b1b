package admission_test

import (
	"context"
	"os"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/cel/environment"
	"sigs.k8s.io/yaml"
)

// readValidating policies of a file by name, strictly. Each has a binding, which
// denies.
func readValidating(t testing.TB, file string) (map[string]*admissionregistrationv1.ValidatingAdmissionPolicy, map[string]*admissionregistrationv1.ValidatingAdmissionPolicyBinding) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	policies := map[string]*admissionregistrationv1.ValidatingAdmissionPolicy{}
	bindings := map[string]*admissionregistrationv1.ValidatingAdmissionPolicyBinding{}
	for doc := range strings.SplitSeq(string(b), "\n---\n") {
		if strings.Contains(doc, "\nkind: ValidatingAdmissionPolicy\n") {
			p := &admissionregistrationv1.ValidatingAdmissionPolicy{}
			if err := yaml.UnmarshalStrict([]byte(doc), p); err != nil {
				t.Fatal(err)
			}
			policies[p.Name] = p
			continue
		}
		binding := &admissionregistrationv1.ValidatingAdmissionPolicyBinding{}
		if err := yaml.UnmarshalStrict([]byte(doc), binding); err != nil {
			t.Fatal(err)
		}
		bindings[binding.Spec.PolicyName] = binding
	}
	for name := range policies {
		binding, ok := bindings[name]
		if !ok || len(binding.Spec.ValidationActions) != 1 || binding.Spec.ValidationActions[0] != admissionregistrationv1.Deny {
			t.Fatalf("%s: binding %+v of policy %s: want one that denies", file, binding, name)
		}
	}
	return policies, bindings
}

// compileValidating policy as the API server does when it is created. Every
// compile error fails the test.
func compileValidating(t testing.TB, p *admissionregistrationv1.ValidatingAdmissionPolicy) (*cel.CompositedCompiler, validating.Validator) {
	t.Helper()
	compiler, err := cel.NewCompositedCompiler(environment.MustBaseEnvSet(oldestWithWebhook))
	if err != nil {
		t.Fatal(err)
	}
	options := cel.OptionalVariableDeclarations{HasParams: p.Spec.ParamKind != nil, HasAuthorizer: true}
	inMessages := cel.OptionalVariableDeclarations{HasParams: p.Spec.ParamKind != nil}
	for _, v := range p.Spec.Variables {
		if r := compiler.CompileAndStoreVariable(&validating.Variable{Name: v.Name, Expression: v.Expression}, options, environment.NewExpressions); r.Error != nil {
			t.Errorf("variable %s: %v", v.Name, r.Error)
		}
	}
	conditions := make([]cel.ExpressionAccessor, 0, len(p.Spec.MatchConditions))
	validations := make([]cel.ExpressionAccessor, 0, len(p.Spec.Validations))
	messages := make([]cel.ExpressionAccessor, 0, len(p.Spec.Validations))
	for i, c := range p.Spec.MatchConditions {
		a := (*matchconditions.MatchCondition)(&p.Spec.MatchConditions[i])
		conditions = append(conditions, a)
		// The API server compiles them without variables when the policy is
		// created.
		if r := cel.NewCompiler(environment.MustBaseEnvSet(oldestWithWebhook)).CompileCELExpression(a, options, environment.NewExpressions); r.Error != nil {
			t.Errorf("match condition %s: %v", c.Name, r.Error)
		}
	}
	for _, v := range p.Spec.Validations {
		validations = append(validations, &validating.ValidationCondition{Expression: v.Expression, Reason: v.Reason})
		messages = append(messages, &validating.MessageExpressionCondition{MessageExpression: v.MessageExpression})
	}
	filter := compiler.CompileCondition(validations, options, environment.NewExpressions)
	message := compiler.CompileCondition(messages, inMessages, environment.NewExpressions)
	for _, err := range append(filter.CompilationErrors(), message.CompilationErrors()...) {
		t.Errorf("validation or its message: %v", err)
	}
	if t.Failed() {
		t.FailNow()
	}
	var matcher matchconditions.Matcher
	if len(conditions) > 0 {
		matcher = matchconditions.NewMatcher(compiler.CompileCondition(conditions, options, environment.NewExpressions), p.Spec.FailurePolicy, "policy", "validate", p.Name)
	}
	none := compiler.CompileCondition(nil, options, environment.NewExpressions)
	return compiler, validating.NewValidator(filter, matcher, none, message, p.Spec.FailurePolicy, nil)
}

// A write of an object by a user. Without an object it is a deletion.
type write struct {
	object, old *unstructured.Unstructured
	resource    schema.GroupVersionResource
	subresource string
	user        string
	groups      []string

	// namespace of the object is being deleted.
	ending bool

	// platform team's user, who may write Compositions.
	platform bool
	params   *unstructured.Unstructured
}

// Authorize nothing to anybody but the platform team.
func (w write) Authorize(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
	if w.platform {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionNoOpinion, "", nil
}

// denial of a write as the API server tells it, empty where it is let in.
func denial(t testing.TB, p *admissionregistrationv1.ValidatingAdmissionPolicy, w write) string {
	t.Helper()
	compiler, validator := compileValidating(t, p)
	one := w.object
	operation, options := admission.Create, runtime.Object(nil)
	attributes := &admission.VersionedAttributes{}
	var now, before runtime.Object
	if w.old != nil {
		operation, before, one = admission.Update, w.old, w.old
		attributes.VersionedOldObject = admission.NewLazyObject(w.old)
	}
	if w.object != nil {
		now, one = w.object, w.object
		attributes.VersionedObject = admission.NewLazyObject(w.object)
	} else {
		operation, options = admission.Delete, &metav1.DeleteOptions{}
	}
	gvk := one.GroupVersionKind()
	attributes.VersionedKind = gvk
	attributes.Attributes = admission.NewAttributesRecord(now, before, gvk, one.GetNamespace(), one.GetName(), w.resource, w.subresource,
		operation, options, false, &user.DefaultInfo{Name: w.user, Groups: w.groups})
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: one.GetNamespace()}}
	if w.ending {
		namespace.DeletionTimestamp = &metav1.Time{}
	}
	var params runtime.Object
	if w.params != nil {
		params = w.params
	}
	r := validator.Validate(compiler.CreateContext(context.Background()), w.resource, attributes, params, namespace, celconfig.RuntimeCELCostBudget, w)
	for _, d := range r.Decisions {
		if d.Evaluation == validating.EvalError {
			t.Fatalf("policy %s fails: %s", p.Name, d.Message)
		}
		if d.Action == validating.ActionDeny {
			return d.Message
		}
	}
	return ""
}
