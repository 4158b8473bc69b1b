package manifest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// file with the supplied content.
func file(t *testing.T, content string) *File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Read(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.Name = "file.yaml"
	return f
}

// laughs is a document whose aliases stand for 10^levels values.
func laughs(levels int) string {
	b := &strings.Builder{}
	b.WriteString("l0: &l0 [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]\n")
	for i := 1; i < levels; i++ {
		fmt.Fprintf(b, "l%d: &l%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*l%d, ", i-1), 10), ", "))
	}
	return b.String()
}

func TestObjects(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		reason  string
		content string
		want    []map[string]any
		err     string
	}{
		"Several": {
			reason:  "A file may hold several documents, and empty ones between them.",
			content: "---\n# Nothing.\n---\na: 1\n---\nb: two\n",
			want:    []map[string]any{{"a": int64(1)}, {"b": "two"}},
		},
		"List": {
			reason:  "kubectl get prints several objects as a List.",
			content: "kind: List\nitems:\n- a: 1\n- b: 2\n",
			want:    []map[string]any{{"a": int64(1)}, {"b": int64(2)}},
		},
		"AsKubectl": {
			reason:  "To kubectl, yes is true and a number is whole unless it has a point.",
			content: "a: yes\nb: 5\nc: 1.5\n",
			want:    []map[string]any{{"a": true, "b": int64(5), "c": 1.5}},
		},
		"Aliases": {
			reason:  "Anchors, aliases and merge keys are YAML that kubectl takes.",
			content: "a: &a {x: 1}\nb: *a\nc: {<<: *a, z: 2}\n",
			want: []map[string]any{{
				"a": map[string]any{"x": int64(1)}, "b": map[string]any{"x": int64(1)},
				"c": map[string]any{"x": int64(1), "z": int64(2)},
			}},
		},
		"JSON": {
			reason:  "JSON is YAML.",
			content: `{"a": 1}`,
			want:    []map[string]any{{"a": int64(1)}},
		},
		"Tab": {
			reason:  "Broken YAML is told with line and column.",
			content: "a: b\n\tc: d\n",
			err:     "file.yaml:2:1 is not valid YAML: found a tab character that violates indentation",
		},
		"MappingInScalar": {
			reason:  "The position is that of the mistake.",
			content: "spec:\n  a: b: c\n",
			err:     "file.yaml:2:7 is not valid YAML: mapping values are not allowed in this context",
		},
		"UnknownAlias": {
			reason:  "The position is that of the mistake.",
			content: "a: 1\nb: *x\n",
			err:     "file.yaml:2:4 is not valid YAML: unknown anchor 'x' referenced",
		},
		"Unclosed": {
			reason:  "Where a quote is missing is where it was opened, or the end.",
			content: "a: \"b\n",
			err:     "file.yaml:2:1 is not valid YAML: found unexpected end of stream",
		},
		"Twice": {
			reason:  "Of two values of one key, one would be lost.",
			content: "a: 1\nb: 2\na: 3\n",
			err:     "file.yaml:3:1 is not valid YAML: mapping key \"a\" already defined at line 1",
		},
		"ControlCharacter": {
			reason:  "No position is better than a wrong one.",
			content: "a: \x01\n",
			err:     "file.yaml is not valid YAML: control characters are not allowed (value: 1)",
		},
		"NoObject": {
			reason:  "A list is no object.",
			content: "- a\n",
			err:     "file.yaml:1:1: a Kubernetes object must begin here",
		},
		"Laughs": {
			reason:  "A small file must not become a large value.",
			content: laughs(9),
			err:     "file.yaml:1:16 is not valid YAML: document contains excessive aliasing",
		},
		"Itself": {
			reason:  "A value that contains itself has no end.",
			content: "a: &a [*a]\n",
			err:     "file.yaml:1:8 is not valid YAML: anchor 'a' value contains itself",
		},
		"Deep": {
			reason:  "Depth is bounded.",
			content: strings.Repeat("[", 20000) + strings.Repeat("]", 20000),
			err:     "file.yaml:1:10001 is not valid YAML: exceeded max depth of 10000",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got, err := file(t, tc.content).Objects()
			message := ""
			if err != nil {
				message = err.Error()
			}
			if diff := cmp.Diff(tc.err, message); diff != "" {
				t.Errorf("\n%s\nObjects(): -want error, +got:\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\n%s\nObjects(): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestRead(t *testing.T) {
	t.Parallel()

	endless := strings.NewReader(strings.Repeat("a", MaxSize+1))
	_, err := Read(Stdin, endless)
	if diff := cmp.Diff("cannot read standard input: it is larger than 4 MiB; split it", fmt.Sprint(err)); diff != "" {
		t.Errorf("Read(-): what never ends must: -want, +got:\n%s", diff)
	}
	if _, err := Read("testdata/missing.yaml", nil); err == nil || !strings.Contains(err.Error(), "testdata/missing.yaml") {
		t.Errorf("Read(...): want an error that names the file, got %v", err)
	}
}

func TestReadAll(t *testing.T) {
	t.Parallel()

	dir := t.TempDir()
	for _, name := range []string{"b.yaml", "a.yml", "c.json", "README.md"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("a: 1"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cases := map[string]struct {
		reason string
		path   string
		want   []string
	}{
		"Directory": {
			reason: "A directory stands for the manifests in it, in a stable order.",
			path:   dir,
			want:   []string{"a.yml", "b.yaml", "c.json"},
		},
		"File": {
			reason: "A file stands for itself, whatever its name.",
			path:   filepath.Join(dir, "README.md"),
			want:   []string{"README.md"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			files, err := ReadAll(tc.path)
			if err != nil {
				t.Fatal(err)
			}
			got := make([]string, 0, len(files))
			for _, f := range files {
				got = append(got, filepath.Base(f.Name))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\n%s\nReadAll(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
