package source

import (
	"errors"
	"math"
	"net/http"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/backoff"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// verdict is what a failed attempt says: of the destination, and of the event. The zero value is that of a success.
type verdict struct {
	// away says that the destination takes no event at the moment: it does not answer, or answers 429, 502, 503 or 504. Every other answer
	// is about the event alone, and shows a destination that works.
	away bool
	// silent says that the destination was not asked, so that nothing is known of it.
	silent bool
	// final says that the same attempt would fail again.
	final bool
	// retryAfter is how long the destination wants to be left alone, or 0.
	retryAfter time.Duration
}

// judge returns what a failure of the sink says, or one of the place for dead letters.
func judge(failure error) verdict {
	var rejected *rejection
	var unsendable *unsendableError
	switch {
	case failure == nil:
		return verdict{}
	case errors.As(failure, &rejected):
		return verdict{away: isAway(rejected.status), final: rejected.final(), retryAfter: rejected.retryAfter}
	case errors.As(failure, &unsendable), isOfEvent(failure):
		return verdict{final: true, silent: true}
	default:
		return verdict{away: true}
	}
}

// wait returns the time to the next attempt, after so many. What is refused for good has only a change of the destination to wait for.
func (v verdict) wait(b backoff.Exponential, attempts int) time.Duration {
	if v.final {
		attempts = math.MaxInt
	}
	return b.Wait(attempts, v.retryAfter)
}

// isAway tells the answers of a destination, or of a proxy before it, that are about no event.
func isAway(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	default:
		return false
	}
}

// isOfEvent tells the errors of EventMesh, as a place for dead letters, that are about the event alone. Most are known beforehand.
func isOfEvent(failure error) bool {
	return errors.Is(failure, eventmesh.ErrInvalidEvent) || errors.Is(failure, eventmesh.ErrTooLarge)
}
