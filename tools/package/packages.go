package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// functionPackage is the repository of the function's package, and the start of
// the names of its files, of which there is one for each platform.
const functionPackage = "function-service-connections"

// configurationPackages by their repository, and the folder of package/ that each
// is built from.
var configurationPackages = map[string]string{
	"configuration-service-connections":        "configuration",
	"configuration-service-connections-claims": "configuration-claims",
}

// tool that tools/install has put there.
func (o options) tool(binary string) string { return filepath.Join(o.root, ".cache", "bin", binary) }

// buildPackage with Crossplane's CLI.
func buildPackage(ctx context.Context, o options, dir, to string, args ...string) error {
	file, err := filepath.Abs(filepath.Join(o.out, to+".xpkg"))
	if err != nil {
		return fmt.Errorf("cannot find folder: %w", err)
	}
	cmd := exec.CommandContext(ctx, o.tool("crossplane"), append([]string{"xpkg", "build", "--package-root=" + dir, "--package-file=" + file}, args...)...) //nolint:gosec // The tool and the files of whoever runs this.
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build package %s: %w: %s", to, err, out)
	}
	return nil
}

// publish a release with Crossplane's CLI, which makes one index of the packages
// for all platforms.
func publish(ctx context.Context, o options) error {
	digests, err := readDigests(filepath.Join(o.out, digestsFile))
	if err != nil {
		return err
	}
	for repository, want := range digests {
		got, err := push(ctx, o, o.registry+"/"+repository)
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("%s/%s has digest %s, but %s says %s; build the release again", o.registry, repository, got, digestsFile, want)
		}
		if _, err := fmt.Fprintf(os.Stdout, "%s/%s@%s\n", o.registry, repository, got); err != nil {
			return fmt.Errorf("cannot print digest: %w", err)
		}
	}
	return nil
}

// push the files of a package to the tag, and return its digest.
func push(ctx context.Context, o options, target string) (string, error) {
	tag, err := name.NewTag(target, name.StrictValidation)
	if err != nil {
		return "", fmt.Errorf("cannot publish to %q: %w", target, err)
	}
	base := filepath.Join(o.out, tag.RepositoryStr()[strings.LastIndex(tag.RepositoryStr(), "/")+1:])
	files := []string{base + ".xpkg"}
	if filepath.Base(base) == functionPackage {
		if files, err = filepath.Glob(base + "-*.xpkg"); err != nil {
			return "", fmt.Errorf("cannot find packages of the function: %w", err)
		}
	}
	cmd := exec.CommandContext(ctx, o.tool("crossplane"), "xpkg", "push", "--package-files="+strings.Join(files, ","), target) //nolint:gosec // The tool and the registry of whoever runs this.
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot publish %s: %w: %s", target, err, out)
	}
	pushed, err := remote.Head(tag, remote.WithContext(ctx))
	if err != nil {
		return "", fmt.Errorf("cannot read digest of %s: %w", target, err)
	}
	return pushed.Digest.String(), nil
}

// digestsFile holds a line for each package: its digest, and its repository and tag.
const digestsFile = "digests.txt"

// writeDigests of the packages as a registry will know them, by publishing to
// one that nobody else sees.
func writeDigests(ctx context.Context, o options) error {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()

	text := &strings.Builder{}
	for _, repository := range append(slices.Sorted(maps.Keys(configurationPackages)), functionPackage) {
		digest, err := push(ctx, o, strings.TrimPrefix(server.URL, "http://")+"/"+repository+":"+o.release.version)
		if err != nil {
			return err
		}
		fmt.Fprintf(text, "%s  %s:%s\n", digest, repository, o.release.version)
	}
	if err := os.WriteFile(filepath.Join(o.out, digestsFile), []byte(text.String()), 0o644); err != nil { //nolint:gosec // What is published is no secret.
		return fmt.Errorf("cannot write digests: %w", err)
	}
	return nil
}

// readDigests by repository and tag.
func readDigests(path string) (map[string]string, error) {
	text, err := os.ReadFile(path) //nolint:gosec // The release's own file.
	if err != nil {
		return nil, fmt.Errorf("there is no release to publish; run make package: %w", err)
	}
	digests := map[string]string{}
	for line := range strings.Lines(string(text)) {
		digest, target, ok := strings.Cut(strings.TrimSpace(line), "  ")
		if !ok {
			return nil, fmt.Errorf("%s has line %q; run make package", path, line)
		}
		digests[target] = digest
	}
	return digests, nil
}
