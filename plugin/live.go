package plugin

import (
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/rest"

	"github.com/serviceconnections/function-service-connections/plugin/cluster"
	"github.com/serviceconnections/function-service-connections/plugin/live"
)

// liveFlags are kubectl's flags of a cluster.
func liveFlags() *genericclioptions.ConfigFlags {
	flags := genericclioptions.NewConfigFlags(true)
	flags.WrapConfigFn = func(c *rest.Config) *rest.Config {
		// A few requests at once, which the API server limits by itself.
		c.QPS = -1
		return c
	}
	return flags
}

// openReader of the cluster that flags lead to, and its namespace.
func openReader(flags *genericclioptions.ConfigFlags) (live.Reader, string, error) {
	c, err := cluster.Connect(flags)
	if err != nil {
		return live.Reader{}, "", err
	}
	mapper, err := flags.ToRESTMapper()
	if err != nil {
		return live.Reader{}, "", cluster.Explain("connect to the cluster", err)
	}
	return live.Reader{Client: c.Client, Mapper: mapper}, c.Namespace, nil
}

// completeNames of ServiceConnections in the cluster.
func completeNames(flags *genericclioptions.ConfigFlags) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		r, namespace, err := openReader(flags)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names, err := r.Names(cmd.Context(), namespace)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
