package eventmeshtest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsonevent"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

// FuzzJSONThroughTCP finds no JSON text that our subscribers do not get as it was, or others not as JSON, by way of EventMesh's parser: in
// the standalone storage, which keeps what that has made of it, and in RocketMQ, which keeps the text.
func FuzzJSONThroughTCP(f *testing.F) {
	for _, text := range []string{
		`{"a":1}`, `{"a": 1.50}`, "{\n\t\"a\" : [1e3, -0, 2.5, 1E-7, 123456789012345678901234567890, 4.9e-324]}\n", `{"a":1,"a":{"b":2,"b":3}}`,
		`"\u0000\u001f\u00fc\/"`, `"\ud83d\ude00 😀"`, `"\ud800"`, `1`, `"x"`, `null`, " null", `1e400`, ` [ ] `, `{"a":`, "\xff",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		e := event.New()
		e.SetID("1")
		e.SetSource("/s")
		e.SetType("t")
		e.SetDataContentType(event.ApplicationJSON)
		e.DataEncoded = text
		carried, err := wire.Encode(e, "orders", wire.JSONForm)
		if err != nil {
			t.Fatal(err)
		}
		isValue := carried.Extensions()["emxdata"] == "json"
		for _, parsed := range []bool{true, false} {
			body := throughTCP(t, carried, parsed)
			var came struct {
				Data any `json:"data"`
			}
			if err := json.Unmarshal(body, &came); err != nil {
				t.Fatalf("of %q came %q: %v", text, body, err)
			}
			var value any
			if err := json.Unmarshal(text, &value); isValue && (err != nil || !reflect.DeepEqual(came.Data, value)) {
				t.Errorf("others get %#v of %q, %v", came.Data, text, err)
			}
			again, err := jsonevent.Unmarshal(body, nil)
			if err != nil {
				t.Fatal(err)
			}
			got, _, err := wire.Decode(again)
			if err != nil || !bytes.Equal(got.Data(), text) || (got.Data() == nil) != (text == nil) {
				t.Errorf("of %q came %q, %v", text, got.Data(), err)
			}
		}
	})
}

// throughTCP returns what a subscriber gets of what a publisher sends.
func throughTCP(t *testing.T, carried event.Event, parsed bool) []byte {
	t.Helper()
	body, err := jsonevent.Append(nil, carried)
	if err != nil {
		t.Fatal(err)
	}
	b, err := frame.Append(nil, frame.Frame{
		Header: frame.Header{
			Command: frame.AsyncMessageToServer, Sequence: "1",
			Properties: map[string]any{"protocoltype": "cloudevents", "protocolversion": "1.0", "protocoldesc": "tcp"},
		},
		Body: body,
	})
	if err != nil {
		t.Fatal(err)
	}
	f, err := frame.Read(bufio.NewReader(bytes.NewReader(b)))
	if err != nil {
		t.Fatal(err)
	}
	m, err := decodeTCP(f)
	if err != nil {
		t.Fatalf("EventMesh refuses %q: %v", body, err)
	}
	m.parsed = m.parsed && parsed
	if body, err = renderTCP(m); err != nil {
		t.Fatal(err)
	}
	return body
}
