package source

import (
	"testing"
	"time"
)

// spend takes as many repeats as the budget allows at a time, each of an event of its own.
func spend(b *budget, now time.Time, most int) (spent int) {
	for ; spent < most; spent++ {
		if allowed, _ := b.allows(now); !allowed {
			return spent
		}
		b.repeat(&kept{seq: uint64(spent)}, now)
	}
	return spent
}

func TestBudget(t *testing.T) {
	start := time.Unix(1000, 0)
	tests := []struct {
		name string
		// taken are events that the sink takes first, and rested those of before that find another place of rest.
		taken, rested int
		after         time.Duration
		want          int
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
			b := newBudget(-1)
			if got := spend(&b, start, 1000); got != repeatBurst {
				t.Fatalf("got %d repeats at once, want %d", got, repeatBurst)
			}
			if allowed, at := b.allows(start); allowed || !at.Equal(start.Add(repeatEvery)) {
				t.Errorf("got allowed %t, again at %s, want a wait of %s", allowed, at.Sub(start), repeatEvery)
			}
			for i := range test.taken {
				b.rested(&kept{seq: uint64(1000 + i)}, true)
			}
			for i := range test.rested {
				b.rested(&kept{seq: uint64(repeatBurst - 1 - i)}, false)
			}
			if got := spend(&b, start.Add(test.after), 1000); got != test.want {
				t.Errorf("got %d repeats more, want %d", got, test.want)
			}
		})
	}
}

// Success from before there was anything to pay for pays for nothing later.
func TestBudgetIsNotSaved(t *testing.T) {
	b := newBudget(-1)
	now := time.Unix(1000, 0)
	for i := range 1000 {
		b.rested(&kept{seq: uint64(i)}, true)
	}
	if got := spend(&b, now.Add(time.Hour), 1000); got != repeatBurst {
		t.Errorf("got %d repeats at once, want %d", got, repeatBurst)
	}
}
