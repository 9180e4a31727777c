package source

import (
	"bytes"
	"math/rand/v2"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/contract"
)

// TestBinaryModeIsThatOfTheSDK compares requests with those that the SDK makes, byte for byte.
func TestBinaryModeIsThatOfTheSDK(t *testing.T) {
	zone := sample("time with a zone")
	zone.SetTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600)))
	noTime := sample("zero time")
	noTime.SetTime(time.Time{})
	extensions := sample("all kinds of extensions")
	for name, value := range map[string]any{"a": true, "b": 7, "c": []byte{255, 0}, "d": "", "e": time.Unix(1, 2), "7th": "ü\t100%"} {
		extensions.SetExtension(name, value)
	}
	events := []event.Event{zone, noTime, extensions}
	for _, c := range contract.Events() {
		events = append(events, c.Event)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		events = append(events, contract.RandomEvent(random))
	}
	const url = "http://sink.example/path?query=1"
	s := senderTo(t, url)
	for i, e := range events {
		t.Run(strconv.Itoa(i)+" "+e.ID(), func(t *testing.T) {
			want, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, nil)
			if err != nil {
				t.Fatal(err)
			}
			want.Header.Set(namespaceHeader, "shop")
			mode := binding.WithForceBinary
			if carriesEvent(e.DataContentType()) {
				mode = binding.WithForceStructured
			}
			sent := e.Clone()
			sent.DataBase64 = true
			if err := cehttp.WriteRequest(mode(t.Context()), (*binding.EventMessage)(&sent), want); err != nil {
				t.Fatal(err)
			}
			got, err := s.request(t.Context(), e)
			if err != nil {
				t.Fatal(err)
			}
			expected := written(t, want)
			for attempt := range 2 {
				if text := written(t, got); text != expected {
					t.Errorf("attempt %d: got\n%s\nwant\n%s", attempt, text, expected)
				}
				if got.GetBody == nil {
					break
				}
				if got.Body, err = got.GetBody(); err != nil { // as net/http does where a connection turns out to be closed
					t.Fatal(err)
				}
			}
		})
	}
}

// written is a request as the sink gets it.
func written(t *testing.T, r *http.Request) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
