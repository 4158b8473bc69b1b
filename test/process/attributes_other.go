//go:build !linux

package process

import "syscall"

// attributes of a process: a group of its own, so that Ctrl-C reaches the
// harness, which stops the processes in their order.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
