// Package ingresstest sends events over HTTP in tests, and looks at what is said of them.
package ingresstest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
)

const (
	// StructuredType is the content type of an event in structured mode.
	StructuredType = "application/cloudevents+json"
	// BatchType is the content type of a batch.
	BatchType = "application/cloudevents-batch+json"
)

// Binary returns the headers of an event in binary mode, and more, given as pairs "Name=value".
func Binary(more ...string) http.Header {
	h := http.Header{
		"Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Type": {"order.placed"}, "Ce-Source": {"/shop"}, "Content-Type": {"application/json"},
	}
	for _, pair := range more {
		name, value, _ := strings.Cut(pair, "=")
		h[name] = []string{value}
	}
	return h
}

// Structured returns the headers of an event in structured mode.
func Structured() http.Header { return http.Header{"Content-Type": {StructuredType}} }

// Batched returns the headers of a batch.
func Batched() http.Header { return http.Header{"Content-Type": {BatchType}} }

// JSONEvent returns an event as a batch holds it.
func JSONEvent(id string) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/shop","type":"order.placed","datacontenttype":"application/json","data":{"n":1.50}}`, id)
}

// BatchOf returns a batch of events with these IDs.
func BatchOf(ids ...string) string {
	events := make([]string, len(ids))
	for i, id := range ids {
		events[i] = JSONEvent(id)
	}
	return "[" + strings.Join(events, ",") + "]"
}

// Numbers returns as many IDs.
func Numbers(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprint(i)
	}
	return ids
}

// Answer is what a sender gets.
type Answer struct {
	Status int
	Header http.Header
	Body   string
	Proto  string
	Last   bool // on its connection
}

// Send sends a request, and returns the answer.
func Send(t *testing.T, client *http.Client, method, url string, header http.Header, body io.Reader) Answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return Answer{response.StatusCode, response.Header, string(text), response.Proto, response.Close}
}

// Post posts an event in binary mode.
func Post(t *testing.T, url string) Answer {
	t.Helper()
	return Send(t, http.DefaultClient, http.MethodPost, url, Binary(), strings.NewReader(`{"n":1}`))
}

// BatchAnswer is the body of an answer that refuses events of a batch.
type BatchAnswer struct {
	Events int
	Failed []struct {
		Index, Status int
		ID, Reason    string
	}
}

// SendBatch sends a batch, and returns the answer, and what it says of the batch's events.
func SendBatch(t *testing.T, url, body string) (Answer, BatchAnswer) {
	t.Helper()
	got := Send(t, http.DefaultClient, http.MethodPost, url, Batched(), strings.NewReader(body))
	var says BatchAnswer
	if got.Header.Get("Content-Type") == event.ApplicationJSON {
		if err := json.Unmarshal([]byte(got.Body), &says); err != nil {
			t.Fatalf("%v in %s", err, got.Body)
		}
	}
	return got, says
}

// Same tells in which way two events differ, or "".
func Same(got, want event.Event) string {
	if got.Context.String() != want.Context.String() {
		return "got event\n" + got.Context.String() + "want\n" + want.Context.String()
	}
	if !bytes.Equal(got.Data(), want.Data()) {
		return "got data " + string(got.Data()) + ", want " + string(want.Data())
	}
	return ""
}

// Dial returns a connection to a host, which is closed in the end.
func Dial(t *testing.T, host string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// AwaitClosed waits until the other side has closed a connection.
func AwaitClosed(t *testing.T, conn net.Conn) {
	t.Helper()
	if _, err := io.Copy(io.Discard, conn); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Error(err)
	}
}
