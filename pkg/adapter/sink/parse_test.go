package sink

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/httpevent"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsonevent"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/contract"
)

// bySDK parses as the SDK does. It returns nil for what is no event.
func bySDK(t *testing.T, header http.Header, body []byte) (e *event.Event) {
	t.Helper()
	defer func() {
		if recover() != nil {
			e = nil
		}
	}()
	message := cehttp.NewMessage(header, io.NopCloser(bytes.NewReader(body)))
	e, err := binding.ToEvent(t.Context(), message)
	if err != nil {
		return nil
	}
	if message.ReadEncoding() == binding.EncodingStructured {
		imply(e)
	}
	if e.Validate() != nil || e.SpecVersion() != event.CloudEventsVersionV1 {
		return nil
	}
	return e
}

// compareWithSDK fails unless the package takes what the SDK takes, as the same event, but for what EventMesh does not carry.
func compareWithSDK(t *testing.T, header http.Header, body []byte) {
	t.Helper()
	batch := cehttp.NewMessage(header, nil).ReadEncoding() == binding.EncodingBatch
	if got := isBatch(&http.Request{Header: header}); got != batch {
		t.Errorf("got a batch: %t, want %t", got, batch)
	}
	if batch {
		return
	}
	want := bySDK(t, header, body)
	if want != nil && eventmesh.Validate(*want) != nil {
		want = nil
	}
	got, err := parse(header, body)
	if (err == nil) != (want != nil) {
		t.Fatalf("got error %v, and of the SDK event %v", err, want)
	}
	if err == nil && !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%#v %s\nwant\n%#v %s", got.Context, got, want.Context, want)
	}
}

func TestParsesAsTheSDKDoes(t *testing.T) {
	for name, header := range map[string]http.Header{
		"least": binary(), "no id": without("Ce-Id"), "no source": without("Ce-Source"), "no type": without("Ce-Type"),
		"no content type": without("Content-Type"), "no version": without("Ce-Specversion"), "no header": {},
		"all attributes":     with("Ce-Subject=s", "Ce-Time=2026-01-02T03:04:05.000000006+07:00", "Ce-Dataschema=https://example.com/?a=b#c"),
		"extensions":         with("Ce-Region=eu", "Ce-A1=", "Ce-Number=17", "Ce-Partitionkey=a b"),
		"odd case":           with("cE-rEGION=eu", "ce-SUBJECT=s"),
		"white space":        with("Ce-Subject=  ", "Ce-Dataschema= "),
		"white space around": binary("Ce-Id= 1 ", "Ce-Type= t ", "Ce-Source=/s", "Content-Type= text/plain "),
		"blank id":           binary("Ce-Id= "), "blank type": binary("Ce-Type= "), "blank source": binary("Ce-Source="), "blank time": with("Ce-Time="),
		"no time":               with("Ce-Time=yesterday"),
		"source that is no URI": binary("Ce-Source=%zz"), "schema that is no URI": with("Ce-Dataschema=%zz"), "relative schema": with("Ce-Dataschema=/a"),
		"encoded": with("Ce-Subject=%C3%A4", "Ce-City=M%C3%BCnchen"), "not encoded": with("Ce-Subject=ä", "Ce-City=Zürich"), "not UTF-8": with("Ce-City=\xff"),
		"content type as an attribute": with("Ce-Datacontenttype=text/plain"), "data as an extension": with("Ce-Data=x"),
		"extension without a name": with("Ce-=1"), "extension with a dash": with("Ce-A-B=1"), "the same value twice": with("Ce-A=1", "Ce-A=1", "Ce-Id=1"),
		"version 0.3": binary("Ce-Specversion=0.3"), "version 2.0": binary("Ce-Specversion=2.0"), "blank version": binary("Ce-Specversion="),
		"version with white space":  binary("Ce-Specversion= 1.0"),
		"content type that is none": binary("Content-Type=;"), "blank content type": binary("Content-Type="),
		"structured": structured(), "structured with attributes": binary("Content-Type=" + structuredType),
		"structured in upper case": {"Content-Type": {"Application/CloudEvents+JSON ; charset=utf-8"}},
		"structured in XML":        {"Content-Type": {"application/cloudevents+xml"}}, "binary in XML": binary("Content-Type=application/cloudevents+xml"),
		"batch": batched(), "batch with attributes": binary("Content-Type=" + batchType),
	} {
		t.Run(name, func(t *testing.T) {
			for _, body := range []string{
				"", "text", "\x00\xff", "null", "{}", "[]", " {} ", `{"specversion":"1.0"}`, `{"specversion":"1.0","id":"1"`,
				"\n" + `{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"a": 1.50}}` + "\n",
				`{"specversion":"1.0","id":"1","source":"/s","type":"t"} x`, `{"specversion":"1.0","id":"1","source":"/s","type":"t"}{}`,
				`{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":"AP8="}`, `{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":1}`,
				`{"specversion":"0.3","id":"1","source":"/s","type":"t"}`, `{"data":"x","n":1,"b":true,"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"text/plain"}`,
				`{"specversion":"1.0","id":"1","source":"/s","type":"t","time":"now"}`, `{"specversion":"1.0","id":"1","source":"/s","type":"t","a":[]}`,
			} {
				compareWithSDK(t, header, []byte(body))
			}
		})
	}
}

func with(pairs ...string) http.Header {
	h := binary()
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		h.Add(name, value)
	}
	return h
}

func without(name string) http.Header {
	h := binary()
	h.Del(name)
	return h
}

// TestRefusesAttributes: what CloudEvents or EventMesh does not take, or what would come out as something else, the sender is told of,
// in every mode.
func TestRefusesAttributes(t *testing.T) {
	for member, why := range map[string]string{
		`"note":"line 1\nline 2"`: "note: it holds U+000A", `"note":"\u0000"`: "note: it holds U+0000", `"note":"a\tb"`: "note: it holds U+0009",
		`"note":"\u007f"`: "note: it holds U+007F", `"note":"\u0085"`: "note: it holds U+0085", `"note":"\u009f"`: "note: it holds U+009F", `"note":"\u00a0"`: "",
		`"note":"\ufdd0"`: "note: it holds U+FDD0", `"note":"\ufdef"`: "note: it holds U+FDEF", `"note":"\ufdf0"`: "", `"note":"\ufffe"`: "note: it holds U+FFFE", `"note":"\uffff"`: "note: it holds U+FFFF",
		`"note":"\ud83f\udffe"`: "note: it holds U+1FFFE", `"note":"\udbff\udfff"`: "note: it holds U+10FFFF", `"note":"\ufffd"`: "", `"note":"😀"`: "",
		`"note":"\ud800"`: "note: it holds half a surrogate pair", `"note":"\udc00\ud800"`: "note: it holds half a surrogate pair",
		`"subject":"a\r\nb"`: "subject: it holds U+000D", `"subject":"\ufffe"`: "subject: it holds U+FFFE", `"subject":" a "`: "", `"subject":" "`: "subject",
		`"id":"a\u0001"`: "id: it holds U+0001", `"type":"a\nb"`: "type: it holds U+000A", `"datacontenttype":"text/plain\n"`: "datacontenttype: it holds U+000A",
		`"datacontenttype":"no type"`: "datacontenttype", `"datacontenttype":"text/plain; a"`: "datacontenttype",
		`"note":1.5`: "note: want an integer", `"note":1e3`: "note: want an integer", `"note":2147483648`: "note: want an integer", `"note":-2147483648`: "",
		`"data":{"a":1},"data_base64":"AAEC"`: "data or data_base64", `"note":"a","note":"a"`: "note: it is there twice", `"subject":"a","subject":"b"`: "subject: it is there twice",
		`"data":1,"data":1`:          "data: it is there twice",
		`"dataschema":"http://[bad"`: "dataschema: it is no URI", `"dataschema":"http://a/b c"`: "dataschema: it is no URI", `"dataschema":"/a"`: "dataschema", `"dataschema":"C:\\x\\y"`: "dataschema: it is no URI",
		`"dataschema":"HTTP://Example.COM/ä#"`: "", `"source":"http://[bad"`: "source: it is no URI", `"source":"/x?q=a b"`: "source: it is no URI", `"source":"C:\\x\\y"`: "source: it is no URI",
		`"source":"urn:a b"`: "source: it is no URI", `"source":"/a|b"`: "source: it is no URI", `"source":"/{a}"`: "source: it is no URI", `"source":"//"`: "source: it is no URI", `"source":"a\nb"`: "source: it",
		`"source":"/%zz"`: "source: it is no URI", `"source":":"`: "source: it is no URI", `"source":"/a[b]"`: "source: it is no URI",
		`"source":"/foo#"`: "", `"source":"HTTP://Example.COM"`: "", `"source":"/ä"`: "", `"source":"urn:ä?#"`: "", `"source":"../a"`: "", `"source":"?"`: "",
		`"time":"9999-12-31T23:59:59-05:00"`: "time: it is no time", `"time":"0000-06-01T00:00:00Z"`: "time: it is no time", `"time":"0001-01-01T00:00:00Z"`: "", `"time":"2026-01-02t03:04:05z"`: "",
		`"time":"2026-06-30T23:59:60Z"`: "time: it is no time", `"time":"2026-06-30T24:00:00Z"`: "time: it is no time",
	} {
		t.Run(member, func(t *testing.T) {
			name, _, _ := strings.Cut(strings.Trim(member, `"`), `"`)
			members := slices.DeleteFunc([]string{member, `"specversion":"1.0"`, `"id":"1"`, `"source":"/s"`, `"type":"t"`}, func(other string) bool {
				return other != member && strings.HasPrefix(other, `"`+name+`"`)
			})
			text := "{" + strings.Join(members, ",") + "}"
			p := &fake{}
			_, server, _ := serve(t, p)
			one := send(t, server.Client(), http.MethodPost, server.URL, structured(), strings.NewReader(text))
			batch, _ := sendBatch(t, server.URL, "["+jsonEvent("good")+","+text+"]")
			for mode, got := range map[string]answer{"structured": one, "batch": batch} {
				if why == "" && got.status != http.StatusAccepted || why != "" && (got.status != http.StatusBadRequest || !strings.Contains(got.body, why)) {
					t.Errorf("%s: got %d %q, want %q", mode, got.status, got.body, why)
				}
			}
			if events, _ := p.taken(); why != "" && len(events) != 1 {
				t.Errorf("got %d events published, want the batch's good one", len(events))
			}
		})
	}
}

// TestRefusesAttributesInHeaders has what net/http lets pass.
func TestRefusesAttributesInHeaders(t *testing.T) {
	many := func(n int) http.Header {
		h := binary()
		for i := range n {
			h.Set(fmt.Sprintf("Ce-X%d", i), "")
		}
		return h
	}
	for name, c := range map[string]struct {
		header http.Header
		why    string
	}{
		"tab":                           {with("Ce-Note=a\tb"), "note: it holds U+0009"},
		"C1 control":                    {with("Ce-Note=a\u0085"), "note: it holds U+0085"},
		"C1 control in an id":           {binary("Ce-Id=\u0085"), "id"},
		"no character":                  {with("Ce-Subject=\ufffe"), "subject: it holds U+FFFE"},
		"half a character":              {with("Ce-Note=\xed\xa0\x80"), "note: it is not valid UTF-8"},
		"Latin-1":                       {with("Ce-Note=Z\xfcrich"), "note: it is not valid UTF-8"},
		"no-break space":                {with("Ce-Note=\u00a0a\u00a0"), ""},
		"blank inside":                  {with("Ce-Note=a  b"), ""},
		"percent":                       {with("Ce-Note=100%25", "Ce-Subject=%"), ""},
		"quotes":                        {with(`Ce-Note="a\"`), ""},
		"source with a blank":           {binary("Ce-Source=/x?q=a b"), "source: it is no URI"},
		"source with a backslash":       {binary(`Ce-Source=C:\x\y`), "source: it is no URI"},
		"source as it came":             {binary("Ce-Source=HTTP://Zürich.example#"), ""},
		"schema that is none":           {with("Ce-Dataschema=http://[bad"), "Ce-Dataschema: it is no URI"},
		"schema with a blank":           {with("Ce-Dataschema=http://a/b c"), "dataschema: it is no URI"},
		"schema as it came":             {with("Ce-Dataschema=HTTP://a?"), ""},
		"year 10000":                    {with("Ce-Time=9999-12-31T23:59:59-05:00"), "Ce-Time: it is no time"},
		"year 0":                        {with("Ce-Time=0001-01-01T00:00:00+05:00"), "Ce-Time: it is no time"},
		"leap second":                   {with("Ce-Time=2026-06-30T23:59:60Z"), "Ce-Time: it is no time"},
		"first time":                    {with("Ce-Time=0001-01-01T00:00:00Z"), ""},
		"time in lower case":            {with("Ce-Time=2026-01-02t03:04:05z"), ""},
		"another id":                    {with("Ce-Id=2"), "Ce-Id: the header is there twice"},
		"another version":               {with("Ce-Specversion=0.3"), "Ce-Specversion: the header is there twice"},
		"another extension":             {with("Ce-A=1", "Ce-A=2"), "Ce-A: the header is there twice"},
		"another content type":          {with("Content-Type=text/plain"), "Content-Type: the header is there twice"},
		"content type that is an other": {with("Content-Type=" + structuredType), "Content-Type: the header is there twice"},
		"data":                          {with("Ce-Data=x"), "data"},
		"64 attributes":                 {many(59), ""},
		"65 attributes":                 {many(60), "there are more than 64 attributes"},
		"64 KiB":                        {with("Ce-Note=" + strings.Repeat("x", 64<<10)), "more than 65536 bytes"},
		"less than 64 KiB":              {with("Ce-Note=" + strings.Repeat("x", 65000)), ""},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := parse(c.header, nil)
			if c.why == "" && err != nil || c.why != "" && (statusOf(err) != http.StatusBadRequest || !strings.Contains(err.Error(), c.why)) {
				t.Fatalf("got %v, want %q", err, c.why)
			}
			if e != nil {
				crosses(t, *e)
			}
		})
	}
}

// crosses fails unless an event that the sink takes comes out of EventMesh equal, and goes on from there over HTTP as such.
func crosses(t *testing.T, e event.Event) {
	t.Helper()
	for _, form := range []eventmesh.Form{eventmesh.NativeForm, eventmesh.JSONForm} {
		wire, err := eventmesh.Encode(e, "orders", form)
		if err != nil {
			t.Fatalf("the sink took %s: %v", e, err)
		}
		text, err := jsonevent.Append(nil, event.Event{Context: wire.Context})
		if err != nil {
			t.Fatal(err)
		}
		read, err := jsonevent.Unmarshal(text, nil) // as strings, which RocketMQ makes of all
		if err != nil {
			t.Fatal(err)
		}
		read.DataEncoded = wire.DataEncoded
		got, _, err := eventmesh.Decode(read)
		if err != nil {
			t.Fatalf("the sink took %s: %v", e, err)
		}
		if diff := contract.Difference(got, e); diff != "" {
			t.Errorf("through EventMesh: %s", diff)
		}
	}
	for _, mode := range []httpevent.Mode{httpevent.Auto, httpevent.Structured} {
		header := http.Header{}
		body, err := httpevent.Write(header, e, mode)
		if err != nil {
			t.Fatalf("the sink took %s: %v", e, err)
		}
		got, err := parse(header, body)
		if err != nil {
			t.Fatalf("the sink took %s, and then it was %s %s: %v", e, header, body, err)
		}
		if len(e.DataEncoded) == 0 { // in HTTP there is no difference
			got.DataEncoded, e.DataEncoded = nil, nil
		}
		if diff := contract.Difference(withTexts(*got), withTexts(e)); diff != "" {
			t.Errorf("over HTTP: %s", diff)
		}
	}
}

// withTexts returns an event whose extensions are texts, as they are in headers.
func withTexts(e event.Event) event.Event {
	e = e.Clone()
	for name, value := range e.Extensions() {
		text, _ := types.Format(value)
		e.SetExtension(name, text)
	}
	return e
}

func FuzzParse(f *testing.F) {
	f.Add("Ce-Region", "eu", "text/plain", []byte("text"))
	f.Add("Ce-Time", "2026-01-02T03:04:05Z", "", []byte(nil))
	f.Add("Ce-", "", "application/json", []byte("{}"))
	f.Add("Ce-Source", "%zz", structuredType, []byte(`{"specversion":"1.0","id":"1","source":"/s","type":"t","data":[1.50]}`))
	f.Add("Ce-Note", "a\u00a0\u0085", "Application/JSON", []byte(`{"specversion":"1.0","id":"\ud800","source":"HTTP://ä#","type":"t","data":"x","datacontenttype":"text/plain","n":-1}`))
	f.Add("Ce-Dataschema", "X:?", "a/b", []byte(`{"specversion":"1.0","id":"\n","source":"urn:a","type":"t","data_base64":"AA==","time":"0001-01-01T00:00:00Z","env":"x","emxdata":" "}`))
	f.Fuzz(func(t *testing.T, name, value, contentType string, body []byte) {
		header := maps.Clone(binary("Content-Type=" + contentType))
		header.Set(name, value)
		if e, err := parse(header, body); err == nil {
			crosses(t, *e)
		}
		if e, err := parseJSON(body); err == nil { // as an event of a batch is
			crosses(t, *e)
		}
	})
}
