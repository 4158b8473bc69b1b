package plugin

import (
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/serviceconnections/function-service-connections/plugin/cluster"
)

func newPatch(streams genericiooptions.IOStreams) *cobra.Command {
	flags := genericclioptions.NewConfigFlags(true)
	cmd := &cobra.Command{
		Use:   "patch NAME",
		Short: "Print what a ServiceConnection injects into pods",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := cluster.Connect(flags)
			if err != nil {
				return err
			}
			sc, err := c.ServiceConnection(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(streams.Out, sc.Object["status"])
			return err
		},
	}
	flags.AddFlags(cmd.Flags())
	return cmd
}
