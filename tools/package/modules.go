package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/licensecheck"
)

// A module that is linked into the function.
type module struct {
	path string

	// version is empty for the function's own module.
	version string

	// licences and notices that apply to what is linked of it, by a path that is
	// the module's and the file's.
	licences map[string][]byte

	// spdx are the identifiers of these licences, sorted.
	spdx []string
}

// minCoverage in percent of a licence's file that must be text of a known
// licence. pkg.go.dev asks for as much.
const minCoverage = 75

var licenceFile = regexp.MustCompile(`(?i)^(un)?(licen[cs]es?|copying|notice|copyright|patents)(\.(txt|md|markdown))?$`)

// listed is a package as go list prints it.
type listed struct {
	Dir      string
	Standard bool
	Module   *struct {
		Path, Version, Dir string
		Main               bool
	}
}

// linked modules of the function on a platform, by their path, and Go's standard
// library as the first.
func linked(ctx context.Context, root string, platform v1.Platform) ([]module, error) {
	packages, err := list(ctx, root, platform)
	if err != nil {
		return nil, err
	}
	modules := map[string]*module{}
	for _, p := range packages {
		if p.Standard {
			continue
		}
		m, ok := modules[p.Module.Path]
		if !ok {
			m = &module{path: p.Module.Path, version: p.Module.Version, licences: map[string][]byte{}}
			modules[m.path] = m
		}
		// A part of a module may have a licence of its own.
		if err := m.collect(p.Module.Dir, p.Dir); err != nil {
			return nil, err
		}
	}
	std, err := standardLibrary(ctx, root)
	if err != nil {
		return nil, err
	}
	all := []module{*std}
	for _, m := range modules {
		if err := m.identify(); err != nil {
			return nil, err
		}
		all = append(all, *m)
	}
	slices.SortFunc(all[1:], func(a, b module) int { return strings.Compare(a.path, b.path) })
	return all, nil
}

// list the packages that are linked.
func list(ctx context.Context, root string, platform v1.Platform) ([]listed, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-json=Dir,Standard,Module", ".")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+platform.OS, "GOARCH="+platform.Architecture)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("cannot list packages of the function: %w", explain(err))
	}
	var packages []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		p := listed{}
		switch err := d.Decode(&p); {
		case errors.Is(err, io.EOF):
			return packages, nil
		case err != nil:
			return nil, fmt.Errorf("cannot decode packages of the function: %w", err)
		}
		packages = append(packages, p)
	}
}

// standardLibrary of the Go that compiles.
func standardLibrary(ctx context.Context, root string) (*module, error) {
	cmd := exec.CommandContext(ctx, "go", "env", "GOVERSION", "GOROOT")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("cannot ask for Go's version: %w", explain(err))
	}
	version, goroot, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	std := &module{path: "std", version: version, licences: map[string][]byte{}}
	if err := std.collect(goroot, goroot); err != nil {
		return nil, err
	}
	if err := std.identify(); err != nil {
		return nil, err
	}
	return std, nil
}

// collect the licences in a folder of the module and in those above it.
func (m *module) collect(top, dir string) error {
	for ; len(dir) >= len(top); dir = filepath.Dir(dir) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return fmt.Errorf("cannot look for licences of module %s: %w", m.path, err)
		}
		for _, e := range entries {
			if e.IsDir() || !licenceFile.MatchString(e.Name()) {
				continue
			}
			text, err := os.ReadFile(filepath.Join(dir, e.Name())) //nolint:gosec // A module's licence, by its name.
			if err != nil {
				return fmt.Errorf("cannot read licence of module %s: %w", m.path, err)
			}
			m.licences[m.path+filepath.ToSlash(strings.TrimPrefix(dir, top))+"/"+e.Name()] = text
		}
	}
	return nil
}

// identify the licences of the module. One that has none can't be passed on.
func (m *module) identify() error {
	for _, text := range m.licences {
		found := licensecheck.Scan(text)
		if found.Percent < minCoverage {
			continue // A notice.
		}
		for _, match := range found.Match {
			// A grant besides a licence, for which SPDX has no identifier.
			if match.ID != "GooglePatentsFile" {
				m.spdx = append(m.spdx, match.ID)
			}
		}
	}
	if len(m.spdx) == 0 {
		return fmt.Errorf("module %s %s has no licence that is known; find out whether its code may be passed on, or do without it", m.path, m.version)
	}
	slices.Sort(m.spdx)
	m.spdx = slices.Compact(m.spdx)
	return nil
}

// explain adds to a command's error what it printed.
func explain(err error) error {
	if exit := (&exec.ExitError{}); errors.As(err, &exit) {
		return fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	return err
}
