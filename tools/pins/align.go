package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/semver"
)

// What several modules of this repository import is compiled once for all of them only
// where it has the same version in each, and all that it imports as well. So they take the
// newest that one of them needs. That halved the time of the first make test.

// alone are modules that share nothing with the rest: a tool with a world of its own, or
// one of which nothing is compiled; or that can't share, as function-auto-ready, whose
// crossplane-runtime doesn't compile with a newer controller-runtime.
var alone = []string{"tools/actions", "tools/argo-rollouts", "tools/cert-manager", "tools/function-auto-ready", "tools/golangci-lint", "tools/krew", "tools/kubernetes-1.34", "tools/pins", "tools/providers"}

// apart may be in several versions, by path.Match.
var apart = []string{
	"github.com/crossplane/*",    // Crossplane, its CLI and its functions are as they were released.
	"github.com/crossplane/*/v2", // As above.
	"github.com/crossplane/*/*/v2",
	"github.com/oasdiff/*", // Each version goes with one of the other.
	"go.yaml.in/yaml/v4",   // Its release candidates differ.
	"k8s.io/gengo/v2",      // It has no versions, and goes with the generators that use it.
}

// A behind module has an older version than another that it shares it with.
type behind struct {
	folder, module, has, wants string
}

// shared finds what is behind in the modules in some folders, which are read from go.mod.
func shared(ctx context.Context, root string, folders []string) ([]behind, error) {
	type place struct{ folder, version string }
	places := map[string][]place{} // By module, and for v0 by minor version.
	for _, folder := range folders {
		m, err := readMod(ctx, root, folder)
		if err != nil {
			return nil, err
		}
		for _, r := range m.Require {
			if slices.ContainsFunc(apart, func(p string) bool { ok, _ := path.Match(p, r.Path); return ok }) || m.replaces(r.Path) {
				continue
			}
			key := r.Path
			// Minor versions before v1 may break what imports them. Those of golang.org/x don't.
			if semver.Major(r.Version) == "v0" && !strings.HasPrefix(r.Path, "golang.org/x/") {
				key += " " + semver.MajorMinor(r.Version)
			}
			places[key] = append(places[key], place{folder, r.Version})
		}
	}
	var found []behind
	for _, key := range slices.Sorted(maps.Keys(places)) {
		module, _, _ := strings.Cut(key, " ")
		newest := slices.MaxFunc(places[key], func(a, b place) int { return semver.Compare(a.version, b.version) }).version
		for _, p := range places[key] {
			if p.version != newest {
				found = append(found, behind{p.folder, module, p.version, newest})
			}
		}
	}
	slices.SortStableFunc(found, func(a, b behind) int { return cmp.Compare(a.folder, b.folder) })
	return found, nil
}

// sharing are the folders of the modules that share what they import.
func sharing(root string) ([]string, error) {
	folders, err := moduleFolders(root)
	return slices.DeleteFunc(folders, func(f string) bool { return slices.Contains(alone, f) }), err
}

// align lets each module take the versions of the others, until none is behind: a newer
// version may need newer ones of others.
func align(ctx context.Context, root string, out io.Writer) error {
	folders, err := sharing(root)
	if err != nil {
		return err
	}
	for range 5 {
		found, err := shared(ctx, root, folders)
		if err != nil || len(found) == 0 {
			return err
		}
		get := map[string][]string{}
		for _, b := range found {
			_, _ = fmt.Fprintf(out, "%s: %s %s => %s\n", b.folder, b.module, b.has, b.wants)
			get[b.folder] = append(get[b.folder], b.module+"@"+b.wants)
		}
		for _, folder := range slices.Sorted(maps.Keys(get)) {
			dir := filepath.Join(root, folder)
			if _, err := command(ctx, dir, append([]string{"get"}, get[folder]...)...); err != nil {
				return fmt.Errorf("cannot update %s: %w", folder, err)
			}
			if _, err := command(ctx, dir, "mod", "tidy"); err != nil {
				return fmt.Errorf("cannot tidy %s: %w", folder, err)
			}
		}
	}
	return fmt.Errorf("some modules were still behind others after five rounds; see which by running it again, and name in tools/pins/align.go what has to be apart")
}
