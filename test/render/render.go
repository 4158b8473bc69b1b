// Package render renders the examples with Crossplane's own composition engine,
// against the functions running as processes. It needs what make render-tools
// builds.
package render

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/test/inputs"
	"github.com/serviceconnections/function-service-connections/test/process"
)

const (
	// renderTimeout bounds one rendering, which takes a second or two once the
	// functions run.
	renderTimeout = 2 * time.Minute

	annotationRuntime = "render.crossplane.io/runtime"
	annotationTarget  = "render.crossplane.io/runtime-development-target"
)

// definitions are the CompositeResourceDefinitions of our packages, by the kind
// of composite resource. An example of another kind has its own definition.yaml.
var definitions = map[string]string{
	"ServiceConnection":  "package/configuration/definition.yaml",
	"XServiceConnection": "package/configuration-claims/definition.yaml",
}

// An Output is what Crossplane makes of one example.
type Output struct {
	// Composite resource, with what the functions changed: its name, status and
	// conditions.
	Composite map[string]any

	// Composed resources, as Crossplane would apply them, in the order of their
	// composition resource names.
	Composed []map[string]any

	// Results of the functions, as objects of kind Result.
	Results []map[string]any

	// YAML of all of the above, as crossplane composition render prints it.
	YAML []byte
}

// An Engine renders. It starts each function when the first example needs it,
// and keeps it until it is stopped. It is safe for concurrent use.
type Engine struct {
	root string
	log  io.Writer

	mu        sync.Mutex
	functions map[string]*process.Process
}

// New returns an Engine for the repository at the supplied root. The functions
// log to the supplied writer.
func New(root string, log io.Writer) *Engine {
	return &Engine{root: root, log: &lockedWriter{w: log}, functions: map[string]*process.Process{}}
}

// A lockedWriter lets several functions log to one writer.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p) //nolint:wrapcheck // A writer returns the errors of the one that it guards.
}

// Root returns the root of the repository that the working directory is in.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("cannot find the working directory: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("cannot find the repository: no go.mod in the working directory or above it")
		}
		dir = parent
	}
}

// Examples returns the folders of all examples, sorted by name.
func (e *Engine) Examples() ([]string, error) {
	files, err := filepath.Glob(filepath.Join(e.root, "example", "*", "composition.yaml"))
	if err != nil {
		return nil, fmt.Errorf("cannot list examples: %w", err)
	}
	dirs := make([]string, 0, len(files))
	for _, f := range files {
		dirs = append(dirs, filepath.Dir(f))
	}
	return dirs, nil
}

// Stop the functions that were started, and wait until they have ended.
func (e *Engine) Stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for name, p := range e.functions {
		p.Stop()
		delete(e.functions, name)
	}
}

// Render the example in the supplied folder: xr.yaml by composition.yaml. It may
// hold observed.yaml, the composed resources so far, and what else is in the
// cluster: required.yaml, deployment.yaml, besides example/cluster.yaml. A fatal
// result of a function is an error that holds its message.
func (e *Engine) Render(ctx context.Context, dir string) (*Output, error) {
	if err := inputs.Read(e.root, e.tool("")); err != nil {
		return nil, err
	}
	functions, err := e.functionsFile(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer os.Remove(functions) //nolint:errcheck // A leftover of a few bytes in the temporary folder.

	ctx, cancel := context.WithTimeout(ctx, renderTimeout)
	defer cancel()
	args, err := e.arguments(dir, functions)
	if err != nil {
		return nil, err
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, e.tool("crossplane"), args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("cannot render %s: %w: %s", dir, err, bytes.TrimSpace(stderr.Bytes()))
	}
	out, err := parse(stdout.Bytes())
	if err != nil {
		return nil, fmt.Errorf("cannot parse what %s renders to: %w", dir, err)
	}
	return out, nil
}

// arguments of the Crossplane CLI.
func (e *Engine) arguments(dir, functions string) ([]string, error) {
	args := []string{
		"composition", "render",
		filepath.Join(dir, "xr.yaml"), filepath.Join(dir, "composition.yaml"), functions,
		"--crossplane-binary=" + e.tool("crossplane-core"),
		"--include-function-results",
		"--required-resources=" + filepath.Join(e.root, "example", "cluster.yaml"),
	}
	for _, file := range []struct{ name, flag string }{
		{"observed.yaml", "--observed-resources="},
		{"required.yaml", "--required-resources="},
		{"deployment.yaml", "--required-resources="},
	} {
		if path := filepath.Join(dir, file.name); exists(path) {
			args = append(args, file.flag+path)
		}
	}

	definition, err := e.definition(dir)
	if err != nil {
		return nil, err
	}
	return append(args, "--xrd="+definition), nil
}

// definition is the file of the CompositeResourceDefinition of an example: its
// own, or that of one of our packages.
func (e *Engine) definition(dir string) (string, error) {
	if own := filepath.Join(dir, "definition.yaml"); exists(own) {
		return own, nil
	}
	xr := struct{ Kind string }{}
	if err := read(filepath.Join(dir, "xr.yaml"), &xr); err != nil {
		return "", err
	}
	if definitions[xr.Kind] == "" {
		return "", fmt.Errorf("cannot render %s: a composite resource of kind %q needs a definition.yaml", dir, xr.Kind)
	}
	return filepath.Join(e.root, definitions[xr.Kind]), nil
}

// functionsFile writes a temporary copy of the examples' functions.yaml that
// holds the functions which the example's Composition names, each with the
// address at which it runs here.
func (e *Engine) functionsFile(ctx context.Context, dir string) (string, error) {
	composition := struct {
		Spec struct {
			Pipeline []struct {
				FunctionRef struct{ Name string }
			}
		}
	}{}
	if err := read(filepath.Join(dir, "composition.yaml"), &composition); err != nil {
		return "", err
	}
	addresses := map[string]string{}
	for _, step := range composition.Spec.Pipeline {
		address, err := e.function(ctx, step.FunctionRef.Name)
		if err != nil {
			return "", err
		}
		addresses[step.FunctionRef.Name] = address
	}

	path := filepath.Join(e.root, "example", "functions.yaml")
	stream, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return "", fmt.Errorf("cannot read functions: %w", err)
	}
	functions, err := documents(stream)
	if err != nil {
		return "", fmt.Errorf("cannot parse %s: %w", path, err)
	}
	var copied bytes.Buffer
	for _, f := range functions {
		meta, _ := f["metadata"].(map[string]any)
		name, _ := meta["name"].(string)
		if addresses[name] == "" {
			continue
		}
		meta["annotations"] = map[string]any{annotationRuntime: "Development", annotationTarget: addresses[name]}
		document, err := yaml.Marshal(f)
		if err != nil {
			return "", fmt.Errorf("cannot encode function %s: %w", name, err)
		}
		copied.WriteString("---\n")
		copied.Write(document)
	}
	return writeTemporary("functions-*.yaml", copied.Bytes())
}

// The function as Compositions name it, and its binary.
const (
	functionName   = "serviceconnections-function-service-connections"
	functionBinary = "function-service-connections"
)

// function returns the address of the named function, which is started if it
// doesn't run.
func (e *Engine) function(ctx context.Context, name string) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p := e.functions[name]; p != nil {
		return p.Address, nil
	}

	binary, args := name, []string{"--insecure"}
	switch name {
	case functionName:
		if err := e.build(ctx); err != nil {
			return "", err
		}
		binary, args = functionBinary, append(args, "--metrics-address=", "--debug")
	case "function-patch-and-transform":
	default:
		return "", fmt.Errorf("cannot start function %q: only %s and function-patch-and-transform are known", name, functionName)
	}
	// The function outlives the call, up to Stop.
	p, err := process.Start(context.WithoutCancel(ctx), e.log, e.tool(binary), args...)
	if err != nil {
		return "", err
	}
	e.functions[name] = p
	return p.Address, nil
}

// build our function by make build, so that what is rendered is what the working tree
// says.
func (e *Engine) build(ctx context.Context) error {
	if err := inputs.Read(e.root); err != nil {
		return err
	}
	return process.Build(ctx, e.root, "build")
}

// tool is the path of a binary that the Makefile builds.
func (e *Engine) tool(name string) string {
	return filepath.Join(e.root, ".cache", "bin", name)
}

// parse what crossplane composition render prints: first the composite
// resource, then the composed ones and the results.
func parse(stream []byte) (*Output, error) {
	objects, err := documents(stream)
	if err != nil {
		return nil, err
	}
	if len(objects) == 0 {
		return nil, errors.New("there is no composite resource")
	}
	out := &Output{Composite: objects[0], YAML: stream}
	for _, o := range objects[1:] {
		if o["apiVersion"] == "render.crossplane.io/v1beta1" && o["kind"] == "Result" {
			out.Results = append(out.Results, o)
			continue
		}
		out.Composed = append(out.Composed, o)
	}
	return out, nil
}

// documents of a YAML stream.
func documents(stream []byte) ([]map[string]any, error) {
	var objects []map[string]any
	for d := utilyaml.NewYAMLToJSONDecoder(bytes.NewReader(stream)); ; {
		var o map[string]any
		err := d.Decode(&o)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("cannot decode YAML: %w", err)
		}
		if o != nil {
			objects = append(objects, o)
		}
	}
}

// read a YAML file of one document.
func read(path string, into any) error {
	content, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return fmt.Errorf("cannot read example: %w", err)
	}
	if err := yaml.Unmarshal(content, into); err != nil {
		return fmt.Errorf("cannot parse %s: %w", path, err)
	}
	return nil
}

// writeTemporary writes a temporary file and returns its path.
func writeTemporary(pattern string, content []byte) (string, error) {
	f, err := os.CreateTemp("", pattern)
	if err != nil {
		return "", fmt.Errorf("cannot create temporary file: %w", err)
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("cannot write temporary file: %w", err)
	}
	return f.Name(), nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
