package contract

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

// jsonForOthers publishes JSON, however it is spelled, to a TCP subscriber that knows nothing of this project's mapping.
func jsonForOthers(t *testing.T, target Target) {
	receiving := target
	if target.http() {
		jsonForPollers(t, target)
		return
	}
	if !target.tcp() {
		receiving, _ = target.other(t)
	}
	if receiving.Addresses[0].TLS() {
		t.Skip("the raw subscriber has no TLS")
	}
	topic := target.topic(t)
	s := receiving.rawSubscriber(t, topic)
	p := target.publisherFor(t, receiving.Transport.Traits().Scheme)
	spelled(t, func(e event.Event) []byte { return s.receive(t, p, topic, e) })
}

// spelled publishes JSON in several spellings, and looks at what an other client gets.
func spelled(t *testing.T, through func(event.Event) []byte) {
	t.Helper()
	for _, text := range []string{
		`{"a":1}`, `{"a": 1}`, `{"a":1.50}`, "{\n  \"a\": [ 1e3, -0, 2.5 ],\n  \"b\": null\n}\n", `{"a":1,"a":2}`, `{"a":"\u00fc\/😀\ud83d\ude00"}`,
		`1`, ` 1.50 `, `"x"`, ` "x"`, `true`, ` [ ] `, `null`, " null",
	} {
		e := newEvent(unique("json"))
		e.SetDataContentType(event.ApplicationJSON)
		e.DataEncoded = []byte(text)
		var got struct {
			Data any `json:"data"`
		}
		var want any
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(through(e), &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got.Data, want) {
			t.Errorf("of %s an other client gets %#v, want %#v", text, got.Data, want)
		}
	}
}

// jsonForPollers does so for a client of the HTTP API.
func jsonForPollers(t *testing.T, target Target) {
	t.Helper()
	if target.Addresses[0].TLS() {
		t.Skip("the raw client has no TLS")
	}
	topic, client := unique("topic"), unique("client")
	call := func(method, path, body string) []byte {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, target.Addresses[0].String()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		said, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%s %s: got %d, %s, %v", method, path, answer.StatusCode, said, err)
		}
		return said
	}
	call(http.MethodPost, "/events/subscribe", fmt.Sprintf(`{"clientId":%q,"topic":%q,"mode":"LOAD_BALANCE"}`, client, topic))
	p := target.publisher(t)
	spelled(t, func(e event.Event) []byte {
		publish(t, p, topic, e)
		var came []struct {
			Event json.RawMessage `json:"event"`
		}
		if err := json.Unmarshal(call(http.MethodGet, "/events/poll?timeoutMs=30000&max=1&clientId="+client, ""), &came); err != nil || len(came) != 1 {
			t.Fatalf("got %v, %v, want an event", came, err)
		}
		return came[0].Event
	})
}

func (target Target) rawSubscriber(t *testing.T, topic string) *rawTCP {
	t.Helper()
	credentials, err := target.credentials()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	t.Cleanup(cancel)
	s, err := dialTCP(ctx, target.Addresses[0].Host, credentials, unique("group"), "sub")
	if err != nil {
		t.Fatal(err)
	}
	subscription := map[string]any{"topicList": []any{map[string]string{"topic": topic, "mode": string(eventmesh.Clustering), "type": string(eventmesh.Async)}}}
	if _, err := s.call(frame.Header{Command: frame.SubscribeRequest}, subscription); err != nil {
		t.Fatal(err)
	}
	if _, err := s.call(frame.Header{Command: frame.ListenRequest}, nil); err != nil {
		t.Fatal(err)
	}
	return s
}

// receive publishes the event until it comes, since a new group can miss the first ones, and returns it as it came.
func (s *rawTCP) receive(t *testing.T, p *eventmesh.Publisher, topic string, e event.Event) []byte {
	t.Helper()
	for deadline := time.Now().Add(2 * timeout); time.Now().Before(deadline); {
		publish(t, p, topic, e)
		for {
			if err := s.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
				t.Fatal(err)
			}
			f, err := frame.Read(s.reader)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := s.send(frame.Frame{Header: frame.Header{Command: f.Header.Command + "_ACK", Sequence: f.Header.Sequence}}); err != nil {
				t.Fatal(err)
			}
			var came struct {
				ID string `json:"id"`
			}
			if err := json.Unmarshal(f.Body, &came); err == nil && came.ID == e.ID() { // else one of others, or for subscribers over gRPC
				return f.Body
			}
		}
	}
	t.Fatalf("event %s does not come", e.ID())
	return nil
}
