package ingress

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/ingresstest"
)

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
			server, _ := serve(t, p)
			got := ingresstest.Post(t, server.URL+"/requests/orders")
			if got.Status != http.StatusOK {
				t.Fatalf("got %d %q, want 200", got.Status, got.Body)
			}
			message := cehttp.NewMessage(got.Header, io.NopCloser(bytes.NewReader([]byte(got.Body))))
			if structured := message.ReadEncoding() == binding.EncodingStructured; structured != c.structured {
				t.Errorf("got structured %t, want %t", structured, c.structured)
			}
			e, err := binding.ToEvent(t.Context(), message)
			if err != nil {
				t.Fatal(err)
			}
			if diff := ingresstest.Same(*e, c.event); diff != "" {
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
		server, _ := serve(t, p)
		got := ingresstest.Post(t, server.URL+"/requests/orders")
		if got.Status != http.StatusBadGateway || !strings.Contains(got.Body, want) || got.Header.Get("Ce-Specversion") != "" {
			t.Errorf("got %d %q with %v, want 502 that tells of %s", got.Status, got.Body, got.Header, want)
		}
	}
}
