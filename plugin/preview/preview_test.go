package preview

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/charmbracelet/colorprofile"
	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/plugin/manifest"
)

// objects of a file, none where there is no file.
func objects(t *testing.T, path string) []map[string]any {
	t.Helper()
	f, err := manifest.Read(path, nil)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	found, err := f.Objects()
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func parse(t *testing.T, text string) map[string]any {
	t.Helper()
	o := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// input of an example's preview, as far as a team has it.
func example(t *testing.T, dir string) Input {
	t.Helper()
	step, err := Step(objects(t, filepath.Join(dir, "composition.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	return Input{
		Claim:     objects(t, filepath.Join(dir, "xr.yaml"))[0],
		Step:      step,
		Objects:   objects(t, filepath.Join(dir, "required.yaml")),
		Workloads: objects(t, filepath.Join(dir, "deployment.yaml")),
	}
}

// examples are the folders of those that are of our own kinds: another one's
// earlier step renders the workload, and isn't run here.
func examples(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../../example/*/xr.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var dirs []string
	for _, f := range files {
		if IsClaim(objects(t, f)[0]) {
			dirs = append(dirs, filepath.Dir(f))
		}
	}
	if len(dirs) < 10 {
		t.Fatalf("only %d examples were found", len(dirs))
	}
	return dirs
}

// A told connection is what both a preview and a status tell of one.
type told struct {
	Ready                     bool
	Reason, Message, Identity string
}

// TestAgreesWithCrossplane holds a preview by the objects that a cluster has to
// the status that Crossplane's own engine renders from them.
func TestAgreesWithCrossplane(t *testing.T) {
	t.Parallel()

	for _, dir := range examples(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()

			in := example(t, dir)
			in.Objects = append(in.Objects, objects(t, filepath.Join(dir, "observed.yaml"))...)
			got, err := Run(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			rendered := struct{ Status claim.Status }{}
			expected, err := os.ReadFile(filepath.Join(dir, "expected.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			composite, _, _ := strings.Cut(strings.TrimPrefix(string(expected), "---\n"), "\n---\n")
			if err := yaml.Unmarshal([]byte(composite), &rendered); err != nil {
				t.Fatal(err)
			}
			for i, s := range rendered.Status.Services {
				for j, c := range s.Connections {
					want := told{c.Ready, c.Reason, c.Message, c.Identity}
					p := got.Services[i].Connections[j]
					if diff := cmp.Diff(want, told{p.Outcome == Connected, p.Reason, p.Message, p.Identity}); diff != "" {
						t.Errorf("%s/%s: -Crossplane, +preview:\n%s", s.Name, c.Type, diff)
					}
				}
				if diff := cmp.Diff(s.Injection, got.Services[i].Injection); diff != "" {
					t.Errorf("injection of %s: -Crossplane, +preview:\n%s", s.Name, diff)
				}
			}
		})
	}
}

// TestBeforeAnythingIsThere holds that what the examples' teams write is never
// called a failure because nothing of it is made yet, and that the pods that are
// shown are those that will be.
func TestBeforeAnythingIsThere(t *testing.T) {
	t.Parallel()

	for _, dir := range examples(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()

			in := example(t, dir)
			in.Objects = nil
			if config := objects(t, filepath.Join(dir, "required.yaml")); len(config) > 0 && config[0]["kind"] == "EnvironmentConfig" {
				in.Objects = config
			}
			before, err := Run(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			if before.Outcome != Pending {
				t.Errorf("outcome: want Pending, got %q: %s", before.Outcome, before.Text())
			}
			in.Objects = append(objects(t, filepath.Join(dir, "required.yaml")), objects(t, filepath.Join(dir, "observed.yaml"))...)
			after, err := Run(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			for i, s := range after.Services {
				if before.Services[i].Connections[0].Reason == "ServiceAccountNotAnnotated" {
					continue // Which the preview says, with the command that annotates.
				}
				if diff := cmp.Diff(s.Injection, before.Services[i].Injection, ignoreHashAndPath); diff != "" {
					t.Errorf("injection of %s: -as it was in the end, +as it was previewed:\n%s", s.Name, diff)
				}
			}
		})
	}
}

// ignoreHashAndPath of a role, which only AWS knows.
var ignoreHashAndPath = cmp.Options{
	cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Hash" }, cmp.Ignore()),
	cmp.Transformer("role", func(s string) string { return strings.ReplaceAll(s, ":role/apps/", ":role/") }),
}

func TestRun(t *testing.T) {
	t.Parallel()

	const settings = `
settings:
  cluster: {name: prod-eu}
  aws:
    accountId: "123456789012"
    region: eu-west-1
    clusterName: prod-eu
    allowedRoles: [{pattern: "my-app-*", namespaces: [team-a]}]
  disks:
  - {name: cache, namespaces: [team-a]}
  - {name: uploads, namespaces: [team-a], create: {size: 1Gi}}
`
	claimed := func(services string) string {
		return "{apiVersion: serviceconnections.io/v1alpha1, kind: ServiceConnection, metadata: {name: shop, namespace: team-a}, spec: {services: " + services + "}}"
	}
	const deployment = `{apiVersion: apps/v1, kind: Deployment, metadata: {name: api}, spec: {template: {spec: {serviceAccountName: mine, containers: [{name: api}]}}}}`

	cases := map[string]struct {
		reason    string
		claim     string
		claims    bool
		observed  []string
		workloads []string
		want      Outcome
		// text that the result has in it, as a reader sees it.
		text []string
	}{
		"Pending": {
			reason: "Nothing is wrong with a role that nobody has read yet.",
			claim:  claimed("[{name: api, connections: [{type: awsRole, role: my-app-a}]}]"),
			want:   Pending,
			text:   []string{"awsRole: … pending", "Creating: Role", "(iam.aws.m.upbound.io/v1beta1, only read)"},
		},
		"NotAllowed": {
			reason: "What the settings don't allow would not connect, whatever the cloud says.",
			claim:  claimed("[{name: api, connections: [{type: awsRole, role: other}]}]"),
			want:   Failed,
			text:   []string{"awsRole: ✗ would not connect", "NotAllowed: "},
		},
		"NoCloud": {
			reason: "A cloud that the cluster isn't in can't be connected to.",
			claim:  claimed("[{name: api, connections: [{type: gcpServiceAccount, serviceAccountEmail: my-app@my-project.iam.gserviceaccount.com}]}]"),
			want:   Failed,
			text:   []string{"CloudNotConfigured: "},
		},
		"Mistakes": {
			reason: "Each mistake is told, also one that is of no connection.",
			claim:  claimed("[{name: api, replicas: 2, connections: [{type: awsRole, role: my-app-a, rol: x}]}]"),
			want:   Failed,
			text: []string{
				"mistake: spec.services[0].replicas: Forbidden: unknown field",
				"mistake: spec.services[0].connections[0].rol: Forbidden: unknown field",
				"InvalidField: ",
			},
		},
		"Misspelt": {
			reason: "What the API server would refuse isn't a claim that is well because it asks for nothing.",
			claim:  "{apiVersion: serviceconnections.io/v1alpha1, kind: ServiceConnection, metadata: {name: shop, namespace: team-a}, spec: {service: []}}",
			want:   Failed,
			text:   []string{"mistake: spec.service: Forbidden: unknown field", "mistake: spec.services: Required value"},
		},
		"NoConnections": {
			reason: "The API server wants a service to connect to something.",
			claim:  claimed("[{name: api, connections: []}]"),
			want:   Failed,
			text:   []string{"mistake: spec.services[0].connections: Invalid value"},
		},
		"FieldsOfCrossplane": {
			reason: "Crossplane's own fields are no mistakes.",
			claim:  "{apiVersion: serviceconnections.io/v1alpha1, kind: ServiceConnection, metadata: {name: shop, namespace: team-a}, spec: {crossplane: {compositionRef: {name: a}}, services: [{name: api, connections: [{type: awsRole, role: my-app-a}]}]}}",
			want:   Pending,
		},
		"Claims": {
			reason: "In a cluster with claims, what is composed is cluster-scoped.",
			claim:  claimed("[{name: api, connections: [{type: awsRole, role: my-app-a}]}]"),
			claims: true,
			want:   Pending,
			text:   []string{"ServiceConnection shop in namespace team-a", "(iam.aws.upbound.io/v1beta1, only read)"},
		},
		"CompositeResource": {
			reason: "An XServiceConnection is previewed as the claim that it is of.",
			claim:  "{apiVersion: serviceconnections.io/v1alpha1, kind: XServiceConnection, metadata: {name: shop-x}, spec: {claimRef: {name: shop, namespace: team-a}, services: [{name: api, connections: [{type: awsRole, role: my-app-a}]}]}}",
			want:   Pending,
			text:   []string{"ServiceConnection shop in namespace team-a", "ServiceAccount shop-api"},
		},
		"VolumeClaim": {
			reason: "A volume claim of the team's own may well be there.",
			claim:  claimed("[{name: api, connections: [{type: disk, config: {diskName: cache}}]}]"),
			want:   Pending,
			text:   []string{"VolumeClaimNotFound: ", `No file holds PersistentVolumeClaim "cache"; the preview takes it to be there.`},
		},
		"CreatedDisk": {
			reason:    "What a disk that is created means for a rollout is known before.",
			claim:     claimed("[{name: api, connections: [{type: disk, config: {diskName: uploads}}]}]"),
			workloads: []string{`{apiVersion: apps/v1, kind: Deployment, metadata: {name: api}, spec: {replicas: 2, template: {spec: {containers: [{name: api}]}}}}`},
			want:      Pending,
			text:      []string{"warning: ReplicasUnsafe: ", "warning: RolloutBlocks: ", "Object disk-uploads-", "claimName: uploads"},
		},
		"LostVolume": {
			reason:   "What a file says of the cluster counts.",
			claim:    claimed("[{name: api, connections: [{type: disk, config: {diskName: cache}}]}]"),
			observed: []string{"{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: cache, namespace: team-a}, status: {phase: Lost}}"},
			want:     Failed,
			text:     []string{"VolumeClaimLost: "},
		},
		"StorageClass": {
			reason:   "A storage class that no file holds may well be there.",
			claim:    claimed("[{name: api, connections: [{type: disk, config: {diskName: cache}}]}]"),
			observed: []string{"{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: cache, namespace: team-a}, spec: {storageClassName: gp3}, status: {phase: Pending}}"},
			want:     Pending,
			text:     []string{"StorageClassNotFound: ", `No file holds StorageClass "gp3"`},
		},
		"NoProvider": {
			reason:   "A provider that a file says isn't there isn't taken to be.",
			claim:    claimed("[{name: api, connections: [{type: awsRole, role: my-app-a}]}]"),
			observed: []string{"{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: roles.iam.aws.m.upbound.io}}"},
			want:     Failed,
			text:     []string{"ProviderNotInstalled: "},
		},
		"ServiceAccount": {
			reason: "Whether somebody else's ServiceAccount is as it must be can't be told from here.",
			claim:  claimed("[{name: api, serviceAccountName: mine, connections: [{type: disk, config: {diskName: cache}}]}]"),
			want:   Pending,
			text:   []string{"ServiceAccountNotFound: ", `No file holds ServiceAccount "mine" and PersistentVolumeClaim "cache"`},
		},
		"WorkloadInUse": {
			reason:    "A workload that runs as another ServiceAccount gets nothing, and a file shows it.",
			claim:     claimed("[{name: api, connections: [{type: awsRole, role: my-app-a}]}]"),
			workloads: []string{deployment},
			want:      Failed,
			text:      []string{"ServiceAccountInUse: ", "serviceAccountName: mine"},
		},
		"WorkloadNotThere": {
			reason:    "Among the workloads that were given, that of a service is missed.",
			claim:     claimed("[{name: web, connections: [{type: awsRole, role: my-app-a}]}]"),
			workloads: []string{deployment},
			want:      Pending,
			text:      []string{"note: WorkloadNotFound: ", "Deployment api is the workload of no service."},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			in := Input{Claim: parse(t, tc.claim), Claims: tc.claims, Step: parse(t, settings)}
			for _, o := range tc.observed {
				in.Objects = append(in.Objects, parse(t, o))
			}
			for _, w := range tc.workloads {
				in.Workloads = append(in.Workloads, parse(t, w))
			}
			got, err := Run(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got.Outcome); diff != "" {
				t.Errorf("\n%s\nRun(...): -want outcome, +got:\n%s", tc.reason, diff)
			}
			text := plain(got.Text())
			for _, want := range tc.text {
				if !strings.Contains(text, want) {
					t.Errorf("\n%s\nText() doesn't hold %q:\n%s", tc.reason, want, text)
				}
			}
		})
	}
}

// plain text, without its colours.
func plain(s string) string {
	b := &strings.Builder{}
	w := &colorprofile.Writer{Forward: b, Profile: colorprofile.NoTTY}
	if _, err := w.WriteString(s); err != nil {
		return err.Error()
	}
	return b.String()
}

// TestRunError holds that what the function can't read is said in its own words.
func TestRunError(t *testing.T) {
	t.Parallel()

	const named = "{apiVersion: serviceconnections.io/v1alpha1, kind: ServiceConnection, metadata: {name: shop}, spec: {services: []}}"
	cases := map[string]struct {
		reason, claim, step, want string
	}{
		"Settings": {
			reason: "A misspelt allow-list must not read as an absent one.",
			claim:  named,
			step:   "settings: {cluster: {name: a}, aws: {alowedRoles: []}}",
			want:   "settings.aws.alowedRoles",
		},
		"NoEnvironmentConfig": {
			reason: "An Input that names an EnvironmentConfig needs it.",
			claim:  named,
			step:   "settingsFrom: {environmentConfig: {name: cluster-settings}}",
			want:   `EnvironmentConfig "cluster-settings" does not exist`,
		},
		"NoName": {
			reason: "The claim's name is in all that it composes.",
			claim:  "{apiVersion: serviceconnections.io/v1alpha1, kind: ServiceConnection, spec: {services: []}}",
			step:   "settings: {cluster: {name: a}}",
			want:   "the ServiceConnection has no metadata.name",
		},
		"NoServices": {
			reason: "A claim that can't be read isn't one without connections.",
			claim:  "{apiVersion: serviceconnections.io/v1alpha1, kind: ServiceConnection, metadata: {name: shop}, spec: {services: {}}}",
			step:   "settings: {cluster: {name: a}}",
			want:   "spec.services must be a list of services",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := Run(t.Context(), Input{Claim: parse(t, tc.claim), Step: parse(t, tc.step)})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("\n%s\nRun(...): want error with %q, got %v", tc.reason, tc.want, err)
			}
		})
	}
}

func TestStep(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		reason  string
		objects []string
		want    map[string]any
		err     string
	}{
		"EnvironmentConfig": {
			reason:  "What the platform team applies is read as the packages' Compositions read it.",
			objects: []string{"{apiVersion: apiextensions.crossplane.io/v1beta1, kind: EnvironmentConfig, metadata: {name: a}}"},
			want:    map[string]any{"settingsFrom": map[string]any{"environmentConfig": map[string]any{"name": "a"}}},
		},
		"Bare": {
			reason:  "Settings alone are enough.",
			objects: []string{"{cluster: {name: a}}"},
			want:    map[string]any{"settings": map[string]any{"cluster": map[string]any{"name": "a"}}},
		},
		"Input": {
			reason:  "An Input says all, also where an EnvironmentConfig follows.",
			objects: []string{"{kind: Input, settings: {}}", "{apiVersion: apiextensions.crossplane.io/v1beta1, kind: EnvironmentConfig, metadata: {name: a}}"},
			want:    map[string]any{"kind": "Input", "settings": map[string]any{}},
		},
		"Other": {
			reason:  "Another object was given by mistake.",
			objects: []string{"{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}"},
			err:     `it holds ConfigMap "a"; it must hold an EnvironmentConfig, the function's Input, or the settings themselves`,
		},
		"None": {
			reason: "An empty file was given by mistake.",
			err:    "there are no settings in it; it must hold an EnvironmentConfig, the function's Input, or the settings themselves",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			var given []map[string]any
			for _, o := range tc.objects {
				given = append(given, parse(t, o))
			}
			got, err := Step(given)
			message := ""
			if err != nil {
				message = err.Error()
			}
			if diff := cmp.Diff(tc.err, message); diff != "" {
				t.Errorf("\n%s\nStep(...): -want error, +got:\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\n%s\nStep(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
