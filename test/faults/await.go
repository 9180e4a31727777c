package faults

import (
	"testing"
	"time"
)

// patience is how long anything may take that a test waits for.
const patience = 90 * time.Second

// eventually waits until check returns "", which otherwise says what is missing.
func eventually(t *testing.T, check func() string) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		missing := check()
		if missing == "" {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("not within %s: %s", patience, missing)
		case <-ticker.C:
		}
	}
}
