package wire

import (
	"errors"
	"regexp"
	"strings"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/line"
)

// Errors that package eventmesh exports, and explains.
var (
	ErrInvalidEvent = errors.New("invalid event")
	ErrInvalidTopic = errors.New("invalid topic")
	ErrInvalidReply = errors.New("no usable reply")
	ErrNoSubscriber = errors.New("topic has no subscriber")
	ErrRefused      = errors.New("refused by EventMesh")
	ErrTooLarge     = errors.New("event too large")
)

// KindOfSendFailure returns what a failure to pass an event on to the storage means, by EventMesh's text. The standalone storage
// says no more of a topic without a subscriber than that sending failed. The CloudEvents SDK for Java refuses an attribute in its own
// words, and RocketMQ attributes of more than 32 KiB in others: such an event is never accepted.
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

// The storages that StorageOf knows, as EventMesh's configuration spells them.
const (
	Standalone = "standalone"
	RocketMQ   = "rocketmq"
)

// StorageOf tells, by EventMesh's text, which storage has refused an event because of its topic. It is empty where the text does not tell.
func StorageOf(reason string) string {
	switch {
	case strings.Contains(reason, "Send message error, topic"):
		return Standalone
	case strings.Contains(reason, "rocketmq"), strings.Contains(reason, "Topic does not exist, Topic="):
		return RocketMQ
	default:
		return ""
	}
}

var invalidAttribute = regexp.MustCompile(`(?i)\binvalid (\w+ attribute\b|attribute\b|extensions? name\b)`)

const maxReason = 200

// StartOf returns the first line of a reason that comes from elsewhere, or its beginning.
func StartOf(reason string) string { return line.First(reason, maxReason, "…") }

// RedirectError ends a session whose server sends its client to another one.
type RedirectError struct {
	// Host is host:port; the scheme stays.
	Host string
}

// Error says where to.
func (r *RedirectError) Error() string { return "redirected to " + r.Host }
