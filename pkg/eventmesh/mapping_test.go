package eventmesh_test

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/contract"
)

var forms = map[string]eventmesh.Form{"native": eventmesh.NativeForm, "json": eventmesh.JSONForm}

// added is what EventMesh puts onto an event on its way.
func added(e *event.Event) {
	for _, name := range []string{
		"env", "idc", "ip", "pid", "sys", "username", "passwd", "language", "producergroup", "ttl", "uniqueid", "seqnum",
		"protocoltype", "protocolversion", "protocoldesc", "reqmq2eventmeshtimestamp", "rsp0ip", "bornhost", "consume99start99time",
	} {
		e.SetExtension(name, "EventMesh's own "+name)
	}
}

func roundTrip(t *testing.T, e event.Event, form eventmesh.Form) (event.Event, string) {
	t.Helper()
	wire, err := eventmesh.Encode(e, "orders", form)
	if err != nil {
		t.Fatal(err)
	}
	added(&wire)
	if form == eventmesh.JSONForm {
		if wire.DataContentType() != "application/cloudevents+json" || !json.Valid(wire.Data()) {
			t.Fatalf("on the wire: content type %s, data %q; want JSON", wire.DataContentType(), wire.Data())
		}
		b, err := json.Marshal(wire)
		if err != nil {
			t.Fatal(err)
		}
		wire = event.Event{}
		if err := json.Unmarshal(b, &wire); err != nil {
			t.Fatal(err)
		}
	}
	if len(wire.Data()) == 0 {
		t.Error("no data on the wire, which EventMesh refuses")
	}
	got, topic, err := eventmesh.Decode(wire)
	if err != nil {
		t.Fatal(err)
	}
	return got, topic
}

func TestMappingIsLossless(t *testing.T) {
	for name, form := range forms {
		for _, c := range contract.Events() {
			t.Run(name+"/"+c.Name, func(t *testing.T) {
				got, topic := roundTrip(t, c.Event, form)
				if diff := contract.Difference(got, c.Event); diff != "" {
					t.Error(diff)
				}
				if topic != "orders" {
					t.Errorf("topic: got %q, want orders", topic)
				}
			})
		}
	}
}

func TestMappingIsLosslessForAnyEvent(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		e := contract.RandomEvent(r)
		for name, form := range forms {
			got, _ := roundTrip(t, e, form)
			if diff := contract.Difference(got, e); diff != "" {
				t.Fatalf("%s: %s\nof %s", name, diff, e)
			}
		}
	}
}

func FuzzMapping(f *testing.F) {
	f.Add("application/json", []byte(`{"a":1}`), "subject", "env", "value")
	f.Add("text/plain", []byte{0xff}, "", "emxdata", "")
	f.Fuzz(func(t *testing.T, contentType string, data []byte, subject, name, value string) {
		e := event.New()
		e.SetID("1")
		e.SetSource("s")
		e.SetType("t")
		e.SetSubject(subject)
		e.SetDataContentType(contentType)
		e.DataEncoded = data
		e.SetExtension(name, value)
		for _, form := range forms {
			if _, err := eventmesh.Encode(e, "orders", form); err != nil {
				if !errors.Is(err, eventmesh.ErrInvalidEvent) {
					t.Errorf("got %v, want an ErrInvalidEvent", err)
				}
				continue
			}
			got, _ := roundTrip(t, e, form)
			if diff := contract.Difference(got, e); diff != "" {
				t.Error(diff)
			}
		}
	})
}

func TestEncodeRefuses(t *testing.T) {
	valid := contract.Events()[0].Event
	with := func(change func(*event.Event)) event.Event {
		e := valid.Clone()
		change(&e)
		return e
	}
	for name, c := range map[string]struct {
		event event.Event
		topic string
		want  error
	}{
		"no topic":               {valid, "", eventmesh.ErrInvalidTopic},
		"topic with a space":     {valid, "a b", eventmesh.ErrInvalidTopic},
		"topic with a slash":     {valid, "a/b", eventmesh.ErrInvalidTopic},
		"topic too long":         {valid, strings.Repeat("t", 128), eventmesh.ErrInvalidTopic},
		"no id":                  {with(func(e *event.Event) { e.SetID("") }), "t", eventmesh.ErrInvalidEvent},
		"no type":                {with(func(e *event.Event) { e.SetType("") }), "t", eventmesh.ErrInvalidEvent},
		"specversion 0.3":        {with(func(e *event.Event) { e.SetSpecVersion(event.CloudEventsVersionV03) }), "t", eventmesh.ErrInvalidEvent},
		"no context":             {event.Event{}, "t", eventmesh.ErrInvalidEvent},
		"id is no UTF-8":         {with(func(e *event.Event) { e.SetID("\xff") }), "t", eventmesh.ErrInvalidEvent},
		"subject is no UTF-8":    {with(func(e *event.Event) { e.SetSubject("\xff") }), "t", eventmesh.ErrInvalidEvent},
		"schema is no UTF-8":     {with(func(e *event.Event) { e.SetDataSchema("http://example.com/?\xff") }), "t", eventmesh.ErrInvalidEvent},
		"URI is no UTF-8":        {with(func(e *event.Event) { e.SetExtension("a", types.ParseURI("http://example.com/?\xff")) }), "t", eventmesh.ErrInvalidEvent},
		"extension is no UTF-8":  {with(func(e *event.Event) { e.SetExtension("a", "\xff") }), "t", eventmesh.ErrInvalidEvent},
		"extension named data":   {with(func(e *event.Event) { e.SetExtension("data", "x") }), "t", eventmesh.ErrInvalidEvent},
		"extension name with -":  {with(func(e *event.Event) { contextOf(e).Extensions = map[string]any{"a-b": "x"} }), "t", eventmesh.ErrInvalidEvent},
		"extension of no type":   {with(func(e *event.Event) { contextOf(e).Extensions = map[string]any{"a": struct{}{}} }), "t", eventmesh.ErrInvalidEvent},
		"extension out of range": {with(func(e *event.Event) { contextOf(e).Extensions = map[string]any{"a": int64(1) << 40} }), "t", eventmesh.ErrInvalidEvent},
	} {
		t.Run(name, func(t *testing.T) {
			for _, form := range forms {
				if _, err := eventmesh.Encode(c.event, c.topic, form); !errors.Is(err, c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
			}
		})
	}
}

func contextOf(e *event.Event) *event.EventContextV1 { return e.Context.(*event.EventContextV1) }

func TestDecodeEventsOfOtherPublishers(t *testing.T) {
	e := contract.Events()[0].Event
	e.SetSubject("orders")
	e.SetDataContentType("application/cloudevents+json")
	e.DataEncoded = []byte(`{"a":2.5}`)
	e.SetExtension("mine", "kept")
	added(&e)
	got, topic, err := eventmesh.Decode(e)
	if err != nil {
		t.Fatal(err)
	}
	if got.DataContentType() != "application/json" || string(got.Data()) != `{"a":2.5}` || got.Subject() != "" || topic != "orders" {
		t.Errorf("got %s of topic %s", got, topic)
	}
	if len(got.Extensions()) != 1 || got.Extensions()["mine"] != "kept" {
		t.Errorf("extensions: got %v, want the publisher's own", got.Extensions())
	}
}

func TestDecodeRefuses(t *testing.T) {
	with := func(name string, value any, data string) event.Event {
		e := contract.Events()[0].Event.Clone()
		e.SetSubject("orders")
		e.DataEncoded = []byte(data)
		e.SetExtension(name, value)
		return e
	}
	v03 := event.New(event.CloudEventsVersionV03)
	for name, e := range map[string]event.Event{
		"unknown way of data":    with("emxdata", "zip", "x"),
		"mark of another type":   with("emxdata", true, "x"),
		"text that is no string": with("emxdata", "text", "17"),
		"base64 that is none":    with("emxdata", "base64", `"?"`),
		"specversion 0.3":        v03,
		"timestamp that is none": func() event.Event {
			e := with("due", "soon", "x")
			e.SetExtension("emxtypes", "due:timestamp")
			return e
		}(),
		"integer that is none":    func() event.Event { e := with("n", "many", "x"); e.SetExtension("emxtypes", "n:integer"); return e }(),
		"no type":                 func() event.Event { e := with("n", "x", "x"); contextOf(&e).Type = ""; return e }(),
		"name that is only marks": func() event.Event { e := with("emx", "x", "x"); return e }(),
	} {
		if _, _, err := eventmesh.Decode(e); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}
