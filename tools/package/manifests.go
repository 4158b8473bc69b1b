package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"sigs.k8s.io/yaml"
)

// installations by the name of their file, and the folder of package/ that
// kustomize builds each from.
var installations = map[string]string{
	"install":                             "install/namespaced",
	"install-claims":                      "install/claims",
	"install-without-injection":           "install/namespaced-without-injection",
	"install-claims-without-injection":    "install/claims-without-injection",
	webhookInstallation:                   "webhook",
	webhookInstallation + "-cert-manager": "install/webhook-cert-manager",
	monitoringInstallation:                "monitoring",
}

// What goes beside one of the others: the webhook, also with cert-manager, and what
// Prometheus needs.
const (
	webhookInstallation    = "install-webhook"
	monitoringInstallation = "install-monitoring"
)

// settingsExample is printed behind each installation of the packages, as a comment.
const settingsExample = "install/settings.example.yaml"

// manifests of package/ in a version.
type manifests struct {
	version string
	files   filesystem
}

// readManifests in a version, or if that is empty in the one that they have.
func readManifests(root, version string) (manifests, error) {
	m := manifests{version: version, files: filesystem{}}
	dir := filepath.Join(root, "package")
	own, err := ownVersion(filepath.Join(dir, "install", "base", "function.yaml"))
	if err != nil {
		return m, err
	}
	if m.version == "" {
		m.version = own
	}
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		text, err := os.ReadFile(path) //nolint:gosec // A manifest of the module.
		if err != nil {
			return err //nolint:wrapcheck // Wrapped below.
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err //nolint:wrapcheck // Wrapped below.
		}
		m.files[filepath.ToSlash(rel)] = file{bytes.ReplaceAll(text, []byte(own), []byte(m.version)), 0o644}
		return nil
	})
	if err != nil {
		return m, fmt.Errorf("cannot read manifests: %w", err)
	}
	return m, nil
}

// ownVersion of the manifests, which the Function among them says.
func ownVersion(path string) (string, error) {
	text, err := os.ReadFile(path) //nolint:gosec // A manifest of the module.
	if err != nil {
		return "", fmt.Errorf("cannot read Function: %w", err)
	}
	function := struct {
		Spec struct {
			Package string `json:"package"`
		} `json:"spec"`
	}{}
	if err := yaml.Unmarshal(text, &function); err != nil {
		return "", fmt.Errorf("cannot decode Function in %s: %w", path, err)
	}
	tag, err := name.NewTag(function.Spec.Package, name.StrictValidation)
	if err != nil {
		return "", fmt.Errorf("the Function in %s has package %q; it must be a repository with a tag: %w", path, function.Spec.Package, err)
	}
	return tag.TagStr(), nil
}

// writeInstallation as one file, with what must be written by hand as a comment.
func writeInstallation(ctx context.Context, o options, dir, to string) error {
	cmd := exec.CommandContext(ctx, o.tool("kubectl"), "kustomize", dir) //nolint:gosec // The tool of whoever runs this.
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("cannot build %s: %w", to, explain(err))
	}
	example, err := os.ReadFile(filepath.Join(o.root, "package", settingsExample))
	if err != nil {
		return fmt.Errorf("cannot read example of settings: %w", err)
	}
	text := &strings.Builder{}
	text.Write(out)
	if !strings.HasPrefix(to, webhookInstallation) && to != monitoringInstallation {
		text.WriteString("---\n")
		for line := range strings.Lines(string(example)) {
			if !strings.HasPrefix(line, "#") {
				line = "# " + line
			}
			text.WriteString(line)
		}
	}
	if err := os.WriteFile(filepath.Join(o.out, to+".yaml"), []byte(text.String()), 0o644); err != nil { //nolint:gosec // What is published is no secret.
		return fmt.Errorf("cannot write %s: %w", to, err)
	}
	return nil
}
