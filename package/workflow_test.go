package package_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// A workflow of GitHub, as far as its rights go.
type workflow struct {
	Permissions map[string]string `json:"permissions"`
	Jobs        map[string]struct {
		Needs       any               `json:"needs"`
		Permissions map[string]string `json:"permissions"`
		Steps       []struct {
			Uses string `json:"uses"`
			Run  string `json:"run"`
		} `json:"steps"`
	} `json:"jobs"`
}

func workflows(t *testing.T) map[string]string {
	t.Helper()

	files, err := filepath.Glob("../.github/workflows/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("found workflows %v: %v", files, err)
	}
	texts := map[string]string{}
	for _, f := range append(files, "../action/action.yml") {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.Base(f)] = string(text)
	}
	return texts
}

// TestReleaseRights holds what each job of a release may do. One that runs the code of
// hundreds of modules, as tests do, must not hold the identity that signs, nor the right
// to publish: what is signed would then be whatever that code makes of it.
func TestReleaseRights(t *testing.T) {
	t.Parallel()

	var w workflow
	if err := yaml.Unmarshal([]byte(workflows(t)["release.yaml"]), &w); err != nil {
		t.Fatal(err)
	}
	if len(w.Permissions) > 0 {
		t.Errorf("every job of a release has %v; give each its own", w.Permissions)
	}
	got := map[string]map[string]string{}
	for name, job := range w.Jobs {
		got[name] = job.Permissions
	}
	want := map[string]map[string]string{
		"test":    {"contents": "read"},
		"build":   {"contents": "read"},
		"push":    {"contents": "read", "packages": "write"},
		"sign":    {"packages": "write", "id-token": "write", "attestations": "write"},
		"release": {"contents": "write"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rights of jobs: -want, +got:\n%s", diff)
	}
	for name, job := range w.Jobs {
		trusted := job.Permissions["id-token"] == "write" || job.Permissions["contents"] == "write"
		for _, s := range job.Steps {
			if trusted && (strings.HasPrefix(s.Uses, "actions/checkout@") || regexp.MustCompile(`\b(make|go|sh) `).MatchString(s.Run)) {
				t.Errorf("job %s can sign or release, and runs code of the repository: %s%s", name, s.Uses, s.Run)
			}
		}
	}
	if diff := cmp.Diff([]any{"test", "build"}, w.Jobs["push"].Needs); diff != "" {
		t.Errorf("what is published must have been tested: -want, +got:\n%s", diff)
	}
}

// TestActionsArePinned to a commit: whoever may move a tag of an action could otherwise
// run what they like with the rights of our jobs. The comment has the version for
// readers, and for the update bot.
func TestActionsArePinned(t *testing.T) {
	t.Parallel()

	pinned := regexp.MustCompile(`^[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)
	for name, text := range workflows(t) {
		seen := map[string]bool{}
		for _, m := range regexp.MustCompile(`(?m)uses: (.+)$`).FindAllStringSubmatch(text, -1) {
			seen[m[1]] = true
			if !pinned.MatchString(m[1]) {
				t.Errorf("%s: %q names no commit with its version", name, m[1])
			}
		}
		if len(seen) == 0 {
			t.Errorf("%s uses no action", name)
		}
		versions := map[string][]string{}
		for _, action := range slices.Sorted(maps.Keys(seen)) {
			repository, _, _ := strings.Cut(action, "@")
			versions[repository] = append(versions[repository], action)
		}
		for repository, pins := range versions {
			if len(pins) > 1 {
				t.Errorf("%s has %s in several versions: %v", name, repository, pins)
			}
		}
	}
}

// TestDocumentedKubernetes holds that what is said of each Kubernetes that tests run on, or
// decode by, is about the one that they pin, and that a workflow runs the older one.
func TestDocumentedKubernetes(t *testing.T) {
	t.Parallel()

	document, err := os.ReadFile("../docs/install.md")
	if err != nil {
		t.Fatal(err)
	}
	for module, tc := range map[string]struct{ pin, row string }{
		"tools/kubernetes":      {`k8s\.io/kubernetes v1\.`, "| 1.%s | `make test` runs"},
		"tools/kubernetes-1.34": {`k8s\.io/kubernetes v1\.`, "| 1.%s | `make older-kubernetes`, each week, runs"},
		"test/oldest":           {`k8s\.io/api v0\.`, "Kubernetes 1.%s knows all kinds and fields of what is installed (`test/oldest`)"},
	} {
		pins, err := os.ReadFile("../" + module + "/go.mod")
		if err != nil {
			t.Fatal(err)
		}
		minor := regexp.MustCompile(tc.pin + `(\d+)\.`).FindSubmatch(pins)
		if minor == nil {
			t.Fatalf("%s pins no Kubernetes", module)
		}
		if want := fmt.Sprintf(tc.row, minor[1]); !strings.Contains(string(document), want) {
			t.Errorf("docs/install.md lacks %q, which is what %s pins", want, module)
		}
	}
	runs := 0
	for _, text := range workflows(t) {
		if strings.Contains(text, "schedule:") && strings.Contains(text, "run: make older-kubernetes\n") {
			runs++
		}
	}
	if runs != 1 {
		t.Errorf("%d workflows run make older-kubernetes by the week, as docs/install.md says", runs)
	}
}

// TestDocumentedAction holds the example of the Action against what the Action takes.
func TestDocumentedAction(t *testing.T) {
	t.Parallel()

	var action struct {
		Inputs map[string]struct{ Required bool }
	}
	if err := yaml.Unmarshal([]byte(workflows(t)["action.yml"]), &action); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../docs/plugin/README.md")
	if err != nil {
		t.Fatal(err)
	}
	var example struct {
		Jobs map[string]struct {
			Steps []struct {
				Uses string
				With map[string]string
			}
		}
	}
	_, block, _ := strings.Cut(string(text), "```yaml\nname: connections\n")
	block, _, _ = strings.Cut(block, "```")
	if err := yaml.Unmarshal([]byte(block), &example); err != nil {
		t.Fatal(err)
	}
	used := 0
	for _, job := range example.Jobs {
		for _, s := range job.Steps {
			if !strings.HasPrefix(s.Uses, "serviceconnections/function-service-connections/action@") {
				continue
			}
			used++
			for name := range s.With {
				if _, ok := action.Inputs[name]; !ok {
					t.Errorf("the example has input %s, which the Action doesn't", name)
				}
			}
			for name, input := range action.Inputs {
				if _, ok := s.With[name]; input.Required && !ok {
					t.Errorf("the example lacks input %s, which the Action requires", name)
				}
			}
		}
	}
	if used != 1 {
		t.Errorf("docs/plugin/README.md uses the Action %d times in its example", used)
	}
}

// TestIssueForms holds what GitHub takes of a form and drops without a word otherwise
// (GitHub documentation, "Syntax for GitHub's form schema"), and that nobody is asked for
// what may hold a secret without being told to leave it out.
func TestIssueForms(t *testing.T) {
	t.Parallel()

	files, err := filepath.Glob("../.github/ISSUE_TEMPLATE/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if filepath.Base(file) == "config.yml" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var form struct {
			Name, Description string
			Labels            []string
			Body              []struct {
				Type, ID   string
				Attributes struct {
					Label, Description, Placeholder, Render, Value string
					Options                                        []string
				}
				Validations struct{ Required bool }
			}
		}
		if err := yaml.UnmarshalStrict(text, &form); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if form.Name == "" || form.Description == "" || !regexp.MustCompile(`(?i)secret`).Match(text) {
			t.Errorf("%s: a form has a name and a description, and warns of secrets", file)
		}
		seen := map[string]bool{}
		for _, b := range form.Body {
			switch {
			case b.Type == "markdown":
				if b.Attributes.Value == "" {
					t.Errorf("%s: a text without value", file)
				}
				continue
			case !slices.Contains([]string{"input", "textarea", "dropdown", "checkboxes"}, b.Type):
				t.Errorf("%s: %q is no type of element", file, b.Type)
			case b.Type == "dropdown" && len(b.Attributes.Options) < 2:
				t.Errorf("%s: nothing to choose from for %q", file, b.Attributes.Label)
			}
			if b.Attributes.Label == "" || !regexp.MustCompile(`^[a-z-]+$`).MatchString(b.ID) || seen[b.ID] || seen[b.Attributes.Label] {
				t.Errorf("%s: each element has a label and an id that no other one has, got %q and %q", file, b.Attributes.Label, b.ID)
			}
			seen[b.ID], seen[b.Attributes.Label] = true, true
		}
	}
}

// TestUpdatesCoverAllModules holds that the update bot looks after every module, and
// after none that isn't there.
func TestUpdatesCoverAllModules(t *testing.T) {
	t.Parallel()

	text, err := os.ReadFile("../.github/dependabot.yml")
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Updates []struct {
			Ecosystem   string   `json:"package-ecosystem"`
			Directory   string   `json:"directory"`
			Directories []string `json:"directories"`
		} `json:"updates"`
	}
	if err := yaml.UnmarshalStrict(text, &struct {
		Version int `json:"version"`
		Updates any `json:"updates"`
	}{}); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	got, ecosystems := []string{}, map[string]bool{}
	for _, u := range config.Updates {
		ecosystems[u.Ecosystem] = true
		if u.Ecosystem == "gomod" {
			got = append(got, u.Directories...)
			if u.Directory != "" {
				got = append(got, u.Directory)
			}
		}
	}
	want := []string{"/"}
	for _, pattern := range []string{"../test/*/go.mod", "../tools/*/go.mod"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			want = append(want, strings.TrimPrefix(filepath.Dir(f), ".."))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("modules that are kept up to date: -modules, +.github/dependabot.yml:\n%s", diff)
	}
	for _, e := range []string{"github-actions", "docker"} {
		if !ecosystems[e] {
			t.Errorf("nothing keeps %s up to date", e)
		}
	}
}
