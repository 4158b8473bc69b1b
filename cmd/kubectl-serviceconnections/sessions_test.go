package main

import (
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the sessions in docs/plugin anew, as they run")

// TestSessions runs the commands in docs/plugin/sessions.md with the real binary,
// and compares what they print with what stands below each.
func TestSessions(t *testing.T) {
	t.Parallel()

	const path = "../../docs/plugin/sessions.md"
	document, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := newShell(t, "../../docs/plugin/example")
	got := &strings.Builder{}
	inside, ran := false, 0
	for line := range strings.Lines(string(document)) {
		command, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case strings.HasPrefix(line, "```console"):
			inside = true
		case strings.HasPrefix(line, "```"):
			inside = false
		case inside && isCommand:
			got.WriteString(line + s.run(t, command))
			ran++
			continue
		case inside:
			continue // What a command printed, which is printed anew.
		}
		got.WriteString(line)
	}
	if ran == 0 {
		t.Fatalf("%s holds no session", path)
	}
	if *update {
		if err := os.WriteFile(path, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(document), got.String()); diff != "" {
		t.Errorf("%s: -as it stands, +as it runs:\n%s\nTo accept it: go test ./cmd/kubectl-serviceconnections -update", path, diff)
	}
}

// A shell in a folder of its own, in which kubectl finds the plugin.
type shell struct {
	dir string
	env []string
}

func newShell(t *testing.T, files string) shell {
	t.Helper()
	bin, home, dir := t.TempDir(), t.TempDir(), t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin+"/", ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build the plugin: %v: %s", err, out)
	}
	// What kubectl does with a plugin: it runs the binary of that name.
	dispatch := "#!/bin/sh\nplugin=$1\nshift\nexec \"kubectl-$plugin\" \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "kubectl"), []byte(dispatch), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS(files)); err != nil {
		t.Fatal(err)
	}
	return shell{dir: dir, env: []string{"PATH=" + bin + ":/usr/bin:/bin", "HOME=" + home, "TERM=dumb"}}
}

// run a command line, and return what it prints, and its exit code where that
// isn't 0.
func (s shell) run(t *testing.T, command string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
	cmd.Dir, cmd.Env = s.dir, s.env
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	text := string(out)
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	if exit != nil {
		text += "[exit code " + strings.TrimPrefix(exit.Error(), "exit status ") + "]\n"
	}
	return text
}
