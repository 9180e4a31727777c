package faults

import (
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/await"
)

// patience is how long anything may take that a test waits for.
const patience = 90 * time.Second

// eventually waits until check returns "", which otherwise says what is missing.
func eventually(t *testing.T, check func() string) {
	t.Helper()
	await.Until(t, patience, check)
}
