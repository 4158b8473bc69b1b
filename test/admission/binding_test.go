package admission_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

func TestPolicyNeverStopsPods(t *testing.T) {
	t.Parallel()
	p, binding := readPolicy(t)
	if f := p.Spec.FailurePolicy; f == nil || *f != admissionregistrationv1.Ignore {
		t.Errorf("failurePolicy %v: anything but Ignore stops every pod of the cluster while the ServiceConnection CRD is absent", f)
	}
	if n := p.Spec.ReinvocationPolicy; n != admissionregistrationv1.IfNeededReinvocationPolicy {
		t.Errorf("reinvocationPolicy %q: what a later webhook adds would get no variables", n)
	}
	r := binding.Spec.ParamRef
	if binding.Spec.PolicyName != p.Name || r == nil || r.Namespace != "" || r.Name != "" {
		t.Errorf("binding %+v: want policy %q with the ServiceConnections of the pod's own namespace", binding.Spec, p.Name)
	}
	if r.ParameterNotFoundAction == nil || *r.ParameterNotFoundAction != admissionregistrationv1.AllowAction {
		t.Errorf("parameterNotFoundAction %v: a namespace without a ServiceConnection could create no pod", r.ParameterNotFoundAction)
	}
	if diff := cmp.Diff(&metav1.LabelSelector{}, r.Selector); diff != "" {
		t.Errorf("selector -want +got:\n%s", diff)
	}
}

func TestNamespaces(t *testing.T) {
	t.Parallel()
	p, _ := readPolicy(t)
	selector, err := metav1.LabelSelectorAsSelector(p.Spec.MatchConstraints.NamespaceSelector)
	if err != nil {
		t.Fatal(err)
	}
	for namespace, want := range map[string]bool{"team-a": true, "default": true, "kube-system": false, "crossplane-system": false} {
		if got := selector.Matches(labels.Set{"kubernetes.io/metadata.name": namespace}); got != want {
			t.Errorf("namespace %s: selected %t, want %t: the cluster's own pods depend on no policy of ours", namespace, got, want)
		}
	}
	rules := p.Spec.MatchConstraints.ResourceRules
	if len(rules) != 1 || !slices.Equal(rules[0].Resources, []string{"pods"}) || !slices.Equal(rules[0].Operations, []admissionregistrationv1.OperationType{admissionregistrationv1.Create}) {
		t.Errorf("rules %+v: want the creation of pods only", rules)
	}
}
