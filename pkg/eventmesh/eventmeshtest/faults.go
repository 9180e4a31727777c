package eventmeshtest

import (
	"math/rand/v2"
	"time"
)

// Faults are what goes wrong in a server beyond what always does. The zero value is none.
type Faults struct {
	// Delay is waited before each answer to a publish.
	Delay time.Duration
	// Refuse, if set, is the status code, such as 21, with which every publish over gRPC is refused; over TCP it is code 1.
	Refuse string
	// RefuseDescription is the text that goes with Refuse; default EventMesh's own text for the code.
	RefuseDescription string
	// LoseAnswers is the share of publishes, from 0 to 1, that are stored and never answered.
	LoseAnswers float64
	// MixUpAcknowledgements is the share of confirmations over TCP, from 0 to 1, that go to another publisher's session, and
	// return a permit to that instead of their own. Without it that is so where publishes of two sessions meet.
	MixUpAcknowledgements float64
	// StallHeartbeats leaves heartbeats unanswered.
	StallHeartbeats bool
	// StallHello leaves the hello of a TCP session unanswered and without effect.
	StallHello bool
	// RefuseHello refuses every TCP session.
	RefuseHello bool
	// StallSubscribe leaves subscriptions unanswered and without effect.
	StallSubscribe bool
	// StallUnsubscribe leaves the end of a subscription, and over TCP the goodbye, unanswered and without effect.
	StallUnsubscribe bool
	// RefuseSubscribe refuses every subscription.
	RefuseSubscribe bool
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
