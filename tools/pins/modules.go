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
	"slices"
	"strings"
	"time"
)

// moduleFolders of the repository, by their path in it.
func moduleFolders(root string) ([]string, error) {
	folders := []string{"."}
	for _, pattern := range []string{"test/*/go.mod", "tools/*/go.mod"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, fmt.Errorf("cannot look for modules: %w", err)
		}
		for _, f := range files {
			rel, err := filepath.Rel(root, filepath.Dir(f))
			if err != nil {
				return nil, fmt.Errorf("cannot look for modules: %w", err)
			}
			folders = append(folders, filepath.ToSlash(rel))
		}
	}
	return folders, nil
}

// A goMod as go mod edit prints it.
type goMod struct {
	Require []struct {
		Path, Version string
		Indirect      bool
	}
	Tool    []struct{ Path string }
	Replace []struct{ Old struct{ Path string } }
}

// readMod of the module in a folder.
func readMod(ctx context.Context, root, folder string) (goMod, error) {
	var m goMod
	text, err := command(ctx, filepath.Join(root, folder), "mod", "edit", "-json")
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		return m, fmt.Errorf("cannot read %s/go.mod: %w", folder, err)
	}
	return m, nil
}

// replaces says whether a module is another one here.
func (m goMod) replaces(path string) bool {
	return slices.ContainsFunc(m.Replace, func(o struct{ Old struct{ Path string } }) bool { return o.Old.Path == path })
}

// pinned modules: what the module itself imports, and the modules of its tools. The rest
// follows from those.
func (m goMod) pinned() []string {
	var paths []string
	for _, r := range m.Require {
		isTool := slices.ContainsFunc(m.Tool, func(t struct{ Path string }) bool { return strings.HasPrefix(t.Path+"/", r.Path+"/") })
		if (!r.Indirect || isTool) && !m.replaces(r.Path) {
			paths = append(paths, r.Path)
		}
	}
	return paths
}

// A listed module as go list prints it.
type listed struct {
	Path, Version string
	Update        *struct {
		Version string
		Time    time.Time
	}
	Error *struct{ Err string }
}

// modulePins of the module in a folder. Where the go command can't ask the proxy, the pins
// are unknown.
func modulePins(ctx context.Context, root, folder string) ([]pin, error) {
	m, err := readMod(ctx, root, folder)
	if err != nil {
		return nil, err
	}
	paths := m.pinned()
	if len(paths) == 0 {
		return nil, nil
	}
	text, err := command(ctx, filepath.Join(root, folder), append([]string{"list", "-m", "-u", "-e", "-mod=readonly", "-json=Path,Version,Update,Error"}, paths...)...)
	if err != nil {
		var pins []pin
		for _, r := range m.Require {
			if slices.Contains(paths, r.Path) {
				pins = append(pins, pin{what: r.Path, version: r.Version, in: []string{folder}, unknown: cause(err.Error())})
			}
		}
		return pins, nil
	}
	return pinsOf(text, folder)
}

// pinsOf what go list prints.
func pinsOf(text []byte, folder string) ([]pin, error) {
	var pins []pin
	for d := json.NewDecoder(bytes.NewReader(text)); ; {
		var l listed
		switch err := d.Decode(&l); {
		case errors.Is(err, io.EOF):
			return pins, nil
		case err != nil:
			return nil, fmt.Errorf("cannot read what go list says of %s: %w", folder, err)
		}
		p := pin{what: l.Path, version: l.Version, in: []string{folder}}
		switch {
		case l.Error != nil:
			p.unknown = cause(l.Error.Err)
		case l.Update != nil:
			p.newest, p.since = l.Update.Version, l.Update.Time
		}
		pins = append(pins, p)
	}
}

// cause of a message: the end of its first line. Before it stands what the go command was
// about, which the table says.
func cause(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return strings.TrimSpace(s[strings.LastIndex(s, ": ")+1:])
}

// command of go in a folder.
func command(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // Arguments of ours, and module paths of go.mod.
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	out, err := cmd.Output()
	if exit := (&exec.ExitError{}); errors.As(err, &exit) {
		return nil, fmt.Errorf("%s", bytes.TrimSpace(exit.Stderr))
	}
	if err != nil {
		return nil, fmt.Errorf("cannot run go: %w", err)
	}
	return out, nil
}
