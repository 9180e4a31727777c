package faults

import (
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// seed decides on the random faults.
var seed = rand.Uint64N(1_000_000) //nolint:gosec // it is printed

// dice are random numbers that depend on the seed and a name alone. They may be thrown by several goroutines, whose order
// then makes a difference.
type dice struct {
	mu sync.Mutex
	r  *rand.Rand
}

func newDice(t *testing.T) *dice {
	t.Helper()
	name := fnv.New64()
	_, _ = name.Write([]byte(t.Name()))                        // it never fails
	return &dice{r: rand.New(rand.NewPCG(seed, name.Sum64()))} //nolint:gosec // faults have to be repeatable
}

// n returns a number from 0 to below n.
func (d *dice) n(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.IntN(n)
}

// chance comes true in that share of all cases.
func (d *dice) chance(share float64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.Float64() < share
}

// between returns a duration.
func (d *dice) between(from, to time.Duration) time.Duration {
	return from + time.Duration(d.n(int(to-from)))
}
