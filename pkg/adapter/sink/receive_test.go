package sink

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/ingresstest"
)

// secret stands in the data of events that are refused: neither answers nor logs may repeat it.
const secret = "hunter2"

func TestTakesEvents(t *testing.T) {
	want := event.New()
	want.SetID("1")
	want.SetSource("/shop")
	want.SetType("order.placed")
	want.SetSubject("o/1")
	want.SetExtension("region", "eu")
	base := []string{"Ce-Subject=o/1", "Ce-Region=eu"}
	for _, c := range []struct {
		name        string
		header      http.Header
		body        string
		contentType string
		data        string
	}{
		{"binary", ingresstest.Binary(base...), `{"n": 1.50}`, "application/json", `{"n": 1.50}`},
		{"binary with parameter", ingresstest.Binary(append(base, "Content-Type=text/plain; charset=utf-8")...), "ä\x00\xff", "text/plain; charset=utf-8", "ä\x00\xff"},
		{"binary without data", ingresstest.Binary(append(base, "Content-Type=application/json")...), "", "application/json", ""},
		{"structured", ingresstest.Structured(), `{"specversion":"1.0","id":"1","source":"/shop","type":"order.placed","subject":"o/1","region":"eu","datacontenttype":"application/json","data":{"n": 1.50}}`, "application/json", `{"n": 1.50}`},
		{"structured with parameter", http.Header{"Content-Type": {"application/cloudevents+json; charset=UTF-8"}}, `{"data_base64":"AP8=","datacontenttype":"image/png","specversion":"1.0","id":"1","source":"/shop","type":"order.placed","subject":"o/1","region":"eu"}`, "image/png", "\x00\xff"},
		{"structured, in upper case", http.Header{"Content-Type": {"Application/CloudEvents+JSON; Charset=UTF-8"}}, `{"specversion":"1.0","id":"1","source":"/shop","type":"order.placed","subject":"o/1","region":"eu","datacontenttype":"Application/JSON","data":{"n": 1.50}}`, "Application/JSON", `{"n": 1.50}`},
		{"structured, with an object of another JSON type", ingresstest.Structured(), `{"specversion":"1.0","id":"1","source":"/shop","type":"order.placed","subject":"o/1","region":"eu","datacontenttype":"application/fhir+json","data":{"n": 1.50}}`, "application/fhir+json", `{"n": 1.50}`},
		{"structured, with a string of another JSON type", ingresstest.Structured(), `{"specversion":"1.0","id":"1","source":"/shop","type":"order.placed","subject":"o/1","region":"eu","datacontenttype":"foo/JSON; a=b","data":"hello"}`, "foo/JSON; a=b", `"hello"`},
		{"structured without a content type", ingresstest.Structured(), `{"specversion":"1.0","id":"1","source":"/shop","type":"order.placed","subject":"o/1","region":"eu","data":"text"}`, "application/json", `"text"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &fake{}
			server, _ := serve(t, p)
			got := ingresstest.Send(t, server.Client(), http.MethodPost, server.URL, c.header, strings.NewReader(c.body))
			if got.Status != http.StatusAccepted || got.Body != "" {
				t.Fatalf("got %d %q, want 202 without a body", got.Status, got.Body)
			}
			events, _ := p.taken()
			if len(events) != 1 {
				t.Fatalf("got %d events, want 1", len(events))
			}
			want := want.Clone()
			want.SetDataContentType(c.contentType)
			want.DataEncoded = []byte(c.data)
			if diff := ingresstest.Same(events[0], want); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRefusesWhatIsNoEvent(t *testing.T) {
	for _, c := range []struct {
		name   string
		header http.Header
		body   string
		why    string
	}{
		{"plain JSON", http.Header{"Content-Type": {"application/json"}}, `{"password":"hunter2"}`, "Ce-Specversion"},
		{"nothing", nil, "", "Ce-Specversion"},
		{"version of the future", ingresstest.Binary("Ce-Specversion=2.0"), "hunter2", `specversion "2.0"`},
		{"version of the past", ingresstest.Binary("Ce-Specversion=0.3"), "hunter2", `specversion "0.3"`},
		{"no ID", ingresstest.Binary("Ce-Id="), "hunter2", "id"},
		{"bad time", ingresstest.Binary("Ce-Time=yesterday"), "hunter2", "time"},
		{"bad extension name", ingresstest.Binary("Ce-My-Own=1"), "hunter2", "attribute names"},
		{"extension without a name", ingresstest.Binary("Ce-=1"), "hunter2", "Ce-: bad key"},
		{"compressed", ingresstest.Binary("Content-Encoding=gzip"), "hunter2", "Content-Encoding"},
		{"batch in another format", http.Header{"Content-Type": {"application/cloudevents-batch+avro"}}, `hunter2`, "application/cloudevents-batch+json"},
		{"batch that is an event", ingresstest.Batched(), `{"data":"hunter2"}`, "JSON array"},
		{"batch that is no JSON", ingresstest.Batched(), `hunter2`, "JSON array"},
		{"batch without an end", ingresstest.Batched(), `[{"data":"hunter2"}`, "JSON array"},
		{"batch without an end of an event", ingresstest.Batched(), `[{"data":"hunter2"`, "JSON array"},
		{"batch with more behind it", ingresstest.Batched(), `[] "hunter2"`, "JSON array"},
		{"batch that is empty text", ingresstest.Batched(), ``, "JSON array"},
		{"batch that is null", ingresstest.Batched(), `null`, "JSON array"},
		{"compressed batch", http.Header{"Content-Type": ingresstest.Batched()["Content-Type"], "Content-Encoding": {"gzip"}}, `[]`, "Content-Encoding"},
		{"no JSON", ingresstest.Structured(), `{"specversion":"1.0","data":hunter2`, "invalid character"},
		{"no object", ingresstest.Structured(), `["hunter2"]`, "no JSON object"},
		{"null", ingresstest.Structured(), `null`, "no JSON object"},
		{"no attributes", ingresstest.Structured(), `{"specversion":"1.0","data":"hunter2"}`, "id: MUST be a non-empty string"},
		{"attribute of a wrong type", ingresstest.Structured(), `{"specversion":"1.0","type":{"p":"hunter2"},"id":"1","source":"/s"}`, "type: want a string"},
		{"extension of a wrong type", ingresstest.Structured(), `{"specversion":"1.0","type":"t","id":"1","source":"/s","own":{"p":"hunter2"}}`, "own: "},
		{"data that is no text", ingresstest.Structured(), `{"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"text/plain","data":{"p":"hunter2"}}`, "text/plain"},
		{"data that is no base64", ingresstest.Structured(), `{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":"hunter2!"}`, "base64"},
		{"data that is a number", ingresstest.Structured(), `{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":1}`, "data_base64: want a string"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &fake{}
			server, logs := serve(t, p)
			got := ingresstest.Send(t, server.Client(), http.MethodPost, server.URL, c.header, strings.NewReader(c.body))
			if got.Status != http.StatusBadRequest || !strings.Contains(got.Body, c.why) {
				t.Errorf("got %d %q, want 400 with %q", got.Status, got.Body, c.why)
			}
			if strings.Count(got.Body, "\n") != 1 || !strings.HasPrefix(got.Header.Get("Content-Type"), "text/plain") {
				t.Errorf("got %q as %s, want one line of text", got.Body, got.Header.Get("Content-Type"))
			}
			if events, _ := p.taken(); len(events) != 0 {
				t.Errorf("got %d events published", len(events))
			}
			if said := got.Body + fmt.Sprint(logs.All()); strings.Contains(said, secret) {
				t.Errorf("data in answer or log: %s", said)
			}
		})
	}
}

func TestLimitsSize(t *testing.T) {
	for _, c := range []struct {
		name   string
		body   io.Reader
		status int
	}{
		{"as large as allowed", strings.NewReader(strings.Repeat("x", 100)), http.StatusAccepted},
		{"larger", strings.NewReader(strings.Repeat("x", 101)), http.StatusRequestEntityTooLarge},
		{"much larger", strings.NewReader(strings.Repeat("x", 10<<20)), http.StatusRequestEntityTooLarge},
		{"without a length, as large as allowed", io.MultiReader(strings.NewReader(strings.Repeat("x", 100))), http.StatusAccepted},
		{"without a length, larger", io.MultiReader(strings.NewReader(strings.Repeat("x", 101))), http.StatusRequestEntityTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			server, _ := serve(t, &fake{}, "EVENTMESH_MAX_EVENT_BYTES=100")
			got := ingresstest.Send(t, server.Client(), http.MethodPost, server.URL, ingresstest.Binary("Content-Type=text/plain"), c.body)
			if got.Status != c.status {
				t.Errorf("got %d %q, want %d", got.Status, got.Body, c.status)
			}
			if c.status != http.StatusAccepted && !strings.Contains(got.Body, "EVENTMESH_MAX_EVENT_BYTES") {
				t.Errorf("got %q, want it to name EVENTMESH_MAX_EVENT_BYTES", got.Body)
			}
		})
	}
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
			server, _ := serve(t, p)
			one := ingresstest.Send(t, server.Client(), http.MethodPost, server.URL, ingresstest.Structured(), strings.NewReader(text))
			batch, _ := ingresstest.SendBatch(t, server.URL, "["+ingresstest.JSONEvent("good")+","+text+"]")
			for mode, got := range map[string]ingresstest.Answer{"structured": one, "batch": batch} {
				if why == "" && got.Status != http.StatusAccepted || why != "" && (got.Status != http.StatusBadRequest || !strings.Contains(got.Body, why)) {
					t.Errorf("%s: got %d %q, want %q", mode, got.Status, got.Body, why)
				}
			}
			if events, _ := p.taken(); why != "" && len(events) != 1 {
				t.Errorf("got %d events published, want the batch's good one", len(events))
			}
		})
	}
}
