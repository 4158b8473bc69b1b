package workload

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fromJSON decodes an object as encoding/json does: its numbers are float64.
func fromJSON(t testing.TB, s string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(s), &m); err != nil {
		t.Fatalf("%v in %s", err, s)
	}
	return m
}

func TestKindOf(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason     string
		apiVersion string
		kind       string
		known      bool
		inspected  bool
		crd        string
	}{
		"Deployment":      {reason: "The most common workload.", apiVersion: "apps/v1", kind: "Deployment", known: true, inspected: true},
		"StatefulSet":     {reason: "A workload of its own kind.", apiVersion: "apps/v1", kind: "StatefulSet", known: true, inspected: true},
		"DaemonSet":       {reason: "A workload of its own kind.", apiVersion: "apps/v1", kind: "DaemonSet", known: true, inspected: true},
		"ReplicaSet":      {reason: "One without a Deployment is a workload.", apiVersion: "apps/v1", kind: "ReplicaSet", known: true, inspected: true},
		"Job":             {reason: "A workload of its own kind.", apiVersion: "batch/v1", kind: "Job", known: true, inspected: true},
		"CronJob":         {reason: "A workload of its own kind.", apiVersion: "batch/v1", kind: "CronJob", known: true, inspected: true},
		"Pod":             {reason: "Pods are never read: Crossplane would cache all of the cluster's.", apiVersion: "v1", kind: "Pod", known: true},
		"Rollout":         {reason: "A kind that may be missing is required after its CRD.", apiVersion: "argoproj.io/v1alpha1", kind: "Rollout", known: true, inspected: true, crd: "rollouts.argoproj.io"},
		"OldAPIVersion":   {reason: "A version that the cluster no longer serves is another kind.", apiVersion: "apps/v1beta1", kind: "Deployment"},
		"OtherGroup":      {reason: "The kind alone doesn't tell a workload.", apiVersion: "example.org/v1", kind: "Deployment"},
		"NoKind":          {reason: "An empty kind is none.", apiVersion: "apps/v1"},
		"OtherCapitalize": {reason: "Kinds are written as Kubernetes writes them.", apiVersion: "apps/v1", kind: "deployment"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := KindOf(tc.apiVersion, tc.kind)
			if ok != tc.known {
				t.Fatalf("\n%s\nKindOf(%q, %q) found: %t, want %t", tc.reason, tc.apiVersion, tc.kind, ok, tc.known)
			}
			if got.Inspected != tc.inspected || got.CRD != tc.crd {
				t.Errorf("\n%s\nKindOf(%q, %q): inspected %t, CRD %q, want %t, %q", tc.reason, tc.apiVersion, tc.kind, got.Inspected, got.CRD, tc.inspected, tc.crd)
			}
		})
	}
}

// kind that every test may rely on.
func kind(t testing.TB, name string) Kind {
	t.Helper()
	for _, k := range kinds {
		if k.Kind == name {
			return k
		}
	}
	t.Fatalf("no kind %s", name)
	return Kind{}
}

func TestTemplate(t *testing.T) {
	t.Parallel()
	const usual = `{"spec": {"template": {"spec": {"nodeName": "a"}}}}`
	cases := map[string]struct {
		reason string
		kind   string
		obj    string
		want   string
	}{
		"Deployment":  {reason: "The template is at spec.template.", kind: "Deployment", obj: usual, want: `{"spec": {"nodeName": "a"}}`},
		"StatefulSet": {reason: "The template is at spec.template.", kind: "StatefulSet", obj: usual, want: `{"spec": {"nodeName": "a"}}`},
		"DaemonSet":   {reason: "The template is at spec.template.", kind: "DaemonSet", obj: usual, want: `{"spec": {"nodeName": "a"}}`},
		"ReplicaSet":  {reason: "The template is at spec.template.", kind: "ReplicaSet", obj: usual, want: `{"spec": {"nodeName": "a"}}`},
		"Job":         {reason: "The template is at spec.template.", kind: "Job", obj: usual, want: `{"spec": {"nodeName": "a"}}`},
		"Rollout":     {reason: "The template is at spec.template.", kind: "Rollout", obj: usual, want: `{"spec": {"nodeName": "a"}}`},
		"CronJob": {
			reason: "The template is within the template of its Jobs.",
			kind:   "CronJob",
			obj:    `{"spec": {"jobTemplate": {"spec": {"template": {"spec": {"nodeName": "a"}}}}}}`,
			want:   `{"spec": {"nodeName": "a"}}`,
		},
		"Pod": {
			reason: "A Pod is its own template.",
			kind:   "Pod",
			obj:    `{"kind": "Pod", "spec": {"nodeName": "a"}}`,
			want:   `{"kind": "Pod", "spec": {"nodeName": "a"}}`,
		},
		"CronJobAsDeployment": {reason: "A template elsewhere is none.", kind: "CronJob", obj: usual},
		"RolloutOfReference":  {reason: "A Rollout may refer to a Deployment, and then has no template.", kind: "Rollout", obj: `{"spec": {"workloadRef": {"name": "a"}}}`},
		"NoPodSpec":           {reason: "There is nothing to inject into.", kind: "Deployment", obj: `{"spec": {"template": {"metadata": {}}}}`},
		"NoObject":            {reason: "A template is an object.", kind: "Deployment", obj: `{"spec": {"template": ["a"]}}`},
		"SpecIsText":          {reason: "Nothing is below a text.", kind: "Deployment", obj: `{"spec": "a"}`},
		"Empty":               {reason: "An empty object has no template.", kind: "Pod", obj: `{}`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := kind(t, tc.kind).Template(fromJSON(t, tc.obj))
			if ok != (tc.want != "") {
				t.Fatalf("\n%s\nTemplate(...) found: %t", tc.reason, ok)
			}
			if !ok {
				return
			}
			if diff := cmp.Diff(fromJSON(t, tc.want), got); diff != "" {
				t.Errorf("\n%s\nTemplate(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestTemplateIsNoCopy(t *testing.T) {
	t.Parallel()
	obj := fromJSON(t, `{"spec": {"template": {"spec": {}}}}`)
	template, ok := kind(t, "Deployment").Template(obj)
	if !ok {
		t.Fatal("no template")
	}
	template["changed"] = true
	if at(obj, "spec", "template", "changed") != true {
		t.Error("A change of the template must change the workload.")
	}
}

func TestRestart(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason string
		kind   string
		want   string
	}{
		"Deployment":  {reason: "kubectl can restart it.", kind: "Deployment", want: "kubectl -n shop rollout restart deployment/api"},
		"StatefulSet": {reason: "kubectl can restart it.", kind: "StatefulSet", want: "kubectl -n shop rollout restart statefulset/api"},
		"DaemonSet":   {reason: "kubectl can restart it.", kind: "DaemonSet", want: "kubectl -n shop rollout restart daemonset/api"},
		"Rollout":     {reason: "Argo's plugin can restart it.", kind: "Rollout", want: "kubectl argo rollouts restart api -n shop"},
		"ReplicaSet":  {reason: "Its controller leaves running pods alone.", kind: "ReplicaSet", want: `recreate ReplicaSet "api" in namespace "shop"`},
		"Job":         {reason: "Its template can't change.", kind: "Job", want: `recreate Job "api" in namespace "shop"`},
		"Pod":         {reason: "Its spec can't change.", kind: "Pod", want: `recreate Pod "api" in namespace "shop"`},
		"CronJob":     {reason: "Its next run makes a new pod.", kind: "CronJob", want: ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, kind(t, tc.kind).Restart("shop", "api")); diff != "" {
				t.Errorf("\n%s\nRestart(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestTemplateHash(t *testing.T) {
	t.Parallel()
	const usual = `{"metadata": {"uid": "1"}, "spec": {"replicas": 1, "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "a"}]}}}}`
	cases := map[string]struct {
		reason string
		kind   string
		a, b   string
		same   bool
	}{
		"Itself": {
			reason: "The hash is deterministic.",
			kind:   "Deployment", a: usual, b: usual, same: true,
		},
		"Scaled": {
			reason: "Scaling replaces no pod.",
			kind:   "Deployment", a: usual, same: true,
			b: `{"metadata": {"uid": "1"}, "spec": {"replicas": 5, "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "a"}]}}}}`,
		},
		"Nulls": {
			reason: "API servers before 1.34 write creationTimestamp: null; an upgrade is no restart.",
			kind:   "Deployment", a: usual, same: true,
			b: `{"metadata": {"uid": "1"}, "spec": {"template": {"metadata": {"creationTimestamp": null, "labels": {"app": "a"}}, "spec": {"containers": [{"name": "a", "env": null}]}}}}`,
		},
		"Restarted": {
			reason: "kubectl rollout restart writes an annotation into the template.",
			kind:   "Deployment", a: usual,
			b: `{"metadata": {"uid": "1"}, "spec": {"template": {"metadata": {"labels": {"app": "a"}, "annotations": {"kubectl.kubernetes.io/restartedAt": "x"}}, "spec": {"containers": [{"name": "a"}]}}}}`,
		},
		"Recreated": {
			reason: "A workload that was deleted and made again has new pods.",
			kind:   "Deployment", a: usual,
			b: `{"metadata": {"uid": "2"}, "spec": {"template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "a"}]}}}}`,
		},
		"RolloutRestarted": {
			reason: "A Rollout's restart leaves its template alone.",
			kind:   "Rollout", a: usual,
			b: `{"metadata": {"uid": "1"}, "spec": {"restartAt": "x", "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "a"}]}}}}`,
		},
		"DeploymentRestartAt": {
			reason: "For another kind the field is unknown.",
			kind:   "Deployment", a: usual, same: true,
			b: `{"metadata": {"uid": "1"}, "spec": {"restartAt": "x", "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "a"}]}}}}`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := kind(t, tc.kind)
			a, b := k.TemplateHash(fromJSON(t, tc.a)), k.TemplateHash(fromJSON(t, tc.b))
			if len(a) != hashLength || len(b) != hashLength {
				t.Fatalf("hashes %q and %q, want %d hex digits", a, b, hashLength)
			}
			if (a == b) != tc.same {
				t.Errorf("\n%s\nTemplateHash: %s and %s, want the same: %t", tc.reason, a, b, tc.same)
			}
		})
	}
	if got := kind(t, "Deployment").TemplateHash(map[string]any{}); got != "" {
		t.Errorf("TemplateHash without a template: %q, want none", got)
	}
}
