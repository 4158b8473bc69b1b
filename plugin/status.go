package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/plugin/report"
)

// statusOptions are the flags of status.
type statusOptions struct {
	cluster       *genericclioptions.ConfigFlags
	allNamespaces bool
	watch         bool
	timeout       time.Duration
	output        string
}

func newStatus(streams genericiooptions.IOStreams) *cobra.Command {
	o := statusOptions{cluster: liveFlags()}
	cmd := &cobra.Command{
		Use:   "status [NAME]",
		Short: "Show what is connected in a cluster, what is not, and why",
		Long: `Shows each ServiceConnection of a namespace, or the one that is named, as a tree: its
services, their connections, and the objects that are composed for them, with what
keeps each from being ready. Running pods are compared with the injection that is
published: those that pre-date it, or have none, are told with the command that
renews them, and so is a workload that two ServiceConnections name.

It reads with your rights, and says what these don't cover. It changes nothing.

Exit code 0: all is connected, and no pod lacks its injection. 1: something is not
connected. 2: the cluster, the ServiceConnection or its kind can't be read.`,
		Example: `  # All of the namespace
  kubectl serviceconnections status

  # Wait until one is connected, and say meanwhile what it waits for
  kubectl serviceconnections status shop -n team-a --watch --timeout 5m

  # All of the cluster, for a machine
  kubectl serviceconnections status -A -o json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeNames(o.cluster),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), streams, args)
		},
	}
	f := cmd.Flags()
	o.cluster.AddFlags(f)
	f.BoolVarP(&o.allNamespaces, "all-namespaces", "A", false, "all ServiceConnections of the cluster")
	f.BoolVarP(&o.watch, "watch", "w", false, "wait until all are connected, with the progress on standard error")
	f.DurationVar(&o.timeout, "timeout", 5*time.Minute, "how long to wait with --watch")
	f.StringVarP(&o.output, "output", "o", "", "json or yaml, for machines")
	completeOutput(cmd, "json", "yaml")
	return cmd
}

func (o *statusOptions) run(ctx context.Context, streams genericiooptions.IOStreams, args []string) error {
	if err := checkOutput(o.output, "", "json", "yaml"); err != nil {
		return err
	}
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	if name != "" && o.allNamespaces {
		return errors.New("a NAME is in one namespace; leave out --all-namespaces, or the name")
	}
	r, namespace, err := openReader(o.cluster)
	if err != nil {
		return err
	}
	if o.allNamespaces {
		namespace = ""
	}
	read := func(ctx context.Context) (*report.Report, error) {
		v, err := r.Read(ctx, namespace, name)
		if err != nil {
			return nil, err
		}
		return report.Of(v), nil
	}
	var found *report.Report
	if o.watch {
		found, err = o.await(ctx, streams.ErrOut, read)
	} else {
		found, err = read(ctx)
	}
	if err != nil {
		return err
	}
	if len(found.ServiceConnections) == 0 && o.output == "" {
		where := "in the cluster"
		if namespace != "" {
			where = fmt.Sprintf("in namespace %q", namespace)
		}
		return printed(fmt.Fprintf(streams.ErrOut, "There is no ServiceConnection %s.\n", where))
	}
	if err := o.print(streams.Out, found); err != nil {
		return err
	}
	if !found.Connected {
		return errNotConnected
	}
	return nil
}

// interval at which a cluster is asked again.
const interval = time.Second

// await that all is connected, or return how it was in the end.
func (o *statusOptions) await(ctx context.Context, progress io.Writer, read func(context.Context) (*report.Report, error)) (*report.Report, error) {
	begin, said := time.Now(), ""
	say := func(text string) error {
		if text == said {
			return nil
		}
		said = text
		return printed(fmt.Fprintf(progress, "%4.0fs  %s\n", time.Since(begin).Seconds(), text))
	}
	var last *report.Report
	err := wait.PollUntilContextTimeout(ctx, interval, o.timeout, true, func(ctx context.Context) (bool, error) {
		r, err := read(ctx)
		switch {
		case err != nil && last != nil && passes(err) && ctx.Err() == nil:
			return false, say("the API server doesn't answer: " + err.Error())
		case err != nil:
			return false, err
		}
		last = r
		return r.Connected, say(r.Progress())
	})
	switch {
	case err == nil:
		return last, nil
	case last != nil && wait.Interrupted(err) && ctx.Err() == nil:
		return last, say(fmt.Sprintf("not connected after %s", o.timeout))
	default:
		return nil, err //nolint:wrapcheck // It is what read says, or the deadline.
	}
}

// passes says whether an error is one of those that a restart of an API server or
// a busy one brings about.
func passes(err error) bool {
	return utilnet.IsConnectionRefused(err) || utilnet.IsConnectionReset(err) || utilnet.IsProbableEOF(err) || utilnet.IsTimeout(err) ||
		apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) || apierrors.IsTooManyRequests(err) ||
		apierrors.IsServiceUnavailable(err) || apierrors.IsInternalError(err)
}

func (o *statusOptions) print(w io.Writer, r *report.Report) error {
	var text []byte
	var err error
	switch o.output {
	case "json":
		text, err = json.MarshalIndent(r, "", "  ")
		text = append(text, '\n')
	case "yaml":
		text, err = yaml.Marshal(r)
	default:
		text = []byte(r.Text(time.Now()))
	}
	if err != nil {
		return fmt.Errorf("cannot encode the status: %w", err)
	}
	return printed(w.Write(text))
}
