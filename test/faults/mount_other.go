//go:build !linux

package faults

import "testing"

type disk struct{ path string }

func newDisk(t *testing.T, _ int) *disk {
	t.Helper()
	t.Skip("the disk that is to be full is a tmpfs of Linux")
	return nil
}

func (*disk) fill()        {}
func (*disk) clear()       {}
func (*disk) protect(bool) {}
