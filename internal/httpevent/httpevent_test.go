package httpevent_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/cloudevents/sdk-go/v2/types"
	"golang.org/x/net/http/httpguts"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/httpevent"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/contract"
)

// sample is an event that fits every mode.
func sample(change ...func(*event.Event, *event.EventContextV1)) event.Event {
	e := event.New()
	e.SetID("A/1")
	e.SetSource("https://shop.example/orders?x=1")
	e.SetType("order.placed")
	e.SetDataContentType("application/json")
	e.DataEncoded = []byte(`{"price": 2.50}`)
	for _, f := range change {
		f(&e, e.Context.(*event.EventContextV1))
	}
	return e
}

func extension(name string, value any) func(*event.Event, *event.EventContextV1) {
	return func(_ *event.Event, c *event.EventContextV1) {
		if c.Extensions == nil {
			c.Extensions = map[string]any{}
		}
		c.Extensions[name] = value
	}
}

func data(contentType, data string) func(*event.Event, *event.EventContextV1) {
	return func(e *event.Event, c *event.EventContextV1) {
		if c.DataContentType = nil; contentType != "" {
			c.DataContentType = &contentType
		}
		e.DataEncoded = []byte(data)
	}
}

func subject(s string) func(*event.Event, *event.EventContextV1) {
	return func(_ *event.Event, c *event.EventContextV1) { c.Subject = &s }
}

func at(t time.Time) func(*event.Event, *event.EventContextV1) {
	return func(_ *event.Event, c *event.EventContextV1) { c.Time = &types.Timestamp{Time: t} }
}

// carry sends an event to a real server in a mode, and returns what the SDK makes of it there, and the content type of the request.
func carry(t *testing.T, e event.Event, mode httpevent.Mode) (*event.Event, string) {
	t.Helper()
	var received *event.Event
	var contentType string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		contentType = r.Header.Get("Content-Type")
		var err error
		if received, err = binding.ToEvent(r.Context(), cehttp.NewMessageFromHttpRequest(r)); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := httpevent.Write(request.Header, e, mode)
	if err != nil {
		t.Fatal(err)
	}
	request.Body = io.NopCloser(bytes.NewReader(body))
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return received, contentType
}

// differ tells how an event that has been received differs from the one that was sent. Headers have no types.
func differ(got *event.Event, want event.Event) string {
	if got == nil {
		return "got no event"
	}
	if g, w := attributes(*got), attributes(want); !reflect.DeepEqual(g, w) {
		return fmt.Sprintf("got attributes %q, want %q", g, w)
	}
	if !bytes.Equal(got.Data(), want.Data()) {
		return fmt.Sprintf("got data %q, want %q", got.Data(), want.Data())
	}
	return ""
}

func attributes(e event.Event) map[string]string {
	c := e.Context.(*event.EventContextV1)
	all := map[string]string{"id": c.ID, "source": c.Source.String(), "type": c.Type}
	for name, value := range map[string]*string{"subject": c.Subject, "datacontenttype": c.DataContentType} {
		if value != nil {
			all[name] = *value
		}
	}
	if c.DataSchema != nil {
		all["dataschema"] = c.DataSchema.String()
	}
	if c.Time != nil {
		all["time"] = c.Time.String()
	}
	for name, value := range c.Extensions {
		all[name], _ = types.Format(value)
	}
	return all
}

const structuredType = "application/cloudevents+json"

func TestEveryAttributeAndByteArrives(t *testing.T) {
	const inner = `{"specversion":"1.0","id":"inner","source":"s","type":"t"}`
	long := strings.Repeat("x", 5000)
	for _, c := range []struct {
		name       string
		event      event.Event
		structured bool // in the mode auto
	}{
		{"plain", sample(), false},
		{"all attributes", sample(subject("a b"), at(time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("", 3600))), func(_ *event.Event, c *event.EventContextV1) {
			c.DataSchema = types.ParseURI("https://shop.example/schema#1")
		}), false},
		{"all types", sample(extension("a", true), extension("b", int32(-7)), extension("c", []byte{255, 0}), extension("d", types.Timestamp{Time: time.Unix(1, 2)}),
			extension("e", *types.ParseURI("https://a/b")), extension("7th", "x")), false},
		{"printable", sample(subject("! #$&'()*+,-./:;<=>?@[\\]^_`{|}~")), false},
		{"line feed", sample(extension("note", "line 1\nline 2")), true},
		{"carriage return", sample(subject("a\rb")), true},
		{"header smuggled in", sample(subject("a\r\nHost: b")), true},
		{"tab", sample(subject("a\tb")), true},
		{"NUL", sample(extension("note", "a\x00b")), true},
		{"DEL", sample(extension("note", "a\x7fb")), true},
		{"C1", sample(extension("note", "a\u0085b")), true},
		{"line break in the ID", sample(func(_ *event.Event, c *event.EventContextV1) { c.ID = "a\nb" }), true},
		{"line break in the type", sample(func(_ *event.Event, c *event.EventContextV1) { c.Type = "a\nb" }), true},
		{"space in front", sample(extension("note", " a")), true},
		{"space behind", sample(extension("note", "a ")), true},
		{"nothing but spaces", sample(extension("note", "  ")), true},
		{"no-break space behind", sample(extension("note", "a\u00a0")), true},
		{"empty extension", sample(extension("note", "")), true},
		{"beyond ASCII", sample(subject("Zürich ☃")), true},
		{"beyond the BMP", sample(subject("\U0001F600")), true},
		{"non-character", sample(subject("\ufffe")), true},
		{"percent", sample(subject("100%25")), true},
		{"percent in the source", sample(func(e *event.Event, _ *event.EventContextV1) { e.SetSource("/a%20b") }), true},
		{"quotes", sample(subject(`say "hi"`)), true},
		{"backslash", sample(subject(`a\b`)), false},
		{"zero time", sample(at(time.Time{})), true},
		{"first time", sample(at(time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC))), false},
		{"last time", sample(at(time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC))), false},
		{"long extension", sample(extension("note", long)), true},
		{"many extensions", sample(func(_ *event.Event, c *event.EventContextV1) {
			for i := range 60 {
				extension(fmt.Sprint("x", i), "y")(nil, c)
			}
		}), true},
		{"no data", sample(func(e *event.Event, _ *event.EventContextV1) { e.DataEncoded = nil }), false},
		{"an event", sample(data(structuredType, inner)), true},
		{"an event in capitals", sample(data("Application/CloudEvents+JSON; charset=utf-8", inner)), true},
		{"a batch of events", sample(data("application/cloudevents-batch+json", "["+inner+"]")), true},
		{"line break in the content type", sample(data("text/plain;\n charset=utf-8", "hi")), true},
		{"quotes in the content type", sample(data(`text/plain; charset="utf-8"`, "hi")), true},
	} {
		for _, mode := range []httpevent.Mode{"", httpevent.Auto, httpevent.Structured} {
			t.Run(fmt.Sprintf("%s/%s", c.name, mode), func(t *testing.T) {
				got, contentType := carry(t, c.event, mode)
				if diff := differ(got, c.event); diff != "" {
					t.Error(diff)
				}
				if want := c.structured || mode == httpevent.Structured; (contentType == structuredType) != want {
					t.Errorf("got Content-Type %q, want structured %t", contentType, want)
				}
			})
		}
	}
}

// TestDataArrives is about the forms that data has in JSON.
func TestDataArrives(t *testing.T) {
	for _, contentType := range []string{
		"", "application/json", "application/json; charset=utf-8", "Application/JSON", "text/json", "application/vnd.order+json", "foo/json",
		"text/plain", "text/plain; charset=latin1", "image/png", "application/xml", "application/cloudevents+json", "x", "text/plain; x", ";", "/",
	} {
		for _, text := range []string{
			"", "hi", `"hi"`, `{"a": 1.50}`, "{\"a\":1}\n", " 1", "1", "-0", "1e400", "null", "true", `"\ud800"`, `"\u0000"`, "{\"a\":\"\xff\"}", "\xff\x00",
			"grüße\u2028\x00\x7f", `{"a":1`, `1,"id":2`, `1}`, "\ufeff{}", strings.Repeat("[", 9_999) + strings.Repeat("]", 9_999),
			strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000),
		} {
			e := sample(data(contentType, text))
			header := http.Header{}
			body, err := httpevent.Write(header, e, httpevent.Structured)
			if err != nil {
				t.Errorf("%q of type %q: %v", text, contentType, err)
				continue
			}
			got, err := binding.ToEvent(t.Context(), cehttp.NewMessage(header, io.NopCloser(bytes.NewReader(body))))
			if err != nil {
				t.Errorf("%.100q of type %q: %v: %.200s", text, contentType, err, body)
				continue
			}
			if diff := differ(got, e); diff != "" {
				t.Errorf("%.100q of type %q: %.300s", text, contentType, diff)
			}
		}
	}
}

func TestJSONIsReadable(t *testing.T) {
	for _, c := range []struct{ contentType, data, want string }{
		{"application/json", `{"a": 1.50}`, `"data":{"a": 1.50}`},
		{"application/json; charset=utf-8", `"hi"`, `"data":"hi"`},
		{"Application/JSON", `"hi"`, `"data_base64":"ImhpIg=="`}, // the SDK knows small letters alone
		{"text/plain", "line 1\n\"2\"", `"data":"line 1\n\"2\""`},
		{"application/json", `{"a":`, `"data_base64":"eyJhIjo="`},
		{"application/vnd.order+json", `{}`, `"data_base64":"e30="`},
		{"image/png", "\xff", `"data_base64":"/w=="`},
		{"", "hi", `"data_base64":"aGk="`},
	} {
		body, err := httpevent.Write(http.Header{}, sample(data(c.contentType, c.data)), httpevent.Structured)
		if err != nil || !strings.Contains(string(body), c.want) {
			t.Errorf("%s: got %s, %v; want %s in it", c.contentType, body, err, c.want)
		}
	}
}

// events are of all kinds that the contract suite knows, and many more, but those that the SDK would change.
func events() []event.Event {
	var all []event.Event
	for _, c := range contract.Events() {
		again := event.New()
		again.SetSource(c.Event.Source())
		again.SetDataSchema(c.Event.DataSchema())
		zero := c.Event.Context.(*event.EventContextV1).Time != nil && c.Event.Time().IsZero()
		if again.Source() == c.Event.Source() && again.DataSchema() == c.Event.DataSchema() && !zero {
			all = append(all, c.Event)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		all = append(all, contract.RandomEvent(random))
	}
	return all
}

// TestBinaryIsThatOfTheSDK compares headers as they are made: as they are written they would hide what net/http does not send.
func TestBinaryIsThatOfTheSDK(t *testing.T) {
	compared := 0
	for _, e := range events() {
		got := http.Header{}
		body, err := httpevent.Write(got, e, httpevent.Binary)
		if err != nil {
			continue
		}
		compared++
		want, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://sink.example", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := cehttp.WriteRequest(binding.WithForceBinary(t.Context()), (*binding.EventMessage)(&e), want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want.Header) || !bytes.Equal(body, e.Data()) {
			t.Errorf("%s: got\n%q\nwant\n%q", e.ID(), got, want.Header)
		}
		wired(t, got, body)
	}
	if all := len(events()); compared < all/4 || compared == all {
		t.Errorf("compared %d of %d events, want some that fit headers and some that do not", compared, all)
	}
}

func TestEventsOfAllKindsArrive(t *testing.T) {
	for _, e := range events() {
		for _, mode := range []httpevent.Mode{httpevent.Auto, httpevent.Structured} {
			header := http.Header{}
			body, err := httpevent.Write(header, e, mode)
			if err != nil {
				t.Fatalf("%s, %s: %v", e.ID(), mode, err)
			}
			got, err := binding.ToEvent(t.Context(), cehttp.NewMessageFromHttpRequest(wired(t, header, body)))
			if err != nil {
				t.Fatalf("%s, %s: %v", e.ID(), mode, err)
			}
			if diff := differ(got, e); diff != "" {
				t.Errorf("%s, %s: %s", e.ID(), mode, diff)
			}
		}
	}
}

func TestBinaryAlone(t *testing.T) {
	for _, c := range []struct {
		name  string
		event event.Event
		want  string // in the error; empty where it is sent
	}{
		{"plain", sample(), ""},
		{"empty extension", sample(extension("note", "")), ""},
		{"long extension", sample(extension("note", strings.Repeat("x", 5000))), ""},
		{"line break", sample(extension("note", "secret\n")), "note: "},
		{"subject", sample(subject("secret ü")), "subject: "},
		{"an event", sample(data(structuredType, "{}")), "datacontenttype"},
	} {
		t.Run(c.name, func(t *testing.T) {
			header := http.Header{"Kn-Namespace": {"shop"}}
			_, err := httpevent.Write(header, c.event, httpevent.Binary)
			if c.want == "" {
				if err != nil || header.Get("Ce-Id") != "A/1" {
					t.Errorf("got %v, %v", header, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") || len(header) != 1 {
				t.Errorf("got %v and headers %v, want an error that names %s and no value, and no header", err, header, c.want)
			}
		})
	}
}

func TestWhatNoModeCarries(t *testing.T) {
	for _, c := range []struct {
		name  string
		event event.Event
	}{
		{name: "version", event: event.New(event.CloudEventsVersionV03)},
		{name: "no event", event: event.Event{}},
		{name: "type of an extension", event: sample(extension("note", struct{}{}))},
		{name: "number too large", event: sample(extension("note", math.MaxInt64))},
		{name: "extension without a name", event: sample(extension("", "x"))},
		{name: "name in capitals", event: sample(extension("Note", "x"))},
		{name: "name with a line break", event: sample(extension("a\nb", "x"))},
		{name: "name of an attribute", event: sample(extension("id", "x"))},
		{name: "year 10000", event: sample(at(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)))},
		{name: "year 10000 in UTC", event: sample(at(time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -7200))))},
		{name: "year 0", event: sample(at(time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)))},
		{name: "extension in the year 10000", event: sample(extension("note", types.Timestamp{Time: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}))},
		{name: "no UTF-8", event: sample(subject("\xff"))},
		{name: "name of data", event: sample(extension("data", "x"))},
	} {
		for _, mode := range []httpevent.Mode{httpevent.Auto, httpevent.Binary, httpevent.Structured} {
			header := http.Header{}
			if _, err := httpevent.Write(header, c.event, mode); err == nil || len(header) != 0 {
				t.Errorf("%s, %s: got %v and headers %v, want an error and none", c.name, mode, err, header)
			}
		}
	}
}

// FuzzWrite writes any attribute and data, and reads them back by the SDK.
func FuzzWrite(f *testing.F) {
	f.Add("id", "subject", "name", "value", "text/plain", []byte("data"), int64(0))
	f.Add("a\nb", "100%", "data", "", "application/json", []byte(`{"a":1}`), int64(1)<<40)
	f.Add("\xff", "ü", "a", " ", "application/x+json", []byte(`1,"id":2`), int64(-1)<<62)
	f.Add("1", "", "b", "\"", "", []byte("\xff"), int64(1)<<62)
	f.Fuzz(func(t *testing.T, id, about, name, value, contentType string, content []byte, seconds int64) {
		e := sample(data(contentType, string(content)), extension(name, value), at(time.Unix(seconds, 0)))
		e.Context.(*event.EventContextV1).ID = id
		if about != "" {
			subject(about)(&e, e.Context.(*event.EventContextV1))
		}
		for _, mode := range []httpevent.Mode{httpevent.Auto, httpevent.Structured} {
			header := http.Header{}
			body, err := httpevent.Write(header, e, mode)
			if err != nil {
				if len(header) > 0 {
					t.Errorf("got %v and headers %v", err, header)
				}
				continue
			}
			if id == "" {
				continue // which no reader takes
			}
			got, err := binding.ToEvent(t.Context(), cehttp.NewMessageFromHttpRequest(wired(t, header, body)))
			if err != nil {
				t.Fatalf("%s: %v: %v %s", mode, err, header, body)
			}
			if diff := differ(got, e); diff != "" {
				t.Errorf("%s: %s: %v %s", mode, diff, header, body)
			}
		}
	})
}

// wired returns a request as a server reads it.
func wired(t *testing.T, header http.Header, body []byte) *http.Request {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://sink.example", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = header
	for name, values := range header { // of which Write would make others
		if !httpguts.ValidHeaderFieldName(name) || len(values) != 1 || !httpguts.ValidHeaderFieldValue(values[0]) {
			t.Fatalf("net/http refuses %s: %q", name, values)
		}
	}
	var text bytes.Buffer
	if err := request.Write(&text); err != nil {
		t.Fatal(err)
	}
	request, err = http.ReadRequest(bufio.NewReader(&text))
	if err != nil {
		t.Fatal(err)
	}
	return request
}
