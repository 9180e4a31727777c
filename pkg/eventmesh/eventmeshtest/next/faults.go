package next

import (
	"math/rand/v2"
	"time"
)

// Faults are what goes wrong in a server beyond what always does. The zero value is none. A request that is stalled has no effect, and
// no answer as long as its client waits. Where an answer is lost, the connection is closed in its place.
type Faults struct {
	// Delay is waited before each answer to a publish, a batch or a request.
	Delay time.Duration
	// Refuse, if set, is the HTTP status, such as 503, with which every publish, batch and request is refused.
	Refuse int
	// RefuseDescription is the text that goes with Refuse; default "refused".
	RefuseDescription string
	// LoseAnswers is the share of publishes, batches and requests, from 0 to 1, that are stored and whose answer is lost.
	LoseAnswers float64
	// LosePolls is the share of polls, from 0 to 1, whose answer is lost with its events, which come again.
	LosePolls float64
	// LoseAcknowledgements is the share of acknowledgements, from 0 to 1, that have their effect and whose answer is lost.
	LoseAcknowledgements float64
	// RefuseSubscribe refuses every subscription with status 500, and StallSubscribe stalls it.
	RefuseSubscribe, StallSubscribe bool
	// StallUnsubscribe stalls the end of a subscription.
	StallUnsubscribe bool
	// StallPoll stalls every poll.
	StallPoll bool
	// StallAcknowledge stalls every acknowledgement.
	StallAcknowledge bool
}

// SetFaults replaces the faults that are in effect.
func (s *Server) SetFaults(f Faults) { s.faults.Store(&f) }

func (s *Server) fault() Faults {
	if f := s.faults.Load(); f != nil {
		return *f
	}
	return Faults{}
}

func happens(share float64) bool { return share > 0 && rand.Float64() < share } //nolint:gosec // not a secret
