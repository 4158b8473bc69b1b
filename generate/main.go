// Generate writes everything in this repository that follows from Go code: of the
// types of the API, the deep copies of the function's input, its
// CustomResourceDefinition, and, with what each connection type declares of its
// fields, the CompositeResourceDefinitions of both configuration packages, which
// the plugin has too; of the workload kinds and of what connections inject, its part
// of the admission policies, and what the tests of those inject; and of the plugin's
// commands, their documentation.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/fn/connection"
)

//go:generate go run .

func main() {
	root := flag.String("root", "..", "root of the repository, where the types are")
	out := flag.String("out", "", "folder to write to, with the layout of the repository; by default, the repository")

	flag.Parse()

	if *out == "" {
		*out = *root
	}

	if err := generate(context.Background(), *root, *out); err != nil {
		fmt.Fprintf(os.Stderr, "generate: %v\n", err)
		os.Exit(1)
	}
}

// generate reads the types below root and writes all generated files below out.
func generate(ctx context.Context, root, out string) error {
	crds, err := os.MkdirTemp("", "crds")
	if err != nil {
		return fmt.Errorf("cannot make a temporary folder: %w", err)
	}
	defer os.RemoveAll(crds) //nolint:errcheck // A leftover in the temporary folder harms nobody.

	if err := runControllerGen(ctx, root, out, crds); err != nil {
		return err
	}

	if err := writeInput(filepath.Join(crds, inputFile), filepath.Join(out, "package", "function", "input", inputFile)); err != nil {
		return err
	}

	crd, err := read(filepath.Join(crds, "serviceconnections.io_serviceconnections.yaml"))
	if err != nil {
		return err
	}

	for i := range crd.Spec.Versions {
		if err := declare(crd.Spec.Versions[i].Schema.OpenAPIV3Schema, connection.Builtin().Schema().Types()); err != nil {
			return err
		}
	}

	if err := writeDefinitions(out, crd); err != nil {
		return err
	}

	if err := writePolicies(root, out); err != nil {
		return err
	}

	if err := writeInjections(filepath.Join(out, injectionsFile)); err != nil {
		return err
	}

	if err := write(filepath.Join(out, formsFile), "fn/connection", connection.Builtin().Forms()); err != nil {
		return err
	}

	return writeCommands(filepath.Join(out, "docs", "plugin")) //nolint:contextcheck // No command runs.
}

// runControllerGen on the types below root: deep copies of the input's go below out, and
// the CustomResourceDefinitions into a folder of their own.
func runControllerGen(ctx context.Context, root, out, crds string) error {
	tool, err := controllerGen(ctx, root)
	if err != nil {
		return err
	}

	input, err := filepath.Abs(filepath.Join(out, "input", "v1beta1"))
	if err != nil {
		return fmt.Errorf("cannot find output folder: %w", err)
	}

	for _, args := range [][]string{
		{"object", "paths=./input/v1beta1", "output:object:dir=" + input},
		{"crd", "paths=./input/v1beta1", "paths=./fn/claim", "output:crd:dir=" + crds},
	} {
		cmd := exec.CommandContext(ctx, tool, args...) //nolint:gosec // The tool is the one that tools/controller-gen pins.
		cmd.Dir = root

		if output, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("cannot run controller-gen %s: %w\n%s", strings.Join(args, " "), err, output)
		}
	}

	return nil
}

// writeDefinitions of the kinds that teams write: both XRDs, and the schema that the
// plugin validates by.
func writeDefinitions(out string, crd *apiextensionsv1.CustomResourceDefinition) error {
	for folder, xrd := range map[string]*definition{
		"configuration":        namespaced(crd),
		"configuration-claims": claimed(crd),
	} {
		if err := write(filepath.Join(out, "package", folder, "definition.yaml"), "the types in fn/claim", xrd); err != nil {
			return err
		}
	}

	return write(filepath.Join(out, "plugin", "schema", "serviceconnection.yaml"), "the types in fn/claim", crd)
}

// inputFile is the name that controller-gen gives to the Input's
// CustomResourceDefinition.
const inputFile = "serviceconnections.fn.crossplane.io_inputs.yaml"

// controllerGen builds controller-gen as tools/controller-gen pins it, unless
// the go command has it in its cache, and returns its path.
func controllerGen(ctx context.Context, root string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "tool", "-n", "controller-gen")
	cmd.Dir = filepath.Join(root, "tools", "controller-gen")
	cmd.Env = append(os.Environ(), "GOWORK=off")
	cmd.Stderr = os.Stderr

	path, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("cannot build controller-gen in %s: %w", cmd.Dir, err)
	}

	return strings.TrimSpace(string(path)), nil
}

func read(path string) (*apiextensionsv1.CustomResourceDefinition, error) {
	data, err := os.ReadFile(path) //nolint:gosec // The path is one of ours.
	if err != nil {
		return nil, fmt.Errorf("cannot read CustomResourceDefinition: %w", err)
	}

	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(data, crd); err != nil {
		return nil, fmt.Errorf("cannot decode CustomResourceDefinition %s: %w", path, err)
	}

	return crd, nil
}

// writeInput copies the Input's CustomResourceDefinition as controller-gen wrote
// it, under the header of generated files.
func writeInput(from, to string) error {
	data, err := os.ReadFile(from) //nolint:gosec // The path is one of ours.
	if err != nil {
		return fmt.Errorf("cannot read CustomResourceDefinition: %w", err)
	}

	return writeFile(to, "the types in input/v1beta1", bytes.TrimPrefix(data, []byte("---\n")))
}

// write encodes an object, with the fields of each level in alphabetical order,
// so that the same types always make the same file.
func write(path, source string, obj any) error {
	data, err := yaml.Marshal(obj)
	if err != nil {
		return fmt.Errorf("cannot encode %s: %w", path, err)
	}

	return writeFile(path, source, data)
}

func writeFile(path, source string, data []byte) error {
	header := fmt.Sprintf("# Code generated by go generate ./... from %s. DO NOT EDIT.\n", source)

	return save(path, append([]byte(header), data...))
}

// save a file, and make the folder that it is in.
func save(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // The files are for everyone to read.
		return fmt.Errorf("cannot make folder of %s: %w", path, err)
	}

	if err := os.WriteFile(path, data, 0o644); err != nil { //nolint:gosec // As above.
		return fmt.Errorf("cannot write generated file: %w", err)
	}

	return nil
}
