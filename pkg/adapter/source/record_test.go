package source

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"io"
	"maps"
	"math"
	"net/url"
	"strconv"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
)

func TestRecord(t *testing.T) {
	plain := sample("plain")
	noData := sample("no data")
	noData.DataEncoded = nil
	binary := sample("binary")
	binary.SetDataContentType("image/png")
	binary.DataEncoded, binary.DataBase64 = []byte{0, 255, 254, '"', '\n'}, true
	typed := sample("types")
	typed.SetExtension("flag", true)
	typed.SetExtension("count", 42)
	typed.SetExtension("at", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	typed.SetExtension("raw", []byte{1, 2, 3})
	minimal := event.New()
	minimal.SetID("1")
	minimal.SetSource("/")
	minimal.SetType("t")
	unicode := sample("ü \" \\ \u2028 <&>")
	unicode.SetSubject("Ünïcode 😀")
	for _, e := range []event.Event{plain, noData, binary, typed, minimal, unicode} {
		t.Run(e.ID(), func(t *testing.T) {
			k := &kept{
				seq: 7, key: 1 << 63, topic: "orders", received: time.Unix(1234, 5678), undecodable: e.ID() == "binary",
				event: e, size: sizeOf(&e),
			}
			record, err := encodeRecord(k)
			if err != nil {
				t.Fatal(err)
			}
			if err := checkRecord(record); err != nil {
				t.Fatal(err)
			}
			got := openRecord(7, record)
			if got.seq != k.seq || got.key != k.key || got.topic != k.topic || !got.received.Equal(k.received) || got.size != k.size ||
				got.undecodable != k.undecodable {
				t.Errorf("got %+v, want %+v", got, k)
			}
			decoded, err := decodeRecord(record)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := onTheWire(t, decoded), onTheWire(t, e); got != want {
				t.Errorf("got the request\n%s\nwant\n%s", got, want)
			}
			for i := range record {
				damaged := bytes.Clone(record)
				damaged[i] ^= 0x10
				if checkRecord(damaged) == nil {
					t.Errorf("a change of byte %d is not noticed", i)
				}
				if checkRecord(record[:i]) == nil {
					t.Errorf("a cut after %d bytes is not noticed", i)
				}
			}
		})
	}
}

// A file of an earlier version has records without a size.
func TestRecordOfAnEarlierVersion(t *testing.T) {
	k := record(t, 1, 3*kib)
	old := append(bytes.Clone(k.record[:24]), k.record[recordHeader:len(k.record)-recordTrailer]...)
	old[0] = 1
	old = binary.BigEndian.AppendUint32(old, crc32.Checksum(old, castagnoli))
	got := openRecord(1, old)
	if got.unreadable != nil || got.topic != k.topic || !got.received.Equal(k.received) || got.size != int64(len(k.event.DataEncoded)+1024) {
		t.Errorf("got %+v", got)
	}
	if e, err := decodeRecord(old); err != nil || same(e, k.event) != "" {
		t.Errorf("got %v, %v", e, err)
	}
}

// onTheWire is an event as the sink gets it.
func onTheWire(t *testing.T, e event.Event) string {
	t.Helper()
	request, err := senderTo(t, "http://sink").request(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	if request.Header.Get("Content-Type") == event.ApplicationCloudEventsJSON { // whose members have no order
		var members map[string]json.RawMessage
		if err := json.NewDecoder(request.Body).Decode(&members); err != nil {
			t.Fatal(err)
		}
		body, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		request.Body, request.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	return written(t, request)
}

// FuzzRecord reads what may stand in a file.
func FuzzRecord(f *testing.F) {
	record, err := encodeRecord(&kept{event: sample("a"), topic: "orders", received: time.Unix(1, 2)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(record)
	f.Add([]byte{})
	f.Fuzz(func(_ *testing.T, b []byte) {
		if k := openRecord(1, b); k.unreadable == nil {
			_, _ = decodeRecord(b) // any error will do, and no panic
		}
	})
}

// FuzzWriteRecord writes whatever an event may be made of: what has a record can be read back, and goes to the sink as it would have
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
	spooled := &buffer{spool: &spool{}}
	f.Fuzz(func(t *testing.T, id, source, typ, subject, contentType, schema, topic string, seconds, nanoseconds int64, name string, kind uint8, text string, data []byte) {
		at := types.Timestamp{Time: time.Unix(seconds, nanoseconds%1e9)}
		number, _ := strconv.ParseInt(text, 10, 64)
		fraction, _ := strconv.ParseFloat(text, 64)
		var value any
		switch kind % 8 {
		case 0:
			value = text
		case 1:
			value = int32(number)
		case 2:
			value = []byte(text)
		case 3:
			value = types.Timestamp{Time: time.Unix(number, 0)}
		case 4:
			value = fraction
		case 5:
			value = number%2 == 0
		case 6:
			value = types.URIRef{URL: url.URL{Path: text}}
		case 7:
			value = map[string]any{text: number}
		}
		c := &event.EventContextV1{ID: id, Type: typ, Time: &at, Extensions: map[string]any{name: value}}
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
		k := &kept{event: e, topic: topic, received: time.Unix(1, 2)}
		if err := spooled.prepare(k); err != nil {
			if len(topic) > math.MaxUint16 {
				return
			}
			k.event = noEvent(topic, asJSON(&e), err)
			if err := spooled.prepare(k); err != nil {
				t.Fatalf("nor can it be written what is no event: %v", err)
			}
			e = k.event
		}
		read := openRecord(1, k.record)
		if read.unreadable != nil || read.topic != topic || read.size != k.size {
			t.Fatalf("got %+v", read)
		}
		got, err := decodeRecord(k.record)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := senderTo(t, "http://sink").request(t.Context(), e); err == nil && e.Validate() == nil {
			if got, want := attributesOf(t, got), attributesOf(t, e); !maps.Equal(got, want) {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
	})
}

// attributesOf are the attributes of an event as a sink sees them, and its data.
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
