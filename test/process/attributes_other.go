//go:build !linux

package process

import "syscall"

// attach a process to this one by its attributes: it has a group of its own, so that
// Ctrl-C reaches the harness, which stops the processes in their order.
func attach(a *syscall.SysProcAttr) { a.Setpgid = true }
