package gitops

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/serviceconnections/function-service-connections/test/modules"
)

func root(t *testing.T) string {
	t.Helper()
	root, err := modules.Root()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// object of the API server, as TestGitOps has recorded it on a control plane.
func object(t *testing.T, path string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	read(t, path, u)
	return u
}

// TestHealthScript runs Argo CD's own kind of test: health_test.yaml says what the script
// makes of each object in testdata.
func TestHealthScript(t *testing.T) {
	t.Parallel()
	root := root(t)
	folder := filepath.Join(root, Customization)
	tests := struct {
		Tests []struct {
			InputPath    string `json:"inputPath"`
			HealthStatus Health `json:"healthStatus"`
		} `json:"tests"`
	}{}
	read(t, filepath.Join(folder, "health_test.yaml"), &tests)
	tested := map[string]bool{}
	for _, tc := range tests.Tests {
		tested[filepath.Base(tc.InputPath)] = true
		t.Run(tc.InputPath, func(t *testing.T) {
			t.Parallel()
			got, err := ArgoCD(Script(t, root), object(t, filepath.Join(folder, tc.InputPath)))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.HealthStatus, got); diff != "" {
				t.Errorf("-want, +got:\n%s", diff)
			}
		})
	}
	files, err := os.ReadDir(filepath.Join(folder, "testdata"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !tested[f.Name()] {
			t.Errorf("health_test.yaml says nothing of %s", f.Name())
		}
	}
}

// TestFlux holds what Flux makes of the same objects, by its expressions and without.
func TestFlux(t *testing.T) {
	t.Parallel()
	root := root(t)
	files, err := os.ReadDir(filepath.Join(root, Customization, "testdata"))
	if err != nil {
		t.Fatal(err)
	}
	expressions := ExpressionsOf(t, root, "serviceconnections.io/v1alpha1", "ServiceConnection")
	for _, f := range files {
		t.Run(f.Name(), func(t *testing.T) {
			t.Parallel()
			o := object(t, filepath.Join(root, Customization, "testdata", f.Name()))
			kstatus, err := Kstatus(o)
			if err != nil {
				t.Fatal(err)
			}
			flux, err := Flux(expressions, o)
			if err != nil {
				t.Fatal(err)
			}
			want := [2]string{"InProgress", "InProgress"}
			switch name := strings.TrimPrefix(f.Name(), "claim_"); {
			case strings.HasPrefix(name, "healthy"), strings.HasPrefix(name, "suspended"):
				want = [2]string{"Current", "Current"}
			case strings.HasPrefix(name, "degraded"):
				want = [2]string{"Failed", "Failed"}
			case strings.HasSuffix(name, "noStatus.yaml"):
				// kstatus knows no better of an object without any status.
				want = [2]string{"Current", "Unknown"}
			}
			if diff := cmp.Diff(want, [2]string{kstatus.Status, flux.Status}); diff != "" {
				t.Errorf("kstatus says %q, and Flux %q: -want, +got:\n%s", kstatus.Message, flux.Message, diff)
			}
		})
	}
}

// TestConfigMap holds that what platform teams copy is the script.
func TestConfigMap(t *testing.T) {
	t.Parallel()
	root := root(t)
	c := struct {
		Data map[string]string `json:"data"`
	}{}
	read(t, filepath.Join(root, ConfigMap), &c)
	if diff := cmp.Diff(Script(t, root), c.Data["resource.customizations.health.serviceconnections.io_ServiceConnection"]); diff != "" {
		t.Errorf("%s has another script than health.lua: -want, +got:\n%s", ConfigMap, diff)
	}
}

// TestCanNotReconcile changes the conditions of recorded objects to those that Crossplane
// writes where it can't reconcile, and doesn't ask the function.
func TestCanNotReconcile(t *testing.T) {
	t.Parallel()
	root := root(t)
	for name, tc := range map[string]struct {
		reason string
		file   string
		typ    string
		is     map[string]any
		argoCD Health
		flux   string
	}{
		"Synced": {
			reason: "its own condition says why",
			file:   "healthy.yaml", typ: "Synced",
			is:     map[string]any{"status": "False", "reason": "ReconcileError", "message": "cannot compose resources"},
			argoCD: Health{Status: Degraded, Message: "cannot compose resources"}, flux: "Failed",
		},
		"SyncedBefore": {
			reason: "that was about the spec before the edit",
			file:   "progressing_edited.yaml", typ: "Synced",
			is:     map[string]any{"status": "False", "reason": "ReconcileError", "message": "cannot compose resources"},
			argoCD: Health{Status: Progressing, Message: "Waiting for the status of generation 6"}, flux: "InProgress",
		},
		"OfAClaim": {
			reason: "its composite resource's condition Synced says why, and the claim's own conditions aren't known",
			file:   "claim_healthy.yaml", typ: "Stalled",
			is:     map[string]any{"status": "Unknown", "reason": "FatalError", "message": "A fatal error occurred"},
			argoCD: Health{Status: Degraded, Message: "A fatal error occurred"}, flux: "Failed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := object(t, filepath.Join(root, Customization, "testdata", tc.file))
			conditions, _, err := unstructured.NestedSlice(o.Object, "status", "conditions")
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range conditions {
				if c, ok := c.(map[string]any); ok && c["type"] == tc.typ {
					maps.Copy(c, tc.is)
				}
			}
			if err := unstructured.SetNestedSlice(o.Object, conditions, "status", "conditions"); err != nil {
				t.Fatal(err)
			}
			got, err := ArgoCD(Script(t, root), o)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.argoCD, got); diff != "" {
				t.Errorf("%s: Argo CD, -want, +got:\n%s", tc.reason, diff)
			}
			flux, err := Flux(ExpressionsOf(t, root, "serviceconnections.io/v1alpha1", "ServiceConnection"), o)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.flux, flux.Status); diff != "" {
				t.Errorf("%s: Flux, -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
