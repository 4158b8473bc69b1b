// Pins says which of the versions that this repository names are old: of its modules and
// tools by the module proxy, and of images, actions and packages, which no proxy knows,
// that somebody else has to look. It reads the proxy of the go command (GOPROXY), and what
// that doesn't tell is unknown, and no failure.
//
// It fails where a newer version has been there for some weeks: the update bot asks for it
// each week, so by then somebody has left it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// errOld says that a version is old. All is printed then.
var errOld = errors.New("versions are old; update them, or say in tools/pins/held.go what holds them")

func main() {
	root := flag.String("root", "../..", "folder of the repository")
	weeks := flag.Int("weeks", 4, "how many weeks a newer version may be there")
	toAlign := flag.Bool("align", false, "give what several modules import one version in all of them, and nothing else")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	do := func() error { return run(ctx, *root, time.Now().AddDate(0, 0, -7**weeks), os.Stdout) }
	if *toAlign {
		do = func() error { return align(ctx, *root, os.Stdout) }
	}
	if err := do(); err != nil {
		fmt.Fprintf(os.Stderr, "pins: %v\n", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop is called.
	}
}

// run prints all pins of the repository at root. A newer version from before a time makes
// one old.
func run(ctx context.Context, root string, before time.Time, out io.Writer) error {
	folders, err := moduleFolders(root)
	if err != nil {
		return err
	}
	var pins []pin
	for _, f := range folders {
		of, err := modulePins(ctx, root, f)
		if err != nil {
			return err
		}
		pins = append(pins, of...)
	}
	others, err := otherPins(root)
	if err != nil {
		return err
	}
	return report(out, join(append(pins, others...)), before)
}

// A pin is a version that a file names.
type pin struct {
	// what is pinned: a module's path, an image, an action or a package.
	what, version string

	// in which folders or files.
	in []string

	// newest version, and when it came. Empty where there is none.
	newest string
	since  time.Time

	// unknown says why nobody here can tell.
	unknown string
}

// join pins of the same version, which many modules name.
func join(pins []pin) []pin {
	byWhat := func(a, b pin) int {
		return strings.Compare(a.what+" "+a.version+" "+a.newest, b.what+" "+b.version+" "+b.newest)
	}
	slices.SortStableFunc(pins, byWhat)
	var out []pin
	for _, p := range pins {
		if n := len(out); n > 0 && byWhat(out[n-1], p) == 0 && held(out[n-1]) == held(p) {
			out[n-1].in = append(out[n-1].in, p.in...)
			continue
		}
		out = append(out, p)
	}
	return out
}

// report the pins that aren't the newest, and those of which nobody knows.
func report(out io.Writer, pins []pin, before time.Time) error {
	var old, newer, kept, unknown []pin
	for _, p := range pins {
		switch {
		case held(p) != "" && (p.newest != "" || p.unknown != ""):
			kept = append(kept, p)
		case p.unknown != "":
			unknown = append(unknown, p)
		case p.newest == "":
		case p.since.Before(before):
			old = append(old, p)
		default:
			newer = append(newer, p)
		}
	}
	newest := func(p pin) string { return p.newest + " since " + p.since.Format(time.DateOnly) }
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	section(w, "Old, and left for long", old, newest)
	section(w, "Newer ones have come", newer, newest)
	section(w, "Held on purpose", kept, held)
	section(w, "Unknown here", unknown, func(p pin) string { return p.unknown })
	if _, err := fmt.Fprintf(w, "%d of %d pins are the newest\n", len(pins)-len(old)-len(newer)-len(kept)-len(unknown), len(pins)); err != nil {
		return fmt.Errorf("cannot print: %w", err)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("cannot print: %w", err)
	}
	if len(old) > 0 {
		return errOld
	}
	return nil
}

// section of a report, of nothing where there are no pins. The last writer's error is told
// as it is flushed.
func section(w io.Writer, title string, pins []pin, says func(pin) string) {
	if len(pins) == 0 {
		return
	}
	_, _ = fmt.Fprintf(w, "%s:\n", title)
	for _, p := range pins {
		_, _ = fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", p.what, p.version, says(p), strings.Join(p.in, ", "))
	}
}
