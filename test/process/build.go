package process

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// Build our own binaries into .cache/bin by the Makefile's targets for them, such as
// build, plugin or package-tool, so that what a test starts is never older than what
// it was built from. It takes a second where nothing has changed.
func Build(ctx context.Context, root string, targets ...string) error {
	cmd := exec.CommandContext(ctx, "make", append([]string{"--no-print-directory", "-C", root}, targets...)...)
	// A make that runs this test tells its options in these: that it only prints what
	// it would do, or that it shares its jobs through files that aren't open here.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "MAKEFLAGS=") || strings.HasPrefix(v, "MFLAGS=") || strings.HasPrefix(v, "MAKELEVEL=")
	})
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build what is tested: make %s: %w: %s", strings.Join(targets, " "), err, out)
	}
	return nil
}
