package source

import (
	"context"
	"encoding/base64"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/zap"
	"knative.dev/eventing/pkg/kncloudevents/attributes"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/httpevent"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// Why an event was given up, in metrics and logs.
const (
	reasonRejected    = "rejected"
	reasonRetries     = "retries"
	reasonUndecodable = "undecodable"
)

// noResponse is the code of a failure without an answer, as Knative's own components have it.
const noResponse = -1

// deadLetters is the place for events that the sink never takes.
type deadLetters interface {
	// take returns nil when the event is safe there.
	take(context.Context, event.Event) error
}

// deadLetterSink takes dead letters over HTTP.
type deadLetterSink struct{ *sender }

// newDeadLetterSink returns one that gets events as the sink does, but also those that the mode of choice cannot carry: that can be why
// they are there.
func newDeadLetterSink(c *Config, logger *zap.SugaredLogger) deadLetterSink {
	s := newSender(c, c.DeadLetterSink, logger)
	if s.mode == httpevent.Binary {
		s.mode = httpevent.Auto
	}
	return deadLetterSink{s}
}

func (s deadLetterSink) take(ctx context.Context, e event.Event) error {
	_, err := s.send(ctx, e)
	return err
}

// deadLetterTopic takes dead letters in EventMesh.
type deadLetterTopic struct {
	publisher *eventmesh.Publisher
	topic     string
	timeout   time.Duration
}

func (t deadLetterTopic) take(ctx context.Context, e event.Event) error {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	if err := eventmesh.Validate(e); err != nil { // as the event of another publisher may be
		e = enclosed(e, err)
	}
	return t.publisher.Publish(ctx, t.topic, e)
}

// enclosed returns an event of which no attribute can be in the way, with the event as its data, in JSON, and what Knative says of why it
// is a dead letter.
func enclosed(e event.Event, failure error) event.Event {
	extensions := extensionsOf(&e)
	topic, _ := extensions[topicExtension].(string)
	whole := noEvent(topic, asJSON(&e), failure)
	for _, name := range []string{
		attributes.KnativeErrorDestExtensionKey, attributes.KnativeErrorCodeExtensionKey, attributes.KnativeErrorDataExtensionKey,
	} {
		if value, ok := extensions[name]; ok {
			whole.SetExtension(name, value)
		}
	}
	whole.SetDataContentType(event.ApplicationJSON)
	return whole
}

// deadLetter returns the event with what Knative says of an event that a destination did not take.
func deadLetter(e event.Event, destination *url.URL, failure error) event.Event {
	e = e.Clone()
	var rejected *rejection
	if errors.As(failure, &rejected) {
		addError(&e, withoutSecrets(destination), rejected.status, rejected.body)
	} else {
		addError(&e, withoutSecrets(destination), noResponse, failure.Error())
	}
	return e
}

// addError sets Knative's error extensions; an empty destination is left out. Like Knative's own components it encodes the data in
// base64, as much of it as the extension may have bytes.
func addError(e *event.Event, destination string, code int, data string) {
	if destination != "" {
		e.SetExtension(attributes.KnativeErrorDestExtensionKey, destination)
	}
	e.SetExtension(attributes.KnativeErrorCodeExtensionKey, strconv.Itoa(code))
	const most = attributes.KnativeErrorDataExtensionMaxLength / 4 * 3
	if data = data[:min(len(data), most)]; data != "" {
		e.SetExtension(attributes.KnativeErrorDataExtensionKey, base64.StdEncoding.EncodeToString([]byte(data)))
	}
}

// withoutSecrets leaves out what of a URL may be secret, and a path for which a dead letter would have to be structured.
func withoutSecrets(u *url.URL) string {
	for _, path := range []string{u.Path, ""} {
		if text := (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: path}).String(); !strings.Contains(text, "%") {
			return text
		}
	}
	return ""
}
