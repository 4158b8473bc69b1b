// Package modules finds other projects' files in the module cache, where go.sum
// vouches for them.
package modules

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

	"github.com/serviceconnections/function-service-connections/test/inputs"
)

// Dirs returns the folders in the module cache of modules that the module
// tools/<tool> requires, by module path. The go command downloads those that
// aren't there, and verifies them by that module's go.sum.
func Dirs(ctx context.Context, tool string, modules ...string) (map[string]string, error) {
	out, err := Go(ctx, tool, append([]string{"mod", "download", "-json"}, modules...)...)
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

// Go runs the go command in the module tools/<tool> and returns what it
// prints.
func Go(ctx context.Context, tool string, args ...string) ([]byte, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}

	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = filepath.Join(root, "tools", tool)
	if err := inputs.Read(cmd.Dir); err != nil {
		return nil, err
	}
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

// Tool is the file of a program that the module tools/<tool> pins, which the go command
// builds where it isn't built yet.
func Tool(ctx context.Context, tool, name string) (string, error) {
	path, err := Go(ctx, tool, "tool", "-n", name)
	return string(bytes.TrimSpace(path)), err
}

// Root of the repository: the nearest folder upwards that has tools/providers. A test
// runs in the folder of its package.
func Root() (string, error) {
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
