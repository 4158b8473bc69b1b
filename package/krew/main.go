// Command krew builds the archives of kubectl serviceconnections for a release,
// and the manifest by which Krew installs them: make krew. Two builds of one commit
// are the same.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
)

//go:embed serviceconnections.yaml.tmpl
var manifest string

// An archive of the plugin for one platform.
type archive struct {
	OS, Arch, Binary, File, SHA256 string
}

func main() {
	root := flag.String("root", ".", "root of the repository")
	out := flag.String("out", "dist", "folder to write to")
	version := flag.String("version", "", "version of the release, such as v1.2.3")
	platforms := flag.String("platforms", "", "what to build for, such as linux/amd64,darwin/arm64")
	flag.Parse()
	if err := release(context.Background(), *root, *out, *version, strings.Split(*platforms, ",")); err != nil {
		fmt.Fprintf(os.Stderr, "krew: %v\n", err)
		os.Exit(1)
	}
}

// release builds an archive for each platform, and the manifest.
func release(ctx context.Context, root, out, version string, platforms []string) error {
	if !strings.HasPrefix(version, "v") {
		return fmt.Errorf("version %q must be that of a release, such as VERSION=v1.2.3", version)
	}
	if err := os.MkdirAll(out, 0o755); err != nil { //nolint:gosec // A release is for everyone to read.
		return fmt.Errorf("cannot make folder of the release: %w", err)
	}
	archives := make([]archive, 0, len(platforms))
	for _, p := range platforms {
		a, err := build(ctx, root, out, version, p)
		if err != nil {
			return fmt.Errorf("cannot build the plugin for %s: %w", p, err)
		}
		archives = append(archives, a)
	}
	return write(filepath.Join(out, "serviceconnections.yaml"), version, archives)
}

// write the manifest of a release's archives.
func write(path, version string, archives []archive) error {
	t, err := template.New("manifest").Parse(manifest)
	if err != nil {
		return fmt.Errorf("cannot read the manifest's template: %w", err)
	}
	filled := &bytes.Buffer{}
	if err := t.Execute(filled, map[string]any{"Version": version, "Archives": archives}); err != nil {
		return fmt.Errorf("cannot fill in the manifest: %w", err)
	}
	if err := os.WriteFile(path, filled.Bytes(), 0o644); err != nil { //nolint:gosec // A release is for everyone to read.
		return fmt.Errorf("cannot write the manifest: %w", err)
	}
	return nil
}

// build the plugin for a platform, and its archive.
func build(ctx context.Context, root, out, version, platform string) (archive, error) {
	goos, goarch, ok := strings.Cut(platform, "/")
	if !ok {
		return archive{}, errors.New("a platform is an operating system and an architecture, such as linux/amd64")
	}
	a := archive{OS: goos, Arch: goarch, Binary: "kubectl-serviceconnections", File: "kubectl-serviceconnections_" + goos + "_" + goarch + ".tar.gz"}
	if goos == "windows" {
		a.Binary += ".exe"
	}
	dir, err := os.MkdirTemp("", "krew")
	if err != nil {
		return archive{}, fmt.Errorf("cannot make a temporary folder: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // A leftover in the temporary folder harms nobody.

	binary := filepath.Join(dir, a.Binary)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false", "-ldflags=-s -w -X main.version="+version, "-o", binary, "./cmd/kubectl-serviceconnections") //nolint:gosec // The version is the releaser's.
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+goos, "GOARCH="+goarch)
	if text, err := cmd.CombinedOutput(); err != nil {
		return archive{}, fmt.Errorf("cannot compile: %w: %s", err, text)
	}
	packed, err := pack(binary, filepath.Join(root, "LICENSE"))
	if err != nil {
		return archive{}, err
	}
	sum := sha256.Sum256(packed)
	a.SHA256 = hex.EncodeToString(sum[:])
	if err := os.WriteFile(filepath.Join(out, a.File), packed, 0o644); err != nil { //nolint:gosec // A release is for everyone to read.
		return archive{}, fmt.Errorf("cannot write the archive: %w", err)
	}
	return a, nil
}

// pack files into an archive that says nothing of when and where it was made.
func pack(paths ...string) ([]byte, error) {
	b := &bytes.Buffer{}
	compressed := gzip.NewWriter(b)
	w := tar.NewWriter(compressed)
	for _, path := range paths {
		content, err := os.ReadFile(path) //nolint:gosec // The path is one of ours.
		if err != nil {
			return nil, fmt.Errorf("cannot read what is to be packed: %w", err)
		}
		mode := int64(0o755)
		if filepath.Base(path) == "LICENSE" {
			mode = 0o644
		}
		if err := w.WriteHeader(&tar.Header{Name: filepath.Base(path), Mode: mode, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
			return nil, fmt.Errorf("cannot pack %s: %w", path, err)
		}
		if _, err := w.Write(content); err != nil {
			return nil, fmt.Errorf("cannot pack %s: %w", path, err)
		}
	}
	if err := errors.Join(w.Close(), compressed.Close()); err != nil {
		return nil, fmt.Errorf("cannot pack: %w", err)
	}
	return b.Bytes(), nil
}
