package dispatch

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"maps"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/httpevent"
)

// sampleEvent has all attributes.
func sampleEvent(id string) event.Event {
	e := event.New()
	e.SetID(id)
	e.SetSource("https://shop.example/orders?x=1")
	e.SetType("order.placed")
	e.SetSubject("order/1")
	e.SetTime(time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC))
	e.SetDataSchema("https://shop.example/schema")
	e.SetExtension("region", "eu")
	e.SetDataContentType("application/json; charset=utf-8")
	e.DataEncoded = []byte(`{"price": 2.50}`)
	return e
}

func TestRecord(t *testing.T) {
	t.Parallel()
	noData := sampleEvent("no data")
	noData.DataEncoded = nil
	binary := sampleEvent("binary")
	binary.SetDataContentType("image/png")
	binary.DataEncoded, binary.DataBase64 = []byte{0, 255, 254, '"', '\n'}, true
	typed := sampleEvent("types")
	typed.SetExtension("flag", true)
	typed.SetExtension("count", 42)
	typed.SetExtension("at", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	typed.SetExtension("raw", []byte{1, 2, 3})
	minimal := event.New()
	minimal.SetID("1")
	minimal.SetSource("/")
	minimal.SetType("t")
	unicode := sampleEvent("ü \" \\ \u2028 <&>")
	unicode.SetSubject("Ünïcode 😀")
	for _, e := range []event.Event{sampleEvent("plain"), noData, binary, typed, minimal, unicode} {
		t.Run(e.ID(), func(t *testing.T) {
			t.Parallel()
			m := &Message{Event: e, Topic: "orders", key: 1 << 63}
			if e.ID() == "binary" {
				m.Undecodable = errUndecodable
			}
			raw, err := wholeRecord(m)
			if err != nil {
				t.Fatal(err)
			}
			got, err := openRecord(raw)
			if err != nil || got.key != m.key || got.topic != m.Topic || got.undecodable != (m.Undecodable != nil) {
				t.Errorf("got %+v, %v", got, err)
			}
			decoded, err := got.decode()
			if err != nil {
				t.Fatal(err)
			}
			if got, want := onTheWire(t, decoded), onTheWire(t, e); got != want {
				t.Errorf("got the request\n%s\nwant\n%s", got, want)
			}
			for i := range len(raw) - len(e.DataEncoded) { // that the data is whole is for the journal to see
				if r, err := openRecord(raw[:i]); err == nil {
					if _, err := r.decode(); err == nil {
						t.Errorf("a cut after %d bytes is not noticed", i)
					}
				}
			}
			_, err = openRecord(append([]byte{recordVersion + 1}, raw[1:]...))
			if err == nil {
				t.Error("a record of another version is not noticed")
			}
		})
	}
}

func TestRawRecord(t *testing.T) {
	t.Parallel()
	for _, raw := range [][]byte{nil, {1}, bytes.Repeat([]byte{0xff}, 100)} {
		if r, err := openRecord(rawRecord(raw)); err == nil || !bytes.Equal(r.data, raw) || r.data == nil {
			t.Errorf("got %q, %v, want %q and why it is no event", r.data, err, raw)
		}
		if o := openOlder(raw); o.received.UnixNano() != 0 { // which is no age for the journal
			t.Errorf("got %s for when it was received, want nothing", o.received)
		}
	}
}

// onTheWire is an event as a destination gets it.
func onTheWire(t *testing.T, e event.Event) string {
	t.Helper()
	header := http.Header{}
	body, err := httpevent.Write(header, e, httpevent.Mode(Auto))
	if err != nil {
		t.Fatal(err)
	}
	if header.Get("Content-Type") == event.ApplicationCloudEventsJSON { // whose members have no order
		var members map[string]json.RawMessage
		if err := json.Unmarshal(body, &members); err != nil {
			t.Fatal(err)
		}
		if body, err = json.Marshal(members); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := header.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String() + "\n" + string(body)
}

// wholeRecord returns what the journal makes of a message's record and data.
func wholeRecord(m *Message) ([]byte, error) {
	record, err := encodeRecord(m)
	return append(record, m.Event.DataEncoded...), err
}

// FuzzRecord reads what may stand in a file.
func FuzzRecord(f *testing.F) {
	raw, err := wholeRecord(&Message{Event: sampleEvent("a"), Topic: "orders"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(rawRecord(raw))
	f.Add([]byte{})
	f.Fuzz(func(_ *testing.T, b []byte) {
		if r, err := openRecord(b); err == nil {
			_, _ = r.decode() // any error will do, and no panic
		}
	})
}

// FuzzOlderRecord reads what may stand in a file of an earlier version: it becomes a record that has an event, or the bytes as they are.
func FuzzOlderRecord(f *testing.F) {
	raw, err := wholeRecord(&Message{Event: sampleEvent("a"), Topic: "orders"})
	if err != nil {
		f.Fatal(err)
	}
	for version := range byte(4) {
		older := append([]byte{version, 0}, make([]byte, 8)...) // when it was received
		older = append(older, raw[2:recordHeader]...)
		if version > 1 {
			older = binary.BigEndian.AppendUint64(older, 3000)
		}
		f.Add(append(older, raw[recordHeader:]...))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, older := range [][]byte{b, binary.BigEndian.AppendUint32(bytes.Clone(b), crc32.Checksum(b, castagnoli))} {
			o := openOlder(older)
			if r, err := openRecord(o.record); err == nil {
				_, _ = r.decode()
			} else if !bytes.Equal(r.data, older) {
				t.Fatalf("got %v, and %q of %q", err, r.data, older)
			}
		}
	})
}

// FuzzWriteRecord writes whatever an event may be made of: what has a record can be read back, and goes to a destination as it would have
// gone before. What has none becomes an event that has one.
func FuzzWriteRecord(f *testing.F) {
	f.Add("1", "/s", "t", "sub", "text/plain", "https://x/y", "orders", int64(0), int64(0), "ext", uint8(0), "text", []byte("data"))
	f.Add("1", "/s", "t", "", "", "", "", int64(253402300800), int64(0), "data", uint8(0), "text", []byte("data"))
	f.Add("1", "/s", "t", "", "", "x", "", int64(-62167219201), int64(1), "data", uint8(1), "5", []byte{})
	f.Add("\xff\n", "HTTP://a#", "", "\u2028", "A/B", "a b", "\xff", int64(-1), int64(1), "data_base64", uint8(2), "", []byte{0xff})
	f.Add("", ":", " ", "", "", "", "%zz", int64(1), int64(1), "specversion", uint8(3), "253402300800", []byte(nil))
	f.Add("", "", "", "", "", "", "", int64(1), int64(1), "id", uint8(4), "1e400", []byte(nil))
	f.Add("", "", "", "", "", "", "", int64(1), int64(1), "Upper_Case", uint8(5), "x", []byte(nil))
	f.Add("", "", "", "", "", "", "", int64(1), int64(1), "", uint8(6), "x", []byte(nil))
	f.Fuzz(func(t *testing.T, id, source, typ, subject, contentType, schema, topic string, seconds, nanoseconds int64, name string, kind uint8, text string, data []byte) {
		at := types.Timestamp{Time: time.Unix(seconds, nanoseconds%1e9)}
		c := &event.EventContextV1{ID: id, Type: typ, Time: &at, Extensions: map[string]any{name: valueOf(kind, text)}}
		if parsed := types.ParseURIRef(source); parsed != nil {
			c.Source = *parsed
		} else {
			c.Source.Opaque = source
		}
		if subject != "" {
			c.Subject = &subject
		}
		if contentType != "" {
			c.DataContentType = &contentType
		}
		if parsed := types.ParseURI(schema); schema != "" && parsed != nil {
			c.DataSchema = parsed
		}
		e := event.Event{Context: c, DataEncoded: data, DataBase64: !utf8.Valid(data)}
		raw, err := wholeRecord(&Message{Event: e, Topic: topic})
		if err != nil {
			if len(topic) > math.MaxUint16 {
				return
			}
			e = sampleEvent("none")
			SetError(&e, "", err)
			if raw, err = wholeRecord(&Message{Event: e, Topic: topic}); err != nil {
				t.Fatalf("nor can it be written what is no event: %v", err)
			}
		}
		read, err := openRecord(raw)
		if err != nil || read.topic != topic {
			t.Fatalf("got %+v, %v", read, err)
		}
		got, err := read.decode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := httpevent.Write(http.Header{}, e, httpevent.Mode(Auto)); err == nil && e.Validate() == nil {
			if got, want := attributesOf(t, got), attributesOf(t, e); !maps.Equal(got, want) {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
	})
}

// valueOf makes the value of an extension, of one of the types that it may have.
func valueOf(kind uint8, text string) any {
	number, _ := strconv.ParseInt(text, 10, 64)
	switch kind % 8 {
	case 0:
		return text
	case 1:
		return int32(number)
	case 2:
		return []byte(text)
	case 3:
		return types.Timestamp{Time: time.Unix(number, 0)}
	case 4:
		fraction, _ := strconv.ParseFloat(text, 64)
		return fraction
	case 5:
		return number%2 == 0
	case 6:
		return types.URIRef{URL: url.URL{Path: text}}
	default:
		return map[string]any{text: number}
	}
}

// attributesOf are the attributes of an event as a destination sees them, and its data.
func attributesOf(t *testing.T, e event.Event) map[string]string {
	t.Helper()
	all := map[string]string{
		"id": e.ID(), "source": e.Source(), "type": e.Type(), "subject": e.Subject(), "dataschema": e.DataSchema(),
		"datacontenttype": e.DataContentType(), "time": types.FormatTime(e.Time()), "data": string(e.Data()),
	}
	for name, value := range e.Extensions() {
		text, err := types.Format(value)
		if err != nil {
			t.Fatal(err)
		}
		all["extension "+name] = text
	}
	return all
}
