package graph

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/plugin/live"
)

var update = flag.Bool("update", false, "write the renderings anew")

// read a ServiceConnection of testdata.
func read(t testing.TB, path string) *live.ServiceConnection {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, b)
}

func parse(t testing.TB, b []byte) *live.ServiceConnection {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(b, &u.Object); err != nil {
		t.Fatal(err)
	}
	s, err := live.Of(connection.Builtin(), u)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var formats = map[string]func(*Graph, io.Writer) error{
	"mmd": (*Graph).Mermaid, "dot": (*Graph).Dot, "svg": (*Graph).SVG, "html": (*Graph).HTML,
}

// TestRenderings holds whole pictures to those that somebody has looked at.
func TestRenderings(t *testing.T) {
	t.Parallel()
	claims, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(claims) == 0 {
		t.Fatal(claims, err)
	}
	for _, claim := range claims {
		for format, render := range formats {
			name := claim[:len(claim)-len("yaml")] + format
			t.Run(filepath.Base(name), func(t *testing.T) {
				t.Parallel()
				b := &bytes.Buffer{}
				if err := render(Of(connection.Builtin(), read(t, claim)), b); err != nil {
					t.Fatal(err)
				}
				if *update {
					if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), b.String()); diff != "" {
					t.Errorf("go test ./plugin/graph -update writes the rendering anew; look at it before you commit it\n-want +got:\n%s", diff)
				}
			})
		}
	}
}
