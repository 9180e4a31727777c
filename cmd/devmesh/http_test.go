package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
)

func TestSendAndReceive(t *testing.T) {
	receiver := start(t, "", "receive", "--address", "127.0.0.1:0", "--count", "2")
	url := strings.Fields(receiver.await("HTTP "))[1]

	contains(t, start(t, "", "send", "--url", url, "--id", "1", "--extension", "a=b", "Hello!").exit(0), "sent event 1: 202 Accepted")

	for _, c := range []struct{ name, contentType, body, want string }{
		{"no event", "text/plain", "x", "no CloudEvent"},
		{"invalid event", "application/cloudevents+json", `{"specversion":"1.0","id":"","source":"s","type":"t"}`, "CloudEvent"},
	} {
		t.Run(c.name, func(t *testing.T) {
			response, err := http.Post(url, c.contentType, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != http.StatusBadRequest {
				t.Errorf("status %d, want 400", response.StatusCode)
			}
			contains(t, bodyOf(t, response), c.want)
		})
	}

	start(t, "", "send", "--url", url, "--id", "2", `{"n":2}`).exit(0)
	contains(t, receiver.exit(0), "☁️  cloudevents.Event\n", "  id: 1\n", "  a: b\n", "  Hello!\n", "  id: 2\n", `"n": 2`, "refused POST /: no CloudEvent")
}

// bodyOf reads an answer to its end.
func bodyOf(t *testing.T, response *http.Response) string {
	t.Helper()
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestSendTellsTheAnswer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/reply" {
			http.Error(w, "topic is not open", http.StatusForbidden)
			return
		}
		for name, value := range map[string]string{"Specversion": "1.0", "Id": "r", "Type": "reply", "Source": "s"} {
			w.Header().Set("Ce-"+name, value)
		}
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, "the answer")
	}))
	defer server.Close()
	contains(t, start(t, "", "send", "--url", server.URL+"/reply", "x").exit(0), "200 OK", "☁️  cloudevents.Event in reply", "the answer")
	contains(t, start(t, "", "send", "--url", server.URL, "x").exit(1), "answers 403 Forbidden: topic is not open")
	contains(t, start(t, "", "send", "--url", "http://127.0.0.1:1", "x").exit(1), "connection refused")
}

func TestReceiveAnswersAsTold(t *testing.T) {
	for _, c := range []struct {
		name  string
		flags []string
		exit  int
		want  []string
	}{
		{"an event", []string{"--reply", "Yes."}, 0, []string{"200 OK", "☁️  cloudevents.Event in reply", "type: question.reply", "id: 1-reply", "Yes."}},
		{"a status", []string{"--status", "422"}, 1, []string{"answers 422 Unprocessable Entity"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			receiver := start(t, "", append([]string{"receive", "--address", "127.0.0.1:0", "--count", "1"}, c.flags...)...)
			url := strings.Fields(receiver.await("HTTP "))[1]
			contains(t, start(t, "", "send", "--url", url, "--id", "1", "--type", "question", "May I?").exit(c.exit), c.want...)
			contains(t, receiver.exit(0), "May I?")
		})
	}
}

func TestReceiveEndsBySignal(t *testing.T) {
	receiver := start(t, "", "receive", "--address", "127.0.0.1:0")
	receiver.await("HTTP ")
	receiver.signal(syscall.SIGINT)
	receiver.exit(0)
}
