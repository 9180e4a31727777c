package source

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// A reply has to say that it is JSON before it becomes one that is not structured.
func TestStructuredReplyWithoutAContentType(t *testing.T) {
	for data, want := range map[string]string{`"data":{"a":1}`: "application/json", `"data":"hi"`: "application/json", `"data_base64":"aGk="`: "", `"x":1`: ""} {
		s := senderTo(t, answering(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/cloudevents+json")
			_, _ = io.WriteString(w, `{"specversion":"1.0","id":"r","source":"/","type":"t",`+data+`}`)
		}))
		s.replies = true
		if got, err := s.send(t.Context(), sample("a")); err != nil || got.reply == nil || got.reply.DataContentType() != want {
			t.Errorf("%s: got %v, %v; want content type %q", data, got.reply, err, want)
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
		{"a batch", answer(200, "["+whole+"]", "Content-Type", "application/cloudevents-batch+json"), "", "not a batch"},
		{"JSON that is no event", answer(200, `{"specversion":"1.0","id":[]}`, structured...), "", "id"},
		{"JSON with data that is no base64", answer(200, strings.Replace(whole, `"data":"hi"`, `"data_base64":1`, 1), structured...), "", "data_base64"},
		{"no event", answer(200, "", "Content-Type", "text/plain"), "", ""},
		{"no content", answer(204, ""), "", ""},
		{"the body of a 202 is none", answer(202, "hi", binary...), "", ""},
		{"an event without an ID", answer(200, "hi", "Ce-Specversion", "1.0", "Ce-Source", "/", "Ce-Type", "t"), "", "id"},
		{"half an event", answer(200, whole[:20], structured...), "", "JSON"},
		{"larger than any event", answer(200, strings.Repeat(" ", replyLimit)+whole, structured...), "", "JSON"},
		{"a refusal with an event", answer(400, "hi", binary...), "", "answered 400"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := senderTo(t, answering(t, test.handler))
			s.replies = true
			got, err := s.send(t.Context(), sample("a"))
			var invalid *invalidReplyError
			if test.failure != "" && test.failure != "answered 400" && !errors.As(err, &invalid) || test.failure == "" && err != nil {
				t.Errorf("got %v, want that the sink took the event, but its reply is none", err)
			}
			data := ""
			if got.reply != nil {
				data = string(got.reply.Data())
			}
			if data != test.data {
				t.Errorf("got %q, want %q", fmt.Sprint(got.reply), test.data)
			}
		})
	}
}
