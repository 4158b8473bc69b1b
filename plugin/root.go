// Package plugin is the command line of kubectl serviceconnections: one file a
// subcommand, and one for each place that several read from, files and the cluster.
// What a subcommand does is in a package below.
package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/charmbracelet/colorprofile"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/serviceconnections/function-service-connections/plugin/style"
)

// Exit codes, so that a script and a pull request's check can tell a claim that
// would not connect from a command that could not find out.
const (
	exitOK           = 0
	exitNotConnected = 1
	exitError        = 2
)

// errNotConnected is returned by a subcommand when something is not or would not
// be connected: exit code 1. By itself it adds nothing to what was printed; an
// error that wraps it is printed. Any other error has exit code 2.
var errNotConnected = errors.New("not connected")

// Run the command line, and return the exit code of the process.
func Run(ctx context.Context, version string, streams genericiooptions.IOStreams, args []string) int {
	root := New(version, streams) //nolint:contextcheck // A command gets its context as it runs.
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if err != errNotConnected { //nolint:errorlint // One that is wrapped has something to say.
		// There is no exit code for a message that can't be printed either.
		_, _ = fmt.Fprintf(streams.ErrOut, "Error: %s\n", escapeLines(err.Error()))
	}
	if errors.Is(err, errNotConnected) {
		return exitNotConnected
	}
	return exitError
}

// New root command. What it prints goes to the supplied streams: with colour to
// a terminal, and without to anything else.
func New(version string, streams genericiooptions.IOStreams) *cobra.Command {
	streams.Out = plainUnlessTerminal(streams.Out, os.Environ())
	cmd := &cobra.Command{
		// kubectl finds a plugin by the name of its binary, and cobra takes the
		// first word of this for the command's name.
		Use:     "kubectl-serviceconnections",
		Short:   "Move over to ServiceConnections, and see what they do",
		Version: version,
		Long: `Moves a team over from porter.yaml, shows what a ServiceConnection will do before
it is applied, and what is wrong with one that is.

Exit code 0: all is well. 1: something is not, or would not be, connected. 2: the
command could not find out; standard error says why and what to do.

Output is coloured at a terminal. NO_COLOR=1 turns that off, CLICOLOR_FORCE=1 turns
it on where the output is no terminal, such as in continuous integration.`,
		// Errors are for Run to print, and usage is what --help is for.
		SilenceErrors: true,
		SilenceUsage:  true,
		// What is generated from a command must not change from day to day.
		DisableAutoGenTag: true,
		Annotations:       map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl serviceconnections"},
	}
	cmd.SetIn(streams.In)
	cmd.SetOut(streams.Out)
	cmd.SetErr(streams.ErrOut)
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w; see %s --help", err, c.CommandPath())
	})
	cmd.AddCommand(
		newImport(version, streams),
		newPreview(streams),
		newPatch(streams),
		newStatus(streams),
		newGraph(streams),
	)
	return cmd
}

// plainUnlessTerminal wraps a writer so that a command can write colours always:
// they are taken out again where nobody would see them.
func plainUnlessTerminal(w io.Writer, environ []string) io.Writer {
	profile := colorprofile.Detect(w, environ)
	if slices.ContainsFunc(environ, func(e string) bool { return strings.HasPrefix(e, "NO_COLOR=") && e != "NO_COLOR=" }) {
		// Bold and faint go too, which would say nothing alone.
		profile = colorprofile.NoTTY
	}
	return &colorprofile.Writer{Forward: w, Profile: profile}
}

// checkOutput is one of those that a subcommand has.
func checkOutput(output string, known ...string) error {
	if slices.Contains(known, output) {
		return nil
	}
	return fmt.Errorf("--output %q must be one of %s", output, strings.Join(slices.DeleteFunc(known, func(s string) bool { return s == "" }), ", "))
}

// completeOutput of a subcommand with the values of its flag.
func completeOutput(cmd *cobra.Command, known ...string) {
	if err := cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(known, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // The flag was defined before.
	}
}

// printed or not.
func printed(_ int, err error) error {
	if err != nil {
		return fmt.Errorf("cannot print: %w", err)
	}
	return nil
}

// escapeLines of text that holds what others wrote.
func escapeLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = style.Escape(l)
	}
	return strings.Join(lines, "\n")
}

// nameOf an object, for a message.
func nameOf(o map[string]any) string {
	u := unstructured.Unstructured{Object: o}
	return fmt.Sprintf("%s %q", u.GetKind(), u.GetName())
}
