// Package attempt is what the clients have in common: an application that tries what it
// needs until it can do it, and says which identity it then had.
package attempt

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
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

// Main of a client. It tries once, or with -within as long as that, and ends with the
// client library's own error.
func Main(try func(context.Context) (identity string, err error)) {
	within := flag.Duration("within", 0, "try again until it succeeds, for as long as this")
	timeout := flag.Duration("timeout", time.Minute, "of one try")
	flag.Parse()
	o, err := until(*within, *timeout, try)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
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
