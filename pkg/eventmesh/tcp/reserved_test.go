package tcp

import (
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

func TestWithoutReserved(t *testing.T) {
	for body, want := range map[string]string{
		`{}`:                                "{}",
		` { } `:                             "{}",
		`{"id":"1"}`:                        `{"id":"1"}`,
		`{"ip":"1"}`:                        `{}`,
		`{"ip":"1","id":"1"}`:               `{"id":"1"}`,
		`{"id":"1","ip":{"a":[1,2]}}`:       `{"id":"1"}`,
		"{\n \"id\" : \"1\" ,\n \"ip\":1 }": `{"id":"1"}`,
		`{"ip":"\"}","data":{"ip":"kept, here"},"sys":[]}`: `{"data":{"ip":"kept, here"}}`,
		`{"ip":"\\","a":"\\\"","b":null}`:                  `{"a":"\\\"","b":null}`,
		`{"\u0069p":"an escaped name"}`:                    `{}`,
		`[{"ip":1}]`:                                       `[{"ip":1}]`,
		`"ip"`:                                             `"ip"`,
		`{"ip":1`:                                          `{"ip":1`,
	} {
		if got := string(withoutReserved([]byte(body))); got != want {
			t.Errorf("of %s got %s, want %s", body, got, want)
		}
	}
}

func TestUndecodableHasNoCredentials(t *testing.T) {
	for body, want := range map[string]string{
		`{"specversion":"7","username":"me","passwd":"secret"}`: `{"specversion":"7"}`,
		`no JSON`: `no JSON`,
	} {
		s := &subscriber{connection: &connection{}}
		if d := s.delivery(frame.Frame{Body: []byte(body)}); d.Err == nil || string(d.Raw) != want {
			t.Errorf("of %s got %s, want %s", body, d.Raw, want)
		}
	}
}
