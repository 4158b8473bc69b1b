// Package process runs functions as processes on loopback.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

const (
	// startTimeout is how long a function may take until it serves.
	startTimeout = 30 * time.Second

	// stopTimeout is how long a function may take to stop before it is killed.
	stopTimeout = 10 * time.Second

	// attempts to start a function: another process may take the port between
	// the moment that it is found free and the moment that the function asks.
	attempts = 3
)

// A Process is a function that runs and serves.
type Process struct {
	// Address on loopback, host and port, where it serves.
	Address string

	// PID of the process.
	PID int

	// Stop the process, and wait until it has ended.
	Stop func()
}

// Start the binary with an --address of its own on loopback, and wait until it
// serves. The process runs until it is stopped.
func Start(ctx context.Context, log io.Writer, binary string, args ...string) (*Process, error) {
	var err error
	for range attempts {
		var p *Process
		if p, err = startOnce(ctx, log, binary, args...); err == nil {
			return p, nil
		}
	}
	return nil, fmt.Errorf("cannot start %s (make render-tools builds what is missing): %w", filepath.Base(binary), err)
}

func startOnce(ctx context.Context, log io.Writer, binary string, args ...string) (*Process, error) {
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}

	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, binary, append(args, "--address="+address)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTimeout
	cmd.Stderr = log
	ended, err := Attach(cmd)
	if err != nil {
		cancel()
		return nil, err
	}
	exited := make(chan struct{})
	go func() {
		<-ended //nolint:errcheck // The log has the reason.
		close(exited)
	}()
	p := &Process{Address: address, PID: cmd.Process.Pid, Stop: func() {
		cancel()
		<-exited
	}}

	if err := waitUntilServing(ctx, address, exited); err != nil {
		p.Stop()
		return nil, err
	}
	return p, nil
}

// freeAddress of a TCP port that nothing listens on.
func freeAddress(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("cannot find a free port: %w", err)
	}
	if err := l.Close(); err != nil {
		return "", fmt.Errorf("cannot free port: %w", err)
	}
	return l.Addr().String(), nil
}

// waitUntilServing returns nil once the gRPC server at the address is healthy,
// and an error if it takes too long or the process exits first.
func waitUntilServing(ctx context.Context, address string, exited <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	go func() {
		select {
		case <-exited:
			cancel()
		case <-ctx.Done():
		}
	}()

	// By default the second attempt to connect comes after a second, the time
	// that a function needs to start is a tenth of that.
	retry := backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.2, MaxDelay: time.Second}
	conn, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: retry, MinConnectTimeout: time.Second}))
	if err != nil {
		return fmt.Errorf("cannot make a client for %s: %w", address, err)
	}
	defer conn.Close() //nolint:errcheck // There is nothing left to do with it.

	rsp, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{}, grpc.WaitForReady(true))
	select {
	case <-exited:
		return errors.New("it exited, see its log")
	default:
	}
	switch {
	case status.Code(err) == codes.Unimplemented:
		// Functions that the SDK serves have no health service. This one
		// answers, so it serves.
		return nil
	case err != nil:
		return fmt.Errorf("cannot check health at %s: %w", address, err)
	case rsp.GetStatus() != healthv1.HealthCheckResponse_SERVING:
		return fmt.Errorf("its health is %s", rsp.GetStatus())
	}
	return nil
}
