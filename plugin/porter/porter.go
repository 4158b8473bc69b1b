// Package porter reads porter.yaml (Porter's documentation, "porter.yaml
// reference" and "Connections in porter.yaml"), and writes what it says of
// connections as ServiceConnections. The YAML stays YAML on its way, so that
// comments come along and each mistake is told with its line and column.
package porter

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/serviceconnections/function-service-connections/plugin/manifest"
)

// version of porter.yaml that has connections.
const version = "v2"

// Options of an import.
type Options struct {
	// Name of the ServiceConnection, instead of the app's.
	Name string

	// Namespace of the ServiceConnection. May be empty.
	Namespace string

	// WorkloadName of each service, in which <app> and <service> are filled in.
	WorkloadName string

	// Workloads by service, where they aren't what WorkloadName and Porter's type
	// of the service say.
	Workloads map[string]Workload

	// Release whose schema the ServiceConnections name to editors, such as v1.2.3. Empty:
	// the latest one's.
	Release string
}

// A Workload by kind, such as Deployment, and name.
type Workload struct{ Kind, Name string }

// A Result of an import.
type Result struct {
	// One for each app that has connections.
	claims []*yaml.Node

	// modeline above each.
	modeline string

	// Connections that were taken over.
	Connections int

	// Problems are what can't be taken over, in the order of the file.
	Problems []Remark

	// Notes are what was taken over and needs a look.
	Notes []Remark
}

// Write the ServiceConnections as YAML in the style of kubectl, in which lists
// aren't indented.
func (r *Result) Write(w io.Writer) error {
	if len(r.claims) == 0 {
		return nil
	}
	dumper, err := yaml.NewDumper(w, yaml.WithV4Defaults(), yaml.WithIndent(2), yaml.WithCompactSeqIndent(true))
	if err != nil {
		return fmt.Errorf("cannot write YAML: %w", err)
	}
	for _, c := range r.claims {
		c.HeadComment = r.modeline
		if err := dumper.Dump(c); err != nil {
			return fmt.Errorf("cannot write YAML: %w", err)
		}
	}
	if err := dumper.Close(); err != nil {
		return fmt.Errorf("cannot write YAML: %w", err)
	}
	return nil
}

// modeline tells editors the schema, by which they complete and check the file as it is
// written. The file is part of each release (tools/package).
func modeline(release string) string {
	from := "latest/download"
	if release != "" {
		from = "download/" + release
	}
	return "# yaml-language-server: $schema=https://github.com/serviceconnections/function-service-connections/releases/" + from + "/serviceconnection.schema.json"
}

// A Remark about a place in the file.
type Remark struct {
	Line, Column int
	Message      string
}

// Import the apps of a porter.yaml. An error says that it is none.
func Import(f *manifest.File, o Options) (*Result, error) {
	documents, err := f.Documents()
	if err != nil {
		return nil, err
	}
	switch {
	case len(documents) == 0:
		return nil, fmt.Errorf("%s is empty; it must be a porter.yaml", f.Name)
	case len(documents) > 1:
		return nil, fmt.Errorf("%s: a porter.yaml is one document, and another begins here", f.At(documents[1].Line, documents[1].Column))
	}
	i := &importer{file: f, options: o, result: Result{modeline: modeline(o.Release)}}
	root := flatten(documents[0])
	if root.Kind != yaml.MappingNode {
		return nil, i.errorf(root, "a porter.yaml is a mapping with the keys version, name and services, not %s", describe(root))
	}
	apps := []*yaml.Node{root}
	if list := lookup(root, "apps"); list != nil && lookup(root, "services") == nil {
		if list.Kind != yaml.SequenceNode {
			return nil, i.errorf(list, "apps must be a list of apps, not %s; a porter.yaml of version v1 can't be read", describe(list))
		}
		if o.Name != "" && len(list.Content) > 1 {
			return nil, i.errorf(list, "there are %d apps here, and --name can name one; leave it out", len(list.Content))
		}
		apps = list.Content
	}
	for _, app := range apps {
		if err := i.app(app); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(i.result.Problems, byPosition)
	slices.SortStableFunc(i.result.Notes, byPosition)
	return &i.result, nil
}

func byPosition(a, b Remark) int {
	if a.Line != b.Line {
		return a.Line - b.Line
	}
	return a.Column - b.Column
}

// An importer gathers the result.
type importer struct {
	file    *manifest.File
	options Options
	result  Result
}

func (i *importer) errorf(at *yaml.Node, format string, a ...any) error {
	return fmt.Errorf("%s: %s", i.file.At(at.Line, at.Column), fmt.Sprintf(format, a...))
}

func (i *importer) problemf(at *yaml.Node, format string, a ...any) {
	i.result.Problems = append(i.result.Problems, Remark{at.Line, at.Column, fmt.Sprintf(format, a...)})
}

func (i *importer) notef(at *yaml.Node, format string, a ...any) {
	i.result.Notes = append(i.result.Notes, Remark{at.Line, at.Column, fmt.Sprintf(format, a...)})
}

// app becomes a ServiceConnection, unless it has no connections.
func (i *importer) app(app *yaml.Node) error {
	if app.Kind != yaml.MappingNode {
		return i.errorf(app, "an app is a mapping with the keys version, name and services, not %s", describe(app))
	}
	switch v := lookup(app, "version"); {
	case v == nil:
		return i.errorf(app, "version is missing; a porter.yaml that has connections says version: %s", version)
	case v.Value != version:
		return i.errorf(v, "version is %s; only %s has connections", describe(v), version)
	}
	for _, key := range []string{"predeploy", "initialDeploy"} {
		if list := lookup(lookup(app, key), "connections"); list != nil {
			i.problemf(list, "%s has no service of its own here; add a service for its Job to the ServiceConnection by hand", key)
		}
	}
	if list := connectionsOf(lookup(app, "previews")); list != nil {
		i.problemf(list, "connections of previews are left out; make a ServiceConnection for the preview's own namespace by hand")
	}
	services := lookup(app, "services")
	if services == nil || isNull(services) {
		return nil
	}
	if services.Kind != yaml.SequenceNode {
		return i.errorf(services, "services must be a list, not %s", describe(services))
	}
	if connectionsOf(app) == nil {
		return nil
	}
	name, err := i.name(app)
	if err != nil {
		return err
	}
	if imported := i.services(services, name); len(imported.Content) > 0 {
		i.result.claims = append(i.result.claims, serviceConnection(cmp.Or(i.options.Name, name), i.options.Namespace, imported))
	}
	return nil
}

// connectionsOf the first service of an app that has any, nil where none has.
func connectionsOf(app *yaml.Node) *yaml.Node {
	services := lookup(app, "services")
	if services == nil || services.Kind != yaml.SequenceNode {
		return nil
	}
	for _, s := range services.Content {
		if list := lookup(s, "connections"); list != nil && !isNull(list) {
			return list
		}
	}
	return nil
}

// name of the app, which also names its workloads.
func (i *importer) name(app *yaml.Node) (string, error) {
	at, name := app, i.options.Name
	if node := lookup(app, "name"); node != nil && node.Kind == yaml.ScalarNode && node.Value != "" {
		at, name = node, node.Value
	}
	if name == "" {
		return "", i.errorf(app, "the app has no name; give it one with --name")
	}
	for _, n := range []string{name, i.options.Name} {
		if errs := validation.IsDNS1123Label(n); n != "" && len(errs) > 0 {
			return "", i.errorf(at, "%q can't be the name of a ServiceConnection: %s", n, strings.Join(errs, "; "))
		}
	}
	return name, nil
}
