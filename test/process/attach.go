package process

import (
	"os/exec"
	"runtime"
	"syscall"
)

// Attach starts a command that ends when this process does, also where that is killed,
// as go test kills a test that takes too long. What else its attributes say stays. What
// the command ended with comes over the channel, once.
func Attach(cmd *exec.Cmd) (<-chan error, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	attach(cmd.SysProcAttr)
	started, ended := make(chan error), make(chan error, 1)
	go func() {
		// A process is told of its parent's death when the thread ends that
		// started it (prctl(2), PR_SET_PDEATHSIG), so the thread waits with us.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	return ended, <-started
}
