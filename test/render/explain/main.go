// Command explain renders the examples with Crossplane's own composition engine
// and prints, for a reader, what comes out: make render.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/serviceconnections/function-service-connections/test/render"
)

func main() {
	plain := flag.Bool("yaml", false, "print what crossplane composition render prints, and nothing else")
	flag.Usage = func() {
		_, _ = fmt.Fprintln(flag.CommandLine.Output(), "Usage: go run ./test/render/explain [-yaml] [example/<use> ...]")
		flag.PrintDefaults()
	}
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout, *plain, flag.Args())
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run renders the examples in the supplied folders, or all, and prints them. A
// folder that can't be rendered doesn't keep the others from being printed.
func run(ctx context.Context, w io.Writer, plain bool, dirs []string) error {
	root, err := render.Root()
	if err != nil {
		return fmt.Errorf("cannot run demo: %w", err)
	}
	// The functions' log is of interest when one can't be started or panics, and
	// in the way otherwise.
	log := &strings.Builder{}
	engine := render.New(root, log)
	defer engine.Stop()

	if len(dirs) == 0 {
		if dirs, err = engine.Examples(); err != nil {
			return fmt.Errorf("cannot run demo: %w", err)
		}
	}
	var failed []error
	for _, dir := range dirs {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("cannot finish demo: %w", err)
		}
		if err := show(ctx, w, engine, plain, dir); err != nil {
			failed = append(failed, err)
		}
	}
	if len(failed) > 0 {
		engine.Stop() // Before the log is read.
		failed = append(failed, errors.New("the functions' log:\n"+log.String()))
	}
	return errors.Join(failed...)
}

// show one example.
func show(ctx context.Context, w io.Writer, engine *render.Engine, plain bool, dir string) error {
	out, err := engine.Render(ctx, dir)
	if err != nil {
		return err
	}
	text := string(out.YAML)
	if !plain {
		if text, err = explain(dir, out); err != nil {
			return fmt.Errorf("cannot print %s: %w", filepath.Base(dir), err)
		}
	}
	if _, err := io.WriteString(w, text); err != nil {
		return fmt.Errorf("cannot print %s: %w", filepath.Base(dir), err)
	}
	return nil
}
