// Package docs_test holds what the documentation says to what the code does.
package docs_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/plugin"
	"github.com/serviceconnections/function-service-connections/plugin/schema"
)

func read(t *testing.T, path string) string {
	t.Helper()

	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	return string(b)
}

// blocks of a language in a page, in order.
func blocks(page, language string) []string {
	all := regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(page, -1)
	found := make([]string, 0, len(all))
	for _, m := range all {
		found = append(found, m[1])
	}

	return found
}

// pages of the project, by their paths from its root.
func pages(t *testing.T) []string {
	t.Helper()

	var found []string

	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != ".." && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".github" || d.Name() == "dist"):
			return filepath.SkipDir
		case filepath.Ext(path) == ".md":
			found = append(found, path)
		}

		return nil
	})
	if err != nil {
		t.Fatal(err)
	}

	return found
}

// A reader of the README sees all of it in a few minutes.
func TestReadmeIsShort(t *testing.T) {
	t.Parallel()

	if lines := strings.Count(read(t, "../README.md"), "\n"); lines > 200 {
		t.Errorf("README.md has %d lines, and at most 200 fit a first look: give the rest a page here", lines)
	}
}

// TestReadmeExample runs the README's ServiceConnection with its settings, and holds
// the pod that comes of it to the one that it shows.
func TestReadmeExample(t *testing.T) {
	t.Parallel()

	readme := read(t, "../README.md")

	dir := t.TempDir()
	for i, name := range []string{"claim.yaml", "settings.yaml"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(blocks(readme, "yaml")[i]), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	streams, _, out, errs := genericiooptions.NewTestIOStreams()

	code := plugin.Run(t.Context(), "", streams, []string{
		"preview", "-o", "json", "-f", filepath.Join(dir, "claim.yaml"), "--settings", filepath.Join(dir, "settings.yaml"),
		"--workload", "../example/two-connections/deployment.yaml",
	})
	if code != 0 {
		t.Fatalf("the README's example would not connect: %s%s", out, errs)
	}

	var result struct {
		Previews []struct {
			Workloads []struct{ Diff string }
		}
	}
	if err := json.Unmarshal(out.Bytes(), &result); err != nil {
		t.Fatal(err)
	}

	// Neither the diff's header nor a hash says anything to a reader.
	got := regexp.MustCompile(`(?m)^(---|\+\+\+|@@) .*\n`).ReplaceAllString(result.Previews[0].Workloads[0].Diff, "")
	got = regexp.MustCompile(`(serviceconnections.io/injection:) [0-9a-f]+`).ReplaceAllString(got, "$1 …")

	if diff := cmp.Diff(strings.Split(got, "\n"), strings.Split(blocks(readme, "diff")[0], "\n")); diff != "" {
		t.Errorf("the README's pod isn't what comes of its ServiceConnection (-preview +README.md):\n%s", diff)
	}
}

// What is shown of a service is taken by the API server as it stands.
func TestExamplesAreValid(t *testing.T) {
	t.Parallel()

	sc, err := schema.ServiceConnection()
	if err != nil {
		t.Fatal(err)
	}

	services := map[string][]string{}

	for _, page := range []string{"connections.md", "pods.md"} {
		services[page] = append(services[page], blocks(read(t, page), "yaml")...)
	}

	for _, row := range regexp.MustCompile("(?m)^\\|.*`(\\{type: .*\\})`.*$").FindAllStringSubmatch(read(t, "../README.md"), -1) {
		services["README.md"] = append(services["README.md"], "- {name: api, connections: ["+row[1]+"]}")
	}

	for page, want := range map[string]int{"connections.md": 6, "README.md": 4} {
		if got := len(services[page]); got < want {
			t.Errorf("%s has %d examples of services, of at least %d", page, got, want)
		}
	}

	for page, examples := range services {
		for _, text := range examples {
			claim := "apiVersion: serviceconnections.io/v1alpha1\nkind: ServiceConnection\n" +
				"metadata: {name: shop, namespace: team-a}\nspec:\n  services:\n  " + strings.ReplaceAll(text, "\n", "\n  ")

			b, err := yaml.YAMLToJSON([]byte(claim))
			if err != nil {
				t.Errorf("%s: %v:\n%s", page, err, text)
				continue
			}

			u := &unstructured.Unstructured{}
			if err := u.UnmarshalJSON(b); err != nil {
				t.Errorf("%s: %v:\n%s", page, err, text)
				continue
			}

			if errs := sc.Validate(t.Context(), u); len(errs) > 0 {
				t.Errorf("%s: %v:\n%s", page, errs.ToAggregate(), text)
			}
		}
	}
}

// Every page of this folder is in its index.
func TestIndex(t *testing.T) {
	t.Parallel()

	index := read(t, "README.md")

	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}

	for _, e := range entries {
		name := e.Name()
		if e.IsDir() {
			name += "/"
		}

		if (e.IsDir() || filepath.Ext(name) == ".md") && name != "README.md" && !strings.Contains(index, "["+name+"](") {
			t.Errorf("docs/README.md doesn't name %s", name)
		}
	}
}

// TestLinks follows the links of all pages within the project, to files and to
// headings.
func TestLinks(t *testing.T) {
	t.Parallel()

	all := pages(t)
	if !slices.Contains(all, "../README.md") || !slices.Contains(all, "../docs/plugin/README.md") {
		t.Fatalf("found no more pages than %v", all)
	}

	for _, page := range all {
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(read(t, page), -1) {
			link, err := url.Parse(m[1])
			if err != nil {
				t.Errorf("%s: %v", page, err)
				continue
			}

			if link.IsAbs() {
				continue
			}

			target := page
			if link.Path != "" {
				target = filepath.Join(filepath.Dir(page), link.Path)
			}

			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s, which isn't there", page, m[1])
				continue
			}

			if link.Fragment != "" && !slices.Contains(anchors(read(t, target)), link.Fragment) {
				t.Errorf("%s links to %s, and that page has no such heading", page, m[1])
			}
		}
	}
}

// anchors of a page's headings, as GitHub makes them.
func anchors(page string) []string {
	var found []string

	fenced := false

	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
		}

		text := strings.TrimLeft(line, "#")
		if fenced || text == line || !strings.HasPrefix(text, " ") {
			continue
		}

		b := &bytes.Buffer{}

		for _, r := range strings.ToLower(strings.TrimSpace(text)) {
			switch {
			case r == ' ':
				b.WriteByte('-')
			case r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z':
				b.WriteRune(r)
			}
		}

		found = append(found, b.String())
	}

	return found
}
