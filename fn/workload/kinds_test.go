package workload

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/serviceconnections/function-service-connections/fn/decoded"
)

func TestKindOf(t *testing.T) {
	t.Parallel()
	type want struct {
		Known     bool
		Inspected bool
		CRD       string
		Restart   string
	}
	cases := map[string]struct {
		reason           string
		apiVersion, kind string
		want             want
	}{
		"Deployment":  {"The commonest workload.", "apps/v1", "Deployment", want{true, true, "", "kubectl -n team-a rollout restart deployment/api"}},
		"StatefulSet": {"Rolled out like a Deployment.", "apps/v1", "StatefulSet", want{true, true, "", "kubectl -n team-a rollout restart statefulset/api"}},
		"DaemonSet":   {"Rolled out like a Deployment.", "apps/v1", "DaemonSet", want{true, true, "", "kubectl -n team-a rollout restart daemonset/api"}},
		"ReplicaSet":  {"It leaves running pods alone.", "apps/v1", "ReplicaSet", want{true, true, "", "kubectl -n team-a scale replicaset/api --replicas=0, then back once its pods are gone"}},
		"Job":         {"Its template can't change.", "batch/v1", "Job", want{true, true, "", `recreate Job "api" in namespace "team-a"`}},
		"CronJob":     {"Its next run is new anyway.", "batch/v1", "CronJob", want{true, true, "", ""}},
		"Pod":         {"To read it, Crossplane would cache every Pod of the cluster.", "v1", "Pod", want{true, false, "", `recreate Pod "api" in namespace "team-a"`}},
		"Rollout":     {"Its kind may not be installed.", "argoproj.io/v1alpha1", "Rollout", want{true, true, "rollouts.argoproj.io", "kubectl argo rollouts restart api -n team-a"}},
		"OtherGroup":  {"A kind belongs to its API group.", "apps.kruise.io/v1beta1", "StatefulSet", want{}},
		"OtherKind":   {"Only known kinds have a known template.", "v1", "ReplicationController", want{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, known := KindOf(tc.apiVersion, tc.kind)
			got := want{Known: known, Inspected: k.Inspected, CRD: k.CRD, Restart: k.Restart("team-a", "api", nil)}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestTemplate(t *testing.T) {
	t.Parallel()
	template := map[string]any{"spec": map[string]any{"containers": []any{}}}
	cases := map[string]struct {
		reason           string
		apiVersion, kind string
		obj              map[string]any
		want             map[string]any
	}{
		"Deployment":      {"The template is in the spec.", "apps/v1", "Deployment", map[string]any{"spec": map[string]any{"template": template}}, template},
		"CronJob":         {"The template is in the Job's template.", "batch/v1", "CronJob", map[string]any{"spec": map[string]any{"jobTemplate": map[string]any{"spec": map[string]any{"template": template}}}}, template},
		"Pod":             {"A pod is its own template.", "v1", "Pod", template, template},
		"NoTemplate":      {"A Rollout may refer to a Deployment instead.", "argoproj.io/v1alpha1", "Rollout", map[string]any{"spec": map[string]any{"workloadRef": map[string]any{}}}, nil},
		"TemplateNoSpec":  {"A template without a spec has no pod.", "apps/v1", "Deployment", map[string]any{"spec": map[string]any{"template": map[string]any{}}}, nil},
		"SpecIsNoObject":  {"What the API server would refuse isn't read.", "apps/v1", "Deployment", map[string]any{"spec": "x"}, nil},
		"NothingObserved": {"A workload that doesn't exist has no template.", "apps/v1", "Deployment", nil, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, _ := KindOf(tc.apiVersion, tc.kind)
			got, ok := k.Template(tc.obj)
			if diff := cmp.Diff(tc.want, got); diff != "" || ok != (tc.want != nil) {
				t.Errorf("%s\nfound %t, -want +got:\n%s", tc.reason, ok, diff)
			}
		})
	}
}

func TestTemplateHash(t *testing.T) {
	t.Parallel()
	deployment := func(change func(obj, template map[string]any)) map[string]any {
		template := map[string]any{
			"metadata": map[string]any{"labels": map[string]any{"app": "api"}},
			"spec":     map[string]any{"containers": []any{map[string]any{"name": "api", "ports": []any{map[string]any{"containerPort": int64(80)}}}}},
		}
		obj := map[string]any{"metadata": map[string]any{"uid": "1"}, "spec": map[string]any{"replicas": int64(1), "template": template}}
		change(obj, template)
		return obj
	}
	cases := map[string]struct {
		reason           string
		apiVersion, kind string
		change           func(obj, template map[string]any)
		same             bool
	}{
		"Nothing": {"Equal templates have one hash.", "apps/v1", "Deployment", func(_, _ map[string]any) {}, true},
		"Scaled": {"Scaling replaces no pod.", "apps/v1", "Deployment", func(obj, _ map[string]any) {
			decoded.Object(obj, "spec")["replicas"] = int64(3)
		}, true},
		"DecodedOtherwise": {"Whether a number is int64 or float64 depends on who decoded it.", "apps/v1", "Deployment", func(_, template map[string]any) {
			decoded.Objects(decoded.Objects(decoded.Object(template, "spec"), "containers")[0], "ports")[0]["containerPort"] = float64(80)
		}, true},
		"NullTimestamp": {"An upgrade of the API server replaces no pod.", "apps/v1", "Deployment", func(_, template map[string]any) {
			decoded.Object(template, "metadata")["creationTimestamp"] = nil
		}, true},
		"Restarted": {"kubectl rollout restart annotates the template.", "apps/v1", "Deployment", func(_, template map[string]any) {
			decoded.Object(template, "metadata")["annotations"] = map[string]any{"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}
		}, false},
		"Recreated": {"Pods that a deleted workload has left behind are taken up by the one that is made again.", "apps/v1", "StatefulSet", func(obj, _ map[string]any) {
			decoded.Object(obj, "metadata")["uid"] = "2"
		}, true},
		"RolloutRestarted": {"Argo restarts without touching the template.", "argoproj.io/v1alpha1", "Rollout", func(obj, _ map[string]any) {
			decoded.Object(obj, "spec")["restartAt"] = "2026-01-01T00:00:00Z"
		}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, _ := KindOf(tc.apiVersion, tc.kind)
			before := k.TemplateHash(deployment(func(_, _ map[string]any) {}))
			after := k.TemplateHash(deployment(tc.change))
			if len(before) != 16 || (before == after) != tc.same {
				t.Errorf("%s\nhashes %q and %q, want the same: %t", tc.reason, before, after, tc.same)
			}
		})
	}
	if got := kinds[0].TemplateHash(nil); got != "" {
		t.Errorf("a workload that doesn't exist has the hash %q, want none", got)
	}
}
