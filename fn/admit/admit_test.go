package admit

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/fn/workload"
)

// connection of namespace team-a with a service for each workload of kind Deployment,
// by whose name and the claim's its ServiceAccount is called.
func connection(t testing.TB, name, created string, deployments ...string) *Connection {
	t.Helper()
	services := make([]string, 0, len(deployments))
	for _, d := range deployments {
		services = append(services, fmt.Sprintf("{name: %[2]s, workload: {apiVersion: apps/v1, kind: Deployment, name: %[2]s}, injection: {hash: 0123456789abcdef, complete: true, serviceAccountName: %[1]s-%[2]s}}", name, d))
	}
	return read(t, fmt.Sprintf("{metadata: {namespace: team-a, name: %s, creationTimestamp: %q}, status: {services: [%s]}}", name, created, strings.Join(services, ", ")))
}

func read(t testing.TB, text string) *Connection {
	t.Helper()
	var o map[string]any
	if err := yaml.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	return Read(o, workload.Forms{})
}

const (
	older = "2026-01-01T00:00:00Z"
	newer = "2026-01-02T00:00:00Z"
)

// creation of a pod in namespace team-a, as the API server asks about it.
func creation(pod string) *admissionv1.AdmissionRequest {
	r := &admissionv1.AdmissionRequest{UID: "1", Namespace: "team-a", Operation: admissionv1.Create, Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"}}
	r.Object.Raw = []byte(pod)
	return r
}

// podOf a Deployment.
func podOf(deployment string) string {
	return fmt.Sprintf(`{"metadata": {"labels": {"pod-template-hash": "5f7d"}, "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "%s-5f7d", "controller": true}]}, "spec": {"containers": [{"name": "api"}]}}`, deployment)
}

// serviceAccount that the answer gives a pod, empty where it gives none.
func serviceAccount(t testing.TB, rsp *admissionv1.AdmissionResponse) string {
	t.Helper()
	if !rsp.Allowed || rsp.UID != "1" {
		t.Fatalf("want the pod let in, and the answer to say to which question, got %+v", rsp)
	}
	var operations []operation
	if rsp.Patch != nil {
		if err := json.Unmarshal(rsp.Patch, &operations); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range operations {
		if o.Path == "/spec/serviceAccountName" {
			return o.Value.(string)
		}
	}
	return ""
}

func TestIndexFollowsClaims(t *testing.T) {
	t.Parallel()
	name := func(n string) types.NamespacedName { return types.NamespacedName{Namespace: "team-a", Name: n} }
	cases := map[string]struct {
		reason string
		do     func(x *Index)
		want   map[string]string // by Deployment
	}{
		"Nothing":       {reason: "A cluster without claims.", do: func(*Index) {}, want: map[string]string{"api": ""}},
		"Published":     {reason: "Each pod gets its service's.", do: func(x *Index) { x.Put(connection(t, "shop", older, "api", "web")) }, want: map[string]string{"api": "shop-api", "web": "shop-web", "ap": "", "api-5f7d": ""}},
		"OldestFirst":   {reason: "A new claim takes over no pods.", do: func(x *Index) { x.Put(connection(t, "a", newer, "api")); x.Put(connection(t, "b", older, "api")) }, want: map[string]string{"api": "b-api"}},
		"NamesOfOneAge": {reason: "Two replicas answer alike.", do: func(x *Index) { x.Put(connection(t, "b", older, "api")); x.Put(connection(t, "a", older, "api")) }, want: map[string]string{"api": "a-api"}},
		"Changed":       {reason: "What a claim no longer publishes is gone.", do: func(x *Index) { x.Put(connection(t, "shop", older, "api")); x.Put(connection(t, "shop", older, "web")) }, want: map[string]string{"api": "", "web": "shop-web"}},
		"Removed":       {reason: "So is all of a claim that was deleted.", do: func(x *Index) { x.Put(connection(t, "shop", older, "api")); x.Remove(name("shop")) }, want: map[string]string{"api": ""}},
		"RemovedBesideAnother": {reason: "Another claim's stays.", do: func(x *Index) {
			x.Put(connection(t, "shop", older, "api"))
			x.Put(connection(t, "other", newer, "api"))
			x.Remove(name("shop"))
			x.Remove(name("unknown"))
		}, want: map[string]string{"api": "other-api"}},
		"NextWhereTheFirstCannot": {reason: "Of two claims that name a pod, the first that can give it something does.", do: func(x *Index) {
			x.Put(read(t, `{metadata: {namespace: team-a, name: a}, status: {services: [{name: api, workload: {apiVersion: apps/v1, kind: Deployment, name: api}, injection: {hash: by-hand}}]}}`))
			x.Put(connection(t, "b", newer, "api"))
		}, want: map[string]string{"api": "b-api"}},
		"OtherNamespace": {reason: "A claim is for its own namespace.", do: func(x *Index) {
			x.Put(read(t, `{metadata: {namespace: team-b, name: a}, status: {services: [{name: api, workload: {apiVersion: apps/v1, kind: Deployment, name: api}, injection: {hash: 0123456789abcdef, serviceAccountName: a}}]}}`))
		}, want: map[string]string{"api": ""}},
		"WithoutWorkload": {reason: "A status without a workload concerns labelled pods only.", do: func(x *Index) {
			x.Put(read(t, `{metadata: {namespace: team-a, name: a}, status: {services: [{name: api, injection: {hash: 0123456789abcdef, serviceAccountName: a}}]}}`))
		}, want: map[string]string{"api": ""}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := NewIndex()
			tc.do(x)
			got := map[string]string{}
			for d := range tc.want {
				rsp, err := x.Inject(t.Context(), creation(podOf(d)))
				if err != nil {
					t.Fatal(err)
				}
				got[d] = serviceAccount(t, rsp)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
			}
			if len(x.connections) == 0 && len(x.services)+len(x.required) > 0 {
				t.Errorf("%s\nthe index keeps what no claim has: %v", tc.reason, x.services)
			}
		})
	}
}

// TestOtherReviews are let pass: whatever the API server asks beside what its
// configuration says, and whatever somebody else sends.
func TestOtherReviews(t *testing.T) {
	t.Parallel()
	x := NewIndex()
	x.Put(connection(t, "shop", older, "api"))
	cases := map[string]struct {
		reason  string
		change  func(r *admissionv1.AdmissionRequest)
		failing bool
	}{
		"Update":      {reason: "A pod that runs can't change.", change: func(r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Update }},
		"Subresource": {reason: "pods/ephemeralcontainers isn't a pod.", change: func(r *admissionv1.AdmissionRequest) { r.SubResource = "eviction" }},
		"Deployment":  {reason: "A Deployment is its owner's.", change: func(r *admissionv1.AdmissionRequest) { r.Resource.Group, r.Resource.Resource = "apps", "deployments" }},
		"NoObject":    {reason: "A creation has one.", change: func(r *admissionv1.AdmissionRequest) { r.Object.Raw = nil }, failing: true},
		"Garbage":     {reason: "It isn't JSON.", change: func(r *admissionv1.AdmissionRequest) { r.Object.Raw = []byte("\x00{") }, failing: true},
		"List":        {reason: "It isn't an object.", change: func(r *admissionv1.AdmissionRequest) { r.Object.Raw = []byte("[]") }, failing: true},
		"OtherTypes":  {reason: "Its fields aren't a pod's.", change: func(r *admissionv1.AdmissionRequest) { r.Object.Raw = []byte(`{"metadata": {"labels": 1}}`) }, failing: true},
		"Deep": {reason: "Ten thousand lists in each other.", change: func(r *admissionv1.AdmissionRequest) {
			r.Object.Raw = []byte(`{"metadata": {}, "spec": ` + strings.Repeat("[", 1<<16))
		}, failing: true},
		"Settled": {reason: "It has an injection.", change: func(r *admissionv1.AdmissionRequest) {
			r.Object.Raw = []byte(strings.Replace(podOf("api"), `"labels"`, `"annotations": {"serviceconnections.io/injection": "1"}, "labels"`, 1))
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, review := range []func(context.Context, *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, error){x.Inject, x.Require} {
				r := creation(podOf("api"))
				tc.change(r)
				rsp, err := review(t.Context(), r)
				if (err != nil) != tc.failing {
					t.Errorf("%s\nerror %v, want one: %t", tc.reason, err, tc.failing)
				}
				if got := serviceAccount(t, rsp); got != "" {
					t.Errorf("%s\nthe pod gets ServiceAccount %q", tc.reason, got)
				}
			}
		})
	}
}

// TestOddPods holds that a pod which a claim names, and whose fields are of
// other types than a pod's, is let in as far as anybody can tell what it is.
func TestOddPods(t *testing.T) {
	t.Parallel()
	x := NewIndex()
	x.Put(connection(t, "shop", older, "api"))
	meta, _, _ := strings.Cut(podOf("api"), `"spec"`)
	for _, spec := range []string{`"spec": []`, `"spec": null`, `"spec": {"containers": {}, "volumes": 1}`, `"spec": {"containers": [1, null, {"env": 2}]}`} {
		rsp, err := x.Inject(t.Context(), creation(meta+spec+"}"))
		if err != nil || !rsp.Allowed {
			t.Errorf("%s: %v, %+v", spec, err, rsp)
		}
	}
}

// TestStatusByHand holds that nothing in a ServiceConnection is taken for granted.
func TestStatusByHand(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{}`, `{metadata: {name: a}, status: []}`, `{metadata: {name: a}, spec: 1, status: {services: {a: b}}}`,
		`{metadata: {name: a, namespace: team-a}, spec: {services: [1, {requireInjection: true}]}, status: {services: [1, {}, {injection: 1}, {injection: {env: x}}, {name: 2, workload: [], injection: {fsGroup: 1.5}}]}}`,
	} {
		x := NewIndex()
		x.Put(read(t, text))
		rsp, err := x.Inject(t.Context(), creation(podOf("api")))
		if err != nil || serviceAccount(t, rsp) != "" {
			t.Errorf("%s: %v, %+v", text, err, rsp)
		}
	}
}

// largest pod that the API server takes is some 1.5 MiB, of which the owners may be
// thousands.
func largest(owners int) string {
	pod := podOf("api")
	var more strings.Builder
	for i := range owners {
		fmt.Fprintf(&more, `, {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner-%d", "uid": "%d"}`, i, i)
	}
	pod = strings.Replace(pod, `"controller": true}`, `"controller": true}`+more.String(), 1)
	var env strings.Builder
	for i := range 12000 {
		fmt.Fprintf(&env, `{"name": "VARIABLE_%d", "value": "%s"},`, i, strings.Repeat("v", 50))
	}
	return strings.Replace(pod, `{"name": "api"}`, `{"name": "api", "env": [`+strings.TrimSuffix(env.String(), ",")+`]}`, 1)
}

// TestPatchIsSmall holds that a patch has what is added, and not the pod over again.
func TestPatchIsSmall(t *testing.T) {
	t.Parallel()
	x := NewIndex()
	x.Put(connection(t, "shop", older, "api"))
	pod := largest(0)
	if len(pod) < 1<<20 {
		t.Fatalf("the pod has only %d bytes", len(pod))
	}
	rsp, err := x.Inject(t.Context(), creation(pod))
	if err != nil || serviceAccount(t, rsp) != "shop-api" || len(rsp.Patch) > 1024 {
		t.Errorf("want a small patch, got %v, %d bytes", err, len(rsp.Patch))
	}
}

// TestManyOwners holds that of a pod with thousands of owners none is looked at, as by
// the policy, and that its labels count all the same.
func TestManyOwners(t *testing.T) {
	t.Parallel()
	x := NewIndex()
	x.Put(connection(t, "shop", older, "api"))
	owned := largest(3000)
	labelled := strings.Replace(owned, `"labels": {`, `"labels": {"`+workload.LabelClaim+`": "shop", "`+workload.LabelService+`": "api", `, 1)
	few := largest(workload.MaxOwners - 1)
	for name, tc := range map[string]struct{ reason, pod, want string }{
		"Many":     {"No controller gives a pod so many.", owned, ""},
		"Labelled": {"A pod that says whose it is needs no owner.", labelled, "shop-api"},
		"Few":      {"Up to the bound the controller counts.", few, "shop-api"},
	} {
		rsp, err := x.Inject(t.Context(), creation(tc.pod))
		if err != nil {
			t.Fatal(err)
		}
		if got := serviceAccount(t, rsp); got != tc.want {
			t.Errorf("%s: %s\nwant ServiceAccount %q, got %q", name, tc.reason, tc.want, got)
		}
	}
}

// FuzzReview sends any pod, beside any claim of a name that it may have: no panic, and
// nothing but an answer that the API server can read.
func FuzzReview(f *testing.F) {
	const claim = `{"metadata": {"namespace": "team-a", "name": "shop"}, "spec": {"services": [{"name": "api", "requireInjection": true}]},
		"status": {"services": [{"name": "api", "workload": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "api"},
		"injection": {"hash": "0123456789abcdef", "complete": true, "serviceAccountName": "sa", "fsGroup": 1, "env": [{"name": "DB_HOST", "value": "x"}]}}]}}`
	f.Add(podOf("api"), claim)
	f.Add(podOf("api"), `{"metadata": {"namespace": "team-a"}, "status": {"services": [{"injection": {"env": 1}}]}}`)
	f.Add(`{"metadata": {"labels": {"serviceconnections.io/claim": "shop", "serviceconnections.io/service": "api"}}, "spec": {"containers": [null, {"env": {}}]}}`, claim)
	f.Add(`{"metadata": {"ownerReferences": [{"controller": true, "kind": "ReplicaSet", "name": "-"}]}, "spec": []}`, claim)
	f.Add("\x00[", "{")
	forms := workload.Forms{Env: map[string]string{"DB_HOST": "x"}}
	f.Fuzz(func(t *testing.T, pod, claim string) {
		var o map[string]any
		if json.Unmarshal([]byte(claim), &o) != nil {
			return
		}
		x := NewIndex()
		x.Put(Read(o, forms))
		for _, review := range []func(context.Context, *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, error){x.Inject, x.Require} {
			rsp, _ := review(t.Context(), creation(pod))
			if rsp == nil || rsp.UID != "1" {
				t.Fatalf("no answer: %+v", rsp)
			}
			if rsp.Patch != nil && !json.Valid(rsp.Patch) {
				t.Errorf("the patch is no JSON: %s", rsp.Patch)
			}
		}
	})
}

// BenchmarkInject is what the decision costs, by how many claims the namespace has and
// by the pod: of no claim, injected, and the largest.
func BenchmarkInject(b *testing.B) {
	for _, claims := range []int{1, 300} {
		x := NewIndex()
		for i := range claims {
			services := make([]string, 0, 100)
			for s := range 100 {
				services = append(services, fmt.Sprintf("api-%d-%d", i, s))
			}
			x.Put(connection(b, fmt.Sprintf("shop-%d", i), older, services...))
		}
		x.Put(connection(b, "shop", older, "api"))
		for name, pod := range map[string]string{"other": podOf("other"), "injected": podOf("api"), "megabyte": largest(0), "owners": largest(3000)} {
			b.Run(fmt.Sprintf("claims=%d/%s", claims, name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := x.Inject(b.Context(), creation(pod)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
