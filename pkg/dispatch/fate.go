package dispatch

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/line"
)

// Rejection is the answer of a destination that did not accept an event.
type Rejection struct { //nolint:errname // an answer, and an error besides
	// Status is that of HTTP.
	Status int
	// Body is the start of the answer's.
	Body string
	// RetryAfter is how long the destination asks to be left alone, or 0.
	RetryAfter time.Duration
}

// reasonLimit is how much of the body of a refusal is told, in bytes.
const reasonLimit = 200

func (r *Rejection) Error() string {
	reason := line.First(r.Body, reasonLimit, "")
	if reason == "" {
		return fmt.Sprintf("the sink answered %d", r.Status)
	}
	return fmt.Sprintf("the sink answered %d: %s", r.Status, reason)
}

// final tells whether the same request would get the same answer: by Knative's rules 3xx, and 4xx but for 404, 408, 409 and 429.
func (r *Rejection) final() bool {
	switch r.Status {
	case http.StatusNotFound, http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		return false
	default:
		return r.Status < http.StatusInternalServerError
	}
}

// away tells the answers of a destination, or of a proxy before it, that are about no event.
func (r *Rejection) away() bool {
	switch r.Status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	default:
		return false
	}
}

// UnsendableError is an event that a destination cannot be sent: the event's own fault for good, which tells nothing about the destination.
type UnsendableError struct{ Reason error }

func (e *UnsendableError) Error() string { return e.Reason.Error() }

// Unwrap returns the reason.
func (e *UnsendableError) Unwrap() error { return e.Reason }

// UnpreparedError is an attempt that was not made, since there was not yet what it needs. It counts for nothing, and is made again soon.
type UnpreparedError struct{ Reason error }

func (e *UnpreparedError) Error() string { return e.Reason.Error() }

// Unwrap returns the reason.
func (e *UnpreparedError) Unwrap() error { return e.Reason }

// preparing is the time until an attempt that was not made is made.
const preparing = time.Second

// verdict is what an attempt says: of the destination, and of the event. The zero value is that of a success.
type verdict struct {
	// away says that the destination accepts no event at the moment: it does not answer, or answers 429, 502, 503 or 504. Every other
	// answer is about the event alone, and shows a destination that works.
	away bool
	// silent says that the destination was not asked, so that nothing is known of it.
	silent bool
	// unmade says that there was no attempt at all.
	unmade bool
	// final says that the same attempt would fail again.
	final bool
	// retryAfter is how long the destination wants to be left alone, or 0.
	retryAfter time.Duration
}

func judge(failure error) verdict {
	if failure == nil {
		return verdict{}
	}
	if rejection, ok := errors.AsType[*Rejection](failure); ok {
		return verdict{away: rejection.away(), final: rejection.final(), retryAfter: rejection.RetryAfter}
	}
	if _, ok := errors.AsType[*UnsendableError](failure); ok {
		return verdict{final: true, silent: true}
	}
	if _, ok := errors.AsType[*UnpreparedError](failure); ok {
		return verdict{unmade: true, silent: true}
	}
	return verdict{away: true}
}

// wait returns the time to the next attempt, after so many. What is refused for good has only a change of the destination to wait for.
func (v verdict) wait(backoff Backoff, attempts int) time.Duration {
	switch {
	case v.unmade:
		return preparing
	case v.final:
		attempts = math.MaxInt
	}
	return backoff(attempts, v.retryAfter)
}

// Why an event was given up, in metrics and logs.
const (
	reasonRejected = "rejected"
	reasonRetries  = "retries"
	reasonFull     = "full"
	// ReasonUndecodable is for what could not be decoded as an event.
	ReasonUndecodable = "undecodable"
)

// step is what is done next with an event.
type step int

const (
	// stepRest: it is with its destination, or with the place for dead letters.
	stepRest step = iota
	// stepAgain: it is kept for another attempt.
	stepAgain
	// stepGiveUp: it goes to the place for dead letters.
	stepGiveUp
	// stepDrop: it is lost.
	stepDrop
)

// fate is what an attempt makes of an event.
type fate struct {
	verdict
	step   step
	reason string // of stepGiveUp and stepDrop
}

// policy is what a lane does with events that are not accepted.
type policy struct {
	retries     int  // -1: for ever
	deadLetters bool // there is a place for them
}

// fate decides what becomes of an event after so many attempts at its destination that failed.
func (p policy) fate(attempts int, failure error) fate {
	v := judge(failure)
	switch {
	case failure == nil:
		return fate{verdict: v, step: stepRest}
	case v.final && (p.deadLetters || p.retries >= 0):
		return p.givesUp(v, reasonRejected)
	case p.retries >= 0 && attempts > p.retries:
		return p.givesUp(v, reasonRetries)
	default:
		return fate{verdict: v, step: stepAgain}
	}
}

func (p policy) givesUp(v verdict, reason string) fate {
	if p.deadLetters {
		return fate{verdict: v, step: stepGiveUp, reason: reason}
	}
	return fate{verdict: v, step: stepDrop, reason: reason}
}

// deadFate decides what becomes of an event, given up for a reason, after an attempt at the place for dead letters. Where that does not
// accept it the event is kept for another attempt: only one that it refuses for good is dropped, and only where retries have an end.
func (p policy) deadFate(reason string, failure error) fate {
	v := judge(failure)
	switch {
	case failure == nil:
		return fate{verdict: v, step: stepRest, reason: reason}
	case v.final && p.retries >= 0:
		return fate{verdict: v, step: stepDrop, reason: reason}
	default:
		return fate{verdict: v, step: stepAgain, reason: reason}
	}
}
