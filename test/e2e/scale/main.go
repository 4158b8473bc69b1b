// Command scale fills a real control plane with claims and measures what that
// costs: time, CPU, API writes, memory, and the creation of a pod. It prints a
// report and writes it to a file.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
	"github.com/serviceconnections/function-service-connections/test/e2e/fleet"
	"github.com/serviceconnections/function-service-connections/test/modules"
)

// Flags of the command.
type options struct {
	claims int
	rest   time.Duration
	pods   int
	out    string
}

func main() {
	o := options{}
	flag.IntVar(&o.claims, "claims", 300, "claims of three services with two connections each")
	flag.DurationVar(&o.rest, "rest", 30*time.Second, "how long nothing may be written once all is ready")
	flag.IntVar(&o.pods, "pods", 300, "pods that are created, and not kept, to measure the admission policy")
	flag.StringVar(&o.out, "out", "docs/scale.md", "file of the report, by its path in the repository; empty: none")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	root, err := modules.Root()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "service-connections-scale-")
	if err != nil {
		return fmt.Errorf("cannot make folder for the control plane: %w", err)
	}
	progress := func(format string, a ...any) { fmt.Fprintf(os.Stderr, format+"\n", a...) }
	cp, err := controlplane.Start(ctx, controlplane.Options{Root: root, Dir: dir, Subscription: "00000000-0000-0000-0000-000000000002", Plain: true, Progress: progress})
	if err != nil {
		return errors.Join(err, fmt.Errorf("logs are in %s", dir))
	}
	defer func() {
		cp.Stop()
		if err != nil {
			err = fmt.Errorf("%w; logs are in %s", err, dir)
			return
		}
		err = os.RemoveAll(dir)
	}()
	m, err := install(ctx, cp, o, progress)
	if err != nil {
		return err
	}
	report, err := m.measure(ctx)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprint(os.Stdout, report); err != nil {
		return fmt.Errorf("cannot print report: %w", err)
	}
	if o.out == "" {
		return nil
	}
	out := filepath.Join(root, o.out)
	if err := errors.Join(os.MkdirAll(filepath.Dir(out), 0o755), os.WriteFile(out, []byte(report), 0o644)); err != nil { //nolint:gosec // Documentation is for all to read.
		return fmt.Errorf("cannot write report: %w", err)
	}
	return nil
}

// install everything, with the function and Crossplane as users run them.
func install(ctx context.Context, cp *controlplane.ControlPlane, o options, progress func(string, ...any)) (*measurement, error) {
	if err := errors.Join(cp.InstallProviders(ctx, controlplane.AllProviders()...), cp.Install(ctx, controlplane.Namespaced)); err != nil {
		return nil, err
	}
	address, err := controlplane.FreeAddress(ctx)
	if err != nil {
		return nil, err
	}
	if err := cp.StartFunction(ctx, controlplane.FunctionName, controlplane.FunctionBinary, "--metrics-address="+address); err != nil {
		return nil, err
	}
	c := fleet.NewCloud()
	f := fleet.New(cp, c, controlplane.Namespaced)
	f.Replicas = 0
	served, err := c.Serve()
	if err != nil {
		return nil, err
	}
	// crossplane-runtime's default.
	if err := cp.StartProviders(ctx, controlplane.ProviderOptions{Cloud: served, PollInterval: time.Minute}, controlplane.AllProviders()...); err != nil {
		return nil, err
	}
	return &measurement{options: o, Fleet: f, function: address, progress: progress}, f.Settings(ctx, "", "")
}
