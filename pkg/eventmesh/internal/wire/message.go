package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/mediatype"
)

// EventMesh has a message format of its own, which is older than its CloudEvents: a topic, a text, and properties. Between
// its transports it holds such a message as a CloudEvent of no meaningful source and type, which over gRPC is also what
// subscribers get.

// MessageProtocol is the protocol type of EventMesh's own messages.
const MessageProtocol = "eventmeshmessage"

// MessageType is the type of the events that Decode makes of EventMesh's own messages.
const MessageType = "org.apache.eventmesh.message"

// InvalidReplyType is the type of what a subscriber replies with where it has no reply to send back.
const InvalidReplyType = "org.apache.eventmesh.reply.invalid"

const protocolTypeExtension = "protocoltype"

// messageFrame is the body of a frame that holds one.
type messageFrame struct {
	Topic      string            `json:"topic"`
	Properties map[string]string `json:"properties"`
	Headers    map[string]string `json:"headers"`
	Body       *string           `json:"body"`
}

// IsMessage tells whether what EventMesh delivered was published with its own protocol.
func IsMessage(wire event.Event) bool {
	c, ok := wire.Context.(*event.EventContextV1) // whose method would copy the extensions
	return ok && c.Extensions[protocolTypeExtension] == MessageProtocol
}

// UnmarshalMessage returns a message, as it stands in a frame, as the event that EventMesh holds.
func UnmarshalMessage(body []byte) (event.Event, error) {
	var m messageFrame
	if err := json.Unmarshal(body, &m); err != nil {
		return event.Event{}, fmt.Errorf("decoding message: %w", err)
	}
	if m.Body == nil {
		return event.Event{}, errors.New("decoding message: it has no body")
	}
	c := event.EventContextV1{Subject: &m.Topic, Extensions: make(map[string]any, len(m.Properties)+1)}
	for name, value := range m.Properties {
		c.Extensions[name] = value
	}
	c.Extensions[protocolTypeExtension] = MessageProtocol
	if contentType, ok := m.Headers["datacontenttype"]; ok {
		c.DataContentType = &contentType
	}
	return event.Event{Context: &c, DataEncoded: []byte(*m.Body)}, nil
}

// MarshalMessage returns an encoded event as a message in a frame. The error is an ErrInvalidEvent: a
// message is a text.
func MarshalMessage(wire event.Event) ([]byte, error) {
	body := string(wire.Data())
	if !utf8.ValidString(body) {
		return nil, fmt.Errorf("%w: the data is not valid UTF-8, which a message of EventMesh's own protocol has to be", ErrInvalidEvent)
	}
	m := messageFrame{Topic: wire.Subject(), Properties: map[string]string{}, Headers: map[string]string{}, Body: &body}
	for name, value := range wire.Extensions() {
		text, err := types.Format(value)
		if err != nil {
			return nil, fmt.Errorf("%w: extension %s: %w", ErrInvalidEvent, name, err)
		}
		m.Properties[name] = text
	}
	if contentType := wire.DataContentType(); contentType != "" {
		m.Headers["datacontenttype"] = contentType
	}
	return json.Marshal(m)
}

// decodeMessage makes of a message an event with the type [MessageType] and the source eventmesh:<topic>. Its content is the
// data, byte for byte.
//
// Its id is the message's unique id, which every publisher over gRPC sets; else the one that RocketMQ gave it; else a hash of the
// topic, the sequence number, the publisher's properties, the content type and the content. So a message that is delivered
// twice has the same id both times. Without RocketMQ, messages of a TCP publisher that are equal in all these have it too.
//
// The content type is the one that the message tells. Where it tells none, or what is none, it is text/plain, as with
// EventMesh's own publishers, or application/octet-stream where the content is no text.
//
// Properties become extensions, their names lower-cased and freed of all but letters and digits. Of those that then have the
// same name, the one that had it from the start stays, or else the first in the order of bytes. Left out are properties whose
// names have no letter or digit, or are those of CloudEvents attributes, and all that are [reserved], for EventMesh and the
// publisher's client set those. The only attribute that a publisher can set is the time, over gRPC.
func decodeMessage(in *event.EventContextV1, data []byte) (e event.Event, topic string, err error) {
	if topic = deref(in.Subject); topic == "" {
		return event.Event{}, "", errors.New("decoding message: it has no topic")
	}
	out := event.EventContextV1{
		Type: MessageType, Time: in.Time, DataContentType: messageContentType(in.DataContentType, data),
		Extensions: messageExtensions(in.Extensions),
	}
	out.Source.URL = url.URL{Scheme: "eventmesh", Opaque: url.PathEscape(topic)}
	if out.ID, err = messageID(topic, in, &out, data); err != nil {
		return event.Event{}, topic, fmt.Errorf("decoding message: %w", err)
	}
	if e, err = rewritable(&out, data); err != nil {
		return event.Event{}, topic, fmt.Errorf("decoding message: %w", err)
	}
	return e, topic, nil
}

// messageID is stable: what it depends on is the same in every delivery.
func messageID(topic string, in, out *event.EventContextV1, data []byte) (string, error) {
	for _, name := range []string{"uniqueid", "uniq99key"} {
		if id, ok := in.Extensions[name].(string); ok && strings.TrimSpace(id) != "" {
			return id, nil
		}
	}
	b, err := json.Marshal([]any{topic, in.Extensions["seqnum"], out.Extensions, out.DataContentType, data})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

func messageContentType(told *string, data []byte) *string {
	contentType := deref(told)
	switch {
	case mediatype.IsCloudEvents(contentType): // it would make a structured event of the message
		return event.StringOfApplicationJSON()
	case isMediaType(contentType):
	case utf8.Valid(data):
		contentType = event.TextPlain
	default:
		contentType = octetStream
	}
	return &contentType
}

func isMediaType(contentType string) bool {
	_, _, err := mime.ParseMediaType(contentType)
	return err == nil
}

func messageExtensions(properties map[string]any) map[string]any {
	extensions := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		own := extensionName(name)
		if own == "" || reserved[own] || slices.Contains(attributes, own) {
			continue
		}
		if _, taken := extensions[own]; !taken || own == name {
			extensions[own] = properties[name]
		}
	}
	return extensions
}

// extensionName returns a property's name without what an extension's cannot have.
func extensionName(property string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(property))
}
