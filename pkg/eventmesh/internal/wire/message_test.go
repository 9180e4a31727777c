package wire_test

import (
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/contract"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
)

// heldMessage is a message as EventMesh holds it, and delivers it over gRPC.
func heldMessage(topic, contentType string, data []byte, properties map[string]any) event.Event {
	c := &event.EventContextV1{ID: "random", Type: "org.apache.eventmesh", Subject: &topic}
	e := event.Event{Context: c, DataEncoded: data}
	e.SetSource("/")
	if contentType != "" {
		c.DataContentType = &contentType
	}
	added(&e)
	for _, name := range []string{"uniqueid", "seqnum", "uniq99key"} {
		delete(c.Extensions, name)
	}
	maps.Copy(c.Extensions, properties)
	c.Extensions["protocoltype"] = wire.MessageProtocol
	return e
}

// messageEvent is what is to become of it; its id is not looked at.
func messageEvent(source, contentType string, data []byte, extensions map[string]any) event.Event {
	e := event.Event{Context: &event.EventContextV1{ID: "any", Type: wire.MessageType, Extensions: extensions}, DataEncoded: data}
	e.SetSource(source)
	e.SetDataContentType(contentType)
	return e
}

func withAnyID(e event.Event) event.Event {
	e = e.Clone()
	e.SetID("any")
	return e
}

func TestMessageBecomesEvent(t *testing.T) {
	none := map[string]any{}
	timed := heldMessage("T", "text/plain", []byte("hi"), none)
	timed.SetTime(time.Unix(1, 0))
	wantTimed := messageEvent("eventmesh:T", "text/plain", []byte("hi"), none)
	wantTimed.SetTime(time.Unix(1, 0))
	for name, c := range map[string]struct{ held, want event.Event }{
		"text": {
			heldMessage("orders", "text/plain", []byte("hi"), map[string]any{"mykey": "v", "empty": ""}),
			messageEvent("eventmesh:orders", "text/plain", []byte("hi"), map[string]any{"mykey": "v", "empty": ""}),
		},
		"topic that a URI has no place for": {
			heldMessage("a|b%c.d_e-f", "text/plain", []byte("hi"), none),
			messageEvent("eventmesh:a%7Cb%25c.d_e-f", "text/plain", []byte("hi"), none),
		},
		"JSON stays as it is": {
			heldMessage("T", "application/json", []byte(`{"a": 2.50}`), none),
			messageEvent("eventmesh:T", "application/json", []byte(`{"a": 2.50}`), none),
		},
		"no content type": {
			heldMessage("T", "", []byte("hi"), none), messageEvent("eventmesh:T", "text/plain", []byte("hi"), none),
		},
		"no content type, no text": {
			heldMessage("T", "", []byte{0, 0xff}, none),
			messageEvent("eventmesh:T", "application/octet-stream", []byte{0, 0xff}, none),
		},
		"content type that is none": {
			heldMessage("T", "a b", []byte("hi"), none), messageEvent("eventmesh:T", "text/plain", []byte("hi"), none),
		},
		"content type of a CloudEvent": {
			heldMessage("T", "application/cloudevents+json", []byte("{}"), none),
			messageEvent("eventmesh:T", "application/json", []byte("{}"), none),
		},
		"empty": {
			heldMessage("T", "", []byte{}, none), messageEvent("eventmesh:T", "text/plain", []byte{}, none),
		},
		"properties of types": {
			heldMessage("T", "text/plain", []byte("hi"), map[string]any{"b": true, "n": int32(5), "y": []byte{1}}),
			messageEvent("eventmesh:T", "text/plain", []byte("hi"), map[string]any{"b": true, "n": int32(5), "y": []byte{1}}),
		},
		"names": {
			heldMessage("T", "text/plain", []byte("hi"), map[string]any{
				"MyKey": "1", "my-key": "2", "other_key": "3", "Größe": "4", "ID": "5", "id": "6", "data": "7", "-": "8", "": "9", "User-Name": "10",
				"emxsubject": "s", "emxtypes": "n:integer", "n": "x",
			}),
			messageEvent("eventmesh:T", "text/plain", []byte("hi"), map[string]any{
				"mykey": "1", "otherkey": "3", "gre": "4", "emxsubject": "s", "emxtypes": "n:integer", "n": "x",
			}),
		},
		"the own name wins": {
			heldMessage("T", "text/plain", []byte("hi"), map[string]any{"a-b": "1", "ab": "2", "aB": "3", "abü": "4"}),
			messageEvent("eventmesh:T", "text/plain", []byte("hi"), map[string]any{"ab": "2"}),
		},
		"time": {timed, wantTimed},
	} {
		t.Run(name, func(t *testing.T) {
			got, topic, err := wire.Decode(c.held)
			if err != nil {
				t.Fatal(err)
			}
			if diff := contract.Difference(withAnyID(got), c.want); diff != "" {
				t.Error(diff)
			}
			if topic != c.held.Subject() {
				t.Errorf("topic: got %q, want %q", topic, c.held.Subject())
			}
			if types.ParseURIRef(got.Source()) == nil {
				t.Errorf("source %q is not a URI reference", got.Source())
			}
			if _, err := json.Marshal(got); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestMessageID(t *testing.T) {
	id := func(topic, contentType, data string, properties map[string]any) string {
		t.Helper()
		e, _, err := wire.Decode(heldMessage(topic, contentType, []byte(data), properties))
		if err != nil {
			t.Fatal(err)
		}
		return e.ID()
	}
	if got := id("T", "text/plain", "hi", map[string]any{"uniqueid": "U", "uniq99key": "K"}); got != "U" {
		t.Errorf("got %s, want the unique id", got)
	}
	if got := id("T", "text/plain", "hi", map[string]any{"uniqueid": " ", "uniq99key": "K"}); got != "K" {
		t.Errorf("got %s, want the storage's id", got)
	}
	base := id("T", "text/plain", "hi", map[string]any{"a": "1"})
	again := map[string]any{
		"a": "1", "reqeventmesh2ctimestamp": "2", "rsp0ip": "another", "passwd": "another", "ip": "another", "queueoffset": "7",
	}
	if got := id("T", "text/plain", "hi", again); got != base {
		t.Errorf("delivered again: got %s, want %s", got, base)
	}
	for name, other := range map[string]string{
		"topic":           id("U", "text/plain", "hi", map[string]any{"a": "1"}),
		"content type":    id("T", "text/html", "hi", map[string]any{"a": "1"}),
		"content":         id("T", "text/plain", "ho", map[string]any{"a": "1"}),
		"property":        id("T", "text/plain", "hi", map[string]any{"a": "2"}),
		"properties":      id("T", "text/plain", "hi", nil),
		"sequence number": id("T", "text/plain", "hi", map[string]any{"a": "1", "seqnum": "7"}),
	} {
		if other == base {
			t.Errorf("another %s: got the same id", name)
		}
	}
}

func TestMessageInFrame(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want event.Event
	}{
		"all":            {`{"topic":"T","properties":{"k":"ü"},"headers":{"datacontenttype":"text/html"},"body":"\u0000\"\uD83C\uDF89"}`, messageEvent("eventmesh:T", "text/html", []byte("\x00\"🎉"), map[string]any{"k": "ü"})},
		"bare":           {`{"topic":"T","body":"hi"}`, messageEvent("eventmesh:T", "text/plain", []byte("hi"), nil)},
		"nulls":          {`{"topic":"T","properties":null,"headers":null,"body":""}`, messageEvent("eventmesh:T", "text/plain", []byte{}, nil)},
		"other protocol": {`{"topic":"T","properties":{"protocoltype":"x"},"body":"hi"}`, messageEvent("eventmesh:T", "text/plain", []byte("hi"), nil)},
	} {
		t.Run(name, func(t *testing.T) {
			carried, err := wire.UnmarshalMessage([]byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			got, topic, err := wire.Decode(carried)
			if err != nil {
				t.Fatal(err)
			}
			if diff := contract.Difference(withAnyID(got), c.want); diff != "" || topic != "T" {
				t.Errorf("topic %s: %s", topic, diff)
			}
		})
	}
}

func TestBadMessageIsUndecodable(t *testing.T) {
	for name, body := range map[string]string{
		"no JSON":             `{`,
		"no object":           `[]`,
		"null":                `null`,
		"no topic":            `{"body":"hi"}`,
		"no body":             `{"topic":"T"}`,
		"body is no text":     `{"topic":"T","body":{}}`,
		"property is no text": `{"topic":"T","properties":{"a":1},"body":"hi"}`,
	} {
		t.Run(name, func(t *testing.T) {
			carried, err := wire.UnmarshalMessage([]byte(body))
			if err == nil {
				_, _, err = wire.Decode(carried)
			}
			if err == nil || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one sentence", err)
			}
		})
	}
}

func TestReplyToMessage(t *testing.T) {
	request := heldMessage("T", "text/plain", []byte("hi"), map[string]any{"mykey": "v", "correlation99id": "c"})
	reply := event.New()
	reply.SetID("1")
	reply.SetSource("/s")
	reply.SetType("t")
	reply.SetExtension("count", int32(3))
	reply.SetDataContentType("application/json")
	reply.DataEncoded = []byte(`{"a": 1}`)
	carried, err := wire.EncodeReply(reply, request, wire.NativeForm)
	if err != nil {
		t.Fatal(err)
	}
	b, err := wire.MarshalMessage(carried)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Topic, Body         string
		Properties, Headers map[string]string
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if got.Topic != "T" || got.Body != `{"a": 1}` || got.Headers["datacontenttype"] != "application/json" ||
		got.Properties["count"] != "3" || got.Properties["correlation99id"] != "c" || got.Properties["mykey"] != "" {
		t.Errorf("got %+v, want the reply, and of the request what leads to the requester", got)
	}
	carried.DataEncoded = []byte{0xff}
	if _, err := wire.MarshalMessage(carried); !errors.Is(err, wire.ErrInvalidEvent) {
		t.Errorf("data that is no text: got %v, want %v", err, wire.ErrInvalidEvent)
	}
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte(`{"topic":"T","properties":{"a":"b","uniqueid":"U"},"headers":{"datacontenttype":"text/plain"},"body":"hi"}`))
	f.Add([]byte(`{"topic":"%|","properties":{"A-":"","":"\uD800"},"headers":{"datacontenttype":";"},"body":"\u0000"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		carried, err := wire.UnmarshalMessage(body)
		if err != nil {
			return
		}
		e, topic, err := wire.Decode(carried)
		if err != nil {
			return
		}
		if topic == "" || string(e.Data()) != string(carried.Data()) {
			t.Errorf("got %q of topic %q, want %q", e.Data(), topic, carried.Data())
		}
		for _, form := range forms {
			if _, err := wire.Encode(e, "orders", form); err != nil {
				t.Errorf("publishing it again: %v", err)
			}
		}
		if again, _, err := wire.Decode(carried); err != nil || again.ID() != e.ID() {
			t.Errorf("decoding again: got id %s, error %v, want %s", again.ID(), err, e.ID())
		}
	})
}
