package patch

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/workload"
)

// injection of the example that has all types of connections.
func injection(t *testing.T) claim.Injection {
	t.Helper()
	return injectionOf(t, "all-together")
}

// injectionOf an example.
func injectionOf(t *testing.T, example string) claim.Injection {
	t.Helper()
	content, err := os.ReadFile("../../example/" + example + "/expected.yaml")
	if err != nil {
		t.Fatal(err)
	}
	composite, _, _ := strings.Cut(strings.TrimPrefix(string(content), "---\n"), "\n---\n")
	sc := claim.ServiceConnection{}
	if err := yaml.Unmarshal([]byte(composite), &sc); err != nil {
		t.Fatal(err)
	}
	return *sc.Status.Services[0].Injection
}

func parse(t *testing.T, text string) map[string]any {
	t.Helper()
	asJSON, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	o := map[string]any{}
	if err := utiljson.Unmarshal(asJSON, &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// injected is what the function makes of a workload.
func injected(t *testing.T, o map[string]any, i claim.Injection) map[string]any {
	t.Helper()
	o = runtime.DeepCopyJSON(o)
	kind, _ := workload.KindOf(o["apiVersion"].(string), o["kind"].(string))
	template, ok := kind.Template(o)
	if !ok {
		t.Fatal("the workload has no template")
	}
	workload.Inject(template, i)
	return o
}

// A workloadCase is a workload and an injection into it.
type workloadCase struct {
	reason   string
	workload string
	change   func(*claim.Injection)

	// patched workload: an older injection is in it.
	patched func(*claim.Injection)
}

const (
	plain = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: team-a}
spec:
  replicas: 2
  template:
    spec:
      containers:
      - name: api
        image: api
`
	full = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: team-a, labels: {app: api}}
spec:
  replicas: 2
  selector: {matchLabels: {app: api}}
  template:
    metadata:
      labels: {app: api}
      annotations: {own: annotation}
    spec:
      serviceAccountName: default
      securityContext: {runAsNonRoot: true}
      initContainers:
      - {name: migrate, image: api, env: [{name: DB_PORT, value: "1"}]}
      - {name: wait, image: wait}
      containers:
      - name: api
        image: api
        env: [{name: LOG_LEVEL, value: info}, {name: AWS_REGION, valueFrom: {configMapKeyRef: {name: a, key: b}}}]
        envFrom: [{secretRef: {name: own}}]
        volumeMounts: [{name: own, mountPath: /own}]
        ports: [{containerPort: 8080}]
      - {name: log, image: log}
      volumes:
      - {name: own, emptyDir: {}}
`
	cronJob = `
apiVersion: batch/v1
kind: CronJob
metadata: {name: api}
spec:
  schedule: "@hourly"
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: api, image: api}]}}}}
`
	pod = `
apiVersion: v1
kind: Pod
metadata: {name: api}
spec: {containers: [{name: api, image: api}]}
`
)

func cases() map[string]workloadCase {
	return map[string]workloadCase{
		"Plain":   {reason: "The smallest workload gets all.", workload: plain},
		"Full":    {reason: "What a workload has itself stays, and the sidecar goes before its own init containers.", workload: full},
		"CronJob": {reason: "The template is deeper in a CronJob.", workload: cronJob},
		"Pod":     {reason: "A Pod is its own template.", workload: pod},
		"Containers": {
			reason:   "Only the containers that the team names get variables and mounts.",
			workload: full,
			change:   func(i *claim.Injection) { i.Containers = []string{"log", "wait"} },
		},
		"Group": {
			reason:   "A group of the disk is set where the pod has none.",
			workload: full,
			change:   func(i *claim.Injection) { g := int64(2000); i.FSGroup = &g },
		},
		"Patched": {
			reason:   "What an earlier patch put there, and isn't wanted any more, goes.",
			workload: full,
			patched: func(i *claim.Injection) {
				i.Hash = "0123456789abcdef"
				i.Labels = map[string]string{"old": "label"}
				i.Env = append(i.Env, claim.EnvVar{Name: "OLD", Value: "x"})
				i.Volumes = append(i.Volumes, claim.Volume{Name: "old", PersistentVolumeClaim: &claim.PersistentVolumeClaimVolume{ClaimName: "old"}})
				i.VolumeMounts = append(i.VolumeMounts, claim.VolumeMount{Name: "old", MountPath: "/old"})
				i.InitContainers[0].Image = "old"
			},
		},
		"Current": {reason: "A workload that has it already stays as it is.", workload: full, patched: func(*claim.Injection) {}},
	}
}

// given workload of a case and the injection into it, and the workload as it was
// written before any patch.
func (c workloadCase) given(t *testing.T) (given, written map[string]any, i claim.Injection) {
	t.Helper()
	written, i = parse(t, c.workload), injection(t)
	if c.change != nil {
		c.change(&i)
	}
	if c.patched == nil {
		return written, written, i
	}
	old := injection(t)
	c.patched(&old)
	return injected(t, written, old), written, i
}

// TestStrategic applies each patch as the API server does.
func TestStrategic(t *testing.T) {
	t.Parallel()

	for name, tc := range cases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			given, _, i := tc.given(t)
			patch, err := Strategic(given, i)
			if err != nil {
				t.Fatal(err)
			}
			original, err := json.Marshal(given)
			if err != nil {
				t.Fatal(err)
			}
			encoded, err := json.Marshal(patch)
			if err != nil {
				t.Fatal(err)
			}
			result, err := strategicpatch.StrategicMergePatch(original, encoded, typed[given["kind"].(string)])
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(injected(t, given, i), parse(t, string(result))); diff != "" {
				t.Errorf("\n%s\n-what the function makes of it, +what the patch does:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestKustomize builds each component on the workload as it is written, by the
// Kustomize that is in kubectl.
func TestKustomize(t *testing.T) {
	t.Parallel()

	for name, tc := range cases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			given, written, i := tc.given(t)
			component, err := Kustomize(given, i)
			if err != nil {
				t.Fatal(err)
			}
			encoded, err := yaml.Marshal(component)
			if err != nil {
				t.Fatal(err)
			}
			base, err := yaml.Marshal(written)
			if err != nil {
				t.Fatal(err)
			}
			fs := filesys.MakeFsInMemory()
			for path, content := range map[string][]byte{
				"/app/kustomization.yaml":           []byte("resources: [workload.yaml]\ncomponents: [injection]\n"),
				"/app/workload.yaml":                base,
				"/app/injection/kustomization.yaml": encoded,
			} {
				if err := fs.WriteFile(path, content); err != nil {
					t.Fatal(err)
				}
			}
			resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fs, "/app")
			if err != nil {
				t.Fatal(err)
			}
			built, err := resources.AsYaml()
			if err != nil {
				t.Fatal(err)
			}
			want, got := injected(t, written, i), parse(t, string(built))
			if diff := cmp.Diff(want, got, anyOrder); diff != "" {
				t.Errorf("\n%s\n-what the function makes of it, +what Kustomize builds:\n%s", tc.reason, diff)
			}
		})
	}
}

// anyOrder of variables, volumes, and mounts, which means nothing. That of
// containers and of init containers does.
var anyOrder = cmp.FilterPath(func(p cmp.Path) bool {
	for _, step := range p {
		if key, ok := step.(cmp.MapIndex); ok && slices.Contains([]string{"env", "volumes", "volumeMounts"}, key.Key().String()) {
			return true
		}
	}
	return false
}, cmp.Transformer("sorted", func(l []any) map[string]any {
	named := map[string]any{}
	for _, v := range l {
		m, _ := v.(map[string]any)
		b, _ := json.Marshal(m)
		named[string(b)] = nil
	}
	return named
}))

func TestRefusal(t *testing.T) {
	t.Parallel()

	cases := map[string]struct{ reason, workload, want string }{
		"Rollout": {
			reason:   "A merge of a custom resource would replace its containers.",
			workload: "{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: api}, spec: {template: {spec: {containers: [{name: api}]}}}}",
			want:     `Rollout "api" is a custom resource, whose lists a patch would replace; add to its pod template by hand what -o helm-values prints`,
		},
		"NoTemplate": {
			reason:   "There is nothing to patch.",
			workload: "{apiVersion: apps/v1, kind: Deployment, metadata: {name: api}}",
			want:     `Deployment "api" has no pod template`,
		},
		"OtherKind": {
			reason:   "What has no pods gets nothing.",
			workload: "{apiVersion: v1, kind: Service, metadata: {name: api}}",
			want:     "Service is no kind of workload that a service may have",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := Kustomize(parse(t, tc.workload), injection(t))
			if err == nil || err.Error() != tc.want {
				t.Errorf("\n%s\nKustomize(...): want error %q, got %v", tc.reason, tc.want, err)
			}
		})
	}
}

// TestHelmValues holds that what a chart renders at the usual places is all of the
// injection: a pod template that has these values needs nothing more.
func TestHelmValues(t *testing.T) {
	t.Parallel()
	for example, reason := range map[string]string{
		"all-together": "It has all types of connections.",
		"several":      "It has two disks of one volume claim, of which a pod has one volume.",
	} {
		t.Run(example, func(t *testing.T) {
			t.Parallel()
			i := injectionOf(t, example)
			encoded, err := yaml.Marshal(HelmValues(i))
			if err != nil {
				t.Fatal(err)
			}
			v := parse(t, string(encoded))
			template := map[string]any{
				"metadata": map[string]any{"annotations": v["podAnnotations"]},
				"spec": map[string]any{
					"serviceAccountName": v["serviceAccount"].(map[string]any)["name"],
					"initContainers":     v["extraInitContainers"],
					"containers":         []any{map[string]any{"name": "api", "env": v["extraEnv"], "volumeMounts": v["extraVolumeMounts"]}},
					"volumes":            v["extraVolumes"],
				},
			}
			if labels, ok := v["podLabels"]; ok {
				template["metadata"].(map[string]any)["labels"] = labels
			}
			claims := map[string]bool{}
			for _, v := range v["extraVolumes"].([]any) {
				if c, ok := v.(map[string]any)["persistentVolumeClaim"].(map[string]any); ok {
					if name := c["claimName"].(string); claims[name] {
						t.Errorf("%s\nvolume claim %q is in two volumes", reason, name)
					} else {
						claims[name] = true
					}
				}
			}
			if cs := workload.Inspect(template, i, claim.Service{Name: "api"}); len(cs) > 0 {
				t.Errorf("%s\nthe function finds conflicts in what the chart renders: %v", reason, cs)
			}
			want := runtime.DeepCopyJSON(template)
			workload.Inject(want, i)
			for _, o := range []map[string]any{want, template} {
				delete(o["metadata"].(map[string]any)["annotations"].(map[string]any), "serviceconnections.io/injected")
			}
			// The deprecated twin of serviceAccountName, which the API server adds.
			delete(want["spec"].(map[string]any), "serviceAccount")
			if diff := cmp.Diff(want, template); diff != "" {
				t.Errorf("%s\n-what the function makes of it, +what the chart renders:\n%s", reason, diff)
			}
		})
	}
}
