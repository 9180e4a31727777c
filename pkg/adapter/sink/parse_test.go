package sink

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
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

// compareWithSDK fails unless the package takes what the SDK takes, and as the same event.
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
	got, err := parse(header, body)
	if (err == nil) != (want != nil) {
		t.Fatalf("got error %v, and of the SDK event %v", err, want)
	}
	if err == nil && !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%#v %s\nwant\n%#v %s", got.Context, got, want.Context, want)
	}
}

func TestParsesAsTheSDKDoes(t *testing.T) {
	with := func(pairs ...string) http.Header {
		h := binary()
		for _, pair := range pairs {
			name, value, _ := strings.Cut(pair, "=")
			h.Add(name, value)
		}
		return h
	}
	without := func(name string) http.Header {
		h := binary()
		h.Del(name)
		return h
	}
	for name, header := range map[string]http.Header{
		"least": binary(), "no id": without("Ce-Id"), "no source": without("Ce-Source"), "no type": without("Ce-Type"),
		"no content type": without("Content-Type"), "no version": without("Ce-Specversion"), "no header": {},
		"all attributes":     with("Ce-Subject=s", "Ce-Time=2026-01-02T03:04:05.000000006+07:00", "Ce-Dataschema=https://example.com/?a=b#c"),
		"extensions":         with("Ce-Region=eu", "Ce-A1=", "Ce-Number=17", "Ce-Partitionkey= a "),
		"odd case":           with("cE-rEGION=eu", "ce-SUBJECT=s"),
		"white space":        with("Ce-Subject=  ", "Ce-Dataschema= ", "Ce-Extra= "),
		"white space around": binary("Ce-Id= 1 ", "Ce-Type= t ", "Ce-Source=/s", "Content-Type= text/plain "),
		"blank id":           binary("Ce-Id= "), "blank type": binary("Ce-Type= "), "blank source": binary("Ce-Source="), "blank time": with("Ce-Time="),
		"zero time": with("Ce-Time=0001-01-01T00:00:00Z"), "no time": with("Ce-Time=yesterday"), "time in lower case": with("Ce-Time=2026-01-02t03:04:05z"),
		"source that is no URI": binary("Ce-Source=%zz"), "schema that is no URI": with("Ce-Dataschema=%zz"), "relative schema": with("Ce-Dataschema=/a"),
		"encoded": with("Ce-Subject=%C3%A4", "Ce-City=M%C3%BCnchen"), "not encoded": with("Ce-Subject=ä", "Ce-City=\xff"),
		"content type as an attribute": with("Ce-Datacontenttype=text/plain"), "data as an extension": with("Ce-Data=x"),
		"extension without a name": with("Ce-=1"), "extension with a dash": with("Ce-A-B=1"), "two values": with("Ce-A=1", "Ce-A=2", "Ce-Id=2"),
		"version 0.3": binary("Ce-Specversion=0.3"), "version 2.0": binary("Ce-Specversion=2.0"), "blank version": binary("Ce-Specversion="),
		"version with white space": binary("Ce-Specversion= 1.0"), "two versions": with("Ce-Specversion=0.3"),
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

func FuzzParse(f *testing.F) {
	f.Add("Ce-Region", "eu", "text/plain", []byte("text"))
	f.Add("Ce-Time", "2026-01-02T03:04:05Z", "", []byte(nil))
	f.Add("Ce-", "", "application/json", []byte("{}"))
	f.Add("Ce-Source", "%zz", structuredType, []byte(`{"specversion":"1.0","id":"1","source":"/s","type":"t","data":[1.50]}`))
	f.Fuzz(func(t *testing.T, name, value, contentType string, body []byte) {
		header := maps.Clone(binary("Content-Type=" + contentType))
		header.Set(name, value)
		compareWithSDK(t, header, body)
		if json.Valid(body) { // as an event of a batch is
			header := structured()
			e, err := parseJSON(body)
			if want := bySDK(t, header, body); (err == nil) != (want != nil) || err == nil && !reflect.DeepEqual(e, want) {
				t.Errorf("got %v %v, want %v", e, err, want)
			}
		}
	})
}
