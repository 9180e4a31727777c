package httpevent_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/httpevent"
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
	if message.ReadEncoding() == binding.EncodingStructured && e.DataContentType() == "" && e.Data() != nil && !e.DataBase64 {
		e.SetDataContentType(event.ApplicationJSON) // which the JSON format implies
	}
	if e.Validate() != nil || e.SpecVersion() != event.CloudEventsVersionV1 {
		return nil
	}
	return e
}

// read reads an event of a sender or a replier, which EventMesh has to carry.
func read(header http.Header, body []byte) (*event.Event, error) {
	return valid(httpevent.Read(header, body))
}

func valid(e *event.Event, err error) (*event.Event, error) {
	if err == nil {
		err = eventmesh.Validate(*e)
	}
	return e, err
}

// compareWithSDK fails unless the package takes what the SDK takes, as the same event, but for what EventMesh does not carry.
func compareWithSDK(t *testing.T, header http.Header, body []byte) {
	t.Helper()
	want := bySDK(t, header, body)
	if want != nil && eventmesh.Validate(*want) != nil {
		want = nil
	}
	got, err := read(header, body)
	if (err == nil) != (want != nil) {
		t.Fatalf("got error %v, and of the SDK event %v", err, want)
	}
	if err == nil && !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%#v %s\nwant\n%#v %s", got.Context, got, want.Context, want)
	}
	if encoding := cehttp.NewMessage(header, nil).ReadEncoding(); encoding != binding.EncodingUnknown && !httpevent.IsEvent(header) {
		t.Errorf("got none for headers of an event: %v", header)
	}
}

const batchType = "application/cloudevents-batch+json"

func TestReadsAsTheSDKDoes(t *testing.T) {
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
		"structured": {"Content-Type": {structuredType}}, "structured with attributes": binary("Content-Type=" + structuredType),
		"structured in upper case": {"Content-Type": {"Application/CloudEvents+JSON ; charset=utf-8"}},
		"structured in XML":        {"Content-Type": {"application/cloudevents+xml"}}, "binary in XML": binary("Content-Type=application/cloudevents+xml"),
		"batch": {"Content-Type": {batchType}}, "batch with attributes": binary("Content-Type=" + batchType),
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

// binary are the headers of an event in binary mode.
func binary(more ...string) http.Header {
	h := http.Header{}
	for _, pair := range append([]string{"Ce-Specversion=1.0", "Ce-Id=1", "Ce-Type=order.placed", "Ce-Source=/shop", "Content-Type=application/json"}, more...) {
		name, value, _ := strings.Cut(pair, "=")
		h[name] = []string{value}
	}
	return h
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

// TestReadsNoAttributesThatWouldChange has what net/http lets pass.
func TestReadsNoAttributesThatWouldChange(t *testing.T) {
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
			e, err := read(c.header, nil)
			if c.why == "" && err != nil || c.why != "" && (err == nil || !strings.Contains(err.Error(), c.why)) {
				t.Fatalf("got %v, want %q", err, c.why)
			}
			if err == nil {
				crosses(t, *e)
			}
		})
	}
}

// crosses fails unless an event that has been read comes out of EventMesh equal, and goes on from there over HTTP as such.
func crosses(t *testing.T, e event.Event) {
	t.Helper()
	through, err := contract.Through(e)
	if err != nil {
		t.Fatalf("%s was taken: %v", e, err)
	}
	for _, got := range through {
		if diff := contract.Difference(got, e); diff != "" {
			t.Errorf("through EventMesh: %s", diff)
		}
	}
	for _, mode := range []httpevent.Mode{httpevent.Auto, httpevent.Structured} {
		header := http.Header{}
		body, err := httpevent.Write(header, e, mode)
		if err != nil {
			t.Fatalf("%s was taken: %v", e, err)
		}
		got, err := read(header, body)
		if err != nil {
			t.Fatalf("%s was taken, and then it was %s %s: %v", e, header, body, err)
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

// FuzzRead reads anything. What is taken comes out of EventMesh equal.
func FuzzRead(f *testing.F) {
	f.Add("Ce-Region", "eu", "text/plain", []byte("text"))
	f.Add("Ce-Time", "2026-01-02T03:04:05Z", "", []byte(nil))
	f.Add("Ce-", "", "application/json", []byte("{}"))
	f.Add("Ce-Source", "%zz", structuredType, []byte(`{"specversion":"1.0","id":"1","source":"/s","type":"t","data":[1.50]}`))
	f.Add("Ce-Note", "a\u00a0\u0085", "Application/JSON", []byte(`{"specversion":"1.0","id":"\ud800","source":"HTTP://ä#","type":"t","data":"x","datacontenttype":"text/plain","n":-1}`))
	f.Add("Ce-Dataschema", "X:?", "a/b", []byte(`{"specversion":"1.0","id":"\n","source":"urn:a","type":"t","data_base64":"AA==","time":"0001-01-01T00:00:00Z","env":"x","emxdata":" "}`))
	f.Fuzz(func(t *testing.T, name, value, contentType string, body []byte) {
		header := binary("Content-Type=" + contentType)
		header.Set(name, value)
		if e, err := read(header, body); err == nil {
			crosses(t, *e)
		}
		if e, err := valid(httpevent.ReadJSON(body)); err == nil { // as an event of a batch is
			crosses(t, *e)
		}
	})
}
