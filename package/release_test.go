package package_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/fn/settings"
	"github.com/serviceconnections/function-service-connections/test/schema"
)

// A release takes its version from the manifests. All that name one must name the
// one at the top of the changelog.
func TestVersionsAgree(t *testing.T) {
	t.Parallel()

	changelog, err := os.ReadFile("../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	heading := regexp.MustCompile(`(?m)^## (v\S+)$`).FindSubmatch(changelog)
	if heading == nil {
		t.Fatal("the changelog has no version")
	}
	version := string(heading[1])

	for file, patterns := range map[string][]string{
		"install/base/function.yaml":            {`function-service-connections:(\S+)`},
		"webhook/runtime.yaml":                  {`function-service-connections:(\S+)`},
		"monitoring/runtime.yaml":               {`function-service-connections:(\S+)`},
		"install/namespaced/configuration.yaml": {`configuration-service-connections:(\S+)`},
		"install/claims/configuration.yaml":     {`configuration-service-connections-claims:(\S+)`},
		"function/crossplane.yaml":              {`app.kubernetes.io/version: (\S+)`},
		"configuration/crossplane.yaml":         {`app.kubernetes.io/version: (\S+)`, `version: ">=(\S+)-0"\n$`},
		"configuration-claims/crossplane.yaml":  {`app.kubernetes.io/version: (\S+)`, `version: ">=(\S+)-0"\n$`},
		"../Dockerfile":                         {`image.version="(\S+)"`, `function-service-connections/(\S+)/README.md"`, `function-service-connections/(\S+)/docs/icon.svg"`},
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, pattern := range patterns {
			var found string
			if m := regexp.MustCompile(pattern).FindSubmatch(text); len(m) == 2 {
				found = string(m[1])
			}
			if found != version {
				t.Errorf("%s: %s is %q, the changelog is at %s", file, pattern, found, version)
			}
		}
	}
}

// What make package installs are the files of these folders, so what isn't in a
// kustomization isn't installed.
func TestFoldersAreInstalledAsAWhole(t *testing.T) {
	t.Parallel()

	for _, folder := range []string{"cluster", "webhook", "monitoring", "monitoring/webhook"} {
		t.Run(folder, func(t *testing.T) {
			t.Parallel()

			files, err := filepath.Glob(folder + "/*.yaml")
			if err != nil {
				t.Fatal(err)
			}
			want := []string{}
			for _, f := range files {
				if name := filepath.Base(f); name != "kustomization.yaml" {
					want = append(want, name)
				}
			}
			resources := load(t, folder+"/kustomization.yaml")["resources"].([]any)
			got := make([]string, len(resources))
			for i, r := range resources {
				got[i] = r.(string)
			}
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("resources of %s/kustomization.yaml: -files, +resources:\n%s", folder, diff)
			}
		})
	}
}

// Crossplane's own schemas hold for what is installed, and those of Kubernetes for
// the Deployment in the runtime configuration.
func TestCrossplaneAcceptsInstallation(t *testing.T) {
	t.Parallel()

	v := schema.Crossplane(t)
	for _, pattern := range []string{"install/*/function.yaml", "install/*/runtime.yaml", "install/*/configuration.yaml", "install/verification.yaml", "providers/*/provider.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("cannot find manifests %s: %v", pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for document := range strings.SplitSeq(string(text), "\n---\n") {
				obj := parse(t, document)
				if !strings.Contains(obj["apiVersion"].(string), "crossplane.io/") {
					continue
				}
				if errs := v.Validate(obj); len(errs) > 0 {
					t.Errorf("%s: Crossplane's schema refuses %v:\n%v", file, obj["kind"], errs.ToAggregate())
				}
			}
		}
	}
}

// The function is called by the name that Crossplane gives it where it installs
// the function for the configuration's dependsOn: the repository's path, without
// the registry, as a DNS label (crossplane-runtime, pkg/xpkg/name.go, ToDNSLabel).
func TestFunctionIsCalledAsCrossplaneNamesIt(t *testing.T) {
	t.Parallel()

	installed := load(t, "install/base/function.yaml")
	for _, folder := range []string{"configuration", "configuration-claims"} {
		depends := load(t, folder+"/crossplane.yaml")["spec"].(map[string]any)["dependsOn"].([]any)[0].(map[string]any)["package"].(string)
		_, path, _ := strings.Cut(depends, "/")
		name := strings.ReplaceAll(path, "/", "-")
		step := load(t, folder+"/composition.yaml")["spec"].(map[string]any)["pipeline"].([]any)[0].(map[string]any)
		if got := step["functionRef"].(map[string]any)["name"]; got != name {
			t.Errorf("%s calls %v, Crossplane would install %s", folder, got, name)
		}
		if got := installed["metadata"].(map[string]any)["name"]; got != name {
			t.Errorf("install names the function %v, Crossplane %s", got, name)
		}
		if got := installed["spec"].(map[string]any)["package"].(string); !strings.HasPrefix(got, depends+":") {
			t.Errorf("install takes %s, %s depends on %s", got, folder, depends)
		}
	}
}

// Permissions are pasted into the clouds' own tools, so they must be what these
// read, and never everything.
func TestProviderPermissions(t *testing.T) {
	t.Parallel()

	files, err := filepath.Glob("providers/*/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("cannot find permissions: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		document := map[string]any{}
		if err := json.Unmarshal(text, &document); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if regexp.MustCompile(`"\*"|:\*"|/\*/`).Match(text) {
			t.Errorf("%s grants everything of a kind", file)
		}
	}
	role := map[string]any{}
	text, err := os.ReadFile("providers/gcp/role.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(text, &role); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"description", "includedPermissions", "stage", "title"}, slices.Sorted(maps.Keys(role))); diff != "" {
		t.Errorf("gcloud iam roles create --file reads other fields: %s", diff)
	}
}

// TestVerification holds the option that checks signatures to what is signed, and by
// whom: packages of ours, by the release workflow at a tag.
func TestVerification(t *testing.T) {
	t.Parallel()

	text, err := os.ReadFile("install/verification.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Spec struct {
			MatchImages  []struct{ Prefix string }
			Verification struct {
				Cosign struct {
					Authorities []struct {
						Keyless struct {
							Identities []struct{ Issuer, SubjectRegExp string }
						}
					}
				}
			}
		}
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}

	for _, file := range []string{"install/base/function.yaml", "install/namespaced/configuration.yaml", "install/claims/configuration.yaml"} {
		image, _, _ := unstructured.NestedString(load(t, file), "spec", "package")
		if !slices.ContainsFunc(config.Spec.MatchImages, func(m struct{ Prefix string }) bool { return strings.HasPrefix(image, m.Prefix) }) {
			t.Errorf("%s: nobody checks the signature of %s", file, image)
		}
	}

	identity := config.Spec.Verification.Cosign.Authorities[0].Keyless.Identities[0]
	subject := regexp.MustCompile(identity.SubjectRegExp)
	const workflow = "https://github.com/serviceconnections/function-service-connections/.github/workflows/release.yaml@refs/"
	for signer, want := range map[string]bool{
		workflow + "tags/v0.1.0":     true,
		workflow + "heads/main":      false,
		workflow + "heads/tags/v0.1": false,
		"https://github.com/somebody/function-service-connections/.github/workflows/release.yaml@refs/tags/v0.1.0":        false,
		"https://github.com/serviceconnections/function-service-connections/.github/workflows/test.yaml@refs/tags/v0.1.0": false,
	} {
		if got := subject.MatchString(signer); got != want {
			t.Errorf("a package that %s signed is taken: %t, want %t", signer, got, want)
		}
	}
	if want := "https://token.actions.githubusercontent.com"; identity.Issuer != want {
		t.Errorf("signers are those of %s, want %s", identity.Issuer, want)
	}
}

// The example of the settings is one that the function takes.
func TestSettingsExample(t *testing.T) {
	t.Parallel()

	example := load(t, "install/settings.example.yaml")
	if errs := schema.Crossplane(t).Validate(example); len(errs) > 0 {
		t.Errorf("Crossplane's schema refuses the example:\n%v", errs.ToAggregate())
	}
	if _, err := settings.Decode(example["data"].(map[string]any)); err != nil {
		t.Errorf("the function refuses the example: %v", err)
	}
}
