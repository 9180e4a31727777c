//go:build !linux

package faults

import "testing"

type memory struct{ peak, anonymous int }

// watchMemory knows of no other system's memory than Linux'.
func watchMemory(*testing.T, *process) (stop func() memory) { return func() memory { return memory{} } }
