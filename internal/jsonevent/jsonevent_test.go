package jsonevent_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsonevent"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsontext"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/mediatype"
)

// jsonEvents are events as they may come, and some that are none.
var jsonEvents = []string{
	`{"specversion":"1.0","id":"1","source":"/s","type":"t"}`,
	`{"id":"1","data":{"a":[1,2.50]},"source":"/s","datacontenttype":"application/json; charset=utf-8","type":"t","specversion":"1.0"}`,
	`{"specversion":"1.0","id":"1","source":"/s","type":"t","data":"a\nb\u0041","datacontenttype":"text/plain"}`,
	`{"specversion":"1.0","id":"1","source":"/s","type":"t","data":"a string","datacontenttype":"application/cloudevents+json"}`,
	`{"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"text/plain","data_base64":"AAEC"}`,
	`{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":"AA\u003d="}`,
	`{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":"no base64"}`,
	`{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":1}`,
	`{"specversion":"1.0","id":"1","source":"/s","type":"t","data":null}`,
	`{"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"text/plain","data":null}`,
	`{"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"text/plain","data":{}}`,
	`{"specversion":"1.0","id":"1","source":"https://a/b?c=d","type":"t","time":"2026-01-02T03:04:05.678Z","subject":"s","dataschema":"https://x/y","ext":"e","n":5,"b":true}`,
	`{"specversion":"1.0","id":"1","source":"/s","type":"t","time":"yesterday"}`,
	`{"specversion":"1.0","id":"1","source":":","type":"t"}`,
	`{"specversion":"1.0","id":"1","source":"","type":"t"}`,
	`{"specversion":"1.0","id":1,"source":"/s","type":"t"}`,
	`{"specversion":"1.0","id":null,"source":"/s","type":"t","subject":null,"subject2":null,"time":null,"dataschema":""}`,
	`{"specversion":"1.0","id":"1","source":"/s","type":"t","ext":{}}`,
	`{"specversion":"1.0","id":"1","source":"/s","type":"t","ext":[]}`,
	`{"specversion":"1.0","id":"1","source":"/s","type":"t","ext":5000000000}`,
	`{"specversion":"1.0","id":"1","source":"/s","type":"t","bad_name":"x"}`,
	`{"specversion":"0.3","id":"1","source":"/s","type":"t"}`,
	`{"specversion":"2","id":"1","source":"/s","type":"t"}`,
	`{"id":"1","source":"/s","type":"t"}`,
	`{}`, `[]`, `"x"`, `{"specversion":"1.0"`, `{"specversion":"1.0"}x`, ``,
}

// plain tells texts that the SDK reads as this package does: it ends at an empty name, does not know escapes in names, takes the
// first or the last of two members of one name, and knows four spellings of JSON's media type.
func plain(text []byte) bool {
	seen := map[string]bool{}
	err := jsontext.Members(text, func(name, value []byte) error {
		if len(name) == 0 || seen[string(name)] {
			return errors.New("an empty name, or one twice")
		}
		if contentType, _ := jsontext.String(value); string(name) == "datacontenttype" && contentType != "" && mediatype.IsJSON(contentType) {
			switch contentType, _, _ = strings.Cut(contentType, ";"); contentType {
			case event.ApplicationJSON, event.TextJSON, event.ApplicationCloudEventsJSON, event.ApplicationCloudEventsBatchJSON:
			default:
				return errors.New("JSON that is none to the SDK")
			}
		}
		seen[string(name)] = true
		return nil
	})
	names, _, _ := strings.Cut(string(text), `\`)
	return err == nil && utf8.Valid(text) && len(names) == len(text) && (!seen["data"] || !seen["data_base64"])
}

func bySDK(text []byte) (e event.Event, err error) {
	defer func() {
		if r := recover(); r != nil { // as with "data_base64": 1
			err = fmt.Errorf("the SDK panicked: %v", r)
		}
	}()
	err = e.UnmarshalJSON(text)
	return e, err
}

func compareWithSDK(t *testing.T, text []byte) {
	t.Helper()
	got, err := jsonevent.Unmarshal(text, nil)
	if err == nil && !json.Valid(text) {
		t.Fatalf("took %s, which is no JSON", text)
	}
	if !plain(text) {
		return
	}
	want, wantErr := bySDK(text)
	if wantErr == nil && want.SpecVersion() != "1.0" {
		wantErr = errors.New("another version")
	}
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("of %s got %v, the SDK says %v", text, err, wantErr)
	}
	if c, ok := want.Context.(*event.EventContextV1); ok && want.DataContentType() == "" {
		c.DataContentType = nil // which the SDK does too, if it comes before the version
	}
	if err == nil && !reflect.DeepEqual(got, want) {
		t.Fatalf("of %s got %+v, the SDK says %+v", text, got, want)
	}
}

// TestUnmarshalData: what is JSON keeps every byte, anything else is the text that a string stands for.
func TestUnmarshalData(t *testing.T) {
	for _, c := range []struct{ contentType, data, want string }{
		{"application/json", `{"a": 1.50}`, `{"a": 1.50}`},
		{"application/fhir+json", `{"resourceType": "Patient"}`, `{"resourceType": "Patient"}`},
		{"application/vnd.acme+json", `"hello"`, `"hello"`},
		{"Application/JSON", `{"a":1}`, `{"a":1}`},
		{"APPLICATION/VND.ACME+JSON; Charset=UTF-8", `"\u0041"`, `"\u0041"`},
		{"foo/json", `"x"`, `"x"`},
		{"text/json ; a=b", `null`, `null`},
		{"text/plain", `"a\nb"`, "a\nb"},
		{"application/json+xml", `"<a/>"`, "<a/>"},
	} {
		text := fmt.Sprintf(`{"specversion":"1.0","id":"1","source":"/s","type":"t","data":%s,"datacontenttype":%q}`, c.data, c.contentType)
		e, err := jsonevent.Unmarshal([]byte(text), nil)
		if err != nil || string(e.Data()) != c.want {
			t.Errorf("%s as %s: got %q, %v, want %q", c.data, c.contentType, e.Data(), err, c.want)
		}
	}
	for _, contentType := range []string{"text/plain", "application/jsonx", "json", "a/b/json"} {
		text := fmt.Sprintf(`{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{},"datacontenttype":%q}`, contentType)
		if e, err := jsonevent.Unmarshal([]byte(text), nil); err == nil {
			t.Errorf("an object as %s: got %q, want an error", contentType, e.Data())
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	for _, text := range jsonEvents {
		f.Add([]byte(text))
	}
	f.Fuzz(compareWithSDK)
}

func TestUnmarshalLeavesOut(t *testing.T) {
	const text = `{"specversion":"1.0","id":"1","source":"/s","type":"t","passwd":{"not":"even read"},"\u0069p":"1","ours":"x"}`
	e, err := jsonevent.Unmarshal([]byte(text), func(name []byte) bool { return string(name) == "passwd" || string(name) == "ip" })
	if want := map[string]any{"ours": "x"}; err != nil || !reflect.DeepEqual(e.Extensions(), want) {
		t.Errorf("got %v, %v, want %v", e.Extensions(), err, want)
	}
}

func TestUnmarshalSharesNothing(t *testing.T) {
	for _, text := range []string{
		`{"specversion":"1.0","id":"11","source":"/s","type":"t","ext":"eee","data":"ddd"}`,
		`{"specversion":"1.0","id":"11","source":"/s","type":"t","ext":"eee","data":"ddd","datacontenttype":"text/plain"}`,
		`{"specversion":"1.0","id":"11","source":"/s","type":"t","ext":"eee","data_base64":"ZGRk"}`,
	} {
		body := []byte(text)
		got, err := jsonevent.Unmarshal(body, nil)
		if err != nil {
			t.Fatal(err)
		}
		clear(body)
		want, err := jsonevent.Unmarshal([]byte(text), nil)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("after the body is overwritten got %+v, want %+v, %v", got, want, err)
		}
	}
}

// FuzzAppend compares with what the SDK reads of it.
func FuzzAppend(f *testing.F) {
	f.Add("1", "/s", "t", "sub", "text/plain", "https://x/y", "e", int32(5), true, []byte("data"), true)
	f.Add("\"\\\n\u2028", "a:b", "t", "", "application/json", "", "", int32(-1), false, []byte(`{"a": [1]}`), false)
	f.Add("ü", "?", "t", "<&>", "", "urn:x", "\x7f", int32(0), false, []byte{}, true)
	f.Fuzz(func(t *testing.T, id, source, typ, subject, contentType, schema, extension string, number int32, flag bool, data []byte, base64 bool) {
		e := event.New()
		e.SetID(id)
		e.SetSource(source)
		e.SetType(typ)
		if subject != "" {
			e.SetSubject(subject)
		}
		if contentType != "" {
			e.SetDataContentType(contentType)
		}
		if schema != "" {
			e.SetDataSchema(schema)
		}
		e.SetTime(time.Unix(int64(number), 5))
		e.SetExtension("text", extension)
		e.SetExtension("number", number)
		e.SetExtension("flag", flag)
		e.SetExtension("bytes", data)
		e.SetExtension("time", types.Timestamp{Time: time.Unix(7, 0)})
		e.DataEncoded, e.DataBase64 = data, base64 || !json.Valid(data)
		for _, s := range []string{id, source, typ, subject, contentType, schema, extension} {
			if !utf8.ValidString(s) {
				return
			}
		}
		if e.Validate() != nil {
			return
		}
		text, err := jsonevent.Append(nil, e)
		if err != nil || !json.Valid(text) {
			t.Fatalf("of %v got %s, %v", e, text, err)
		}
		compareWithSDK(t, text)
		got, err := jsonevent.Unmarshal(text, nil)
		if err != nil {
			t.Fatal(err)
		}
		reference, err := e.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		want, err := jsonevent.Unmarshal(reference, nil)
		if err != nil {
			t.Fatalf("the SDK writes %s: %v", reference, err)
		}
		if (e.DataBase64 || contentType == "") && !reflect.DeepEqual(got, want) {
			t.Fatalf("of %v got %s, which is\n%+v, want\n%+v", e, text, got, want)
		}
	})
}

func TestAppendRefuses(t *testing.T) {
	for name, e := range map[string]event.Event{
		"another version":                {Context: &event.EventContextV03{}},
		"a value of no CloudEvents type": {Context: &event.EventContextV1{Extensions: map[string]any{"x": []string{}}}},
	} {
		if b, err := jsonevent.Append(nil, e); err == nil {
			t.Errorf("%s: got %s, want an error", name, b)
		}
	}
}
