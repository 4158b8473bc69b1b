package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/serviceconnections/function-service-connections/test/modules"
	"github.com/serviceconnections/function-service-connections/test/process"
)

// TestRun runs the demo as make demo does without a terminal. Nothing else would
// tell that its cloud or its settings no longer suit the examples.
func TestRun(t *testing.T) {
	t.Parallel()
	root, err := modules.Root()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Build(t.Context(), root, "build", "providers"); err != nil {
		t.Fatal(err)
	}
	out := &bytes.Buffer{}
	if err := run(t.Context(), out, root, filepath.Join(t.TempDir(), "demo"), false); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"two-connections        2/2",
		"all-together           5/5",
		"+serviceAccountName: shop-api",
		"+  serviceconnections.io/injected-by: shop",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the demo doesn't print %q:\n%s", want, out)
		}
	}
}
