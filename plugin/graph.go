package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/plugin/graph"
	"github.com/serviceconnections/function-service-connections/plugin/live"
)

// graphFormats that a graph can be printed in.
var graphFormats = map[string]func(*graph.Graph, io.Writer) error{
	"mermaid": (*graph.Graph).Mermaid,
	"dot":     (*graph.Graph).Dot,
	"svg":     (*graph.Graph).SVG,
	"html":    (*graph.Graph).HTML,
}

// graphOptions are the flags of graph.
type graphOptions struct {
	cluster *genericclioptions.ConfigFlags
	file    string
	output  string
}

func newGraph(streams genericiooptions.IOStreams) *cobra.Command {
	o := graphOptions{cluster: liveFlags()}
	cmd := &cobra.Command{
		Use:   "graph NAME | -f FILE",
		Short: "Draw a ServiceConnection, from its services to the identities, instances and disks",
		Long: `Draws the ServiceConnection of that name in a cluster, or the one in a file. What it
connects to is coloured and marked by how it stands. A file without a status holds
only what the ServiceConnection asks for, and nothing is read from a cluster.`,
		Example: `  # For the description of a pull request, in a code block of the language mermaid
  kubectl serviceconnections graph -f serviceconnection.yaml

  # What a cluster has, as a page for a browser
  kubectl serviceconnections graph shop -n team-a -o html > shop.html

  # With Graphviz
  kubectl serviceconnections graph shop -n team-a -o dot | dot -Tpdf > shop.pdf`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeNames(o.cluster),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := o.read(cmd.Context(), streams, args)
			if err != nil {
				return err
			}
			return graphFormats[o.output](graph.Of(connection.Builtin(), s), streams.Out)
		},
	}
	f := cmd.Flags()
	o.cluster.AddFlags(f)
	f.StringVarP(&o.file, "filename", "f", "", "file with a ServiceConnection, or - for standard input")
	f.StringVarP(&o.output, "output", "o", "mermaid", "mermaid, dot, svg or html")
	completeOutput(cmd, slices.Sorted(maps.Keys(graphFormats))...)
	return cmd
}

// read the one ServiceConnection.
func (o *graphOptions) read(ctx context.Context, streams genericiooptions.IOStreams, args []string) (*live.ServiceConnection, error) {
	if err := checkOutput(o.output, slices.Sorted(maps.Keys(graphFormats))...); err != nil {
		return nil, err
	}
	switch {
	case len(args) == 0 && o.file == "":
		return nil, errors.New("there is nothing to draw; give the NAME of a ServiceConnection in the cluster, or a file with -f")
	case len(args) > 0 && o.file != "":
		return nil, fmt.Errorf("graph draws either %q of the cluster or the one in %s; leave out one of them", args[0], o.file)
	case o.file != "":
		return o.readFile(streams.In)
	}
	r, namespace, err := openReader(o.cluster)
	if err != nil {
		return nil, err
	}
	v, err := r.Read(ctx, namespace, args[0])
	if err != nil {
		return nil, err
	}
	for _, u := range v.Unread {
		if err := printed(fmt.Fprintln(streams.ErrOut, u)); err != nil {
			return nil, err
		}
	}
	return v.ServiceConnections[0], nil
}

func (o *graphOptions) readFile(stdin io.Reader) (*live.ServiceConnection, error) {
	claims, err := readClaims(o.file, stdin)
	if err != nil {
		return nil, err
	}
	if len(claims) > 1 {
		names := make([]string, 0, len(claims))
		for _, c := range claims {
			names = append(names, nameOf(c))
		}
		return nil, fmt.Errorf("%s holds %s; leave one, since a picture shows one", o.file, strings.Join(names, ", "))
	}
	u := &unstructured.Unstructured{Object: claims[0]}
	if u.GetNamespace() == "" {
		u.SetNamespace(*o.cluster.Namespace)
	}
	return live.Of(connection.Builtin(), u)
}
