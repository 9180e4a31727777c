//go:build !linux

package faults

import (
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/processtest"
)

type memory struct{ peak, anonymous int }

// watchMemory knows of no other system's memory than Linux'.
func watchMemory(*testing.T, *processtest.Program) (stop func() memory) {
	return func() memory { return memory{} }
}
