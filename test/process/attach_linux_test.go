package process

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asParent is the environment variable that makes TestAttach the process that is killed.
const asParent = "ATTACH_AS_PARENT"

// TestAttach kills a process, which no process that it has started outlives.
func TestAttach(t *testing.T) {
	t.Parallel()

	if os.Getenv(asParent) != "" {
		cmd := exec.CommandContext(t.Context(), "sleep", "3600")
		cmd.Stdout = os.Stdout
		if _, err := Attach(cmd); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintln(os.Stdout, cmd.Process.Pid); err != nil {
			t.Fatal(err)
		}
		select {}
	}
	parent := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAttach$") //nolint:gosec // It is this very test.
	parent.Env = append(os.Environ(), asParent+"=1")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // It was only read.
	parent.Stdout = w
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	out := bufio.NewReader(r)
	line, err := out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // It was killed.

	// Both write to the pipe, which is at its end when neither is left.
	if err := r.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		_ = syscall.Kill(child, syscall.SIGKILL) // Nothing else ends it.
		t.Errorf("Attach(...): want process %d to end with the one that started it, got %v", child, err)
	}
}
