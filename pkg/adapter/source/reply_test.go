package source

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// replyLimit is how large a reply may be, in bytes.
const replyLimit = 4 << 20

func askingForReplies(o *dispatch.HTTPOptions) { o.Replies = true }

// A reply has to say that it is JSON before it becomes one that is not structured.
func TestStructuredReplyWithoutAContentType(t *testing.T) {
	for data, want := range map[string]string{`"data":{"a":1}`: "application/json", `"data":"hi"`: "application/json", `"data_base64":"aGk="`: "", `"x":1`: ""} {
		d := destination(t, answering(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/cloudevents+json")
			_, _ = io.WriteString(w, `{"specversion":"1.0","id":"r","source":"/","type":"t",`+data+`}`)
		}), askingForReplies)
		if got, err := d.Send(t.Context(), sample("a")); err != nil || got.Reply == nil || got.Reply.DataContentType() != want {
			t.Errorf("%s: got %v, %v; want content type %q", data, got.Reply, err, want)
		}
	}
}

func TestReplies(t *testing.T) {
	answer := func(status int, body string, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Prefer") != "reply" {
				w.WriteHeader(http.StatusTeapot)
				return
			}
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	binary := []string{"Ce-Specversion", "1.0", "Ce-Id", "r", "Ce-Source", "/", "Ce-Type", "t", "Content-Type", "text/plain"}
	structured := []string{"Content-Type", "application/cloudevents+json"}
	const whole = `{"specversion":"1.0","id":"r","source":"/","type":"t","datacontenttype":"text/plain","data":"hi"}`
	const object = `{"specversion":"1.0","id":"r","source":"/","type":"t","datacontenttype":"TYPE","data":{"a": 1}}`
	tests := []struct {
		name    string
		handler http.HandlerFunc
		data    string
		failure string
	}{
		{"binary", answer(200, "hi", binary...), "hi", ""},
		{"structured", answer(200, whole, structured...), "hi", ""},
		{"structured, in capitals", answer(200, whole, "Content-Type", "Application/CloudEvents+JSON; charset=utf-8"), "hi", ""},
		{"structured, JSON of another type", answer(200, strings.Replace(whole, "text/plain", "application/vnd.price+json", 1), structured...), `"hi"`, ""},
		{"structured, an object of another type", answer(200, strings.Replace(object, "TYPE", "Application/JSON", 1), structured...), `{"a": 1}`, ""},
		{"binary, any content type", answer(200, "hi", append(slices.Clone(binary[:8]), "Content-Type", "text/x; a=b")...), "hi", ""},
		{"binary, raw UTF-8 and no content type", answer(200, "hi", append(slices.Clone(binary[:8]), "Ce-Subject", "grüße", "Content-Type", "")...), "hi", ""},
		{"binary, as large as can be", answer(200, strings.Repeat("x", replyLimit), binary...), strings.Repeat("x", replyLimit), ""},
		{"a batch", answer(200, "["+whole+"]", "Content-Type", "application/cloudevents-batch+json"), "", "not a batch"},
		{"a batch, and attributes", answer(200, "["+whole+"]", append(slices.Clone(binary[:8]), "Content-Type", "application/cloudevents-batch+json")...), "", "not a batch"},
		{"XML", answer(200, "<event/>", "Content-Type", "application/cloudevents+xml"), "", "want a header"},
		{"another version", answer(200, "hi", append([]string{"Ce-Specversion", "0.3"}, binary[2:]...)...), "", "0.3"},
		{"no version", answer(200, "hi", binary[2:]...), "", "Ce-Specversion"},
		{"packed", answer(200, "hi", append(slices.Clone(binary), "Content-Encoding", "gzip")...), "", "Content-Encoding"},
		{"a source with a blank", answer(200, "hi", append(slices.Clone(binary), "Ce-Source", "urn:a b")...), "", "source"},
		{"a subject in Latin-1", answer(200, "hi", append(slices.Clone(binary), "Ce-Subject", "gr\xfc\xdfe")...), "", "subject"},
		{"a number that is none", answer(200, strings.Replace(whole, `"data"`, `"price":1.5,"data"`, 1), structured...), "", "price"},
		{"cut off", answer(200, "hi", append(slices.Clone(binary), "Content-Length", "3")...), "", "unexpected EOF"},
		{"JSON that is no event", answer(200, `{"specversion":"1.0","id":[]}`, structured...), "", "id"},
		{"JSON with data that is no base64", answer(200, strings.Replace(whole, `"data":"hi"`, `"data_base64":1`, 1), structured...), "", "data_base64"},
		{"no event", answer(200, "hi", "Content-Type", "text/plain"), "", ""},
		{"JSON of an event, of another type", answer(200, whole, "Content-Type", "application/json"), "", ""},
		{"packed, and no event", answer(200, "hi", "Content-Encoding", "gzip"), "", ""},
		{"no content", answer(204, ""), "", ""},
		{"the body of a 202 is none", answer(202, "hi", binary...), "", ""},
		{"an event without an ID", answer(200, "hi", "Ce-Specversion", "1.0", "Ce-Source", "/", "Ce-Type", "t"), "", "id"},
		{"half an event", answer(200, whole[:20], structured...), "", "JSON"},
		{"larger than any event", answer(200, strings.Repeat(" ", replyLimit)+whole, structured...), "", "more than"},
		{"larger than any event, binary", answer(200, strings.Repeat("x", replyLimit+1), binary...), "", "more than"},
		{"a refusal with an event", answer(400, "hi", binary...), "", "answered 400"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := destination(t, answering(t, test.handler), askingForReplies).Send(t.Context(), sample("a"))
			if (err != nil) != (got.Status == http.StatusBadRequest) {
				t.Errorf("got %d and %v, want that the sink has taken the request unless it refuses it", got.Status, err)
			}
			invalid, data := got.Invalid, ""
			if got.Reply != nil {
				invalid = eventmesh.Validate(*got.Reply)
			}
			failure := fmt.Sprint(errors.Join(err, invalid))
			if !strings.Contains(failure, test.failure) || test.failure == "" && invalid != nil {
				t.Errorf("got %s, want %q", failure, test.failure)
			}
			if got.Reply != nil && invalid == nil {
				data = string(got.Reply.Data())
			}
			if data != test.data {
				t.Errorf("got %.100q, want %.100q", fmt.Sprint(got.Reply), test.data)
			}
		})
	}
}
