// Package attempt is what the clients have in common: an application that tries what it
// needs until it can do it, and says which identity it then had.
package attempt

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// An Outcome that a client prints.
type Outcome struct {
	// Identity that the client had.
	Identity string `json:"identity"`

	// Tries that it took, and milliseconds from the start until the last one.
	Tries  int   `json:"tries"`
	Millis int64 `json:"millis"`
}

// between two tries.
const between = 100 * time.Millisecond

// Flags of each client. It tries once, or with -within as long as that, or goes on in a
// folder by -stay.
var (
	within  = flag.Duration("within", 0, "try again until it succeeds, for as long as this")
	timeout = flag.Duration("timeout", time.Minute, "of one try")
	stay    = flag.String("stay", "", "a folder: once it has succeeded, write the identity to a file of that name there, and try again and again until there is a file end, and once more")
)

// Run a client, whose flags are parsed, and return the code to exit with. Where it
// fails, it says so by the client library's own error.
func Run(try func(context.Context) (identity string, err error)) int {
	o, err := until(*within, *timeout, try)
	if err == nil && *stay != "" {
		o, err = on(*stay, o, try)
	}
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func until(within, timeout time.Duration, try func(context.Context) (string, error)) (Outcome, error) {
	begin := time.Now()
	for n := 1; ; n++ {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		identity, err := try(ctx)
		cancel()
		if err == nil || time.Since(begin) >= within {
			return Outcome{Identity: identity, Tries: n, Millis: time.Since(begin).Milliseconds()}, err
		}
		<-time.After(between)
	}
}

// on and on tries a client that has succeeded, until the folder says that it is enough.
func on(folder string, o Outcome, try func(context.Context) (string, error)) (Outcome, error) {
	if err := os.WriteFile(filepath.Join(folder, "identity"), []byte(o.Identity), 0o600); err != nil {
		return o, fmt.Errorf("cannot say who it is: %w", err)
	}
	for {
		_, missing := os.Stat(filepath.Join(folder, "end"))
		next, err := until(0, *timeout, try)
		o.Identity = next.Identity
		o.Tries++
		if err != nil || missing == nil {
			return o, err
		}
		<-time.After(between)
	}
}
