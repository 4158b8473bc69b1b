package server

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/crossplane/function-sdk-go/logging"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
)

// connect without saying anything.
func connect(t *testing.T, to net.Listener) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", to.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// closed says whether the server closes the connection within a while.
func closed(t *testing.T, c net.Conn, within time.Duration) bool {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	_, err := io.Copy(io.Discard, c)
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// TestStrangers opens connections that say nothing, to each port, as whoever reaches
// it can.
func TestStrangers(t *testing.T) {
	t.Parallel()

	ca := issue(t, "ca", nil)
	dir := t.TempDir()
	write(t, dir, ca, issue(t, "function", ca))
	config, err := MutualTLS(dir, logging.NewNopLogger())
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, echo, func(o *Options) { o.TLS = config })
	crossplane := s.dial(t, client(t, ca, issue(t, "crossplane", ca), make(chan string, 100)))
	call := func() {
		t.Helper()
		if err := receive(t, "Crossplane's call", run(t.Context(), crossplane, &fnv1.RunFunctionRequest{})); err != nil {
			t.Errorf("Crossplane's call: %v", err)
		}
	}
	call()

	for name, port := range map[string]net.Listener{"calls": s.listener, "metrics": s.metrics.listener} {
		silent := make([]net.Conn, 0, 2*maxStrangers)
		for range 2 * maxStrangers {
			silent = append(silent, connect(t, port))
		}
		for _, c := range silent[:maxStrangers] {
			if !closed(t, c, deadline) {
				t.Errorf("%s: want the oldest connections closed beyond %d that say nothing", name, maxStrangers)
				break
			}
		}
		call()
		if code, body := s.get(t, "/readyz"); code != http.StatusOK {
			t.Errorf("%s: want the kubelet answered beside connections that say nothing, got %d: %s", name, code, body)
		}
		if !closed(t, silent[len(silent)-1], 2*headerTimeout+deadline) {
			t.Errorf("%s: want a connection closed that says nothing for %s", name, headerTimeout)
		}
	}
	call()
}

// TestSlowRequest sends the header of a request byte by byte.
func TestSlowRequest(t *testing.T) {
	t.Parallel()

	s := serve(t, echo, nil)
	c := connect(t, s.metrics.listener)
	go func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for _, err := c.Write([]byte("GET /metrics HTTP/1.1\r\nHost: x\r\nX: ")); err == nil; _, err = c.Write([]byte("x")) {
			<-tick.C
		}
	}()
	if !closed(t, c, headerTimeout+deadline) {
		t.Errorf("want a connection closed whose request takes longer than %s", headerTimeout)
	}
}

// TestMetricsConnections aren't kept: each would take memory for as long as its client
// wants.
func TestMetricsConnections(t *testing.T) {
	t.Parallel()

	s := serve(t, echo, nil)
	c := connect(t, s.metrics.listener)
	if _, err := c.Write([]byte("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if !closed(t, c, deadline) {
		t.Error("want the connection closed once its request is answered")
	}
}
