package admission_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"
)

const requireFile = "../../package/cluster/require-injection/validatingadmissionpolicy.yaml"

func readRequire(t testing.TB) (*admissionregistrationv1.ValidatingAdmissionPolicy, *admissionregistrationv1.ValidatingAdmissionPolicyBinding) {
	t.Helper()
	policies, bindings := readValidating(t, requireFile)
	const name = "service-connections-require-injection"
	if len(policies) != 1 || policies[name] == nil {
		t.Fatalf("%s: policies %v, want %s alone", requireFile, policies, name)
	}
	return policies[name], bindings[name]
}

// TestRequireMatchesAsInjection holds that pods are held back by the same rules
// that they are injected by.
func TestRequireMatchesAsInjection(t *testing.T) {
	t.Parallel()
	injecting, binding := readPolicy(t)
	p, b := readRequire(t)
	if diff := cmp.Diff(injecting.Spec.FailurePolicy, p.Spec.FailurePolicy); diff != "" {
		t.Errorf("failurePolicy: anything but Ignore stops every pod of the cluster while the CRD is absent: -injection +requirement:\n%s", diff)
	}
	if diff := cmp.Diff(injecting.Spec.ParamKind, p.Spec.ParamKind); diff != "" {
		t.Errorf("paramKind -injection +requirement:\n%s", diff)
	}
	if diff := cmp.Diff(injecting.Spec.MatchConstraints, p.Spec.MatchConstraints); diff != "" {
		t.Errorf("matchConstraints -injection +requirement:\n%s", diff)
	}
	if diff := cmp.Diff(binding.Spec.ParamRef, b.Spec.ParamRef); diff != "" {
		t.Errorf("paramRef -injection +requirement:\n%s", diff)
	}
	matches := map[string]string{}
	for _, v := range injecting.Spec.Variables {
		matches["injection "+v.Name] = v.Expression
	}
	for _, v := range p.Spec.Variables {
		matches["requirement "+v.Name] = v.Expression
	}
	// One reads the services from the status, the other from the spec.
	for _, v := range []string{"labels", "owners", "controllers", "controller", "workloads", "matches"} {
		if diff := cmp.Diff(matches["injection "+v], matches["requirement "+v]); diff != "" || matches["injection "+v] == "" {
			t.Errorf("variable %s -injection +requirement:\n%s", v, diff)
		}
	}
}

func TestRequireInjection(t *testing.T) {
	t.Parallel()
	const (
		missing = `{type: azureManagedIdentity, ready: false, reason: IdentityNotFound, message: "managed identity \"shop\" does not exist; create it"}`
		ready   = `{type: awsRole, ready: true, reason: Connected}`

		lacks = `ServiceConnection "shop" requires the injection of service "api", which the pod lacks: `
		again = `. The pod's controller tries again, after up to a quarter of an hour; to have it try now, restart the workload`
	)
	status := func(injection string, connections ...string) string {
		return "{services: [{name: api, connections: [" + strings.Join(connections, ", ") + "]" + injection + "}]}"
	}
	const complete, partly = ", injection: {hash: abc, complete: true}", ", injection: {hash: abc}"
	ofDeployment := metav1.ObjectMeta{Labels: map[string]string{"pod-template-hash": "5f7d"}, OwnerReferences: controlledBy("apps/v1", "ReplicaSet", "api-5f7d")}
	annotated := func(hash string) metav1.ObjectMeta {
		m := ofDeployment
		m.Annotations = map[string]string{"serviceconnections.io/injection": hash}
		return m
	}
	cases := map[string]struct {
		reason  string
		service string
		status  string
		deleted bool
		pod     metav1.ObjectMeta
		want    string
	}{
		"Injected":       {reason: "It has what is published.", status: status(complete, ready), pod: annotated("abc")},
		"InjectedBefore": {reason: "That a connection is in trouble now takes nothing from the injection.", status: status(complete, missing), pod: annotated("abc")},
		"NotRequired":    {reason: "By default pods come as they are.", service: "{name: api, requireInjection: false}", pod: ofDeployment},
		"OtherWorkload": {
			reason: "Other pods aren't held back.", status: status(partly, missing),
			pod: metav1.ObjectMeta{Labels: map[string]string{"pod-template-hash": "5f7d"}, OwnerReferences: controlledBy("apps/v1", "ReplicaSet", "web-5f7d")},
		},
		"BeingDeleted": {reason: "It injects nothing any more, and the pods must go on without.", deleted: true, pod: ofDeployment},
		"NoStatus": {
			reason: "A claim that was just made.", pod: ofDeployment,
			want: lacks + "Crossplane has not seen the service yet" + again,
		},
		"NothingPublished": {
			reason: "The reason is the connection's.", status: status("", missing), pod: ofDeployment,
			want: lacks + `azureManagedIdentity: IdentityNotFound: managed identity "shop" does not exist; create it` + again,
		},
		"HalfAnInjection": {
			reason: "A pod with half an injection isn't right either.", status: status(partly, ready, missing), pod: annotated("abc"),
			want: lacks + `azureManagedIdentity: IdentityNotFound: managed identity "shop" does not exist; create it` + again,
		},
		"Incomplete": {
			reason: "No connection says why.", status: status(partly, ready), pod: annotated("abc"),
			want: lacks + "the injection is not complete" + again,
		},
		"OlderInjection": {
			reason: "A workload that a pipeline renders has the last one.", status: status(complete, ready), pod: annotated("old"),
			want: lacks + `the pod has injection "old", and "abc" is published` + again,
		},
		"NotGiven": {
			reason: "The other policy has left it alone.", status: status(complete, ready), pod: ofDeployment,
			want: lacks + "the injection is published, and was not given to the pod, since the pod has something else of a name in it, or the API server did not know it yet" + again,
		},
		"MessageOfLines": {
			reason: "The API server takes no line break.", pod: ofDeployment,
			status: status("", `{type: disk, ready: false, reason: ProviderError, message: "first\nsecond"}`),
			want:   lacks + "disk: ProviderError: first second" + again,
		},
		"LongMessage": {
			reason: "Nor a long message.", pod: ofDeployment,
			status: status("", `{type: disk, ready: false, reason: ProviderError, message: "`+strings.Repeat("é", 9000)+`"}`),
			want:   lacks + "disk: ProviderError: " + strings.Repeat("é", 979) + "…" + again,
		},
		"BarePod": {
			reason: "Nobody tries again.", service: "{name: api, requireInjection: true, workload: {apiVersion: v1, kind: Pod, name: once}}",
			pod:  metav1.ObjectMeta{Name: "once"},
			want: lacks + "Crossplane has not seen the service yet. Create the pod again then",
		},
		"Labels": {
			reason: "Labels tell the service.", status: status(partly, missing),
			pod:  metav1.ObjectMeta{Labels: map[string]string{claimLabel: "shop", serviceLabel: "api"}},
			want: lacks + `azureManagedIdentity: IdentityNotFound: managed identity "shop" does not exist; create it. Create the pod again then`,
		},
		"LabelsOfAnotherClaim": {reason: "That claim says what it requires.", pod: metav1.ObjectMeta{Labels: map[string]string{claimLabel: "other", serviceLabel: "api"}}},
		"CronJob": {
			reason: "A CronJob's pods belong to its Jobs.", service: "{name: api, requireInjection: true, workload: {apiVersion: batch/v1, kind: CronJob, name: nightly.v2}}",
			pod:  metav1.ObjectMeta{OwnerReferences: controlledBy("batch/v1", "Job", "nightly.v2-29123456")},
			want: lacks + "Crossplane has not seen the service yet" + again,
		},
		"OtherServices": {reason: "The claim says nothing of it.", service: "{name: other}", pod: ofDeployment},
	}
	p, _ := readRequire(t)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.service == "" {
				tc.service = "{name: api, requireInjection: true}"
			}
			claim := parse(t, "{apiVersion: serviceconnections.io/v1alpha1, kind: ServiceConnection, metadata: {name: shop, namespace: team-a}, spec: {services: [{name: web}, "+tc.service+"]}}")
			if tc.status != "" {
				claim.Object["status"] = parse(t, tc.status).Object
			}
			if tc.deleted {
				now := metav1.Now()
				claim.SetDeletionTimestamp(&now)
			}
			w := creation(t, tc.pod, claim)
			if diff := cmp.Diff(tc.want, denial(t, p, w)); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
			}
			agreeOnDenial(t, webhook(readForms(t), claim.Object), w, tc.want)
		})
	}
}

// creation of a pod in the namespace of a claim.
func creation(t testing.TB, meta metav1.ObjectMeta, claim *unstructured.Unstructured) write {
	t.Helper()
	meta.Namespace = claim.GetNamespace()
	pod, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: meta,
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "api", Image: "api"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return write{object: &unstructured.Unstructured{Object: pod}, resource: corev1.SchemeGroupVersion.WithResource("pods"), user: "controller", params: claim}
}

// TestRequireCost holds the policy to the API server's limits with the largest
// claim that the schema allows.
func TestRequireCost(t *testing.T) {
	t.Parallel()
	services, stands := make([]any, 0, 100), make([]any, 0, 100)
	for i := range 100 {
		name := strings.Repeat("x", 60) + string(rune('a'+i/26)) + string(rune('a'+i%26))
		services = append(services, map[string]any{"name": name, "requireInjection": true, "workload": map[string]any{
			"apiVersion": "batch/v1", "kind": "CronJob", "name": strings.Repeat("y", 200) + name,
		}})
		stands = append(stands, map[string]any{"name": name, "connections": []any{map[string]any{
			"type": "awsRole", "ready": false, "reason": "RoleNotFound", "message": strings.Repeat("m", 2000),
		}}})
	}
	b, err := json.Marshal(map[string]any{
		"apiVersion": "serviceconnections.io/v1alpha1", "kind": "ServiceConnection", "metadata": map[string]any{"name": "shop", "namespace": "team-a"},
		"spec": map[string]any{"services": services}, "status": map[string]any{"services": stands},
	})
	if err != nil {
		t.Fatal(err)
	}
	last, _ := services[99].(map[string]any)
	workload, _ := last["workload"].(map[string]any)
	name, _ := workload["name"].(string)
	p, _ := readRequire(t)
	got := denial(t, p, creation(t, metav1.ObjectMeta{OwnerReferences: controlledBy("batch/v1", "Job", name+"-29123456")}, parse(t, string(b))))
	if !strings.Contains(got, "awsRole: RoleNotFound: mmm") {
		t.Errorf("the pod isn't held back with its reason: %q", got)
	}
}
