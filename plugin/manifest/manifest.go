// Package manifest reads the YAML files that the plugin is given. A file is never
// larger than it may be, and a mistake in it is told with line and column.
package manifest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	k8syaml "sigs.k8s.io/yaml"
)

// MaxSize of a file in bytes. The API server takes objects of 1.5 MiB, and a file
// may hold some; read, they take a hundred times that in memory.
const MaxSize = 4 << 20

// Stdin is the path that stands for the standard input.
const Stdin = "-"

// A File that was read.
type File struct {
	// Name to show.
	Name string

	content []byte
}

// Read the file at a path, or standard input where that is -.
func Read(path string, stdin io.Reader) (*File, error) {
	if path == Stdin {
		return read("standard input", stdin)
	}
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return nil, fmt.Errorf("cannot read file: %w", err)
	}
	defer f.Close() //nolint:errcheck // It was only read.
	return read(path, f)
}

// ReadAll files at a path: those of a directory that end in .yaml, .yml or .json,
// in the order of their names, or the one file that it is.
func ReadAll(path string) ([]*File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read file: %w", err)
	}
	if !info.IsDir() {
		f, err := Read(path, nil)
		return []*File{f}, err
	}
	var files []*File
	err = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() || !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(p)) {
			return nil
		}
		f, err := Read(p, nil)
		files = append(files, f)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read directory: %w", err)
	}
	return files, nil
}

func read(name string, r io.Reader) (*File, error) {
	content, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", name, err)
	}
	if len(content) > MaxSize {
		return nil, fmt.Errorf("cannot read %s: it is larger than %d MiB; split it", name, MaxSize>>20)
	}
	return &File{Name: name, content: content}, nil
}

// Documents of the file, with the position of each node. Aliases in them can be
// followed: none contains itself, and all of them together stay small.
func (f *File) Documents() ([]*yaml.Node, error) {
	loader, err := yaml.NewLoader(bytes.NewReader(f.content), yaml.WithV4Defaults())
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", f.Name, err)
	}
	var documents []*yaml.Node
	for {
		document := &yaml.Node{}
		if err := loader.Load(document); errors.Is(err, io.EOF) {
			return documents, nil
		} else if err != nil {
			return nil, f.invalid(err)
		}
		// Only values are held to the limits of aliases, and to unique keys.
		var value any
		if err := document.Load(&value); err != nil {
			return nil, f.invalid(err)
		}
		if value != nil {
			documents = append(documents, document.Content[0])
		}
	}
}

// invalid YAML, with where.
func (f *File) invalid(err error) error {
	var first *yaml.LoadError
	var all *yaml.LoadErrors
	if errors.As(err, &all) && len(all.Errors) > 0 {
		first = all.Errors[0]
	}
	if first == nil && !errors.As(err, &first) {
		return fmt.Errorf("cannot read %s: %w", f.Name, err)
	}
	mark := first.Mark
	if mark.Line == 0 {
		mark = first.ContextMark
	}
	return fmt.Errorf("%s is not valid YAML: %s", f.At(mark.Line, mark.Column), first.Message)
}

// At is a position in the file, in the form that editors and compilers share.
// A line that isn't known is left out.
func (f *File) At(line, column int) string {
	if line == 0 {
		return f.Name
	}
	return fmt.Sprintf("%s:%d:%d", f.Name, line, column)
}

// Objects in the file, decoded as kubectl decodes them: by the rules of YAML 1.1,
// with whole numbers as int64.
func (f *File) Objects() ([]map[string]any, error) {
	documents, err := f.Documents()
	if err != nil {
		return nil, err
	}
	for _, d := range documents {
		if d.Kind != yaml.MappingNode {
			return nil, fmt.Errorf("%s: a Kubernetes object must begin here", f.At(d.Line, d.Column))
		}
	}
	var objects []map[string]any
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(f.content)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", f.Name, err)
		}
		asJSON, err := k8syaml.YAMLToJSONStrict(document)
		if err != nil {
			return nil, fmt.Errorf("cannot read %s: %s", f.Name, strings.TrimPrefix(err.Error(), "error converting YAML to JSON: "))
		}
		var o map[string]any
		if err := utiljson.Unmarshal(asJSON, &o); err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", f.Name, err)
		}
		if o != nil {
			objects = append(objects, items(o)...)
		}
	}
}

// items of a List, as kubectl get prints several objects; or the object itself.
func items(o map[string]any) []map[string]any {
	list, ok := o["items"].([]any)
	if kind, _ := o["kind"].(string); !ok || !strings.HasSuffix(kind, "List") {
		return []map[string]any{o}
	}
	var objects []map[string]any
	for _, i := range list {
		if o, ok := i.(map[string]any); ok {
			objects = append(objects, o)
		}
	}
	return objects
}
