package fn

import (
	"flag"
	"os"
	"testing"
)

// TestMain makes the property tests draw the same each time, so that what
// continuous integration says depends on the code alone. A run with a seed, or with
// a number of checks, explores: make property is one.
func TestMain(m *testing.M) {
	flag.Parse()
	explores := false
	flag.Visit(func(f *flag.Flag) { explores = explores || f.Name == "rapid.seed" || f.Name == "rapid.checks" })
	if !explores {
		if err := flag.Set("rapid.seed", "1"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
