// Package backoff spreads attempts over time.
package backoff

import (
	"math/rand/v2"
	"time"
)

// Exponential waits for random times below a ceiling, which doubles with each failure from Min to Max: full jitter.
type Exponential struct{ Min, Max time.Duration }

// Wait returns the time to the next attempt after so many failures in a row: more than none, and no less than was asked for, as far as
// Max allows.
func (e Exponential) Wait(failures int, asked time.Duration) time.Duration {
	ceiling := e.Max
	if doubled := e.Min << min(failures-1, 20); doubled > 0 && doubled < ceiling {
		ceiling = doubled
	}
	return max(rand.N(ceiling)+1, min(asked, e.Max)) //nolint:gosec // not a secret
}
