package gitops

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"sigs.k8s.io/yaml"
)

// Where the repository has what others copy from it.
const (
	// Customization is the folder of Argo CD's health check, with the layout of
	// resource_customizations in Argo CD's own repository.
	Customization = "package/gitops/argocd/serviceconnections.io/ServiceConnection"

	// ConfigMap of Argo CD that has the script.
	ConfigMap = "package/gitops/argocd/argocd-cm.yaml"

	// Kustomization of Flux that has the expressions.
	Kustomization = "package/gitops/flux/connections.yaml"
)

// Script of Argo CD's health check.
func Script(tb testing.TB, root string) string {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(root, Customization, "health.lua"))
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

// ExpressionsOf Flux for a kind.
func ExpressionsOf(tb testing.TB, root, apiVersion, kind string) Expressions {
	tb.Helper()
	k := struct {
		Spec struct {
			HealthCheckExprs []Expressions `json:"healthCheckExprs"`
		} `json:"spec"`
	}{}
	read(tb, filepath.Join(root, Kustomization), &k)
	for _, e := range k.Spec.HealthCheckExprs {
		if e.APIVersion == apiVersion && e.Kind == kind {
			return e
		}
	}
	tb.Fatalf("%s has no expressions for %s %s", Kustomization, apiVersion, kind)
	return Expressions{}
}

// read YAML from a file, of several documents the first.
func read(tb testing.TB, path string, into any) {
	tb.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	first, _, _ := bytes.Cut(b, []byte("\n---\n"))
	if err := yaml.Unmarshal(first, into); err != nil {
		tb.Fatalf("cannot read %s: %v", path, err)
	}
}
