//go:build !linux

package faults

import "syscall"

// loopback is where servers listen that come back to the same port.
const loopback = "127.0.0.1"

func attributes() *syscall.SysProcAttr { return nil }
