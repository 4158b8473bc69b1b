// Command demo shows the main job on a real control plane: teams apply claims
// and plain Deployments, and their pods come out connected. It leaves the control
// plane running for whoever sits at a terminal, until Ctrl-C or make demo-down.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/serviceconnections/function-service-connections/test/e2e/cloud"
	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
	"github.com/serviceconnections/function-service-connections/test/modules"
)

// readyTimeout of all examples together, on a machine that is busy.
const readyTimeout = 3 * time.Minute

func main() {
	keep := flag.Bool("keep", term.IsTerminal(int(os.Stdin.Fd())), "leave the control plane running until Ctrl-C; the default at a terminal")
	down := flag.Bool("down", false, "stop the demo that runs")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	root, err := modules.Root()
	if err == nil {
		dir := filepath.Join(root, ".cache", "demo")
		if *down {
			err = stopOther(ctx, os.Stdout, dir)
		} else {
			err = run(ctx, os.Stdout, root, dir, *keep)
		}
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run the demo, with everything that it writes in the supplied folder.
func run(ctx context.Context, w io.Writer, root, dir string, keep bool) (err error) {
	if pid := running(dir); pid > 0 {
		return fmt.Errorf("cannot start the demo: one runs already, as process %d; make demo-down stops it", pid)
	}
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700)); err != nil {
		return fmt.Errorf("cannot make folder for the demo: %w", err)
	}
	if err := os.WriteFile(pidFile(dir), []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		return fmt.Errorf("cannot write the demo's process id: %w", err)
	}
	defer os.Remove(pidFile(dir)) //nolint:errcheck // A stale one is found out.

	d := &demo{w: w, root: root, begin: time.Now()}
	d.headingf("A control plane on this machine: logs are in %s", dir)
	if d.ControlPlane, err = controlplane.Start(ctx, controlplane.Options{Root: root, Dir: dir, Subscription: "aaaaaaaa-1111-2222-3333-444444444444", Progress: d.linef}); err != nil {
		return err
	}
	defer d.Stop()
	c, err := d.install(ctx)
	if err != nil {
		return err
	}
	if err := d.show(ctx); err != nil {
		return err
	}
	if err := d.login(ctx, c); err != nil {
		return err
	}
	if !keep {
		return nil
	}
	d.headingf("It is yours until Ctrl-C or make demo-down")
	d.linef("export KUBECONFIG=%s PATH=%s:$PATH", d.Kubeconfig, filepath.Join(root, ".cache", "bin"))
	d.linef("kubectl get serviceconnections -A -o wide")
	d.linef("kubectl -n two-connections get managed,serviceaccounts,pods")
	d.linef("kubectl -n two-connections edit serviceconnection shop")
	<-ctx.Done()
	d.headingf("Stopping")
	return nil
}

// A demo that runs.
type demo struct {
	*controlplane.ControlPlane

	w     io.Writer
	root  string
	begin time.Time
}

func (d *demo) linef(format string, a ...any) { _, _ = fmt.Fprintf(d.w, "  "+format+"\n", a...) }

func (d *demo) headingf(format string, a ...any) {
	_, _ = fmt.Fprintf(d.w, "\n--- "+format+" ---\n\n", a...)
}

// install what the README says, and a cloud that has what the examples ask for.
func (d *demo) install(ctx context.Context) (*cloud.Cloud, error) {
	if err := d.InstallProviders(ctx, controlplane.AllProviders()...); err != nil {
		return nil, err
	}
	d.linef("%-24s %5.1f s", "providers' CRDs", time.Since(d.begin).Seconds())
	if err := d.Install(ctx, controlplane.Namespaced); err != nil {
		return nil, err
	}
	d.linef("%-24s %5.1f s", "function, over mTLS", time.Since(d.begin).Seconds())
	if err := d.ApplyFiles(ctx, "test/e2e/demo/settings.yaml"); err != nil {
		return nil, err
	}
	c := cloud.New()
	fill(c)
	address, err := c.Serve() //nolint:contextcheck // It serves until the demo ends.
	if err != nil {
		return nil, err
	}
	return c, d.StartProviders(ctx, controlplane.ProviderOptions{Cloud: address}, controlplane.AllProviders()...)
}

// kubectl as a team uses it.
func (d *demo) kubectl(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(d.root, ".cache", "bin", "kubectl"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+d.Kubeconfig)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("cannot run kubectl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// printKubectl runs a command and prints both.
func (d *demo) printKubectl(ctx context.Context, args ...string) error {
	out, err := d.kubectl(ctx, args...)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(d.w, "  $ kubectl %s\n  %s\n", strings.Join(args, " "), strings.ReplaceAll(strings.TrimSpace(out), "\n", "\n  "))
	if err != nil {
		return fmt.Errorf("cannot print: %w", err)
	}
	return nil
}

func pidFile(dir string) string { return filepath.Join(dir, "pid") }

// running demo's process id, 0 where none runs.
func running(dir string) int {
	b, err := os.ReadFile(pidFile(dir))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(string(b))
	if err != nil || syscall.Kill(pid, 0) != nil {
		return 0
	}
	return pid
}

// stopOther demo, and wait until it has ended.
func stopOther(ctx context.Context, w io.Writer, dir string) error {
	pid := running(dir)
	if pid == 0 {
		_, _ = fmt.Fprintln(w, "no demo runs")
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return fmt.Errorf("cannot stop the demo, process %d: %w", pid, err)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return controlplane.Poll(ctx, func(context.Context) error {
		if running(dir) != 0 {
			return fmt.Errorf("the demo, process %d, is still running", pid)
		}
		return nil
	})
}
