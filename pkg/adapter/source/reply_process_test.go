package source

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/httpevent"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/releases"
)

// TestProcessSendsReplies makes requests of the sink adapter, and answers them behind the source: whatever K_SINK answers, the requester
// learns of it.
func TestProcessSendsReplies(t *testing.T) {
	t.Parallel()
	const (
		attributes = "Ce-Specversion: 1.0\r\nCe-Id: rp\r\nCe-Source: /r\r\nCe-Type: rep\r\n"
		structured = "Content-Type: application/cloudevents+json\r\n"
		event      = `{"specversion":"1.0","id":"rp","source":"/r","type":"rep",`
	)
	answer := func(header, body string) string {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nHost: sink\r\n%sContent-Length: %d\r\nConnection: close\r\n\r\n%s", header, len(body), body)
	}
	type reply struct {
		answer string // of K_SINK, byte for byte
		// subject, contentType and data are those of the event that the requester gets with 200.
		subject, contentType, data string
		// why there is none, with 502.
		why string
	}
	replies := map[string]reply{
		"beyond-ascii":     {answer: answer(attributes+"Ce-Subject: grüße\r\n", "hi"), subject: "grüße", data: "hi"},
		"no-data":          {answer: answer(attributes, "")},
		"image":            {answer: answer(attributes+"Content-Type: image/png\r\n", "\x00\xff"), contentType: "image/png", data: "\x00\xff"},
		"percent":          {answer: answer(attributes+"Ce-Subject: 100%25 \"x\"\r\n", "hi"), subject: `100%25 "x"`, data: "hi"},
		"implied":          {answer: answer(structured, event+`"data":{"a": 1.50}}`), contentType: "application/json", data: `{"a": 1.50}`},
		"controls-in-data": {answer: answer(attributes+"Content-Type: text/plain\r\n", "a\x00\nb"), contentType: "text/plain", data: "a\x00\nb"},

		"batch":        {answer: answer("Content-Type: application/cloudevents-batch+json\r\n", "["+event+`"data":"`+secret+`"}]`), why: "not a batch"},
		"no-json":      {answer: answer(structured, event+`"data":"`+secret), why: "not a CloudEvent"},
		"no-id":        {answer: answer(strings.Replace(attributes, "Ce-Id: rp\r\n", "", 1), secret), why: "id"},
		"latin-1":      {answer: answer(attributes+"Ce-Subject: "+secret+"\xfc\r\n", secret), why: "subject: it is not valid UTF-8"},
		"line-break":   {answer: answer(structured, event+`"note":"`+secret+`\n"}`), why: "note: it holds U+000A"},
		"blank":        {answer: answer(strings.Replace(attributes, "/r", "urn:a "+secret, 1), secret), why: "source: it is no URI"},
		"blank-inside": {answer: answer(structured, strings.Replace(event, "/r", "/x?q=a "+secret, 1)+`"data":1}`), why: "source: it is no URI"},
		"too-large":    {answer: answer(attributes, strings.Repeat(secret, replyLimit/len(secret))), why: "too large"},
		"larger-still": {answer: answer(attributes, strings.Repeat(secret, replyLimit/len(secret)+1)), why: "more than 4194304 bytes"},
		"cut-off":      {answer: answer(attributes, secret)[:len(answer(attributes, secret))-1], why: "unexpected EOF"},
	}
	for _, contentType := range []string{"Application/JSON", "foo/json", "application/vnd.acme+json"} {
		for kind, data := range map[string]string{"object": `{"a": 1.50}`, "string": `"hi"`} {
			want := reply{contentType: contentType, data: data}
			want.answer = answer(attributes+"Content-Type: "+contentType+"\r\n", data)
			replies["binary-"+kind+"-"+contentType] = want
			want.answer = answer(structured, event+fmt.Sprintf(`"datacontenttype":%q,"data":%s}`, contentType, data))
			replies["structured-"+kind+"-"+contentType] = want
		}
	}
	for _, name := range releases.Transports {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := releases.New(t, name, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ}).URL()
			behind := rawSink(t, func(_ int, conn net.Conn, requests *bufio.Reader) {
				r, err := http.ReadRequest(requests)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, r.Body)
				_, _ = io.WriteString(conn, replies[r.Header.Get("Ce-Subject")].answer)
			})
			source := run(t, "EVENTMESH_URL="+url, "K_SINK="+behind, "EVENTMESH_TYPE=sync")
			sink := runProgram(t, filepath.Join(programDir, "sink"), "EVENTMESH_URL="+url, "EVENTMESH_CLIENT_ID=sink-0", "PORT=0",
				"EVENTMESH_REQUEST_TIMEOUT="+patience.String())
			source.awaitReadiness(t, http.StatusOK)
			sink.awaitReadiness(t, http.StatusOK)
			for subject, want := range replies {
				t.Run(subject, func(t *testing.T) {
					request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, sink.probes+"/requests/orders", http.NoBody)
					if err != nil {
						t.Fatal(err)
					}
					request.Header = http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {"rq"}, "Ce-Source": {"/q"}, "Ce-Type": {"req"}, "Ce-Subject": {subject}}
					response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
					if err != nil {
						t.Fatal(err)
					}
					defer response.Body.Close()
					body, err := io.ReadAll(response.Body)
					if err != nil {
						t.Fatal(err)
					}
					if want.why != "" {
						if sentence := string(body); response.StatusCode != http.StatusBadGateway || !strings.Contains(sentence, want.why) || strings.Contains(sentence, secret) {
							t.Errorf("got %d %.300q, want 502 with %q and no secret", response.StatusCode, body, want.why)
						}
						return
					}
					got, err := httpevent.Read(response.Header, body)
					if response.StatusCode != http.StatusOK || err != nil {
						t.Fatalf("got %d %.300q, %v; want 200 with an event", response.StatusCode, body, err)
					}
					if got.ID() != "rp" || got.Source() != "/r" || got.Type() != "rep" || got.Subject() != want.subject || got.DataContentType() != want.contentType ||
						string(got.Data()) != want.data || len(got.Extensions()) > 0 {
						t.Errorf("got\n%s\nwant subject %q, content type %q, data %q", got, want.subject, want.contentType, want.data)
					}
				})
			}
		})
	}
}
