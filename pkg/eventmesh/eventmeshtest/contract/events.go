package contract

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
)

// NamedEvent is one row of Events.
type NamedEvent struct {
	Name  string
	Event event.Event
}

// Events are those that EventMesh, by itself, would refuse, lose or change, and some that it would not. A transport has to
// carry each of them unchanged.
func Events() []NamedEvent {
	row := func(name string, change func(*event.Event)) NamedEvent {
		e := newEvent(name)
		change(&e)
		return NamedEvent{Name: name, Event: e}
	}
	data := func(contentType string, data []byte) func(*event.Event) {
		return func(e *event.Event) {
			e.DataEncoded = data
			if contentType != "" {
				e.SetDataContentType(contentType)
			}
		}
	}
	extension := func(name string, value any) func(*event.Event) {
		return func(e *event.Event) { e.SetExtension(name, value) }
	}
	rows := []NamedEvent{
		row("only required attributes, no data", func(*event.Event) {}),
		row("all attributes", func(e *event.Event) {
			e.SetSubject("orders/17")
			e.SetTime(time.Date(2026, 2, 28, 23, 59, 59, 123456789, time.UTC))
			e.SetDataSchema("https://example.com/schema?v=1#a")
			data("application/json", []byte(`{"a":1}`))(e)
		}),
		row("own subject like a topic", func(e *event.Event) { e.SetSubject("TEST-TOPIC") }),
		row("source is a reference", func(e *event.Event) { e.SetSource("/a/b?c=d#e") }),
		row("non-ASCII attributes", func(e *event.Event) {
			e.SetID("ïd-ü-日本-🎉")
			e.SetType("typ.größe")
			e.SetSubject("späte/ordnung 🎉 \"quoted\" \\ back")
			e.SetExtension("city", "München 東京 🎉")
		}),

		row("no data, with a content type", data("application/json", nil)),
		row("empty data", data("text/plain", []byte{})),
		row("empty data, no content type", data("", []byte{})),
		row("data without a content type", data("", []byte("plain"))),
		row("binary with NUL and invalid UTF-8", data("application/octet-stream", []byte{0, 1, 0xff, 0xfe, 0x80, '"', '\\', 0})),
		row("binary without a content type", data("", []byte{0xff, 0, 0xc0})),
		row("one zero byte", data("image/png", []byte{0})),

		row("text", data("text/plain", []byte("Hello CloudEvents!"))),
		row("text that is none", data("text/plain", []byte("caf\xe9"))),
		row("text with NUL and controls", data("text/plain", []byte("a\x00b\x01\u2028\r\n\t\x7f"))),
		row("text with parameters", data("text/plain; charset=iso-8859-1", []byte("caf\xe9"))),
		row("text in upper case", data("TEXT/plain", []byte("hello"))),
		row("html", data("text/html", []byte("<p>&amp;</p>"))),
		row("xml", data("application/xml", []byte(`<a b="c">ü</a>`))),
		row("xml that is no UTF-8", data("application/xml", []byte("<a>\xe9</a>"))),
		row("suffix xml", data("application/soap+xml", []byte(`<a/>`))),
		row("protobuf", data("application/protobuf", []byte{0x0a, 0x03, 'a', 'b', 'c'})),
		row("avro", data("application/avro", []byte{2, 0, 0xff})),
		row("a CloudEvent as data", data("application/cloudevents+json", []byte(`{"specversion":"1.0","id":"1","source":"s","type":"t"}`))),
		row("a batch as data", data("application/cloudevents-batch+json; charset=UTF-8", []byte(`[]`))),

		row("json", data("application/json", []byte(`{"a":1,"b":[true,null,"ü"],"c":{}}`))),
		row("json with an emoji", data("application/json", []byte(`{"ä🎉":["🎉"]}`))),
		row("json with parameters", data("application/json; charset=utf-8", []byte(`{"a":1}`))),
		row("json with white space", data("application/json", []byte("{ \"a\" : 1 }\n"))),
		row("json with fractions", data("application/json", []byte(`{"a":2.50,"b":1e3,"c":-0,"d":0.1}`))),
		row("json with large numbers", data("application/json", []byte(`[9007199254740993,123456789012345678901234567890,9223372036854775807]`))),
		row("json with escapes", data("application/json", []byte(`{"a":"\u00fc\/\n\"\\\ud83c\udf89"}`))),
		row("json with a key twice", data("application/json", []byte(`{"a":1,"a":2}`))),
		row("json null", data("application/json", []byte(`null`))),
		row("json string", data("application/json", []byte(`"text"`))),
		row("json number", data("application/json", []byte(`17`))),
		row("json that is none", data("application/json", []byte(`{"a":`))),
		row("json that is no UTF-8", data("application/json", []byte("{\"a\":\"\xff\"}"))),
		row("json in upper case", data("Application/JSON", []byte(`{"a":1}`))),
		row("json of another type", data("foo/json", []byte(`"text"`))),
		row("suffix json", data("application/vnd.acme+json", []byte(`{"a":1}`))),
		row("text json", data("text/json", []byte(`{"a": 1}`))),

		row("subject with blanks around it", func(e *event.Event) { contextOf(e).Subject = ptr(" a b ") }),
		row("source that Go writes in another way", func(e *event.Event) { contextOf(e).Source = types.URIRef{URL: url.URL{Opaque: "/foo#"}} }),
		row("source beyond ASCII", func(e *event.Event) { contextOf(e).Source = types.URIRef{URL: url.URL{Opaque: "/zürich?ä"}} }),
		row("source in upper case", func(e *event.Event) {
			contextOf(e).Source = types.URIRef{URL: url.URL{Scheme: "HTTP", Opaque: "//Example.COM/%7e"}}
		}),
		row("dataschema in upper case", func(e *event.Event) {
			contextOf(e).DataSchema = &types.URI{URL: url.URL{Scheme: "HTTP", Opaque: "//Example.COM/ä#"}}
		}),
		row("first time", func(e *event.Event) { contextOf(e).Time = &types.Timestamp{} }),
		row("last time", func(e *event.Event) { e.SetTime(time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)) }),
		row("extension uri that Java does not take", extension("link", types.URI{URL: url.URL{Scheme: "urn", Opaque: "a b"}})),
		row("extension uri reference in upper case", extension("link", types.URIRef{URL: url.URL{Scheme: "HTTP", Opaque: "//ä#"}})),
		row("extension boolean", extension("flag", true)),
		row("extension false", extension("flag", false)),
		row("extension integer", extension("count", int32(-2147483648))),
		row("extension largest integer", extension("count", int32(2147483647))),
		row("extension string", extension("text", "a b=c&d%20")),
		row("extension empty string", extension("text", "")),
		row("extension blank string", extension("text", "  ")),
		row("extension string like a number", extension("text", "007")),
		row("extension string like a boolean", extension("text", "true")),
		row("extension binary", extension("raw", []byte{0, 0xff, 1})),
		row("extension uri", extension("link", types.URI{URL: mustParse("https://example.com/a?b=c#d")})),
		row("extension uri reference", extension("link", types.URIRef{URL: mustParse("../a/b?c")})),
		row("extension timestamp", extension("due", types.Timestamp{Time: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)})),
		row("trace context", func(e *event.Event) {
			e.SetExtension("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
			e.SetExtension("tracestate", "a=b,c=d")
		}),
		row("extension with a name of 20 characters", extension(strings.Repeat("n", 20), "v")),
		row("extension with a name of 26 characters", extension("abcdefghijklmnopqrstuvwxyz", "v")),
		row("extension with a name of one character", extension("n", "v")),
		row("extension with a name of digits", extension("0123456789", "v")),
		row("extensions that carry what EventMesh cannot", func(e *event.Event) {
			e.SetExtension("emxsubject", "mine")
			e.SetExtension("emxdata", "base64")
			e.SetExtension("emxdatacontenttype", "x")
			e.SetExtension("emxtypes", "a:b")
			e.SetExtension("emx", "prefix alone")
			e.SetExtension("emxenv", "e")
			e.SetExtension("emxemxenv", "ee")
			e.SetExtension("env", "own")
		}),
	}
	for _, name := range []string{
		"env", "idc", "ip", "pid", "sys", "username", "passwd", "language", "ttl", "producergroup", "consumergroup", "uniqueid",
		"seqnum", "protocoltype", "protocolversion", "protocoldesc", "statuscode", "responsemessage", "clienttype", "cluster", "queueid", "reqeventmesh2ctimestamp",
	} {
		rows = append(rows, row("extension "+name, extension(name, "own "+name)))
	}
	return rows
}

// RandomEvent returns any event, of at most some hundred bytes of data.
func RandomEvent(r *rand.Rand) event.Event {
	e := newEvent(fmt.Sprint(r.Uint64()))
	e.SetSource("/" + randomText(r, "abc:", 8) + "/s")
	if r.IntN(2) == 0 {
		e.SetSubject(randomText(r, "äb \"\\{}🎉", 12) + "x")
	}
	if r.IntN(2) == 0 {
		e.SetTime(time.Unix(r.Int64N(1<<33), r.Int64N(1e9)).UTC())
	}
	contentTypes := []string{
		"", "application/json", "application/json; charset=utf-8", "text/plain", "text/xml", "application/xml", "application/protobuf",
		"application/octet-stream", "application/cloudevents+json", "application/vnd.x+json", "image/png", "TEXT/plain",
	}
	if contentType := contentTypes[r.IntN(len(contentTypes))]; contentType != "" {
		e.SetDataContentType(contentType)
	}
	switch r.IntN(6) {
	case 0:
	case 1:
		e.DataEncoded = []byte{}
	case 2:
		e.DataEncoded = []byte(randomText(r, `{}[]",:01.eE+-ntrue "\u00fc`, 60))
	case 3:
		e.DataEncoded = []byte(randomJSON(r, 4))
	default:
		e.DataEncoded = make([]byte, r.IntN(200))
		for i := range e.DataEncoded {
			e.DataEncoded[i] = byte(r.IntN(256))
		}
	}
	for range r.IntN(6) {
		name := randomText(r, "emxtypsubjcdanv019", 8) + "n"
		values := []any{
			r.IntN(2) == 0, r.Int32(), -r.Int32(), randomText(r, "äbc =%&\\\"", 9), []byte(randomText(r, "\x00\xffab", 5) + "b"),
			types.URI{URL: mustParse("http://h/" + randomText(r, "abc", 5))}, types.URIRef{URL: mustParse("p/" + randomText(r, "abc", 5))},
			types.Timestamp{Time: time.Unix(r.Int64N(1<<33), r.Int64N(1e9)).UTC()},
		}
		e.SetExtension(name, values[r.IntN(len(values))])
	}
	return e
}

func randomText(r *rand.Rand, letters string, length int) string {
	var b strings.Builder
	runes := []rune(letters)
	if !utf8.ValidString(letters) {
		for range r.IntN(length + 1) {
			b.WriteByte(letters[r.IntN(len(letters))])
		}
		return b.String()
	}
	for range r.IntN(length + 1) {
		b.WriteRune(runes[r.IntN(len(runes))])
	}
	return b.String()
}

func randomJSON(r *rand.Rand, depth int) string {
	switch choice := r.IntN(8); {
	case depth == 0 || choice == 0:
		return fmt.Sprint(r.IntN(1000) - 500)
	case choice == 1:
		return fmt.Sprintf("%.2f", r.Float64())
	case choice == 2:
		return `"` + randomText(r, "aäb🎉 ", 8) + `"`
	case choice == 3:
		return "true"
	case choice < 6:
		return "[" + randomJSON(r, depth-1) + "," + randomJSON(r, depth-1) + "]"
	default:
		return `{"` + randomText(r, "ab", 2) + `":` + randomJSON(r, depth-1) + `,"` + randomText(r, "ab", 2) + `":` + randomJSON(r, depth-1) + "}"
	}
}

func contextOf(e *event.Event) *event.EventContextV1 {
	c, _ := e.Context.(*event.EventContextV1) // as newEvent has it
	return c
}

func ptr(s string) *string { return &s }

func newEvent(id string) event.Event {
	e := event.New()
	e.SetID(id)
	e.SetSource("https://example.com/contract")
	e.SetType("com.example.contract")
	return e
}

func mustParse(s string) url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return *u
}
