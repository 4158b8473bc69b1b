package controlplane

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	attached "github.com/serviceconnections/function-service-connections/test/process"
)

// stopTimeout is how long a process may take to stop before it is killed.
const stopTimeout = 20 * time.Second

// A program is what a process runs.
type program struct {
	// name of the log file.
	name string
	path string
	args []string

	// env is added to the environment.
	env []string
}

// A process that runs until it is stopped. It writes to a log file.
type process struct {
	program

	log    string
	cmd    *exec.Cmd
	exited chan struct{}
	err    error
}

// start a program, whose output goes to a file in the supplied folder.
func start(dir string, p program) (*process, error) {
	log := filepath.Join(dir, p.name+".log")
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open log of %s: %w", p.name, err)
	}
	defer out.Close() //nolint:errcheck // The process has its own descriptor.

	cmd := exec.Command(p.path, p.args...) //nolint:noctx // It is stopped by hand, in order, and not with the call that starts it.
	cmd.Env = append(os.Environ(), p.env...)
	cmd.Stdout, cmd.Stderr = out, out
	ended, err := attached.Attach(cmd)
	if err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", p.name, err)
	}
	proc := &process{program: p, log: log, cmd: cmd, exited: make(chan struct{})}
	go func() {
		proc.err = <-ended
		close(proc.exited)
	}()
	return proc, nil
}

// stop the process and wait until it has ended.
func (p *process) stop() {
	if p == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // It may have ended by itself.
	select {
	case <-p.exited:
	case <-time.After(stopTimeout):
		p.kill()
	}
}

// kill the process without warning and wait until it has ended.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // It may have ended by itself.
	<-p.exited
}

// ended says whether the process has.
func (p *process) ended() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// stall the process for some time: it is there, but does nothing.
func (p *process) stall(ctx context.Context, d time.Duration) error {
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("cannot stall %s: %w", p.name, err)
	}
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		return fmt.Errorf("cannot continue %s: %w", p.name, err)
	}
	return nil
}

// await calls ready until it returns nil. It fails when the process ends first,
// or with the last error when the context is done.
func (p *process) await(ctx context.Context, ready func(context.Context) error) error {
	err := Poll(ctx, func(ctx context.Context) error {
		select {
		case <-p.exited:
			return permanent{fmt.Errorf("%s exited: %w", p.name, p.err)}
		default:
			return ready(ctx)
		}
	})
	if err != nil {
		return fmt.Errorf("cannot start %s: %w; the end of %s:\n%s", p.name, err, p.log, tail(p.log))
	}
	return nil
}

// permanent is an error that another try doesn't mend.
type permanent struct{ error }

// pollInterval is between two tries.
const pollInterval = 50 * time.Millisecond

// Poll calls f until it returns nil or a permanent error. When the context is
// done it fails with f's last error.
func Poll(ctx context.Context, f func(context.Context) error) error {
	for {
		err := f(ctx)
		if p := (permanent{}); err == nil || errors.As(err, &p) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(pollInterval):
		}
	}
}

// tail of a log file, for an error message.
func tail(path string) string {
	const lines = 25
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// freePorts of TCP on loopback. They are below those that Linux and macOS give to
// outgoing connections, of which a control plane makes many: one of these could
// take a port between here and the program that is told to listen on it.
func freePorts(ctx context.Context, n int) ([]int, error) {
	const first, last, tries = 20000, 32000, 100
	if n == 0 {
		return nil, nil
	}
	for range tries {
		port := first + rand.IntN(last-first) //nolint:gosec // No secret.
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		// Open until all are found, so that none is found twice.
		others, err := freePorts(ctx, n-1)
		return append(others, port), errors.Join(err, l.Close())
	}
	return nil, fmt.Errorf("cannot find a free port between %d and %d", first, last)
}

// FreeAddress on loopback.
func FreeAddress(ctx context.Context) (string, error) {
	free, err := freePorts(ctx, 1)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("127.0.0.1:%d", free[0]), nil
}
