package plugin

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// run a command line, and return its exit code and what it prints.
func run(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errOut bytes.Buffer
	code = Run(t.Context(), "v1.2.3", genericiooptions.IOStreams{In: strings.NewReader(stdin), Out: &out, ErrOut: &errOut}, args)
	return code, out.String(), errOut.String()
}

func TestRun(t *testing.T) {
	t.Parallel()

	const (
		claimed  = "{apiVersion: serviceconnections.io/v1alpha1, kind: ServiceConnection, metadata: {name: shop, namespace: team-a}, spec: {services: [{name: api, connections: [{type: awsRole, role: my-app}]}]}}"
		unready  = "{apiVersion: serviceconnections.io/v1alpha1, kind: ServiceConnection, metadata: {name: shop}, status: {services: [{name: api, connections: [{type: awsRole, ready: false, reason: NotAllowed, message: ask}]}]}}"
		several  = "{apiVersion: serviceconnections.io/v1alpha1, kind: ServiceConnection, metadata: {name: shop}, status: {services: [{name: api, connections: []}, {name: web, connections: []}]}}"
		partial  = "{apiVersion: serviceconnections.io/v1alpha1, kind: ServiceConnection, metadata: {name: shop}, status: {services: [{name: api, connections: [{type: disk, ready: false, reason: Creating, message: wait}], injection: {hash: a, serviceAccountName: api}}]}}"
		settings = "../docs/plugin/example/settings.yaml"
	)
	cases := map[string]struct {
		reason         string
		stdin          string
		args           []string
		code           int
		stdout, stderr string
	}{
		"Version": {
			reason: "Whoever reports a mistake can say of which version.",
			args:   []string{"--version"},
			stdout: "kubectl serviceconnections version v1.2.3\n",
		},
		"Imported": {
			reason: "A file of which all is taken over is well.",
			args:   []string{"import", "../docs/plugin/example/porter.yaml", "-n", "team-a"},
			stdout: "kind: ServiceConnection\n",
			stderr: "others: 0\n",
		},
		"NotImported": {
			reason: "A script must not take a part for the whole.",
			args:   []string{"import", "../docs/plugin/example/broken.yaml"},
			code:   exitNotConnected,
			stdout: "kind: ServiceConnection\n",
			stderr: "broken.yaml:7:15: ",
		},
		"Workload": {
			reason: "A flag that can't be read says its form.",
			args:   []string{"import", "-", "--workload", "api=shop-api"},
			code:   exitError,
			stderr: `Error: --workload "api=shop-api" must be SERVICE=KIND/NAME, such as api=deployment/shop-api` + "\n",
		},
		"WouldConnect": {
			reason: "What is only pending passes the check of a pull request.",
			stdin:  claimed,
			args:   []string{"preview", "-f", "-", "--settings", "testdata/open.yaml"},
			stdout: "… pending\n",
		},
		"WouldNotConnect": {
			reason: "What would not connect fails the check of a pull request.",
			stdin:  claimed,
			args:   []string{"preview", "-f", "-", "--settings", settings},
			code:   exitNotConnected,
			stdout: "NotAllowed: ",
		},
		"JSON": {
			reason: "A machine reads the outcome.",
			stdin:  claimed,
			args:   []string{"preview", "-f", "-", "--settings", settings, "-o", "json"},
			code:   exitNotConnected,
			stdout: `"outcome": "Failed"`,
		},
		"YAML": {
			reason: "A machine reads the outcome.",
			stdin:  claimed,
			args:   []string{"preview", "-f", "-", "--settings", settings, "-o", "yaml"},
			code:   exitNotConnected,
			stdout: "outcome: Failed\n",
		},
		"Settings": {
			reason: "Settings that the function refuses are told in its words, with the file's object.",
			stdin:  claimed,
			args:   []string{"preview", "-f", "-", "--settings", "testdata/misspelt.yaml"},
			code:   exitError,
			stderr: `Error: cannot preview ServiceConnection "shop": invalid settings: settings.aws.alowedRoles: `,
		},
		"MissingFile": {
			reason: "A file that isn't there is named.",
			args:   []string{"preview", "-f", "testdata/missing.yaml", "--settings", settings},
			code:   exitError,
			stderr: "testdata/missing.yaml",
		},
		"MissingFlag": {
			reason: "What is missing is named.",
			args:   []string{"preview", "-f", "-"},
			code:   exitError,
			stderr: `Error: required flag(s) "settings" not set`,
		},
		"UnknownFlag": {
			reason: "A misspelt flag leads to the help.",
			args:   []string{"preview", "--setting", "x"},
			code:   exitError,
			stderr: "Error: unknown flag: --setting; see kubectl serviceconnections preview --help\n",
		},
		"UnknownCommand": {
			reason: "A misspelt command isn't taken for an argument.",
			args:   []string{"previw"},
			code:   exitError,
			stderr: `Error: unknown command "previw" for "kubectl serviceconnections"`,
		},
		"UnknownOutput": {
			reason: "A misspelt output names the right ones.",
			args:   []string{"patch", "shop", "-o", "helm"},
			code:   exitError,
			stderr: `Error: --output "helm" must be one of kustomize, strategic, helm-values` + "\n",
		},
		"NotInjected": {
			reason: "Without an injection there is nothing to write, and the reason is told.",
			stdin:  unready,
			args:   []string{"patch", "-f", "-", "-o", "helm-values"},
			code:   exitNotConnected,
			stderr: `Error: service "api" of ServiceConnection "shop" has no injection yet: awsRole: NotAllowed: ask: not connected` + "\n",
		},
		"NotComplete": {
			reason: "A part of an injection isn't taken for all of it.",
			stdin:  partial,
			args:   []string{"patch", "-f", "-", "-o", "helm-values"},
			code:   exitNotConnected,
			stdout: "name: api\n",
			stderr: `Error: the injection of service "api" is not complete: disk: Creating: wait: not connected` + "\n",
		},
		"SeveralServices": {
			reason: "Which of several services is meant must be said.",
			stdin:  several,
			args:   []string{"patch", "-f", "-", "-o", "helm-values"},
			code:   exitError,
			stderr: `Error: ServiceConnection "shop" has several services; name one with --service: api, web` + "\n",
		},
		"UnknownService": {
			reason: "A misspelt service names the right ones.",
			stdin:  several,
			args:   []string{"patch", "-f", "-", "-o", "helm-values", "--service", "wbe"},
			code:   exitError,
			stderr: `Error: ServiceConnection "shop" has no service "wbe" in its status; it has api, web` + "\n",
		},
		"NoStatus": {
			reason: "What Crossplane hasn't seen yet has nothing to write.",
			stdin:  claimed,
			args:   []string{"patch", "-f", "-", "-o", "helm-values"},
			code:   exitNotConnected,
			stderr: "wait until Crossplane has reconciled it",
		},
		"NeitherNameNorFile": {
			reason: "What to patch must be said, once.",
			args:   []string{"patch", "-o", "helm-values"},
			code:   exitError,
			stderr: "Error: name either a ServiceConnection of the cluster, or a file with -f\n",
		},
		"NoKubeconfig": {
			reason: "A kubeconfig that isn't there is said at once.",
			args:   []string{"patch", "shop", "-o", "strategic", "--kubeconfig", "testdata/missing"},
			code:   exitError,
			stderr: "Error: cannot read the kubeconfig: stat testdata/missing: no such file or directory\n",
		},
		"NoCluster": {
			reason: "A cluster that doesn't answer is named, with what to do.",
			// Port 9, discard, which nothing listens on.
			args:   []string{"patch", "shop", "-o", "strategic", "--server", "http://127.0.0.1:9", "-n", "team-a"},
			code:   exitError,
			stderr: `connection refused; check that the cluster runs, or choose another with --context` + "\n",
		},
		"Completion": {
			reason: "The values of a flag complete.",
			args:   []string{cobra.ShellCompRequestCmd, "patch", "shop", "-o", "k"},
			stdout: "kustomize\n",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			code, stdout, stderr := run(t, tc.stdin, tc.args...)
			if diff := cmp.Diff(tc.code, code); diff != "" {
				t.Errorf("\n%s\nRun(...): -want exit code, +got:\n%s", tc.reason, diff)
			}
			for what, s := range map[string]struct{ want, got string }{"output": {tc.stdout, stdout}, "error output": {tc.stderr, stderr}} {
				if !strings.Contains(s.got, s.want) || s.want == "" && s.got != "" && tc.code != exitOK {
					t.Errorf("\n%s\nRun(...): want %s with %q, got:\n%s", tc.reason, what, s.want, s.got)
				}
			}
		})
	}
}

// TestHostileText holds that what a file has in it gives the terminal no orders.
func TestHostileText(t *testing.T) {
	t.Parallel()

	const hostile = `"api\e]0;title\a\u202e"`
	const (
		porter  = "{version: v2, name: shop, services: [{name: " + hostile + ", connections: [{type: awsRole, role: r}]}]}"
		claimed = "{apiVersion: serviceconnections.io/v1alpha1, kind: ServiceConnection, metadata: {name: " + hostile + "}, spec: {services: [{name: " + hostile + ", connections: [{type: awsRole, role: " + hostile + "}]}]}}"
	)
	for stdin, args := range map[string][]string{
		porter:           {"import", "-"},
		claimed:          {"preview", "-f", "-", "--settings", "testdata/open.yaml"},
		claimed + "\n\n": {"patch", "-f", "-", "-o", "strategic"},
	} {
		code, stdout, stderr := run(t, stdin, args...)
		if code == exitOK || !strings.Contains(stdout+stderr, "api") {
			t.Errorf("%v: the text isn't shown at all: exit code %d, %s%s", args, code, stdout, stderr)
		}
		if strings.ContainsAny(stdout+stderr, "\x1b\a\u202e") {
			t.Errorf("%v: a control character comes through: %q", args, stdout+stderr)
		}
	}
}

// TestHelp holds each command to what a reader needs.
func TestHelp(t *testing.T) {
	t.Parallel()

	for _, c := range New("", genericiooptions.NewTestIOStreamsDiscard()).Commands() {
		if c.Short == "" || c.Long == "" || c.Example == "" {
			t.Errorf("%s lacks a short or long description, or an example", c.CommandPath())
		}
		for line := range strings.Lines(c.Long + c.Example) {
			if strings.Contains(line, "\t") {
				t.Errorf("%s has a tab in its help: %q", c.CommandPath(), line)
			}
		}
	}
}

// TestCompletion holds that each shell gets a script that completes the plugin.
func TestCompletion(t *testing.T) {
	t.Parallel()

	for _, shell := range []string{"bash", "zsh", "fish"} {
		code, stdout, stderr := run(t, "", "completion", shell)
		if code != exitOK || !strings.Contains(stdout, cobra.ShellCompRequestCmd) {
			t.Errorf("completion %s: exit code %d, %s%s", shell, code, stdout, stderr)
		}
	}
}

// TestColour runs a command at a terminal, and beside one.
func TestColour(t *testing.T) {
	t.Parallel()

	const escape = "\x1b["
	terminal := func(t *testing.T) (*os.File, func() string) {
		t.Helper()
		master, tty, err := pty.Open()
		if err != nil {
			t.Fatal(err)
		}
		return tty, func() string {
			// What was written is still there once the other end is closed, and
			// then there is an error of the terminal.
			_ = tty.Close()
			b, _ := io.ReadAll(master)
			_ = master.Close()
			return string(b)
		}
	}
	file := func(t *testing.T) (*os.File, func() string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "out")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		return f, func() string {
			_ = f.Close()
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
	}
	cases := map[string]struct {
		reason  string
		open    func(*testing.T) (*os.File, func() string)
		environ []string
		want    bool
	}{
		"Terminal":      {"A terminal shows colours.", terminal, []string{"TERM=xterm-256color"}, true},
		"NoColor":       {"NO_COLOR leaves nothing of them (no-color.org).", terminal, []string{"TERM=xterm-256color", "NO_COLOR=1"}, false},
		"DumbTerminal":  {"A terminal that can't show colours gets none.", terminal, []string{"TERM=dumb"}, false},
		"File":          {"A file is for programs.", file, []string{"TERM=xterm-256color"}, false},
		"Forced":        {"Continuous integration shows colours, and is no terminal.", file, []string{"TERM=xterm-256color", "CLICOLOR_FORCE=1"}, true},
		"ForcedNoColor": {"NO_COLOR wins.", file, []string{"TERM=xterm-256color", "CLICOLOR_FORCE=1", "NO_COLOR=1"}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			f, read := tc.open(t)
			w := plainUnlessTerminal(f, tc.environ)
			if _, err := io.WriteString(w, "\x1b[1;31m✗ would\x1b[m not connect\n"); err != nil {
				t.Fatal(err)
			}
			got := read()
			if strings.Contains(got, escape) != tc.want || !strings.Contains(got, "✗ would") {
				t.Errorf("\n%s\nwant colours: %v, got %q", tc.reason, tc.want, got)
			}
		})
	}
}
