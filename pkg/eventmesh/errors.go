package eventmesh

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// What a publish can fail for; errors.Is tells which. [Temporary] tells those that another attempt can mend.
var (
	// ErrNotConnected: no EventMesh server can be reached at the moment.
	ErrNotConnected = errors.New("not connected to EventMesh")
	// ErrUnconfirmed: EventMesh has not confirmed in time. It may have the event.
	ErrUnconfirmed = errors.New("not confirmed by EventMesh in time")
	// ErrRateLimited: EventMesh takes no more events at the moment.
	ErrRateLimited = errors.New("rate limit of EventMesh reached")
	// ErrNoSubscriber: the storage holds no events for absent subscribers, and nobody subscribes to the topic.
	ErrNoSubscriber = errors.New("topic has no subscriber")
	// ErrNoReply: the event was published, and no reply came in time.
	ErrNoReply = errors.New("no reply in time")
	// ErrInvalidReply: the event was published, and there is no usable reply to it: the subscriber says so, or what came is no event.
	ErrInvalidReply = errors.New("no usable reply")
	// ErrRefused: EventMesh failed to take the event, for a reason of its own.
	ErrRefused = errors.New("refused by EventMesh")
	// ErrUnauthorized: EventMesh does not take the credentials, or does not let them do this.
	ErrUnauthorized = errors.New("not authorized by EventMesh")

	// ErrInvalidEvent: EventMesh cannot carry the event, now or later.
	ErrInvalidEvent = errors.New("invalid event")
	// ErrInvalidTopic: EventMesh cannot carry a topic of this name.
	ErrInvalidTopic = errors.New("invalid topic")
	// ErrTooLarge: the event is larger than the transport or the server takes.
	ErrTooLarge = errors.New("event too large")

	// ErrUnsupported: EventMesh has no such thing.
	ErrUnsupported = errors.New("not supported by EventMesh")

	// ErrClosed: the Publisher or Subscriber has been closed.
	ErrClosed = errors.New("closed")
)

// Temporary tells whether the same call can succeed later, when neither the event nor the configuration has changed.
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
	return fmt.Sprintf("%s: code %.20s: %s", r.Kind, r.Code, startOf(r.Reason))
}

// Unwrap returns the kind.
func (r *RefusalError) Unwrap() error { return r.Kind }

const maxReason = 200

// startOf returns the first line of a reason that comes from elsewhere, or its beginning.
func startOf(reason string) string {
	reason, _, _ = strings.Cut(strings.TrimSpace(reason), "\n")
	more := ""
	if len(reason) > maxReason {
		reason, more = reason[:maxReason], "…"
	}
	return strings.TrimSpace(strings.ToValidUTF8(reason, "")) + more
}

// KindOfSendFailure is for transports: what a failure to pass an event on to the storage means, by EventMesh's text. The
// standalone storage says no more of a topic without a subscriber than that sending failed. The CloudEvents SDK for Java refuses an
// attribute in its own words, and RocketMQ attributes of more than 32 KiB in others: such an event is never taken.
func KindOfSendFailure(reason string) error {
	switch {
	case strings.Contains(reason, "Send message error, topic"):
		return ErrNoSubscriber
	case invalidAttribute.MatchString(reason):
		return ErrInvalidEvent
	case strings.Contains(reason, "properties length not matched"):
		return ErrTooLarge
	default:
		return ErrRefused
	}
}

var invalidAttribute = regexp.MustCompile(`(?i)\binvalid (\w+ attribute\b|attribute\b|extensions? name\b)`)

// RedirectError ends a session whose server sends its client to another one.
type RedirectError struct {
	// Host is host:port; the scheme stays.
	Host string
}

// Error says where to.
func (r *RedirectError) Error() string { return "redirected to " + r.Host }
