package tcp

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

var neededCases = map[string]string{
	`{}`:                                "{}",
	` { } `:                             "{}",
	`{"id":"1"}`:                        `{"id":"1"}`,
	`{"ip":"1"}`:                        `{}`,
	`{"ip":"1","id":"1"}`:               `{"id":"1"}`,
	`{"id":"1","ip":{"a":[1,2]}}`:       `{"id":"1"}`,
	"{\n \"id\" : \"1\" ,\n \"ip\":1 }": "{\"id\" : \"1\" }",
	`{"ip":"\"}","data":{"ip":"kept, here"},"sys":[]}`: `{"data":{"ip":"kept, here"}}`,
	`{"ip":"\\","a":"\\\"","b":null}`:                  `{"a":"\\\"","b":null}`,
	`{"\u0069p":"an escaped name"}`:                    `{"\u0069p":"an escaped name"}`,
	`[{"ip":1}]`:                                       `[{"ip":1}]`,
	`"ip"`:                                             `"ip"`,
}

func TestNeeded(t *testing.T) {
	for body, want := range neededCases {
		if got := string(needed([]byte(body))); got != want {
			t.Errorf("of %s got %s, want %s", body, got, want)
		}
	}
}

func TestUndecodableHasNoCredentials(t *testing.T) {
	for body, want := range map[string]string{
		`{"specversion":"7","username":"me","passwd":"secret"}`: `{"specversion":"7"}`,
		`no JSON`: `no JSON`,
	} {
		if d := undecodable(frame.Frame{Body: []byte(body)}, errors.New("no event"), nil); string(d.Raw) != want {
			t.Errorf("of %s got %s, want %s", body, d.Raw, want)
		}
	}
}

// FuzzNeeded compares with what an object holds.
func FuzzNeeded(f *testing.F) {
	for body := range neededCases {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if !json.Valid(body) {
			return
		}
		var want, got any
		if err := json.Unmarshal(body, &want); err != nil {
			t.Skip(err)
		}
		if object, ok := want.(map[string]any); ok {
			for name := range object {
				if eventmesh.Reserved(name) {
					delete(object, name)
				}
			}
		}
		left := needed(body)
		if err := json.Unmarshal(left, &got); err != nil {
			t.Fatalf("of %s got %s: %v", body, left, err)
		}
		if object, ok := got.(map[string]any); ok { // an escaped name stays
			for name := range object {
				if eventmesh.Reserved(name) {
					delete(object, name)
				}
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("of %s got %s", body, left)
		}
	})
}
