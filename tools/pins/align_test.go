package main

import (
	"bytes"
	"path"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAligned holds what make align does: with a version of its own in one module, what
// imports it is compiled again there, with all that imports that.
func TestAligned(t *testing.T) {
	t.Parallel()

	folders, err := sharing(root)
	if err != nil || len(folders) < 15 {
		t.Fatalf("found modules %v: %v", folders, err)
	}
	found, err := shared(t.Context(), root, folders)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range found {
		t.Errorf("%s has %s %s, and another module of this repository %s; run make align", b.folder, b.module, b.has, b.wants)
	}
}

func TestShared(t *testing.T) {
	t.Parallel()

	require := func(module, version string) string {
		return "module example.org/m\n\ngo 1.26.0\n\nrequire " + module + " " + version + "\n"
	}
	behindA := func(module, has, wants string) []behind { return []behind{{"test/a", module, has, wants}} }
	for name, tc := range map[string]struct {
		reason string
		a, b   string // go.mod of two modules.
		want   []behind
	}{
		"Same":       {"nothing is behind itself", require("example.org/x", "v1.1.0"), require("example.org/x", "v1.1.0"), nil},
		"Minor":      {"from v1 on a minor version breaks nobody", require("example.org/x", "v1.1.0"), require("example.org/x", "v1.2.0"), behindA("example.org/x", "v1.1.0", "v1.2.0")},
		"MinorOfV0":  {"before v1 it may", require("example.org/x", "v0.1.0"), require("example.org/x", "v0.2.0"), nil},
		"PatchOfV0":  {"a patch breaks nobody before v1", require("example.org/x", "v0.1.0"), require("example.org/x", "v0.1.3"), behindA("example.org/x", "v0.1.0", "v0.1.3")},
		"GolangOrgX": {"these keep what they promise before v1", require("golang.org/x/net", "v0.55.0"), require("golang.org/x/net", "v0.62.0"), behindA("golang.org/x/net", "v0.55.0", "v0.62.0")},
		"Pseudo":     {"a commit comes before the next release", require("example.org/x", "v1.0.1-0.20260101000000-0a1b2c3d4e5f"), require("example.org/x", "v1.0.1"), behindA("example.org/x", "v1.0.1-0.20260101000000-0a1b2c3d4e5f", "v1.0.1")},
		"Apart":      {"Crossplane and its functions are as they were released", require("github.com/crossplane/function-sdk-go", "v1.5.0"), require("github.com/crossplane/function-sdk-go", "v1.6.0"), nil},
		"Replaced":   {"what is another module has no version", require("example.org/x", "v1.1.0") + "\nreplace example.org/x => ../x\n", require("example.org/x", "v1.2.0"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			dir := repository(t, map[string]string{"test/a/go.mod": tc.a, "test/b/go.mod": tc.b})
			got, err := shared(t.Context(), dir, []string{"test/a", "test/b"})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(behind{})); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestAlign raises a version by the go command itself.
func TestAlign(t *testing.T) {
	t.Setenv("GOPROXY", proxy(t, map[string][]string{"example.org/x": {"v1.0.0", "v1.1.0"}}))
	t.Setenv("GOSUMDB", "off")
	t.Setenv("GOMODCACHE", t.TempDir())
	t.Setenv("GOFLAGS", "")
	module := func(version string) string {
		return "module example.org/m\n\ngo 1.26.0\n\ntool example.org/x\n\nrequire example.org/x " + version + "\n"
	}
	dir := repository(t, map[string]string{"go.mod": module("v1.1.0"), "tools/a/go.mod": module("v1.0.0")})
	out := &bytes.Buffer{}
	if err := align(t.Context(), dir, out); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "tools/a: example.org/x v1.0.0 => v1.1.0\n"; got != want {
		t.Errorf("want %q, got %q", want, got)
	}
	if found, err := shared(t.Context(), dir, []string{".", "tools/a"}); err != nil || len(found) > 0 {
		t.Errorf("nothing may be behind afterwards, got %v, %v", found, err)
	}
}

// TestExceptionsHold finds folders and paths that are left over from what was apart.
func TestExceptionsHold(t *testing.T) {
	t.Parallel()

	folders, err := moduleFolders(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range alone {
		if !slices.Contains(folders, f) {
			t.Errorf("there is no module in %s, which align leaves alone", f)
		}
	}
	folders, err = sharing(root)
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, folder := range folders {
		m, err := readMod(t.Context(), root, folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range m.Require {
			for _, p := range apart {
				ok, _ := path.Match(p, r.Path)
				used[p] = used[p] || ok
			}
		}
	}
	for _, p := range apart {
		if !used[p] {
			t.Errorf("no module is %s, which may be apart", p)
		}
	}
}
