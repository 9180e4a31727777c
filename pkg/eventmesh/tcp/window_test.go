package tcp

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestWindow lets slots of a session rest, and looks when it is exhausted.
func TestWindow(t *testing.T) {
	for name, c := range map[string]struct {
		lost            int32
		publishes, rest int
		want            bool
	}{
		"the only one":                      {0, 1, 1, true},
		"beside another":                    {0, 2, 1, false},
		"all":                               {0, maxInFlight, maxInFlight, true},
		"all but one":                       {0, maxInFlight, maxInFlight - 1, false},
		"few are left, as permits are lost": {leaking, maxInFlight, maxInFlight - fewSlots, true},
		"more than few are left":            {leaking, maxInFlight, maxInFlight - fewSlots - 1, false},
		"few are left, but hardly any loss is seen": {leaking - 1, maxInFlight, maxInFlight - fewSlots, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWindow()
				w.lost.Store(c.lost)
				for range c.publishes {
					if err := w.enter(t.Context(), nil); err != nil {
						t.Fatal(err)
					}
				}
				exhausted := false
				for range c.rest {
					exhausted = w.rest()
				}
				if exhausted != c.want {
					t.Errorf("exhausted: got %t, want %t", exhausted, c.want)
				}
				if got := len(w.slots); got != c.publishes {
					t.Errorf("%d slots are taken, want %d", got, c.publishes)
				}
				time.Sleep(restTime)
				synctest.Wait()
				if got := len(w.slots); got != c.publishes-c.rest {
					t.Errorf("%d slots are taken after the rest, want %d", got, c.publishes-c.rest)
				}
			})
		})
	}
}
