package jsonevent_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/attribute"
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
// first or the last of two members of one name, knows four spellings of JSON's media type, makes integers of all numbers, and writes
// URIs in its own way.
func plain(text []byte) bool {
	seen := map[string]bool{}
	errOwnWay := errors.New("read in another way")
	err := jsontext.Members(text, func(name, value []byte) error {
		s, _ := jsontext.String(value)
		_, notInteger := strconv.ParseInt(string(value), 10, 32)
		member := string(name)
		switch name := strings.ToLower(member); {
		case name == "", seen[name], name == "data" && member != name:
			return errOwnWay
		case name == "datacontenttype" && s != "" && mediatype.IsJSON(s):
			switch s, _, _ = strings.Cut(s, ";"); s {
			case event.ApplicationJSON, event.TextJSON, event.ApplicationCloudEventsJSON, event.ApplicationCloudEventsBatchJSON:
			default:
				return errOwnWay
			}
		case name == "source" || name == "dataschema":
			if u, err := url.Parse(s); err != nil || u.String() != s {
				return errOwnWay
			}
		case name == "time":
			if t, err := types.ParseTime(s); err == nil && attribute.CheckTime(t) != nil {
				return errOwnWay
			}
		case name == "data_base64":
			if string(value) == "null" {
				return errOwnWay
			}
		case name != "data" && (value[0] == '-' || value[0] >= '0' && value[0] <= '9') && notInteger != nil:
			return errOwnWay
		}
		seen[strings.ToLower(string(name))] = true
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
	if err == nil && got.Validate() != nil && wantErr != nil { // which the SDK finds here already
		return
	}
	if wantErr == nil && want.DataContentType() != "" && want.DataMediaType() == "" { // it is all parameters: JSON, to the SDK
		return
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
	f.Fuzz(func(t *testing.T, text []byte) {
		compareWithSDK(t, text)
		kept, err := jsonevent.Unmarshal(text, nil)
		if err == nil {
			comesBack(t, kept)
		}
		e, strictErr := jsonevent.UnmarshalStrict(text)
		if strictErr == nil && (err != nil || !reflect.DeepEqual(e, kept)) {
			t.Errorf("of %s got %+v, and when it is strict %+v", text, kept, e)
		}
		if strictErr == nil && written(t, text) != written(t, appended(t, e)) {
			t.Errorf("%s became %s", text, appended(t, e))
		}
	})
}

// comesBack fails unless an event that has been read can be written, and read again as an equal one.
func comesBack(t *testing.T, e event.Event) {
	t.Helper()
	c, ok := e.Context.(*event.EventContextV1)
	if !ok || !utf8.ValidString(c.String()) || c.ID == "" {
		return // as EventMesh's client refuses it
	}
	text := appended(t, e)
	got, err := jsonevent.Unmarshal(text, nil)
	if err != nil || !bytes.Equal(got.Data(), e.Data()) || written(t, text) != written(t, appended(t, got)) {
		t.Errorf("wrote %s, and read %+v, %v", text, got, err)
	}
}

func appended(t *testing.T, e event.Event) []byte {
	t.Helper()
	e.DataBase64 = true
	text, err := jsonevent.Append(nil, e)
	if err != nil {
		t.Fatalf("writing %+v: %v", e, err)
	}
	return text
}

// written tells how the attributes of an event are written: their names and values, which are not null or empty, in order. Of a time it
// is the instant.
func written(t *testing.T, text []byte) string {
	t.Helper()
	var all []string
	if err := jsontext.Members(text, func(name, value []byte) error {
		s, isString := jsontext.String(value)
		own := strings.ToLower(string(name))
		switch own {
		case "data", "data_base64":
			return nil
		case "time":
			instant, err := attribute.ParseTime(s)
			if s != "" && err != nil {
				t.Errorf("%s has no time of RFC 3339", text)
			}
			s = instant.UTC().String()
			fallthrough
		case "subject", "datacontenttype", "dataschema", "source", "id", "type":
			isString = s != "" && s != (time.Time{}).String()
		}
		switch {
		case isString:
			all = append(all, fmt.Sprintf("%s=%q", own, s))
		case string(value) == "-0":
			all = append(all, own+"=0")
		case value[0] != '"' && string(value) != "null":
			all = append(all, fmt.Sprintf("%s=%s", own, value))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// TestUnmarshalStrict: a sender is told of what would be changed otherwise.
func TestUnmarshalStrict(t *testing.T) {
	many := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"x%d":""`, i)
		}
		return b.String()
	}
	for members, why := range map[string]string{
		``: "", `,"subject":null,"time":null,"dataschema":null,"datacontenttype":null,"x":null,"data":null`: "",
		`,"n":1,"m":-2147483648,"o":2147483647,"b":true,"c":false,"s":"1.5"`: "",
		`,"n":1.5`: "n: want an integer", `,"n":1e3`: "n: want an integer", `,"n":1.0`: "n: want an integer", `,"n":2147483648`: "n: want an integer",
		`,"n":-2147483649`: "n: want an integer", `,"n":1E0`: "n: want an integer", `,"n":[]`: "n: want a string", `,"n":{}`: "n: want a string",
		`,"data":{"a":1},"data_base64":"AAEC"`: "data or data_base64", `,"data_base64":"AAEC","data":1`: "data or data_base64",
		`,"data":null,"data_base64":"AAEC"`: "", `,"data":1,"data_base64":null`: "", `,"data_base64":1`: "data_base64: want a string",
		`,"data":1,"data":1`: "data: it is there twice", `,"id":"2"`: "id: it is there twice", `,"x":"1","x":"2"`: "x: it is there twice", `,"specversion":"1.0"`: "specversion: it is there twice",
		`,"x":"1","X":"2"`: "X: it is there twice", `,"x":"1","\u0078":"2"`: "x: it is there twice", `,"subject":"1","subject":"1"`: "subject: it is there twice",
		`,"DATA":"x"`: "DATA: no extension", `,"ID":"x"`: "ID: ", `,"a_b":"x"`: "a_b: ", `,"":"x"`: ": ",
		`,"x":"\ud800"`: "x: it holds half", `,"x":"a\uDC00b"`: "x: it holds half", `,"x":"\ud83d\u0041"`: "x: it holds half", `,"x":"\ud83d\ud83d"`: "x: it holds half",
		`,"x":"\ud83d\ude00"`: "", `,"x":"\\ud800"`: "", `,"x":"\ufffd"`: "", `,"subject":"\udfff"`: "subject: it holds half",
		`,"data":"\ud800","datacontenttype":"text/plain"`: "data of content type text/plain: it holds half", `,"data":"\ud800"`: "",
		",\"x\":\"\xff\"": "UTF-8", ",\"data\":\"\xff\"": "UTF-8",
		`,"dataschema":"http://[bad"`: "dataschema: it is no URI reference", `,"dataschema":"%zz"`: "dataschema: it is no URI reference", `,"dataschema":""`: "",
		`,"dataschema":"HTTP://Example.com/ä#"`: "",
		`,"time":"9999-12-31T23:59:59-05:00"`:   "time: it is no time", `,"time":"0000-06-01T00:00:00Z"`: "time: it is no time", `,"time":"0001-01-01T00:00:00+05:00"`: "time: it is no time",
		`,"time":"9999-12-31T23:59:59.999999999Z"`: "", `,"time":"0001-01-01T00:00:00Z"`: "", `,"time":"2026-01-02t03:04:05.5z"`: "", `,"time":"2026-01-02T03:04:05.1234567891+23:59"`: "",
		`,"time":"2026-01-02T03:04:60Z"`: "time: it is no time", `,"time":"2026-01-02T24:00:00Z"`: "time: it is no time", `,"time":"2026-01-02"`: "time: it is no time",
		`,"time":"2026-01-02T3:04:05Z"`: "time: it is no time", `,"time":"2026-01-02T03:04:05,5Z"`: "time: it is no time", `,"time":"2026-01-02 03:04:05Z"`: "time: it is no time",
		`,"time":"2026-02-30T03:04:05Z"`: "time: it is no time", `,"time":"2026-01-02T03:04:05+24:00"`: "time: it is no time", `,"time":1`: "time: want a string", `,"time":""`: "",
		many(60): "", many(61): "x60: there are more than 64 attributes", many(40000): "x60: there are more than 64 attributes",
		`,"x":"` + strings.Repeat("x", 65000) + `"`: "", `,"x":"` + strings.Repeat("x", 65510) + `"`: "x: the attributes have more than 65536 bytes",
		`,"` + strings.Repeat("x", 65536) + `":""`:       "more than 65536 bytes",
		`,"x":"` + strings.Repeat(`\u0041`, 65000) + `"`: "",
	} {
		text := `{"specversion":"1.0","id":"1","source":"/s","type":"t"` + members + `}`
		e, err := jsonevent.UnmarshalStrict([]byte(text))
		switch {
		case why == "" && err != nil, why != "" && (err == nil || !strings.Contains(err.Error(), why)):
			t.Errorf("%.200s: got %.200v, want %q", members, err, why)
		case err == nil && written(t, []byte(text)) != written(t, appended(t, e)):
			t.Errorf("%.200s: became %.400s", members, appended(t, e))
		}
	}
	for _, source := range []string{"http://[bad", ":", "%zz", "http://a:b/", "\u007f"} {
		if e, err := jsonevent.UnmarshalStrict(fmt.Appendf(nil, `{"specversion":"1.0","id":"1","source":"%s","type":"t"}`, source)); err == nil {
			t.Errorf("source %s: got %s, want an error", source, e.Source())
		}
	}
}

// TestUnmarshalKeeps: what EventMesh delivers is not there to be refused.
func TestUnmarshalKeeps(t *testing.T) {
	for member, want := range map[string]any{
		`"x":1.5`: "1.5", `"x":1e3`: "1e3", `"x":5000000000`: "5000000000", `"x":-0.0`: "-0.0", `"x":7`: int32(7), `"x":"1","x":"2"`: "2", `"x":"a\nb"`: "a\nb",
		`"source":"http://[bad","x":""`: "", `"x":"\ud800"`: "\uFFFD",
	} {
		text := `{"specversion":"1.0","id":"1","source":"/s","type":"t",` + member + `}`
		e, err := jsonevent.Unmarshal([]byte(text), nil)
		if err != nil || e.Extensions()["x"] != want {
			t.Errorf("%s: got %v, %v, want %v", member, e.Extensions(), err, want)
		}
	}
}

// TestUnmarshalKeepsURIs: receivers compare them as texts.
func TestUnmarshalKeepsURIs(t *testing.T) {
	for _, uri := range []string{"/foo#", "HTTP://Example.COM/", "/ä", "/a?", "urn:ä", "a/../b", "//h", "X:", "file:///c:/", "http://a%20b/", "/%7e", "/%C3%A4?%c3#%c3", "http://h/?q=ä#ü", "./a:b", "http://a@b:80", "?#", "#"} {
		text := fmt.Sprintf(`{"specversion":"1.0","id":"1","source":%q,"type":"t","dataschema":%q}`, uri, "HTTP://x"+uri)
		e, err := jsonevent.Unmarshal([]byte(text), nil)
		if err != nil || e.Source() != uri || e.DataSchema() != "HTTP://x"+uri {
			t.Errorf("%s: got %q and %q, %v", text, e.Source(), e.DataSchema(), err)
		}
	}
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

// Data that is most of a text is not copied, where the text is given away.
func TestUnmarshalSharesLargeData(t *testing.T) {
	read := map[string]func([]byte) (event.Event, error){
		"kept":   func(text []byte) (event.Event, error) { return jsonevent.Unmarshal(text, nil) },
		"strict": jsonevent.UnmarshalStrict,
	}
	large := strings.Repeat("d", 200)
	for contentType, data := range map[string]string{"application/json": `{"a":"` + large + `"}`, "text/plain": large} {
		value := data
		if contentType == "text/plain" {
			value = `"` + data + `"`
		}
		for name, unmarshal := range read {
			text := []byte(`{"specversion":"1.0","id":"11","source":"/s","type":"t","ext":"eee","data":` + value + `,"datacontenttype":"` + contentType + `"}`)
			e, err := unmarshal(text)
			if err != nil || string(e.Data()) != data {
				t.Fatalf("got %q, %v", e.Data(), err)
			}
			clear(text)
			if shares := string(e.Data()) != data; shares != (name == "kept") {
				t.Errorf("%s, %s: shares its data with the text: %v", name, contentType, shares)
			}
			if e.ID() != "11" || e.Type() != "t" || e.Extensions()["ext"] != "eee" || cap(e.DataEncoded) > 2*len(data) {
				t.Errorf("%s, %s: got %v", name, contentType, e)
			}
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
