package faults

import "syscall"

// attributes let the kernel end a child when the test itself is killed.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
