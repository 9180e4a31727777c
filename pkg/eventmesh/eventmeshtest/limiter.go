package eventmeshtest

import (
	"math"
	"sync"
	"time"
)

// limiter is a rate limit as Guava's, which EventMesh uses: the first permit is free, an idle second is saved up, and a
// permit can be waited for up to a limit.
type limiter struct {
	perSecond float64

	mu     sync.Mutex
	stored float64
	next   time.Time
}

// newLimiter returns nil, no limit, when perSecond is negative.
func newLimiter(perSecond int) *limiter {
	if perSecond < 0 {
		return nil
	}
	return &limiter{perSecond: float64(perSecond)}
}

// reserve takes a permit, and tells how long to wait before it is used; false says that this would exceed patience.
func (l *limiter) reserve(now time.Time, patience time.Duration) (time.Duration, bool) {
	if l == nil {
		return 0, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next.IsZero() {
		l.next = now
	}
	if now.After(l.next) {
		l.stored = math.Min(l.perSecond, l.stored+now.Sub(l.next).Seconds()*l.perSecond)
		l.next = now
	}
	wait := l.next.Sub(now)
	if wait > patience {
		return 0, false
	}
	fromStore := math.Min(1, l.stored)
	l.stored -= fromStore
	l.next = l.next.Add(time.Duration((1 - fromStore) / l.perSecond * float64(time.Second)))
	return wait, true
}
