package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
)

// lockPorts of the machine, which pods with sidecars have one after another, also those of
// another process's node.
func lockPorts(ctx context.Context) (free func(), err error) {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("service-connections-ports-%d", os.Geteuid()))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the machine's ports: %w", err)
	}
	if err := controlplane.Poll(ctx, func(context.Context) error {
		return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot lock the machine's ports: %w", err), f.Close())
	}
	// It ends with the file.
	return func() { _ = f.Close() }, nil
}
