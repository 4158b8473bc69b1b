package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/serviceconnections/function-service-connections/test/inputs"
	"github.com/serviceconnections/function-service-connections/test/modules"
)

// krewTool that tools/krew pins.
func krewTool(t *testing.T, name string) string {
	t.Helper()
	path, err := modules.Tool(t.Context(), "krew", name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestRelease has Krew itself check the manifest, and install the plugin by it.
func TestRelease(t *testing.T) {
	t.Parallel()

	// The plugin is built of all of it.
	if err := inputs.Read("../.."); err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	here := runtime.GOOS + "/" + runtime.GOARCH
	if err := release(t.Context(), "../..", out, "v1.2.3", []string{here}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(out, "serviceconnections.yaml")
	check := exec.CommandContext(t.Context(), krewTool(t, "validate-krew-manifest"), "-skip-install", "-manifest", path)
	if text, err := check.CombinedOutput(); err != nil {
		t.Fatalf("Krew refuses the manifest: %v\n%s", err, text)
	}

	home := t.TempDir()
	archive := filepath.Join(out, "kubectl-serviceconnections_"+strings.ReplaceAll(here, "/", "_")+".tar.gz")
	install := exec.CommandContext(t.Context(), krewTool(t, "krew"), "install", "--manifest="+path, "--archive="+archive)
	install.Env = append(os.Environ(), "KREW_ROOT="+home)
	if text, err := install.CombinedOutput(); err != nil {
		t.Fatalf("Krew can't install the plugin: %v\n%s", err, text)
	}
	version, err := exec.CommandContext(t.Context(), filepath.Join(home, "bin", "kubectl-serviceconnections"), "--version").CombinedOutput()
	if want := "kubectl serviceconnections version v1.2.3\n"; err != nil || string(version) != want {
		t.Errorf("the installed plugin: want %q, got %q, %v", want, version, err)
	}
}

// TestManifest has Krew check the manifest for all platforms at once.
func TestManifest(t *testing.T) {
	t.Parallel()

	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(makefile, []byte("PLUGIN_PLATFORMS ?= "))
	platforms, _, _ := strings.Cut(string(rest), "\n")
	var archives []archive
	for p := range strings.SplitSeq(platforms, ",") {
		goos, goarch, _ := strings.Cut(p, "/")
		archives = append(archives, archive{OS: goos, Arch: goarch, Binary: "kubectl-serviceconnections", File: "a.tar.gz", SHA256: strings.Repeat("0", 64)})
	}
	if len(archives) < 2 {
		t.Fatalf("the Makefile names no platforms: %q", platforms)
	}
	path := filepath.Join(t.TempDir(), "serviceconnections.yaml")
	if err := write(path, "v1.2.3", archives); err != nil {
		t.Fatal(err)
	}
	check := exec.CommandContext(t.Context(), krewTool(t, "validate-krew-manifest"), "-skip-install", "-manifest", path)
	if text, err := check.CombinedOutput(); err != nil {
		t.Errorf("Krew refuses the manifest: %v\n%s", err, text)
	}
}

// TestReproducible holds that a release says nothing of when it was made.
func TestReproducible(t *testing.T) {
	t.Parallel()

	file := filepath.Join(t.TempDir(), "binary")
	if err := os.WriteFile(file, []byte("binary"), 0o700); err != nil {
		t.Fatal(err)
	}
	first, err := pack(file, "../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	second, err := pack(file, "../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Error("two archives of the same files differ")
	}
}

func TestReleaseError(t *testing.T) {
	t.Parallel()

	for version, platform := range map[string]string{"": "linux/amd64", "v1.2.3": "linux"} {
		if err := release(t.Context(), "../..", t.TempDir(), version, []string{platform}); err == nil {
			t.Errorf("release(%q, %q): want an error", version, platform)
		}
	}
}
