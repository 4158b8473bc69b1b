// Command scale measures on a real control plane what claims cost: with this function,
// and with what a platform team would otherwise use, which compose the same for the same
// claims in turns. It writes its part of a page.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
	"github.com/serviceconnections/function-service-connections/test/e2e/fleet"
	"github.com/serviceconnections/function-service-connections/test/modules"
	"github.com/serviceconnections/function-service-connections/test/page"
)

// Flags of the command.
type Flags struct {
	Claims   []int         `default:"1,10,100,300"      help:"Sizes of the bursts of claims, in order. The last one is compared."`
	Services int           `default:"100"               help:"Services of one claim, and beside it as many claims of one; 0: neither."`
	Rounds   int           `default:"3"                 help:"How often each implementation has its turn."`
	Rest     time.Duration `default:"2m"                help:"How long the largest burst is left alone once it is ready."`
	Out      string        `default:"docs/benchmark.md" help:"Page to write into, in the repository; empty: none."`
	Audit    bool          `help:"Keep the folder of the control plane, with an audit log of all writes."`
}

// subscription of Azure that the claims are in.
const subscription = "00000000-0000-0000-0000-000000000002"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	k := kong.Parse(&Flags{}, kong.Description("Measures what claims cost a control plane, beside function-patch-and-transform."), kong.BindTo(ctx, (*context.Context)(nil)))
	err := k.Run()
	stop()
	k.FatalIfErrorf(err)
}

// Run the measurement.
func (o *Flags) Run(ctx context.Context) (err error) {
	root, err := modules.Root()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "service-connections-scale-")
	if err != nil {
		return fmt.Errorf("cannot make folder for the control plane: %w", err)
	}
	progress := func(format string, a ...any) { fmt.Fprintf(os.Stderr, format+"\n", a...) }
	cp, err := controlplane.Start(ctx, controlplane.Options{Root: root, Dir: dir, Subscription: subscription, Plain: true, Audit: o.Audit, Progress: progress})
	if err != nil {
		return errors.Join(err, fmt.Errorf("logs are in %s", dir))
	}
	defer func() {
		cp.Stop()
		switch {
		case err != nil:
			err = fmt.Errorf("%w; logs are in %s", err, dir)
		case o.Audit:
			progress("the audit log is in %s", dir)
		default:
			err = os.RemoveAll(dir)
		}
	}()
	m, err := install(ctx, cp, o, progress)
	if err != nil {
		return err
	}
	turns, err := m.all(ctx)
	if err != nil {
		return err
	}
	text, err := o.report(turns)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprint(os.Stdout, text); err != nil {
		return fmt.Errorf("cannot print report: %w", err)
	}
	if o.Out == "" {
		return nil
	}
	return page.Write(filepath.Join(root, o.Out), "make scale", text)
}

// install everything but the functions, with Crossplane as users run it.
func install(ctx context.Context, cp *controlplane.ControlPlane, o *Flags, progress func(string, ...any)) (*measurement, error) {
	if err := errors.Join(cp.InstallProviders(ctx, controlplane.AllProviders()...), cp.Install(ctx, controlplane.Namespaced)); err != nil {
		return nil, err
	}
	c := fleet.NewCloud()
	f := fleet.New(cp, c, controlplane.Namespaced)
	f.Replicas = 0
	served, err := c.Serve() //nolint:contextcheck // It serves until it is closed, whoever asked first.
	if err != nil {
		return nil, err
	}
	// crossplane-runtime's default.
	if err := cp.StartProviders(ctx, controlplane.ProviderOptions{Cloud: served, PollInterval: time.Minute}, controlplane.AllProviders()...); err != nil {
		return nil, err
	}
	return &measurement{Flags: o, Fleet: f, progress: progress}, f.Settings(ctx, "", "")
}
