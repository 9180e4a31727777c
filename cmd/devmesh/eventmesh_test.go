package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

var transportNames = []string{"gRPC", "TCP"}

func TestPublishAndSubscribe(t *testing.T) {
	for _, transport := range transportNames {
		t.Run(transport, func(t *testing.T) {
			mesh, urls := serveMesh(t)
			url := urls[transport]
			subscriber := start(t, "", "subscribe", "--url", url, "--topic", "orders,invoices", "--group", "g", "--count", "2")
			subscriber.await("subscribed to orders,invoices as group g at " + url)

			contains(t, start(t, "", "publish", "--url", url, "--topic", "orders", "--id", "1", "--subject", "s", "--extension", "a=b", "Hello!").exit(0),
				"published event 1 to topic orders")
			subscriber.await("☁️  cloudevents.Event from topic orders")
			start(t, `{"from":"stdin"}`, "publish", "--url", url, "--topic", "invoices", "--id", "2", "-").exit(0)

			contains(t, subscriber.exit(0), "\n  id: 1\n", "\n  subject: s\n", "\n  a: b\n", "\n  Hello!\n",
				"☁️  cloudevents.Event from topic invoices", "\n  id: 2\n", "\n  datacontenttype: application/json\n", `"from": "stdin"`)
			mesh.await("")
			mesh.signal(syscall.SIGTERM)
			contains(t, mesh.exit(0), `group "g" has left it`)
		})
	}
}

func TestBroadcast(t *testing.T) {
	for _, transport := range transportNames {
		t.Run(transport, func(t *testing.T) {
			_, urls := serveMesh(t)
			subscribe := func() *process {
				p := start(t, "", "subscribe", "--url", urls[transport], "--topic", "news", "--group", "g", "--broadcast", "--count", "1")
				p.await("subscribed to news")
				return p
			}
			first, second := subscribe(), subscribe()
			start(t, "", "publish", "--url", urls[transport], "--topic", "news", "Hello all!").exit(0)
			contains(t, first.exit(0), "Hello all!")
			contains(t, second.exit(0), "Hello all!")
		})
	}
}

func TestRequestAndReply(t *testing.T) {
	for _, transport := range transportNames {
		t.Run(transport, func(t *testing.T) {
			_, urls := serveMesh(t, "--storage", "rocketmq")
			responder := start(t, "", "subscribe", "--url", urls[transport], "--topic", "questions", "--reply", `{"answer":42}`, "--count", "1")
			responder.await("subscribed to questions")
			requester := start(t, "", "publish", "--url", urls[transport], "--topic", "questions", "--id", "q", "--type", "question", "--request", "?")
			contains(t, requester.exit(0), "published event q to topic questions", "☁️  cloudevents.Event in reply", "type: question.reply", `"answer": 42`)
			contains(t, responder.exit(0), "type: question\n")
		})
	}
}

func TestPublishWaitsForSubscriber(t *testing.T) {
	for _, transport := range transportNames {
		t.Run(transport, func(t *testing.T) {
			_, urls := serveMesh(t)
			publisher := start(t, "", "publish", "--url", urls[transport], "--topic", "late", "--timeout", "30s", "Hello!")
			publisher.await("trying again for up to 30s: publishing to late: topic has no subscriber")
			subscriber := start(t, "", "subscribe", "--url", urls[transport], "--topic", "late", "--count", "1")
			publisher.exit(0)
			// EventMesh knows the topic before it delivers, and loses what comes in between.
			subscriber.await("subscribed to late")
			start(t, "", "publish", "--url", urls[transport], "--topic", "late", "--timeout", "30s", "Hello again!")
			contains(t, subscriber.exit(0), "Hello")
		})
	}
}

func TestPublishFails(t *testing.T) {
	t.Parallel()
	_, urls := serveMesh(t, "--user", "alice=secret")
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	as := func(transport, user string, more ...string) []string {
		return append([]string{"publish", "--url", urls[transport], "--topic", "t", "--username", user, "--password-file", password, "--timeout", "20s"}, more...)
	}
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		// The time can be up in the middle of an attempt, whose end is then what is said last.
		{"no subscriber over gRPC", as("gRPC", "alice", "x"), "trying again for up to 20s: publishing to t: topic has no subscriber"},
		{"no subscriber over TCP", as("TCP", "alice", "x"), "trying again for up to 20s: publishing to t: topic has no subscriber"},
		{"credentials over gRPC", as("gRPC", "mallory", "x"), "not authorized"},
		{"credentials over TCP", as("TCP", "mallory", "--wait", "20s", "x"), "devmesh publish: waiting for a connection: not "},
		{"no password", []string{"publish", "--url", urls["TCP"], "--topic", "t", "--username", "u", "--password-file", "missing", "--wait", "20s", "x"}, "reading the password"},
		{"nobody listens", []string{"publish", "--url", "tcp://127.0.0.1:1", "--topic", "t", "--wait", "20s", "x"}, "waiting for a connection: connecting to tcp://127.0.0.1:1: not connected to EventMesh"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			contains(t, start(t, "", c.args...).exit(1), c.want)
		})
	}
}

func TestSubscribeTimeout(t *testing.T) {
	t.Parallel()
	_, urls := serveMesh(t)
	var short, satisfied []*process // at once: the time has to be long enough for a busy machine
	for _, transport := range transportNames {
		args := []string{"subscribe", "--url", urls[transport], "--timeout", "20s"}
		short = append(short, start(t, "", append(args, "--topic", "a", "--group", "a-"+transport, "--count", "1")...))
		satisfied = append(satisfied, start(t, "", append(args, "--topic", "b", "--group", "b-"+transport)...))
	}
	for i := range transportNames {
		contains(t, short[i].exit(1), "got 0 of 1 events in 20s")
		satisfied[i].exit(0)
	}
}

func TestSubscribeRefused(t *testing.T) {
	_, urls := serveMesh(t, "--user", "alice=secret")
	for _, transport := range transportNames {
		t.Run(transport, func(t *testing.T) {
			out := start(t, "", "subscribe", "--url", urls[transport], "--topic", "t", "--timeout", "300ms").exit(1)
			contains(t, out, "devmesh subscribe: ")
		})
	}
}

// A signal ends what waits, in order: the group is left, and the status is 0.
func TestSignals(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			mesh, urls := serveMesh(t)
			for _, url := range urls {
				subscriber := start(t, "", "subscribe", "--url", url, "--topic", "t", "--group", "g")
				subscriber.await("subscribed to t")
				subscriber.signal(signal)
				subscriber.exit(0)
				mesh.await("") // the line about the group that has left
			}
			mesh.signal(signal)
			mesh.exit(0)
		})
	}
}

func TestServeAddressInUse(t *testing.T) {
	mesh, urls := serveMesh(t, "--http", "127.0.0.1:0")
	url := strings.Fields(mesh.await("HTTP "))[1]
	for _, args := range [][]string{{"--grpc", urls["gRPC"][len("grpc://"):]}, {"--grpc", "127.0.0.1:0", "--http", url[len("http://"):]}} {
		contains(t, start(t, "", append([]string{"serve", "--tcp", "127.0.0.1:0"}, args...)...).exit(1), "address already in use")
	}
}

func TestServeTheNextRelease(t *testing.T) {
	for storage, want := range map[string]string{"standalone": `"source":"/s"`, "rocketmq": `"emmqoffset":"0"`} {
		t.Run(storage, func(t *testing.T) {
			mesh, _ := serveMesh(t, "--http", "127.0.0.1:0", "--storage", storage)
			url := strings.Fields(mesh.await("HTTP "))[1]
			post := func(path, body string) {
				response, err := http.Post(url+path, "application/json", strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				if body := bodyOf(t, response); response.StatusCode >= http.StatusMultipleChoices {
					t.Errorf("POST %s: %s", path, body)
				}
			}
			post("/events/publish?topic=T", `{"specversion":"1.0","id":"1","source":"/s","type":"t"}`)
			post("/events/subscribe", `{"clientId":"c","topic":"T","mode":"LOAD_BALANCE"}`)
			response, err := http.Get(url + "/events/poll?clientId=c&timeoutMs=60000")
			if err != nil {
				t.Fatal(err)
			}
			contains(t, bodyOf(t, response), want)
			mesh.signal(syscall.SIGTERM)
			mesh.exit(0)
		})
	}
}

func TestServeTheBridgeOfTheNextRelease(t *testing.T) {
	mesh, _ := serveMesh(t, "--http", "127.0.0.1:0", "--http-bridge", "127.0.0.1:0", "--http-token", "right")
	url, bridge := strings.Fields(mesh.await("HTTP "))[1], strings.Fields(mesh.await("bridge "))[1]
	dir := t.TempDir()
	token := func(text string) string {
		path := filepath.Join(dir, text)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	subscriber := start(t, "", "subscribe", "--url", url, "--token-file", token("right"), "--topic", "T", "--count", "2")
	start(t, "", "publish", "--url", bridge, "--topic", "T", "by the bridge").exit(0)
	start(t, "", "publish", "--url", url, "--token-file", token("right"), "--topic", "T", "by HTTP").exit(0)
	contains(t, subscriber.exit(0), "by the bridge", "by HTTP")
	contains(t, start(t, "", "publish", "--url", url, "--token-file", token("wrong"), "--topic", "T", "x").exit(1), "not authorized by EventMesh")
	contains(t, start(t, "", "serve", "--http-token", "x").exit(1), "need --http")
}
