package render

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/serviceconnections/function-service-connections/test/schema"
)

var update = flag.Bool("update", false, "rewrite expected.yaml of each example with what it renders to")

// newEngine returns an Engine that is stopped when the test ends.
func newEngine(t *testing.T) *Engine {
	t.Helper()
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	e := New(root, t.Output())
	t.Cleanup(e.Stop)
	return e
}

// TestExamples compares what each example renders to with its expected.yaml, and
// validates every composed resource by its schema.
func TestExamples(t *testing.T) {
	t.Parallel()

	e := newEngine(t)
	dirs, err := e.Examples()
	if err != nil {
		t.Fatal(err)
	}
	if len(dirs) == 0 {
		t.Fatal("there are no examples")
	}
	validator := schema.Providers(t)

	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()

			out, err := e.Render(t.Context(), dir)
			if err != nil {
				t.Fatal(err)
			}
			validateComposite(t, e, dir, out)
			for _, o := range out.Composed {
				if errs := validator.Validate(o); len(errs) > 0 {
					t.Errorf("the API server would refuse %s %v: %v", o["kind"], o["metadata"], errs.ToAggregate())
				}
			}

			path := filepath.Join(dir, "expected.yaml")
			if *update {
				if err := os.WriteFile(path, out.YAML, 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(want, out.YAML) {
				t.Errorf("Render(...): -want, +got:\n%s\nTo accept it: go test ./test/render -update", cmp.Diff(string(want), string(out.YAML)))
			}
		})
	}
}

// validateComposite validates what the team wrote, and the status that it is
// given, by the CustomResourceDefinitions that Crossplane makes of the XRD.
func validateComposite(t *testing.T, e *Engine, dir string, out *Output) {
	t.Helper()

	definition, err := e.definition(dir)
	if err != nil {
		t.Fatal(err)
	}
	validator := schema.New(schema.Defined(t, definition)...)
	for _, file := range []string{"xr.yaml", "claim.yaml"} {
		path := filepath.Join(dir, file)
		if !exists(path) {
			continue
		}
		o := map[string]any{}
		if err := read(path, &o); err != nil {
			t.Fatal(err)
		}
		o["status"] = out.Composite["status"]
		if errs := validator.Validate(o); len(errs) > 0 {
			t.Errorf("the API server would refuse %s with its status: %v", file, errs.ToAggregate())
		}
	}
}
