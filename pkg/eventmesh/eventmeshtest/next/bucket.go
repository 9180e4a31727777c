package next

import "time"

// bucket holds tokens, one for each event. The zero value has no limit.
type bucket struct {
	limit  RateLimit
	tokens float64
	filled time.Time
}

func newBucket(limit RateLimit, now time.Time) bucket {
	return bucket{limit: limit, tokens: float64(limit.Capacity), filled: now}
}

// take takes a token, and reports false where there is none.
func (b *bucket) take(now time.Time) bool {
	if b.limit == (RateLimit{}) {
		return true
	}
	b.tokens = min(float64(b.limit.Capacity), b.tokens+now.Sub(b.filled).Seconds()*b.limit.Rate)
	b.filled = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
