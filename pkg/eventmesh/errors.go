package eventmesh

import (
	"errors"
	"fmt"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
)

// Why a publish or a subscription can fail; errors.Is tells which. [Temporary] tells whether to try again.
var (
	// ErrNotConnected: no EventMesh server can be reached at the moment.
	ErrNotConnected = errors.New("not connected to EventMesh")
	// ErrUnconfirmed: EventMesh has not confirmed in time. It may have the event.
	ErrUnconfirmed = errors.New("not confirmed by EventMesh in time")
	// ErrRateLimited: EventMesh accepts no more events at the moment.
	ErrRateLimited = errors.New("rate limit of EventMesh reached")
	// ErrNoSubscriber: the storage holds no events for absent subscribers, and nobody subscribes to the topic.
	ErrNoSubscriber = wire.ErrNoSubscriber
	// ErrNoReply: the event was published, and no reply came in time.
	ErrNoReply = errors.New("no reply in time")
	// ErrInvalidReply: the event was published, and the reply is not an event, or says that there is none.
	ErrInvalidReply = wire.ErrInvalidReply
	// ErrRefused: EventMesh failed to accept the event, for a reason of its own.
	ErrRefused = wire.ErrRefused
	// ErrUnauthorized: EventMesh does not accept the credentials, or does not allow them to do this.
	ErrUnauthorized = errors.New("not authorized by EventMesh")
	// ErrInvalidEvent: EventMesh cannot carry the event, now or later.
	ErrInvalidEvent = wire.ErrInvalidEvent
	// ErrInvalidTopic: EventMesh cannot carry a topic of this name.
	ErrInvalidTopic = wire.ErrInvalidTopic
	// ErrMissingTopic: the storage has no topic of this name, and subscribing does not make it.
	ErrMissingTopic = errors.New("topic does not exist")
	// ErrTooLarge: the event is larger than the transport or the server accepts.
	ErrTooLarge = wire.ErrTooLarge
	// ErrUnsupported: EventMesh has no such thing.
	ErrUnsupported = errors.New("not supported by EventMesh")
	// ErrClosed: the Publisher or Subscriber has been closed.
	ErrClosed = errors.New("closed")
)

// Temporary tells whether the same call can succeed later without a change.
func Temporary(err error) bool {
	for _, permanent := range []error{ErrInvalidEvent, ErrInvalidTopic, ErrTooLarge, ErrUnauthorized, ErrUnsupported, ErrClosed} {
		if errors.Is(err, permanent) {
			return false
		}
	}
	return true
}

// RefusalError is an answer of EventMesh that is not success. errors.Is finds its Kind.
type RefusalError struct {
	// Kind is one of this package's errors.
	Kind error
	// Code is the transport's status code, as EventMesh sent it; at most 20 characters of it are part of the message.
	Code string
	// Reason is EventMesh's own text; only its first line, and at most 200 bytes of it, are part of the message.
	Reason string
}

// Error returns the kind, with EventMesh's code and the start of its reason.
func (r *RefusalError) Error() string {
	return fmt.Sprintf("%s: code %.20s: %s", r.Kind, r.Code, wire.StartOf(r.Reason))
}

// Unwrap returns the kind.
func (r *RefusalError) Unwrap() error { return r.Kind }
