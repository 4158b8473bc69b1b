package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/registry"
)

// A localRegistry tells the digests of packages as any registry will know them: they
// are published to it, and nobody else sees it.
type localRegistry struct {
	server *httptest.Server

	// digests by repository.
	digests map[string]string
}

func newRegistry() *localRegistry {
	return &localRegistry{
		server:  httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)))),
		digests: map[string]string{},
	}
}

func (r *localRegistry) close() { r.server.Close() }

// digest of a package that was built.
func (r *localRegistry) digest(ctx context.Context, o options, repository string) (string, error) {
	d, err := push(ctx, o, strings.TrimPrefix(r.server.URL, "http://")+"/"+repository+":"+o.release.version)
	r.digests[repository] = d
	return d, err
}

// pinFunction to its digest, in the manifest that installs it and in the
// configurations that depend on it. A tag can be moved to something else by whoever may
// write to the registry, a digest can't. Both must name it: Crossplane knows a package
// that was installed by digest by nothing else, and compares no version with it
// (crossplane, internal/controller/pkg/revision/dependency.go).
func (r *localRegistry) pinFunction(ctx context.Context, o options, sources string) error {
	digest, err := r.digest(ctx, o, functionPackage)
	if err != nil {
		return err
	}
	for _, folder := range configurationPackages {
		if err := replace(filepath.Join(sources, folder, "crossplane.yaml"), `">=`+o.release.version+`-0"`, digest); err != nil {
			return err
		}
	}
	return pin(filepath.Join(sources, "install", "base", "function.yaml"), functionPackage+":"+o.release.version, digest)
}

// pinConfiguration to its digest in the manifest that installs it.
func (r *localRegistry) pinConfiguration(ctx context.Context, o options, repository, sources string) error {
	digest, err := r.digest(ctx, o, repository)
	if err != nil {
		return err
	}
	folder := configurationManifests[repository]
	return pin(filepath.Join(sources, "install", folder, "configuration.yaml"), repository+":"+o.release.version, digest)
}

// pin the tag in a manifest to a digest. The tag stays for readers.
func pin(file, tag, digest string) error { return replace(file, tag, tag+"@"+digest) }

// replace the only occurrence of a text in a manifest.
func replace(file, old, text string) error {
	b, err := os.ReadFile(file) //nolint:gosec // A copy of the module's own manifest.
	if err != nil {
		return fmt.Errorf("cannot read manifest: %w", err)
	}
	if n := strings.Count(string(b), old); n != 1 {
		return fmt.Errorf("cannot name a digest in %s: it has %s %d times, not once", file, old, n)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(b), old, text, 1)), 0o600); err != nil {
		return fmt.Errorf("cannot write manifest: %w", err)
	}
	return nil
}

// writeDigests of the packages.
func (r *localRegistry) writeDigests(o options) error {
	text := &strings.Builder{}
	for _, repository := range slices.Sorted(maps.Keys(r.digests)) {
		fmt.Fprintf(text, "%s  %s:%s\n", r.digests[repository], repository, o.release.version)
	}
	if err := os.WriteFile(filepath.Join(o.out, digestsFile), []byte(text.String()), 0o644); err != nil { //nolint:gosec // What is published is no secret.
		return fmt.Errorf("cannot write digests: %w", err)
	}
	return nil
}
