package schema

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// TestStatusIsAsWritten holds that the API server gives back what the function writes: it
// neither prunes of it nor adds defaults. Crossplane would take what is added for a
// difference, and so would who reads the status by what docs say of it.
func TestStatusIsAsWritten(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../example/*/expected.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	s, err := ServiceConnection()
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(filepath.Base(filepath.Dir(file)), func(t *testing.T) {
			t.Parallel()
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			composite, _, _ := strings.Cut(strings.TrimPrefix(string(content), "---\n"), "\n---\n")
			u := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(composite), &u.Object); err != nil {
				t.Fatal(err)
			}
			written := runtime.DeepCopyJSON(u.Object)["status"].(map[string]any)
			s.Validate(t.Context(), u)
			got := u.Object["status"].(map[string]any)
			for _, field := range []string{"connected", "services"} {
				if diff := cmp.Diff(written[field], got[field]); diff != "" {
					t.Errorf("status.%s: -written, +given back:\n%s", field, diff)
				}
			}
		})
	}
}
