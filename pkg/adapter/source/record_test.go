package source

import (
	"bytes"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
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
				event: e, size: sizeOf(len(e.DataEncoded)),
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

// onTheWire is an event as the sink gets it.
func onTheWire(t *testing.T, e event.Event) string {
	t.Helper()
	request, err := senderTo(t, "http://sink").request(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return written(t, request)
}

func FuzzRecord(f *testing.F) {
	record, err := encodeRecord(&kept{event: sample("a"), topic: "orders", received: time.Unix(1, 2)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(record)
	f.Add([]byte{})
	f.Fuzz(func(_ *testing.T, b []byte) {
		if checkRecord(b) == nil {
			openRecord(1, b)
			_, _ = decodeRecord(b) // any error will do, and no panic
		}
	})
}
