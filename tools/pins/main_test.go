package main

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const root = "../.."

// times of versions in the proxy of the tests.
var times = map[string]string{
	"v1.0.0": "2026-01-01T00:00:00Z",
	"v1.1.0": "2026-02-01T00:00:00Z",
	"v1.2.0": "2026-06-01T00:00:00Z",
}

// proxy of modules with a package in some versions. Of one that has none it refuses the list, as some
// proxies do, and knows v1.0.0.
func proxy(t *testing.T, versions map[string][]string) string {
	t.Helper()
	path := regexp.MustCompile(`^/(.+)/@v/(list|(v[0-9.]+)\.(info|mod|zip))$`)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m := path.FindStringSubmatch(r.URL.Path)
		if m == nil {
			http.NotFound(w, r)
			return
		}
		module, version := m[1], m[3]
		switch {
		case m[2] == "list" && len(versions[module]) == 0:
			http.Error(w, "This list is not available.", http.StatusForbidden)
		case m[2] == "list":
			_, _ = fmt.Fprintln(w, strings.Join(versions[module], "\n"))
		case m[4] == "info":
			_, _ = fmt.Fprintf(w, `{"Version": %q, "Time": %q}`, version, times[version]) //nolint:gosec // The go command reads it, and no browser.
		case m[4] == "mod":
			_, _ = fmt.Fprintf(w, "module %s\n", module) //nolint:gosec // As above.
		default:
			z := zip.NewWriter(w)
			f, err := z.Create(module + "@" + version + "/go.mod")
			if err == nil {
				_, _ = fmt.Fprintf(f, "module %s\n", module)
			}
			if f, err = z.Create(module + "@" + version + "/main.go"); err == nil {
				_, _ = fmt.Fprintln(f, "package main")
			}
			_ = z.Close()
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// repository with a module, and one file of each family.
func repository(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"Dockerfile":                          "FROM --platform=$BUILDPLATFORM golang:1.26.8 AS build\nFROM scratch\n",
		".github/workflows/test.yaml":         "jobs: {a: {steps: [\n    - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1\n",
		"package/providers/aws/provider.yaml": "spec:\n  package: xpkg.upbound.io/upbound/provider-aws-eks:v2.5.0\n",
	} {
		if _, ok := files[name]; !ok {
			files[name] = text
		}
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestRun asks a proxy by the go command itself.
func TestRun(t *testing.T) {
	t.Setenv("GOPROXY", proxy(t, map[string][]string{
		"example.org/newest": {"v1.0.0"},
		"example.org/old":    {"v1.0.0", "v1.1.0"},
		"example.org/newer":  {"v1.0.0", "v1.1.0", "v1.2.0"},
		"example.org/tool":   {"v1.0.0", "v1.1.0"},
		"example.org/other":  {"v1.0.0", "v1.1.0"},
	}))
	t.Setenv("GOSUMDB", "off")
	t.Setenv("GOMODCACHE", t.TempDir())
	t.Setenv("GOFLAGS", "-modcacherw")
	root := repository(t, map[string]string{
		"go.mod":                       "module example.org/m\n\ngo 1.26.0\n\nrequire (\n\texample.org/newest v1.0.0\n\texample.org/newer v1.0.0\n\texample.org/refused v1.0.0\n\texample.org/other v1.0.0 // indirect\n)\n",
		"tools/a/go.mod":               "module example.org/m/tools/a\n\ngo 1.26.0\n\ntool example.org/tool/cmd\n\nrequire (\n\texample.org/old v1.0.0\n\texample.org/tool v1.0.0 // indirect\n)\n",
		"tools/kubernetes-1.34/go.mod": "module example.org/m/tools/kubernetes\n\ngo 1.26.0\n\nrequire example.org/old v1.0.0\n",
	})
	for _, folder := range []string{".", "tools/a", "tools/kubernetes-1.34"} {
		if _, err := command(t.Context(), filepath.Join(root, folder), "mod", "download", "-modcacherw"); err != nil {
			t.Fatal(err)
		}
	}

	out := &bytes.Buffer{}
	err := run(t.Context(), root, time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), out)
	if !errors.Is(err, errOld) {
		t.Errorf("what is old must fail, got %v", err)
	}
	got := spaces.ReplaceAllString(out.String(), "  ")
	want := `Old, and left for long:
  example.org/old  v1.0.0  v1.1.0 since 2026-02-01  tools/a
  example.org/tool  v1.0.0  v1.1.0 since 2026-02-01  tools/a
Newer ones have come:
  example.org/newer  v1.0.0  v1.2.0 since 2026-06-01  .
Held on purpose:
  example.org/old  v1.0.0  the oldest Kubernetes that is tested  tools/kubernetes-1.34
Unknown here:
  actions/checkout  v7.0.1  the update bot looks after actions  .github/workflows/test.yaml
  example.org/refused  v1.0.0  403 Forbidden  .
  golang  1.26.8  the update bot looks after images  Dockerfile
  xpkg.upbound.io/upbound/provider-aws-eks  v2.5.0  nobody: look at marketplace.upbound.io  package/providers/aws/provider.yaml
1 of 9 pins are the newest
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}

var spaces = regexp.MustCompile(` {2,}`)

// TestOffline says nothing that it can't know, and fails nobody for it.
func TestOffline(t *testing.T) {
	t.Setenv("GOPROXY", "off")
	t.Setenv("GOMODCACHE", t.TempDir())
	root := repository(t, map[string]string{"go.mod": "module example.org/m\n\ngo 1.26.0\n\nrequire example.org/a v1.0.0\n"})
	out := &bytes.Buffer{}
	if err := run(t.Context(), root, time.Now(), out); err != nil {
		t.Errorf("without a proxy there is nothing to fail by, got %v", err)
	}
	if !regexp.MustCompile(`(?m)^Unknown here:\n(.*\n)*  example\.org/a +v1\.0\.0 `).MatchString(out.String()) {
		t.Errorf("what can't be asked is unknown:\n%s", out)
	}
}

// TestHoldsHold finds reasons that are left over from what they held.
func TestHoldsHold(t *testing.T) {
	t.Parallel()

	folders, err := moduleFolders(root)
	if err != nil || len(folders) < 20 {
		t.Fatalf("found modules %v: %v", folders, err)
	}
	holding := make([]bool, len(holds))
	for _, folder := range folders {
		m, err := readMod(t.Context(), root, folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, what := range m.pinned() {
			for i, h := range holds {
				if h.fits(pin{what: what, in: []string{folder}}) {
					holding[i] = true
					break
				}
			}
		}
	}
	for i, h := range holds {
		if !holding[i] {
			t.Errorf("nothing is held because it is %s (%s in %v)", h.reason, h.what, h.in)
		}
	}
}

// TestOthersAreFound in the files as they are.
func TestOthersAreFound(t *testing.T) {
	t.Parallel()

	pins, err := otherPins(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"golang", "actions/checkout", "xpkg.upbound.io/upbound/provider-aws-eks"} {
		found := false
		for _, p := range pins {
			found = found || p.what == what && p.version != ""
		}
		if !found {
			t.Errorf("%s isn't among the pins", what)
		}
	}
}
