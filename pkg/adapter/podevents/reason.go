package podevents

import (
	"errors"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/line"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// Reason is why there is an Event, as kubectl shows it. docs/operations.md lists them.
type Reason string

// All reasons there are. Each but the last two is about a state.
const (
	// NotConnected: there is no session with EventMesh.
	NotConnected Reason = "NotConnected"
	// CredentialsRefused: EventMesh does not accept the credentials, or what they should do.
	CredentialsRefused Reason = "CredentialsRefused"
	// NotConfirming: EventMesh is connected, and confirms no event.
	NotConfirming Reason = "NotConfirming"
	// MissingTopic: EventMesh has no such topic.
	MissingTopic Reason = "MissingTopic"
	// BufferFull: no more events are received, since the sink does not take them.
	BufferFull Reason = "BufferFull"
	// SpoolFull: the disk of the spool is full.
	SpoolFull Reason = "SpoolFull"
	// SpoolFailed: the spool cannot be written for another reason.
	SpoolFailed Reason = "SpoolFailed"
	// IssuerUnknown: no token can be verified.
	IssuerUnknown Reason = "IssuerUnknown"
	// NotReady: anything else.
	NotReady Reason = "NotReady"
	// TopicNotOpen: a sender has named a topic that is not open.
	TopicNotOpen Reason = "TopicNotOpen"
	// Recovered: what an earlier Event says is over.
	Recovered Reason = "Recovered"
)

// Because returns an error that says the same, and whose reason is known. It returns nil for nil.
func Because(reason Reason, err error) error {
	if err == nil {
		return nil
	}
	return &because{reason, err}
}

type because struct {
	reason Reason
	error
}

func (b *because) Unwrap() error { return b.error }

// ReasonOf returns the reason of what readiness says: that of Because, or by the errors of package eventmesh. It is "" for nil.
func ReasonOf(err error) Reason {
	var known *because
	switch {
	case err == nil:
		return ""
	case errors.As(err, &known):
		return known.reason
	case errors.Is(err, eventmesh.ErrUnauthorized):
		return CredentialsRefused
	case errors.Is(err, eventmesh.ErrMissingTopic):
		return MissingTopic
	case errors.Is(err, eventmesh.ErrNotConnected):
		return NotConnected
	default:
		return NotReady
	}
}

// longest is how long a message may be in bytes: Kubernetes refuses longer ones.
const longest = 1024

const ellipsis = "…"

// messageOf makes a message of what an error says.
func messageOf(text string) string {
	return line.First(text, longest-len(ellipsis), ellipsis)
}
