//go:build unix

package roundtrip

import (
	"errors"
	"syscall"
)

// quiet tells whether a connection is still open, and nothing has come that nobody asked for.
func (c *conn) quiet() bool {
	if c.socket == nil {
		return true
	}
	var peeked error
	err := c.socket.Read(func(fd uintptr) bool {
		var one [1]byte
		_, _, peeked = syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return true
	})
	return err == nil && errors.Is(peeked, syscall.EAGAIN)
}
