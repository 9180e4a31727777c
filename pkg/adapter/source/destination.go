package source

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"golang.org/x/net/http/httpguts"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/fresh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/delivery"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// overHTTP returns a destination over HTTP, as the configuration has it. The sink alone gets the token, and is asked for replies.
func (s *source) overHTTP(to SinkURL, mode dispatch.ContentMode, sink bool) *dispatch.HTTP {
	c := s.config
	o := dispatch.HTTPOptions{
		URL: to.URL, Timeout: s.timeout(), Mode: mode, MaxConnections: c.MaxInFlight, Header: http.Header{},
		TLS: func() (*tls.Config, error) { return delivery.Trusted(c.GetCACerts()) },
	}
	if namespace := c.GetNamespace(); namespace != "" {
		o.Header.Set(delivery.NamespaceHeader, namespace)
	}
	if sink {
		o.Token = tokenFile(c.TokenFile)
		o.Replies = c.Type == Type(eventmesh.Sync)
	}
	destination := dispatch.NewHTTP(o)
	s.https = append(s.https, destination)
	return destination
}

func (s *source) timeout() time.Duration { return time.Duration(s.config.SinkTimeout) * time.Second }

// tokenFile returns what reads the token of a file that is replaced from time to time; none where there is no file.
func tokenFile(path string) func() (string, error) {
	file := fresh.New(func(contents ...[]byte) (string, error) {
		token := strings.TrimSpace(string(contents[0]))
		if strings.ContainsAny(token, "\r\n") {
			return "", fmt.Errorf("%s holds more than one line", path)
		}
		if !httpguts.ValidHeaderFieldValue(token) {
			return "", fmt.Errorf("%s holds what HTTP does not accept", path)
		}
		return token, nil
	}, path)
	return func() (string, error) {
		token, err := file.Get()
		switch {
		case errors.Is(err, os.ErrNotExist):
			return "", nil
		case err != nil:
			return "", fmt.Errorf("OIDC_TOKEN_FILE: %w", err)
		}
		return token, nil
	}
}

// deadLetter returns the place for dead letters, and nil where there is none. A sink for them gets events as K_SINK does, but also those
// that the mode of choice cannot carry: that can be why they are there.
func (s *source) deadLetter() (dispatch.Destination, error) {
	switch c := s.config; {
	case c.DeadLetterSink.URL != nil:
		mode := c.ContentMode
		if mode == dispatch.Binary {
			mode = dispatch.Auto
		}
		return s.overHTTP(c.DeadLetterSink, mode, false), nil
	case c.DeadLetterTopic != "":
		client, err := c.ClientConfig(c.Group, s.logger.With("for", "dead letters"))
		if err != nil {
			return nil, err
		}
		s.publisher, err = eventmesh.NewPublisher(client, adapter.Transports...)
		return deadLetterTopic{publisher: s.publisher, topic: c.DeadLetterTopic, timeout: s.timeout()}, err
	default:
		return nil, nil
	}
}

// deadLetterTopic accepts dead letters in EventMesh.
type deadLetterTopic struct {
	publisher *eventmesh.Publisher
	topic     string
	timeout   time.Duration
}

func (t deadLetterTopic) String() string { return t.topic }

func (t deadLetterTopic) Send(ctx context.Context, e event.Event) (dispatch.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	if err := eventmesh.Validate(e); err != nil { // as the event of another publisher may be
		e = enclosed(e, err)
	}
	err := t.publisher.Publish(ctx, t.topic, e)
	if isOfEvent(err) {
		err = &dispatch.UnsendableError{Reason: err}
	}
	return dispatch.Answer{}, err
}

// isOfEvent tells the errors of EventMesh that are about the event alone. Most are known beforehand.
func isOfEvent(err error) bool {
	return errors.Is(err, eventmesh.ErrInvalidEvent) || errors.Is(err, eventmesh.ErrTooLarge)
}

// enclosed returns an event of which no attribute can be in the way, with the event as its data, in JSON, and what Knative says of why it
// is a dead letter.
func enclosed(e event.Event, failure error) event.Event {
	extensions := e.Extensions()
	topic, _ := extensions[delivery.TopicExtension].(string)
	whole := delivery.NoEvent(topic, asJSON(&e))
	dispatch.SetError(&whole, "", failure)
	for _, name := range []string{dispatch.ErrorDestination, dispatch.ErrorCode, dispatch.ErrorData} {
		if value, ok := extensions[name]; ok {
			whole.SetExtension(name, value)
		}
	}
	whole.SetDataContentType(event.ApplicationJSON)
	return whole
}
