package wire

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/attribute"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/line"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/javauri"
)

// maxTopic is how long the name of a topic may be, for RocketMQ.
const maxTopic = 127

// ValidateTopic returns an ErrInvalidTopic for a name that no storage of EventMesh accepts.
func ValidateTopic(topic string) error {
	if topic == "" || len(topic) > maxTopic || strings.ContainsFunc(topic, notInTopics) {
		return fmt.Errorf("%w %q: a name has 1 to 127 letters, digits and characters of ._%%|-", ErrInvalidTopic, topic)
	}
	return nil
}

// notInTopics tells the characters that one of EventMesh's storages refuses: RocketMQ accepts letters, digits and %|_-, Kafka
// the dot besides.
func notInTopics(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._%|-", r)
}

// Validate returns an ErrInvalidEvent that says why, where EventMesh would refuse an event for good, or lose it, or CloudEvents forbids
// what is in it.
func Validate(e event.Event) error {
	in, err := validate(e)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidEvent, err)
	}
	for name, value := range in.Extensions {
		if _, _, err := validExtension(name, value); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalidEvent, err)
		}
	}
	return nil
}

// validate looks at all but the extensions.
func validate(e event.Event) (*event.EventContextV1, error) {
	if err := e.Validate(); err != nil {
		return nil, errors.New(line.Sorted(err))
	}
	in, ok := e.Context.(*event.EventContextV1)
	if !ok {
		return nil, fmt.Errorf("specversion %s is not supported, only 1.0", e.SpecVersion())
	}
	for _, a := range texts(in) {
		if err := attribute.CheckText(a.value); err != nil {
			return nil, fmt.Errorf("%s: %w", a.name, err)
		}
		if a.isURI && !javauri.Valid(a.value) {
			return nil, fmt.Errorf("%s: %w", a.name, errNoURI)
		}
	}
	if in.Time != nil {
		if err := attribute.CheckTime(in.Time.Time); err != nil {
			return nil, fmt.Errorf("time: %w", err)
		}
	}
	return in, nil
}

// errNoURI: EventMesh reads source and dataschema with java.net.URI, and refuses the event where that does.
var errNoURI = errors.New("it is no URI that EventMesh accepts: blanks and the characters \"<>\\^`{|} have to be percent-encoded")

// text is an attribute with its text.
type text struct {
	name, value string
	isURI       bool
}

// texts returns all attributes that are texts, but extensions.
func texts(c *event.EventContextV1) [6]text {
	return [...]text{
		{"id", c.ID, false}, {"source", c.Source.String(), true}, {"type", c.Type, false}, {"subject", deref(c.Subject), false},
		{"datacontenttype", deref(c.DataContentType), false}, {"dataschema", c.DataSchema.String(), true},
	}
}

// extension returns the value of an extension as one of the types of CloudEvents, and as the text that it is elsewhere.
func extension(name string, value any) (valid any, text string, err error) {
	if !isExtensionName(name) {
		return nil, "", fmt.Errorf("extension name %.100q is not one of a CloudEvent", name)
	}
	if value, err = types.Validate(value); err != nil {
		return nil, "", fmt.Errorf("extension %s: %w", name, err)
	}
	if text, err = types.Format(value); err != nil {
		return nil, "", fmt.Errorf("extension %s: %w", name, err)
	}
	if t, ok := value.(types.Timestamp); ok {
		if err := attribute.CheckTime(t.Time); err != nil {
			return nil, "", fmt.Errorf("extension %s: %w", name, err)
		}
	}
	return value, text, nil
}

func isExtensionName(name string) bool {
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return name != "" && !slices.Contains(attributes, name)
}

// attributes are names that no extension has.
var attributes = []string{
	"id", "source", "specversion", "type", "subject", "time", "dataschema", "datacontenttype", "data",
}

// validExtension is an extension that holds nothing that CloudEvents forbids.
func validExtension(name string, value any) (valid any, text string, err error) {
	if valid, text, err = extension(name, value); err == nil {
		if err = attribute.CheckText(text); err != nil {
			err = fmt.Errorf("extension %s: %w", name, err)
		}
	}
	return valid, text, err
}

// rewritable returns an event that can be written again, in every mode of CloudEvents that has JSON.
func rewritable(c *event.EventContextV1, data []byte) (event.Event, error) {
	e := event.Event{Context: c, DataEncoded: data, DataBase64: !utf8.Valid(data)}
	if err := e.Validate(); err != nil {
		return event.Event{}, errors.New(line.Sorted(err))
	}
	for _, a := range texts(c) {
		if !utf8.ValidString(a.value) {
			return event.Event{}, fmt.Errorf("%s: %w", a.name, attribute.ErrNoUTF8)
		}
	}
	if c.Time != nil {
		if err := attribute.CheckTime(c.Time.Time); err != nil {
			return event.Event{}, fmt.Errorf("time: %w", err)
		}
	}
	for name, value := range c.Extensions {
		if _, text, err := extension(name, value); err != nil {
			return event.Event{}, err
		} else if !utf8.ValidString(text) {
			return event.Event{}, fmt.Errorf("%s: %w", name, attribute.ErrNoUTF8)
		}
	}
	return e, nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
