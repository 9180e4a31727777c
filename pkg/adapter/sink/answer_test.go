package sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

func TestAnswersTellWhatFailed(t *testing.T) {
	for _, c := range []struct {
		err        error
		status     int
		retryAfter string
	}{
		{eventmesh.ErrInvalidEvent, 400, ""},
		{eventmesh.ErrInvalidTopic, 400, ""},
		{eventmesh.ErrTooLarge, 413, ""},
		{eventmesh.ErrUnsupported, 403, ""},
		{eventmesh.ErrRateLimited, 429, "1"},
		{eventmesh.ErrNotConnected, 503, "1"},
		{eventmesh.ErrUnconfirmed, 503, "1"},
		{eventmesh.ErrNoSubscriber, 503, "1"},
		{eventmesh.ErrRefused, 503, "1"},
		{eventmesh.ErrUnauthorized, 503, "1"},
		{eventmesh.ErrClosed, 503, "1"},
		{errors.New("unheard of"), 503, "1"},
		{errors.Join(errors.New("of several"), errors.New("lines")), 503, "1"},
		{eventmesh.ErrInvalidReply, 502, ""},
		{eventmesh.ErrNoReply, 504, ""},
		{fmt.Errorf("%w: %w", eventmesh.ErrUnconfirmed, eventmesh.ErrNoReply), 504, ""},
		{&eventmesh.RefusalError{Kind: eventmesh.ErrRateLimited, Code: "21", Reason: "too fast\nat org.apache"}, 429, "1"},
	} {
		t.Run(c.err.Error(), func(t *testing.T) {
			err := fmt.Errorf("publishing to orders: %w", c.err)
			p := &fake{
				publish: func(context.Context, string) error { return err },
				request: func(context.Context, string) (*event.Event, error) { return nil, err },
			}
			_, server, _ := serve(t, p)
			for _, path := range []string{"/topics/orders", "/requests/orders"} {
				got, want := post(t, server.URL+path), strings.ReplaceAll(err.Error(), "\n", " ")+"\n"
				if got.status != c.status || got.header.Get("Retry-After") != c.retryAfter || got.body != want {
					t.Errorf("%s: got %d %q, Retry-After %q; want %d %q, Retry-After %q", path, got.status, got.body, got.header.Get("Retry-After"),
						c.status, want, c.retryAfter)
				}
			}
		})
	}
}

func TestReplies(t *testing.T) {
	reply := func(change func(*event.Event)) event.Event {
		e := event.New()
		e.SetID("r1")
		e.SetSource("/answers")
		e.SetType("order.priced")
		e.SetDataContentType("application/json")
		e.DataEncoded = []byte(`{"price":9.50}`)
		change(&e)
		return e
	}
	for _, c := range []struct {
		name       string
		event      event.Event
		structured bool
	}{
		{name: "plain", event: reply(func(*event.Event) {})},
		{name: "extensions", event: reply(func(e *event.Event) { e.SetExtension("region", "eu"); e.SetExtension("traceparent", "00-1-2-01") })},
		{name: "no data", event: reply(func(e *event.Event) { e.DataEncoded = nil })},
		{name: "no content type", event: reply(func(e *event.Event) {
			e.Context.(*event.EventContextV1).DataContentType = nil
			e.DataEncoded = []byte("<html>")
		})},
		{name: "binary data", event: reply(func(e *event.Event) {
			e.SetDataContentType("image/png")
			e.DataEncoded = []byte{0, 255, 10}
		})},
		{name: "content type of an event", structured: true, event: reply(func(e *event.Event) { e.SetDataContentType("application/cloudevents+json") })},
		{name: "beyond ASCII", structured: true, event: reply(func(e *event.Event) { e.SetSubject("Zürich") })},
		{name: "percent", structured: true, event: reply(func(e *event.Event) { e.SetSubject("100%25") })},
		{name: "line break", structured: true, event: reply(func(e *event.Event) { e.SetExtension("note", "a\nb") })},
		{name: "beyond ASCII, without a content type", structured: true, event: reply(func(e *event.Event) {
			e.SetSubject("grüße")
			e.Context.(*event.EventContextV1).DataContentType = nil
			e.DataEncoded = []byte("hi")
		})},
		{name: "JSON of another type", structured: true, event: reply(func(e *event.Event) {
			e.SetSubject("grüße")
			e.SetDataContentType("application/vnd.price+json")
		})},
		{name: "what is no JSON", structured: true, event: reply(func(e *event.Event) {
			e.SetSubject("grüße")
			e.DataEncoded = []byte(`{"price":`)
		})},
		{name: "space at the end", structured: true, event: reply(func(e *event.Event) { e.SetExtension("note", "a ") })},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &fake{request: func(context.Context, string) (*event.Event, error) { return &c.event, nil }}
			_, server, _ := serve(t, p)
			got := post(t, server.URL+"/requests/orders")
			if got.status != http.StatusOK {
				t.Fatalf("got %d %q, want 200", got.status, got.body)
			}
			message := cehttp.NewMessage(got.header, io.NopCloser(bytes.NewReader([]byte(got.body))))
			if structured := message.ReadEncoding() == binding.EncodingStructured; structured != c.structured {
				t.Errorf("got structured %t, want %t", structured, c.structured)
			}
			e, err := binding.ToEvent(t.Context(), message)
			if err != nil {
				t.Fatal(err)
			}
			if diff := same(*e, c.event); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRepliesThatCannotBeSent(t *testing.T) {
	noType := event.New()
	noType.Context.(*event.EventContextV1).Extensions = map[string]any{"price": struct{}{}}
	for want, reply := range map[string]event.Event{"specversion 0.3": event.New(event.CloudEventsVersionV03), "extension price": noType} {
		p := &fake{request: func(context.Context, string) (*event.Event, error) { return &reply, nil }}
		_, server, _ := serve(t, p)
		got := post(t, server.URL+"/requests/orders")
		if got.status != http.StatusBadGateway || !strings.Contains(got.body, want) || got.header.Get("Ce-Specversion") != "" {
			t.Errorf("got %d %q with %v, want 502 that tells of %s", got.status, got.body, got.header, want)
		}
	}
}

func TestRepeatedFailuresAreSampled(t *testing.T) {
	p := &fake{publish: func(context.Context, string) error { return eventmesh.ErrNotConnected }}
	_, server, logs := serve(t, p)
	const requests = 200
	for range requests {
		post(t, server.URL)
	}
	send(t, server.Client(), http.MethodGet, server.URL, nil, nil)
	lines := logs.FilterMessageSnippet("503").All()
	if len(lines) == 0 || len(lines) > requests/10 {
		t.Errorf("got %d lines for %d failures, want one a second", len(lines), requests)
	}
	for _, line := range lines {
		if line.ContextMap()["topic"] != "orders" || !strings.Contains(fmt.Sprint(line.ContextMap()["error"]), "not connected") {
			t.Errorf("got %v, want topic and error", line.ContextMap())
		}
	}
	if logs.FilterMessageSnippet("405").Len() != 1 {
		t.Error("a failure of another kind is not in the log")
	}
}
