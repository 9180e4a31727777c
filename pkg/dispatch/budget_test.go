package dispatch

import (
	"testing"
	"time"
)

// spend makes as many repeats as the budget allows at a time, each of an event of its own.
func spend(b *budget, now time.Time) (repeated []*item) {
	for len(repeated) < 1000 {
		if allowed, _ := b.allows(now); !allowed {
			break
		}
		it := &item{}
		b.repeat(it, now)
		repeated = append(repeated, it)
	}
	return repeated
}

func TestBudget(t *testing.T) {
	start := time.Unix(1000, 0)
	tests := []struct {
		name string
		// delivered are events that a destination accepts first, and rested those of before that find another place of rest.
		delivered, rested int
		after             time.Duration
		want              int
	}{
		{"nothing paid", 0, 0, 0, 0},
		{"paid by time", 0, 0, time.Second, 10},
		{"paid by little time", 0, 0, 250 * time.Millisecond, 2},
		{"paid by much time", 0, 0, time.Hour, repeatBurst},
		{"paid by success", 6, 0, 0, 3},
		{"paid by their own rest", 0, 5, 0, 5},
		{"paid by all of it", 2, 2, 100 * time.Millisecond, 4},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := budget{every: repeatEvery}
			repeated := spend(&b, start)
			if got := len(repeated); got != repeatBurst {
				t.Fatalf("got %d repeats at once, want %d", got, repeatBurst)
			}
			if allowed, at := b.allows(start); allowed || !at.Equal(start.Add(repeatEvery)) {
				t.Errorf("got allowed %t, again at %s, want a wait of %s", allowed, at.Sub(start), repeatEvery)
			}
			for range test.delivered {
				b.rested(&item{}, true)
			}
			for i := range test.rested {
				b.rested(repeated[repeatBurst-1-i], false)
			}
			if got := len(spend(&b, start.Add(test.after))); got != test.want {
				t.Errorf("got %d repeats more, want %d", got, test.want)
			}
		})
	}
}

// Success from before there was anything to pay for pays for nothing later.
func TestBudgetIsNotSaved(t *testing.T) {
	b := budget{every: repeatEvery}
	now := time.Unix(1000, 0)
	for range 1000 {
		b.rested(&item{}, true)
	}
	if got := len(spend(&b, now.Add(time.Hour))); got != repeatBurst {
		t.Errorf("got %d repeats at once, want %d", got, repeatBurst)
	}
}
