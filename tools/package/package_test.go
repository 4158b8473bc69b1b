package main

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"
)

const root = "../.."

// dist is the folder of a release of this tree, for all tests. It is built when
// the first of them asks for it.
var dist string

var built = sync.OnceValue(func() error { return packageTo(context.Background(), root, dist) })

func TestMain(m *testing.M) {
	var err error
	if dist, err = os.MkdirTemp("", "package-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dist) // The system clears temporary folders, too.
	os.Exit(code)
}

// architectures of the release. Another than this machine's takes as long to compile as
// all the rest of these tests, so -short leaves it out; a release is built for both before
// it is published.
func architectures() []string {
	if testing.Short() {
		return []string{runtime.GOARCH}
	}
	return []string{"amd64", "arm64"}
}

func packageTo(ctx context.Context, root, out string) error {
	platforms := "linux/" + strings.Join(architectures(), ",linux/")
	o, err := parse([]string{"-root", root, "-out", out, "-revision", "0a1b2c3", "-created", "1700000000", "-platforms", platforms})
	if err != nil {
		return err
	}
	return run(ctx, o)
}

func releaseOf(t *testing.T) string {
	t.Helper()
	if err := built(); err != nil {
		t.Fatal(err)
	}
	return dist
}

func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, e := range entries {
		if all[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// copyTree copies the whole tree except for what is made from it, so that no list
// of the folders that a build reads has to be kept.
func copyTree(t *testing.T, to string) {
	t.Helper()
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		from, to := filepath.Join(root, e.Name()), filepath.Join(to, e.Name())
		switch {
		case slices.Contains([]string{".git", ".cache", "dist"}, e.Name()):
		case e.IsDir():
			if err := os.CopyFS(to, os.DirFS(from)); err != nil {
				t.Fatal(err)
			}
		default:
			text, err := os.ReadFile(from)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(to, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A release can be checked by building it again, wherever that is.
func TestTwoBuildsAreTheSame(t *testing.T) {
	t.Parallel()

	elsewhere := t.TempDir()
	copyTree(t, elsewhere)
	cache, err := filepath.Abs(filepath.Join(root, ".cache"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(cache, filepath.Join(elsewhere, ".cache")); err != nil {
		t.Fatal(err)
	}

	first := files(t, releaseOf(t))
	out := filepath.Join(t.TempDir(), "dist")
	if err := packageTo(t.Context(), elsewhere, out); err != nil {
		t.Fatal(err)
	}
	second := files(t, out)
	for name := range first {
		if !bytes.Equal(first[name], second[name]) {
			t.Errorf("%s differs between two builds", name)
		}
	}
	want := 11 + 2*len(architectures())
	if len(first) != want || len(second) != want {
		t.Errorf("want %d files in each release, got %d and %d", want, len(first), len(second))
	}
}

// image of the function's package for a platform.
func image(t *testing.T, platform string) (v1.Image, *v1.ConfigFile) {
	t.Helper()
	img, err := tarball.ImageFromPath(filepath.Join(releaseOf(t), functionPackage+"-"+platform+".xpkg"), nil)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return img, config
}

func TestImage(t *testing.T) {
	t.Parallel()

	for _, arch := range architectures() {
		t.Run(arch, func(t *testing.T) {
			t.Parallel()

			img, config := image(t, "linux-"+arch)
			got := map[string]any{"os": config.OS, "arch": config.Architecture, "user": config.Config.User, "entrypoint": config.Config.Entrypoint, "created": config.Created.Unix()}
			want := map[string]any{"os": "linux", "arch": arch, "user": "65532:65532", "entrypoint": []string{"/function"}, "created": int64(1700000000)}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("configuration of the image: -want, +got:\n%s", diff)
			}

			// Without these, Artifact Hub lists no image.
			for _, label := range []string{"io.artifacthub.package.readme-url", "org.opencontainers.image.created", "org.opencontainers.image.description"} {
				if config.Config.Labels[label] == "" {
					t.Errorf("the image has no label %s", label)
				}
			}

			names, licences := contentsOf(t, img)
			// What makes it a package of Crossplane is one of them.
			if diff := cmp.Diff([]string{"etc/group 444", "etc/passwd 444", "function 555", "package.yaml 644"}, names); diff != "" {
				t.Errorf("files of the image but for licences: -want, +got:\n%s", diff)
			}
			if licences == 0 {
				t.Error("the image has no licences of what is linked into it")
			}
		})
	}
}

// contentsOf an image: its files with their modes, and the number of licences.
func contentsOf(t *testing.T, img v1.Image) (names []string, licences int) {
	t.Helper()
	content := mutate.Extract(img)
	defer content.Close() //nolint:errcheck // It was read.
	for r := tar.NewReader(content); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			slices.Sort(names)
			return names, licences
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(header.Name, "licences/") {
			licences++
			continue
		}
		names = append(names, fmt.Sprintf("%s %o", header.Name, header.Mode))
	}
}

// Whoever builds with Docker gets the image that releases have.
func TestDockerfileIsTheSame(t *testing.T) {
	t.Parallel()

	text, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	_, last, ok := strings.Cut(string(text), "FROM scratch\n")
	if !ok {
		t.Fatal("the Dockerfile has no image from scratch")
	}
	m, err := readManifests(root, "")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{ //nolint:prealloc // Five lines and the labels.
		"COPY --from=build /rootfs /", "EXPOSE 9443 8080", "WORKDIR /", "USER " + user, `ENTRYPOINT ["` + entrypoint + `"]`,
	}
	for name, value := range labels(release{version: m.version}) {
		want = append(want, name+`="`+value+`"`)
	}
	var got []string
	for line := range strings.Lines(strings.ReplaceAll(last, "LABEL ", "")) {
		got = append(got, strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(line), `\`)))
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the image of the Dockerfile: -release, +Dockerfile:\n%s", diff)
	}
}

// The bill of materials names each module that the binary itself says is linked
// into it, under a licence that lets everybody pass it on.
func TestSBOM(t *testing.T) {
	t.Parallel()

	platform := v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
	binary, err := compile(t.Context(), root, platform, "v0.0.0")
	if err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.Read(bytes.NewReader(binary))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"std": info.GoVersion}
	for _, m := range info.Deps {
		want[m.Path] = m.Version
	}

	document := struct {
		Packages []struct{ Name, VersionInfo, LicenseConcluded string }
	}{}
	if err := json.Unmarshal(files(t, releaseOf(t))[functionPackage+"-linux-"+runtime.GOARCH+".spdx.json"], &document); err != nil {
		t.Fatal(err)
	}
	permissive := regexp.MustCompile(`^(0BSD|Apache-2\.0|BSD-2-Clause|BSD-3-Clause|ISC|MIT|MPL-2\.0|Unicode-DFS-2016|Unlicense|CC0-1\.0)( AND |$)`)
	got := map[string]string{}
	for _, p := range document.Packages {
		for licence := p.LicenseConcluded; licence != ""; {
			part := permissive.FindString(licence)
			if part == "" {
				t.Errorf("%s has licence %q", p.Name, p.LicenseConcluded)
				break
			}
			licence = licence[len(part):]
		}
		if p.Name != info.Main.Path && p.Name != functionPackage {
			got[p.Name] = p.VersionInfo
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("modules: -binary, +bill of materials:\n%s", diff)
	}
}

// Each manifest installs what a cluster needs, and an older Kubernetes gets no
// kind that it lacks.
func TestInstallations(t *testing.T) {
	t.Parallel()

	release := files(t, releaseOf(t))
	for name, tc := range map[string]struct {
		reason                   string
		configuration, injection string
	}{
		"install":                          {"the default", "configuration-service-connections:", "MutatingAdmissionPolicy"},
		"install-claims":                   {"claims", "configuration-service-connections-claims:", "MutatingAdmissionPolicy"},
		"install-without-injection":        {"the default, before Kubernetes 1.36", "configuration-service-connections:", ""},
		"install-claims-without-injection": {"claims, before Kubernetes 1.36", "configuration-service-connections-claims:", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			text := string(release[name+".yaml"])
			packages := regexp.MustCompile(`(?m)^  package: \S+/(\S+:)`).FindAllStringSubmatch(text, -1)
			if len(packages) != 2 || packages[0][1] != tc.configuration || packages[1][1] != "function-service-connections:" {
				t.Errorf("%s: packages are %q", tc.reason, packages)
			}
			if got := strings.Contains(text, "\nkind: MutatingAdmissionPolicy\n"); got != (tc.injection != "") {
				t.Errorf("%s: has a MutatingAdmissionPolicy: %t", tc.reason, got)
			}
			for _, part := range []string{"\nkind: DeploymentRuntimeConfig\n", "\nkind: PodDisruptionBudget\n", "\n  name: service-connections-removal\n", "\n#   name: cluster-settings\n"} {
				if !strings.Contains(text, part) {
					t.Errorf("%s: %q is missing", tc.reason, part)
				}
			}
		})
	}
}

// The webhook is installed beside any of them, with the image of the same release.
func TestWebhookInstallation(t *testing.T) {
	t.Parallel()

	release := releaseOf(t)
	text := string(files(t, release)["install-webhook.yaml"])
	for _, part := range []string{
		"\nkind: MutatingWebhookConfiguration\n", "\nkind: Deployment\n", "\nkind: Namespace\n", "\nkind: PodDisruptionBudget\n", "\nkind: NetworkPolicy\n",
		"\n  name: 00-service-connections\n", "/function-service-connections:v",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing", part)
		}
	}
	for _, part := range []string{"ValidatingWebhookConfiguration\n", "kind: Function\n", "cluster-settings"} {
		if strings.Contains(text, "\nkind: "+part) {
			t.Errorf("%q belongs to another file, or is an option", part)
		}
	}
}

// The exporter is installed beside any of them, with the image of the same release.
func TestMonitoringInstallation(t *testing.T) {
	t.Parallel()

	text := string(files(t, releaseOf(t))["install-monitoring.yaml"])
	for _, part := range []string{"\nkind: PrometheusRule\n", "\nkind: PodMonitor\n", "/function-service-connections:v", "\n        - exporter\n"} {
		if !strings.Contains(text, part) {
			t.Errorf("install-monitoring.yaml lacks %q", part)
		}
	}
	if strings.Contains(text, "cluster-settings") {
		t.Error("install-monitoring.yaml has the example of settings, which belongs to the function")
	}
}

// With cert-manager the webhook makes no certificate, and has no right to its Secret.
func TestWebhookInstallationWithCertManager(t *testing.T) {
	t.Parallel()

	text := string(files(t, releaseOf(t))["install-webhook-cert-manager.yaml"])
	for _, part := range []string{
		"\nkind: MutatingWebhookConfiguration\n", "\n    cert-manager.io/inject-ca-from: service-connections/service-connections-webhook\n",
		"\n        - --no-rotate\n", "\nkind: Certificate\n", "\nkind: Issuer\n", "\n  secretName: service-connections-webhook-certificates\n",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing", part)
		}
	}
	for _, part := range []string{"\n  name: service-connections-webhook-certificates\n", "\n  - service-connections-webhook-certificates\n", "cluster-settings"} {
		if strings.Contains(text, part) {
			t.Errorf("%q is there, which cert-manager makes, nobody needs, or belongs to another file", part)
		}
	}
}

// An editor takes what the API server takes, and marks what it doesn't.
func TestSchema(t *testing.T) {
	t.Parallel()

	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(files(t, releaseOf(t))[schemaFile]))
	if err != nil {
		t.Fatal(err)
	}
	m, err := readManifests(root, "")
	if err != nil {
		t.Fatal(err)
	}
	url := schemaURL(m.version)
	if id := document.(map[string]any)["$id"]; id != url {
		t.Errorf("the schema must say which release's it is: want %s, got %v", url, id)
	}
	schema := compiled(t, url, document)
	validate := func(text []byte) error {
		b, err := yaml.YAMLToJSON(text)
		if err != nil {
			t.Fatal(err)
		}
		o, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		return schema.Validate(o)
	}

	examples, err := filepath.Glob(filepath.Join(root, "example", "*", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	taken := 0
	for _, path := range examples {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(text, []byte("\nkind: ServiceConnection\n")) || filepath.Base(path) == "expected.yaml" {
			continue
		}
		if err := validate(text); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		taken++
	}
	if taken < 10 {
		t.Errorf("only %d of the examples are ServiceConnections", taken)
	}

	// What import writes names the schema by the same path.
	imported, err := os.ReadFile(filepath.Join(root, "plugin", "porter", "testdata", "shop.golden.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if line := "# yaml-language-server: $schema=" + strings.Replace(url, "/download/"+m.version+"/", "/latest/download/", 1) + "\n"; !bytes.HasPrefix(imported, []byte(line)) {
		t.Errorf("what import writes must begin with %s", line)
	}
	for document := range bytes.SplitSeq(imported, []byte("\n---\n")) {
		if err := validate(document); err != nil {
			t.Errorf("what import writes: %v", err)
		}
	}

	const claim = `{apiVersion: serviceconnections.io/v1alpha1, kind: ServiceConnection, metadata: {name: shop}, spec: {services: [{name: api, connections: [%s]}]}}`
	good := fmt.Sprintf(claim, `{type: awsRole, role: a, create: {policy: {Version: "2012-10-17", Statement: [{Effect: Allow, Action: ["s3:*"], Resource: "*", Condition: {StringEquals: {a: [b, c]}}}]}}}`)
	if err := validate([]byte(good)); err != nil {
		t.Errorf("a policy has elements that the schema doesn't name: %v", err)
	}
	for name, text := range map[string]string{
		"OtherVersion":        strings.Replace(good, "v1alpha1", "v1", 1),
		"OtherKind":           strings.Replace(good, "kind: ServiceConnection", "kind: ServiceConnections", 1),
		"NoServices":          `{apiVersion: serviceconnections.io/v1alpha1, kind: ServiceConnection, metadata: {name: shop}, spec: {}}`,
		"MisspeltService":     strings.Replace(good, "{name: api,", "{nam: api,", 1),
		"MisspeltServiceToo":  strings.Replace(good, "{name: api,", "{name: api, containrs: [a],", 1),
		"ContainerTwice":      strings.Replace(good, "{name: api,", "{name: api, containers: [a, a],", 1),
		"MisspeltCreate":      strings.Replace(good, "create: {policy:", "create: {polic:", 1),
		"MisspeltPolicy":      strings.Replace(good, "Statement:", "Statements:", 1),
		"LabelThatIsNoText":   strings.Replace(good, "{name: shop}", "{name: shop, labels: {a: true}}", 1),
		"NestedTooDeepPolicy": strings.Replace(good, "a: [b, c]", "a: {b: c}", 1),
	} {
		if text == good {
			t.Errorf("%s is the good one", name)
		}
		if err := validate([]byte(text)); err == nil {
			t.Errorf("%s: an editor must mark %s", name, text)
		}
	}
	for name, connection := range map[string]string{
		"UnknownType":    `{type: awsrole, role: a}`,
		"MisspeltField":  `{type: awsRole, rolle: a}`,
		"MisspeltConfig": `{type: disk, config: {diskname: a}}`,
		"PortAsText":     `{type: cloudSql, config: {cloudSqlConnectionName: "a-project:europe-west1:db", cloudSqlDatabasePort: "5432", cloudSqlServiceAccount: client}}`,
	} {
		if err := validate(fmt.Appendf(nil, claim, connection)); err == nil {
			t.Errorf("%s: an editor must mark %s", name, connection)
		}
	}
}

// compiled schema, which must be one by the words of its draft.
func compiled(t *testing.T, url string, document any) *jsonschema.Schema {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(url, document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile(url)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// What a structural schema can say and ours doesn't say yet is turned right as well.
func TestClosed(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		reason     string
		structural string
		taken      []string
		marked     []string
	}{
		"IntOrString": {
			"A port has a number or a name.", `{x-kubernetes-int-or-string: true, anyOf: [{type: integer}, {type: string}]}`,
			[]string{`80`, `http`},
			[]string{`true`, `{}`},
		},
		"Nullable": {
			"Null is a value where it is said to be one.", `{type: object, properties: {a: {type: string, nullable: true}, b: {type: string}}}`,
			[]string{`{a: null}`, `{b: x}`},
			[]string{`{b: null}`},
		},
		"PreserveUnknown": {
			"An object that keeps others has fields that it doesn't name.", `{type: object, x-kubernetes-preserve-unknown-fields: true, properties: {a: {type: string}}}`,
			[]string{`{a: x, b: 1}`},
			[]string{`{a: 1}`},
		},
		"Map": {
			"The values of a map are closed as well.", `{type: object, additionalProperties: {type: object, properties: {a: {type: string}}}}`,
			[]string{`{x: {a: text}}`},
			[]string{`{x: {b: text}}`},
		},
		"Set": {
			"No value is twice in a set.", `{type: array, x-kubernetes-list-type: set, items: {type: string}}`,
			[]string{`[a, b]`},
			[]string{`[a, a]`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			var structural map[string]any
			if err := yaml.Unmarshal([]byte(tc.structural), &structural); err != nil {
				t.Fatal(err)
			}
			document, err := closed(structural)
			if err != nil {
				t.Fatal(err)
			}
			schema := compiled(t, "https://example.org/"+name, document)
			valid := func(text string) error {
				b, err := yaml.YAMLToJSON([]byte(text))
				if err != nil {
					t.Fatal(err)
				}
				v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
				if err != nil {
					t.Fatal(err)
				}
				return schema.Validate(v)
			}
			for _, text := range tc.taken {
				if err := valid(text); err != nil {
					t.Errorf("%s %s: %v", tc.reason, text, err)
				}
			}
			for _, text := range tc.marked {
				if valid(text) == nil {
					t.Errorf("%s %s must be marked", tc.reason, text)
				}
			}
		})
	}
	if _, err := closed(map[string]any{"properties": map[string]any{"a": map[string]any{"x-kubernetes-embedded-resource": true}}}); err == nil {
		t.Error("what nothing turns must not be left out without a word")
	}
}

// A version that is asked for is the one of everything.
func TestVersion(t *testing.T) {
	t.Parallel()

	own, err := readManifests(root, "")
	if err != nil {
		t.Fatal(err)
	}
	other, err := readManifests(root, "v9.9.9-rc.1")
	if err != nil {
		t.Fatal(err)
	}
	stamped := 0
	for path, f := range other.files {
		if bytes.Contains(f.content, []byte(own.version)) {
			t.Errorf("%s still has %s", path, own.version)
		}
		stamped += bytes.Count(f.content, []byte("v9.9.9-rc.1"))
	}
	if stamped != 10 {
		t.Errorf("want the version in 10 places, got %d", stamped)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		reason string
		args   []string
		want   string
	}{
		"NoTime":        {"A time that isn't seconds would make each build another one.", []string{"-created", "today"}, `-created is "today"; it must be a number of seconds since 1970`},
		"NoPlatform":    {"A platform needs both parts.", []string{"-platforms", "linux"}, `-platforms has "linux"; it must be a list such as linux/amd64,linux/arm64`},
		"TwoFolders":    {"A folder holds the files of one image.", []string{"-rootfs", "x"}, `-rootfs takes one platform, not "linux/amd64,linux/arm64"; name it in -platforms`},
		"NoSuchFlag":    {"A misspelt flag isn't passed over.", []string{"-plattforms", "x"}, "cannot parse flags: flag provided but not defined: -plattforms"},
		"ImpossibleTag": {"A version must be able to be a tag.", []string{"-version", "v1 beta"}, `version "v1 beta" can't be the tag of an image; name one such as v1.2.3`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := parse(tc.args)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: parse(%q): want %q, got %v", tc.reason, tc.args, tc.want, err)
			}
		})
	}
}
