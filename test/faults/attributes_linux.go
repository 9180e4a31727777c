package faults

import "syscall"

// loopback is where servers listen that come back to the same port: another address than the one that connections start from,
// which could take the port meanwhile.
const loopback = "127.0.0.2"

// attributes let the kernel end a child when the test itself is killed.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
