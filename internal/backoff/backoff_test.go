package backoff

import (
	"testing"
	"time"
)

func TestWait(t *testing.T) {
	slow := Exponential{Min: 100 * time.Millisecond, Max: 30 * time.Second}
	tests := []struct {
		name       string
		attempts   int
		retryAfter time.Duration
		min, max   time.Duration
	}{
		{"first", 1, 0, 0, slow.Min},
		{"second", 2, 0, 0, 2 * slow.Min},
		{"fifth", 5, 0, 0, 16 * slow.Min},
		{"capped", 10, 0, 0, slow.Max},
		{"capped after very many", 1 << 40, 0, 0, slow.Max},
		{"Retry-After", 1, 5 * time.Second, 5 * time.Second, 5 * time.Second},
		{"Retry-After below the wait", 9, time.Second, time.Second, 256 * slow.Min},
		{"Retry-After is capped", 1, time.Hour, slow.Max, slow.Max},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			seen := map[time.Duration]bool{}
			for range 1000 {
				got := slow.Wait(test.attempts, test.retryAfter)
				if got <= 0 || got < test.min || got > test.max {
					t.Fatalf("got %s, want %s to %s", got, test.min, test.max)
				}
				seen[got] = true
			}
			if test.min < test.max && len(seen) < 100 {
				t.Errorf("got %d different waits of 1000, want jitter", len(seen))
			}
		})
	}
}
