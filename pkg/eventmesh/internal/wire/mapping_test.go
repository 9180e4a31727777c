package wire_test

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/attribute"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsonevent"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/contract"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
)

var forms = map[string]wire.Form{"native": wire.NativeForm, "json": wire.JSONForm}

// added is what EventMesh puts onto an event on its way.
func added(e *event.Event) {
	for _, name := range []string{
		"env", "idc", "ip", "pid", "sys", "username", "passwd", "language", "producergroup", "ttl", "uniqueid", "seqnum",
		"protocoltype", "protocolversion", "protocoldesc", "reqmq2eventmeshtimestamp", "rsp0ip", "bornhost", "consume99start99time",
	} {
		e.SetExtension(name, "EventMesh's own "+name)
	}
}

func roundTrip(t *testing.T, e event.Event, form wire.Form) (event.Event, string) {
	t.Helper()
	carried, err := wire.Encode(e, "orders", form)
	if err != nil {
		t.Fatal(err)
	}
	added(&carried)
	if form == wire.JSONForm {
		if carried.DataContentType() != "application/cloudevents+json" || !json.Valid(carried.Data()) {
			t.Fatalf("on the wire: content type %s, data %q; want JSON", carried.DataContentType(), carried.Data())
		}
		b, err := jsonevent.Append(nil, carried)
		if err != nil {
			t.Fatal(err)
		}
		if carried, err = jsonevent.Unmarshal(b, nil); err != nil {
			t.Fatal(err)
		}
	}
	if len(carried.Data()) == 0 {
		t.Error("no data on the wire, which EventMesh refuses")
	}
	got, topic, err := wire.Decode(carried)
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
	f.Add("application/json", []byte(`{"a":1}`), "subject", "env", "value", "/s", "urn:a")
	f.Add("text/plain", []byte{0xff}, "", "emxdata", "", "HTTP://A#", "X:ä?")
	f.Add("a/b", []byte("x"), " padded ", "note", "a\nb", "/x?q=a b", "")
	f.Fuzz(func(t *testing.T, contentType string, data []byte, subject, name, value, source, schema string) {
		c := &event.EventContextV1{ID: "1", Type: "t", Source: types.URIRef{URL: kept(source)}, Extensions: map[string]any{name: value}}
		if subject != "" {
			c.Subject = &subject
		}
		if contentType != "" {
			c.DataContentType = &contentType
		}
		if schema != "" {
			c.DataSchema = &types.URI{URL: kept(schema)}
		}
		e := event.Event{Context: c, DataEncoded: data}
		wanted := wire.Validate(e)
		for _, form := range forms {
			if _, err := wire.Encode(e, "orders", form); err != nil {
				if !errors.Is(err, wire.ErrInvalidEvent) || wanted == nil {
					t.Errorf("got %v, want an ErrInvalidEvent as %v", err, wanted)
				}
				continue
			}
			got, _ := roundTrip(t, e, form)
			if diff := contract.Difference(got, e); diff != "" {
				t.Error(diff)
			}
			if got.Source() != source || got.DataSchema() != schema {
				t.Errorf("got source %q and schema %q, want %q and %q", got.Source(), got.DataSchema(), source, schema)
			}
		}
	})
}

// kept returns what renders as text.
func kept(text string) url.URL {
	u, _ := attribute.URI(text)
	return u
}

// FuzzDecode: whatever EventMesh delivers becomes no event, or one that can be written again, and read as it was.
func FuzzDecode(f *testing.F) {
	f.Add("orders", "1", "/s", "t", "text/plain", "", "data", int32(5), "note", "a\nb", int64(253402300800), []byte("x"))
	f.Add("orders", "\xff", "http://[bad", "t", "json", "urn:a", "n", int32(0), "protocoltype", "eventmeshmessage", int64(-62135596801), []byte{0xff})
	f.Add("", "\ufffe", "a b", "\x00", "application/cloudevents+json", "a", "DATA", int32(-1), "emxtypes", "due:timestamp", int64(0), []byte(nil))
	f.Fuzz(func(t *testing.T, topic, id, source, typ, contentType, schema, number string, n int32, name, value string, seconds int64, data []byte) {
		c := &event.EventContextV1{
			ID: id, Source: types.URIRef{URL: kept(source)}, Type: typ, Subject: &topic, Time: &types.Timestamp{Time: time.Unix(seconds, 0)},
			Extensions: map[string]any{},
		}
		if contentType != "" {
			c.DataContentType = &contentType
		}
		if schema != "" {
			c.DataSchema = &types.URI{URL: kept(schema)}
		}
		for name, value := range map[string]any{number: n, name: value, "due": types.Timestamp{Time: time.Unix(seconds/2, 0)}, "link": types.URI{URL: kept(value)}} {
			_ = c.SetExtension(name, value) // as the transports do
		}
		e, _, err := wire.Decode(event.Event{Context: c, DataEncoded: data})
		if err != nil {
			return
		}
		e.DataBase64 = true
		written, err := jsonevent.Append(nil, e)
		if err != nil {
			t.Fatalf("decoded %s, which cannot be written: %v", e, err)
		}
		read, err := jsonevent.Unmarshal(written, nil)
		if err != nil {
			t.Fatalf("wrote %s, which cannot be read: %v", written, err)
		}
		for name, value := range e.Extensions() { // which JSON has as strings
			if text, err := types.Format(value); err == nil && typeInJSON(value) {
				e.SetExtension(name, text)
			}
		}
		if diff := contract.Difference(read, e); diff != "" {
			t.Errorf("wrote %s: %s", written, diff)
		}
	})
}

// typeInJSON tells of types that are strings there.
func typeInJSON(value any) bool {
	switch value.(type) {
	case bool, int32:
		return false
	default:
		return true
	}
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
		"no topic":                {valid, "", wire.ErrInvalidTopic},
		"topic with a space":      {valid, "a b", wire.ErrInvalidTopic},
		"topic with a slash":      {valid, "a/b", wire.ErrInvalidTopic},
		"topic too long":          {valid, strings.Repeat("t", 128), wire.ErrInvalidTopic},
		"no id":                   {with(func(e *event.Event) { e.SetID("") }), "t", wire.ErrInvalidEvent},
		"no type":                 {with(func(e *event.Event) { e.SetType("") }), "t", wire.ErrInvalidEvent},
		"specversion 0.3":         {with(func(e *event.Event) { e.SetSpecVersion(event.CloudEventsVersionV03) }), "t", wire.ErrInvalidEvent},
		"no context":              {event.Event{}, "t", wire.ErrInvalidEvent},
		"id is no UTF-8":          {with(func(e *event.Event) { e.SetID("\xff") }), "t", wire.ErrInvalidEvent},
		"subject is no UTF-8":     {with(func(e *event.Event) { e.SetSubject("\xff") }), "t", wire.ErrInvalidEvent},
		"schema is no UTF-8":      {with(func(e *event.Event) { e.SetDataSchema("http://example.com/?\xff") }), "t", wire.ErrInvalidEvent},
		"URI is no UTF-8":         {with(func(e *event.Event) { e.SetExtension("a", types.ParseURI("http://example.com/?\xff")) }), "t", wire.ErrInvalidEvent},
		"extension is no UTF-8":   {with(func(e *event.Event) { e.SetExtension("a", "\xff") }), "t", wire.ErrInvalidEvent},
		"extension named data":    {with(func(e *event.Event) { e.SetExtension("data", "x") }), "t", wire.ErrInvalidEvent},
		"extension name with -":   {with(func(e *event.Event) { contextOf(e).Extensions = map[string]any{"a-b": "x"} }), "t", wire.ErrInvalidEvent},
		"extension named id":      {with(func(e *event.Event) { contextOf(e).Extensions = map[string]any{"id": "x"} }), "t", wire.ErrInvalidEvent},
		"extension in upper case": {with(func(e *event.Event) { contextOf(e).Extensions = map[string]any{"A": "x"} }), "t", wire.ErrInvalidEvent},
		"line break":              {with(func(e *event.Event) { e.SetExtension("a", "1\n2") }), "t", wire.ErrInvalidEvent},
		"line break in an id":     {with(func(e *event.Event) { e.SetID("1\n2") }), "t", wire.ErrInvalidEvent},
		"C1 control in a type":    {with(func(e *event.Event) { e.SetType("a\u0090b") }), "t", wire.ErrInvalidEvent},
		"no character":            {with(func(e *event.Event) { e.SetSubject("\ufdd0") }), "t", wire.ErrInvalidEvent},
		"DEL in a URI":            {with(func(e *event.Event) { e.SetExtension("a", types.URI{URL: opaque("\x7f")}) }), "t", wire.ErrInvalidEvent},
		"source with a blank":     {with(func(e *event.Event) { contextOf(e).Source.URL = opaque("/x?q=a b") }), "t", wire.ErrInvalidEvent},
		"schema with a blank":     {with(func(e *event.Event) { contextOf(e).DataSchema = &types.URI{URL: url.URL{Scheme: "urn", Opaque: "a b"}} }), "t", wire.ErrInvalidEvent},
		"year 10000":              {with(func(e *event.Event) { e.SetTime(year10000) }), "t", wire.ErrInvalidEvent},
		"year 0":                  {with(func(e *event.Event) { e.SetTime(year0) }), "t", wire.ErrInvalidEvent},
		"extension in year 10000": {with(func(e *event.Event) { e.SetExtension("due", year10000) }), "t", wire.ErrInvalidEvent},
		"extension of no type":    {with(func(e *event.Event) { contextOf(e).Extensions = map[string]any{"a": struct{}{}} }), "t", wire.ErrInvalidEvent},
		"extension out of range":  {with(func(e *event.Event) { contextOf(e).Extensions = map[string]any{"a": int64(1) << 40} }), "t", wire.ErrInvalidEvent},
	} {
		t.Run(name, func(t *testing.T) {
			for _, form := range forms {
				if _, err := wire.Encode(c.event, c.topic, form); !errors.Is(err, c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
			}
		})
	}
}

// In UTC these are a year later and a year earlier than where they are.
var (
	year10000 = time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -5*3600))
	year0     = time.Date(1, 1, 1, 0, 0, 0, 0, time.FixedZone("", 5*3600))
)

func opaque(s string) url.URL { return url.URL{Opaque: s} }

func contextOf(e *event.Event) *event.EventContextV1 { return e.Context.(*event.EventContextV1) }

// TestDecodeKeeps: what CloudEvents forbids, and other publishers sent all the same, is kept.
func TestDecodeKeeps(t *testing.T) {
	e := contract.Events()[0].Event.Clone()
	e.SetSubject("orders")
	e.SetID("1\n2")
	contextOf(&e).Source.URL = opaque("a b")
	e.SetExtension("note", "line 1\nline 2\x00\ufffe")
	e.SetTime(time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC))
	got, _, err := wire.Decode(e)
	if err != nil {
		t.Fatal(err)
	}
	e.SetSubject("")
	if diff := contract.Difference(got, e); diff != "" {
		t.Error(diff)
	}
}

func TestDecodeEventsOfOtherPublishers(t *testing.T) {
	e := contract.Events()[0].Event
	e.SetSubject("orders")
	e.SetDataContentType("application/cloudevents+json")
	e.DataEncoded = []byte(`{"a":2.5}`)
	e.SetExtension("mine", "kept")
	added(&e)
	got, topic, err := wire.Decode(e)
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
		"integer that is none":     func() event.Event { e := with("n", "many", "x"); e.SetExtension("emxtypes", "n:integer"); return e }(),
		"no type":                  func() event.Event { e := with("n", "x", "x"); contextOf(&e).Type = ""; return e }(),
		"extension named data":     with("data", int32(5), "x"),
		"extension with bad UTF-8": with("note", "\xff", "x"),
		"id with bad UTF-8":        func() event.Event { e := with("n", "x", "x"); contextOf(&e).ID = "\xff"; return e }(),
		"year 10000":               func() event.Event { e := with("n", "x", "x"); e.SetTime(year10000); return e }(),
		"year 0":                   func() event.Event { e := with("n", "x", "x"); e.SetTime(year0); return e }(),
		"extension in year 10000":  with("due", year10000, "x"),
		"extension that becomes one": func() event.Event {
			e := with("due", "9999-12-31T23:59:59-05:00", "x")
			e.SetExtension("emxtypes", "due:timestamp")
			return e
		}(),
		"name that is only marks": func() event.Event { e := with("emx", "x", "x"); return e }(),
	} {
		if _, _, err := wire.Decode(e); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}
