// Package await lets tests wait for what happens in its own time.
package await

import (
	"testing"
	"time"
)

// Patience is how long anything may take that a test waits for: no longer than where it goes wrong, however busy the machine.
const Patience = time.Minute

// interval is how often a condition is looked at.
const interval = 5 * time.Millisecond

// Until waits until check returns "", which otherwise says what is missing, and fails the test when that takes longer than patience.
func Until(tb testing.TB, patience time.Duration, check func() (missing string)) {
	tb.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		missing := check()
		if missing == "" {
			return
		}
		select {
		case <-deadline.C:
			tb.Fatalf("not within %s: %s", patience, missing)
		case <-ticker.C:
		}
	}
}
