// Command bench measures this function beside function-patch-and-transform, which
// composes the same resources, and beside a function that does nothing, and writes
// down what it finds.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/prometheus/procfs"

	"github.com/serviceconnections/function-service-connections/test/modules"
	"github.com/serviceconnections/function-service-connections/test/page"
)

// Flags of the benchmark.
type Flags struct {
	Rounds    int           `default:"3"                 help:"How often each function has its turn."`
	While     time.Duration `default:"1s"                help:"How long a turn is, for each number of clients."`
	Benchtime string        `default:"0.5s"              help:"How long a benchmark in process runs, as go test takes it."`
	Out       string        `default:"docs/benchmark.md" help:"Page to write into, in the repository."`
}

// Run the benchmark.
func (f *Flags) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root, err := modules.Root()
	if err != nil {
		return err
	}
	var report bytes.Buffer
	if err := f.measure(ctx, root, &report); err != nil {
		return err
	}
	if _, err := os.Stdout.Write(report.Bytes()); err != nil {
		return fmt.Errorf("cannot print report: %w", err)
	}
	return page.Write(filepath.Join(root, f.Out), "make bench", report.String())
}

// The example that both functions are measured with.
const measured = "all-together"

// measure all, and write a report.
func (f *Flags) measure(ctx context.Context, root string, w io.Writer) error {
	machine, err := procfs.NewDefaultFS()
	if err != nil {
		return fmt.Errorf("cannot read which machine this is: %w", err)
	}
	load, err := loadOf(machine)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return fmt.Errorf("cannot make temporary folder: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // A leftover in the temporary folder.
	e, err := readExample(root, measured)
	if err != nil {
		return err
	}
	ps, err := startPeers(ctx, root, dir, e)
	if err != nil {
		return err
	}
	defer ps.Stop()
	if err := ps.buildBenchmarks(ctx, root, dir); err != nil {
		return err
	}
	ms, err := measure(ctx, ps.all(), f.Rounds, f.While)
	if err != nil {
		return err
	}
	ps.Stop()
	if err := measureInProcess(ctx, dir, ms, f.Rounds, f.Benchtime); err != nil {
		return err
	}
	g, err := measureGrowth(ctx, root, dir, f.Rounds, f.Benchtime)
	if err != nil {
		return err
	}
	binary, err := os.Stat(filepath.Join(dir, ps.ours.name))
	if err != nil {
		return fmt.Errorf("cannot measure binary: %w", err)
	}
	return writeReport(w, machine, load, ms, g, binary.Size())
}

func main() {
	ctx := kong.Parse(&Flags{}, kong.Description("Measures this function beside function-patch-and-transform."))
	ctx.FatalIfErrorf(ctx.Run())
}
