package plugin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/plugin/manifest"
	"github.com/serviceconnections/function-service-connections/plugin/preview"
)

// previewOptions are the flags of preview.
type previewOptions struct {
	files, observed, workloads  []string
	settings, namespace, output string
	claims                      bool
}

func newPreview(streams genericiooptions.IOStreams) *cobra.Command {
	var o previewOptions
	cmd := &cobra.Command{
		Use:   "preview -f FILE --settings FILE",
		Short: "Show what a ServiceConnection will do, without a cluster",
		Long: `Runs the function on files, and shows what it composes, how each connection would
stand, and what the pods of a workload get. Nothing is read from a cluster or a
cloud.

A connection is connected when the files say so; pending when it needs nothing but
that Kubernetes, the providers and the clouds do what they are asked; or it would
not connect, by the claim, the settings, or what else the files hold. Then the exit
code is 1.

What isn't in the files is taken to be as it should be: providers are installed,
and roles, identities and accounts exist and trust the service. --observed has
objects of a cluster, as kubectl get -o yaml prints them, that say otherwise.`,
		Example: `  # What would happen, by the settings that the platform team gave out
  kubectl serviceconnections preview -f serviceconnection.yaml --settings settings.yaml

  # What the pods of its workload get
  kubectl serviceconnections preview -f serviceconnection.yaml --settings settings.yaml --workload deployment.yaml

  # What comes out of a porter.yaml
  kubectl serviceconnections import porter.yaml -n team-a | kubectl serviceconnections preview -f - --settings settings.yaml

  # By what a cluster has
  kubectl get managed,serviceaccounts,persistentvolumeclaims -n team-a -o yaml > observed.yaml
  kubectl serviceconnections preview -f serviceconnection.yaml --settings settings.yaml --observed observed.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), streams) },
	}
	f := cmd.Flags()
	f.StringArrayVarP(&o.files, "filename", "f", nil, "file with ServiceConnections, or - for standard input; may be repeated")
	f.StringVar(&o.settings, "settings", "", "file with the cluster settings: an EnvironmentConfig, the function's Input, the Composition that has it, or the settings alone")
	f.StringArrayVar(&o.observed, "observed", nil, "file or directory with objects of the cluster; may be repeated")
	f.StringArrayVar(&o.workloads, "workload", nil, "file or directory with workloads whose pods are shown; may be repeated")
	f.StringVarP(&o.namespace, "namespace", "n", "", "namespace of ServiceConnections that name none")
	f.BoolVar(&o.claims, "claims", false, "preview for a cluster with package/configuration-claims")
	f.StringVarP(&o.output, "output", "o", "", "json or yaml, for machines")
	for _, name := range []string{"filename", "settings"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // It was defined above.
		}
	}
	completeOutput(cmd, "json", "yaml")
	return cmd
}

func (o *previewOptions) run(ctx context.Context, streams genericiooptions.IOStreams) error {
	if err := checkOutput(o.output, "", "json", "yaml"); err != nil {
		return err
	}
	in, claims, err := o.read(streams.In)
	if err != nil {
		return err
	}
	results := make([]*preview.Result, 0, len(claims))
	failed := false
	for _, c := range claims {
		in.Claim = c
		r, err := preview.Run(ctx, in)
		if err != nil {
			return fmt.Errorf("cannot preview %s: %w", nameOf(c), err)
		}
		failed = failed || r.Outcome == preview.Failed
		results = append(results, r)
	}
	if err := printResults(streams.Out, results, o.output); err != nil {
		return err
	}
	if failed {
		return errNotConnected
	}
	return nil
}

// read all files.
func (o *previewOptions) read(stdin io.Reader) (in preview.Input, claims []map[string]any, err error) {
	in = preview.Input{Claims: o.claims, Namespace: o.namespace}
	for _, path := range o.files {
		found, err := readClaims(path, stdin)
		if err != nil {
			return in, nil, err
		}
		claims = append(claims, found...)
	}
	f, err := manifest.Read(o.settings, stdin)
	if err != nil {
		return in, nil, err
	}
	objects, err := f.Objects()
	if err != nil {
		return in, nil, err
	}
	if in.Step, err = preview.Step(objects); err != nil {
		return in, nil, fmt.Errorf("cannot read settings from %s: %w", f.Name, err)
	}
	observed, err := readObjects(o.observed)
	if err != nil {
		return in, nil, err
	}
	in.Objects = slices.Concat(objects, observed)
	in.Workloads, err = readObjects(o.workloads)
	return in, claims, err
}

func printResults(w io.Writer, results []*preview.Result, output string) error {
	var text []byte
	var err error
	switch output {
	case "json":
		text, err = json.MarshalIndent(map[string]any{"previews": results}, "", "  ")
		text = append(text, '\n')
	case "yaml":
		text, err = yaml.Marshal(map[string]any{"previews": results})
	default:
		for i, r := range results {
			if i > 0 {
				text = append(text, '\n')
			}
			text = append(text, r.Text()...)
		}
	}
	if err != nil {
		return fmt.Errorf("cannot encode the preview: %w", err)
	}
	return printed(w.Write(text))
}
