package process

import "syscall"

// attach a process to this one by its attributes: it has a group of its own, so that
// Ctrl-C reaches the harness, which stops the processes in their order; and it doesn't
// outlive a harness that is killed.
func attach(a *syscall.SysProcAttr) { a.Setpgid, a.Pdeathsig = true, syscall.SIGTERM }
