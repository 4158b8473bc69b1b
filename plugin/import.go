package plugin

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/serviceconnections/function-service-connections/plugin/manifest"
	"github.com/serviceconnections/function-service-connections/plugin/porter"
)

func newImport(version string, streams genericiooptions.IOStreams) *cobra.Command {
	o := porter.Options{Release: releaseOf(version)}
	var workloads []string
	var check bool
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Write the connections of a porter.yaml as ServiceConnections",
		Long: `Reads a porter.yaml of version v2, from standard input where FILE is -, and writes
the connections of its services as ServiceConnections, one for each app. All else
in the file is left alone; comments on connections come along.

A connection that can't be taken over is told with its line and column, the others
are written, and the exit code is 1.`,
		Example: `  # Look at what comes out, and apply it
  kubectl serviceconnections import porter.yaml -n team-a
  kubectl serviceconnections import porter.yaml -n team-a | kubectl apply -f -

  # The Deployments aren't Porter's any more, and have the names of the services
  kubectl serviceconnections import porter.yaml --workload-name '<service>'

  # One of them is something else
  kubectl serviceconnections import porter.yaml --workload queue=statefulset/shop-queue

  # Only say whether all of it can be taken over
  kubectl serviceconnections import porter.yaml --check`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.FixedCompletions([]string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt),
		RunE: func(_ *cobra.Command, args []string) error {
			var err error
			if o.Workloads, err = parseWorkloads(workloads); err != nil {
				return err
			}
			f, err := manifest.Read(args[0], streams.In)
			if err != nil {
				return err
			}
			result, err := porter.Import(f, o)
			if err != nil {
				return err
			}
			return printImport(streams, f, result, check)
		},
	}
	cmd.Flags().StringVar(&o.Name, "name", "", "name of the ServiceConnection, instead of the app's")
	cmd.Flags().StringVarP(&o.Namespace, "namespace", "n", "", "namespace to write into the ServiceConnection")
	cmd.Flags().StringVar(&o.WorkloadName, "workload-name", "<app>-<service>", "name of each service's workload, in which <app> and <service> are filled in; the default is Porter's")
	cmd.Flags().StringArrayVar(&workloads, "workload", nil, "workload of one service, as SERVICE=KIND/NAME; may be repeated")
	cmd.Flags().BoolVar(&check, "check", false, "write no ServiceConnection, and only say whether all can be taken over")
	return cmd
}

// releaseOf a version that the plugin was built in, empty where it is none: a release has
// its schema among its files, and what was built from a checkout or a commit has not.
func releaseOf(version string) string {
	if !semver.IsValid(version) || semver.Build(version) != "" || module.IsPseudoVersion(version) {
		return ""
	}
	return version
}

func parseWorkloads(flags []string) (map[string]porter.Workload, error) {
	workloads := map[string]porter.Workload{}
	for _, f := range flags {
		service, name, _ := strings.Cut(f, "=")
		w, ok := porter.ParseWorkload(name)
		if service == "" || !ok {
			return nil, fmt.Errorf("--workload %q must be SERVICE=KIND/NAME, such as api=deployment/shop-api", f)
		}
		workloads[service] = w
	}
	return workloads, nil
}

// printImport with the ServiceConnections, if wanted, on standard output, and what
// there is to say about them on standard error.
func printImport(streams genericiooptions.IOStreams, f *manifest.File, result *porter.Result, check bool) error {
	report := &strings.Builder{}
	for _, p := range result.Problems {
		fmt.Fprintf(report, "%s: %s\n", f.At(p.Line, p.Column), p.Message)
	}
	for _, n := range result.Notes {
		fmt.Fprintf(report, "%s: note: %s\n", f.At(n.Line, n.Column), n.Message)
	}
	fmt.Fprintf(report, "%s: connections that can be taken over: %d, others: %d\n", f.Name, result.Connections, len(result.Problems))
	if err := printed(io.WriteString(streams.ErrOut, escapeLines(report.String()))); err != nil {
		return err
	}
	if !check {
		if err := result.Write(streams.Out); err != nil {
			return err
		}
	}
	if len(result.Problems) > 0 {
		return errNotConnected
	}
	return nil
}
