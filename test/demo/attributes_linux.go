package main

import "syscall"

// attributes keep a terminal's Ctrl-C from a child, for the demo to end all in order, and let the kernel end the child when
// the demo itself is killed.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
