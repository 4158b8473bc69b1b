package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/serviceconnections/function-service-connections/plugin"
	"github.com/serviceconnections/function-service-connections/test/inputs"
)

// A schema that lags behind its types refuses what the function understands, or
// admits what it doesn't.
func TestGeneratedFilesAreUpToDate(t *testing.T) {
	t.Parallel()

	root, out := "..", t.TempDir()

	// controller-gen reads more of the types than what is compiled: their comments.
	if err := inputs.Read(root); err != nil {
		t.Fatal(err)
	}

	if err := generate(t.Context(), root, out); err != nil {
		t.Fatalf("cannot generate: %v", err)
	}

	var files int

	err := filepath.WalkDir(out, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}

		files++

		name, err := filepath.Rel(out, path)
		if err != nil {
			return err
		}

		want, err := os.ReadFile(path) //nolint:gosec // The path is in the test's own folder.
		if err != nil {
			return err
		}

		got, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return err
		}

		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s is out of date, run go generate ./... (-want +got):\n%s", name, diff)
		}

		return nil
	})
	if err != nil {
		t.Fatalf("cannot compare generated files: %v", err)
	}

	commands := plugin.New("", genericiooptions.NewTestIOStreamsDiscard()).Commands()
	if want := 5 + 2 + 2 + 1 + len(commands); files != want {
		t.Errorf("generate(...): want %d files, got %d", want, files)
	}
}
