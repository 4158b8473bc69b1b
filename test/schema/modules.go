package schema

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

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// moduleDirs returns the folders in the module cache of modules that the module
// tools/<tool> requires, by module path. The go command downloads those that
// aren't there, and verifies them by that module's go.sum.
func moduleDirs(tool string, modules ...string) (map[string]string, error) {
	out, err := runGo(tool, append([]string{"mod", "download", "-json"}, modules...)...)
	if err != nil {
		return nil, err
	}

	dirs := map[string]string{}

	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var module struct{ Path, Dir, Error string }
		if err := d.Decode(&module); errors.Is(err, io.EOF) {
			return dirs, nil
		} else if err != nil {
			return nil, fmt.Errorf("cannot decode output of go mod download: %w", err)
		}

		if module.Dir == "" {
			return nil, fmt.Errorf("cannot download module %s: %s", module.Path, module.Error)
		}

		dirs[module.Path] = module.Dir
	}
}

// runGo runs the go command in the module tools/<tool> and returns what it
// prints.
func runGo(tool string, args ...string) ([]byte, error) {
	root, err := repositoryRoot()
	if err != nil {
		return nil, err
	}

	cmd := exec.CommandContext(context.Background(), "go", args...)
	cmd.Dir = filepath.Join(root, "tools", tool)
	// A go.work of whoever runs the tests has no say in what they mean.
	cmd.Env = append(os.Environ(), "GOWORK=off")

	stderr := &bytes.Buffer{}
	cmd.Stderr = stderr

	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("cannot run %s in %s: %w\n%s", cmd, cmd.Dir, err, stderr)
	}

	return out, nil
}

// repositoryRoot is the nearest folder upwards that has tools/providers. A test
// runs in the folder of its package.
func repositoryRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("cannot find the repository: %w", err)
	}

	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "tools", "providers", "go.mod")); err == nil {
			return dir, nil
		}

		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("cannot find the repository: no folder above %s has tools/providers/go.mod", start)
		}
	}
}

func read(path string) (*apiextensionsv1.CustomResourceDefinition, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read CustomResourceDefinition: %w", err)
	}

	return decode(path, data)
}

func decode(path string, data []byte) (*apiextensionsv1.CustomResourceDefinition, error) {
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(data, crd); err != nil {
		return nil, fmt.Errorf("cannot decode CustomResourceDefinition %s: %w", path, err)
	}

	return crd, nil
}
