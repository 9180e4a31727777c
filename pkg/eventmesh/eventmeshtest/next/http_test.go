package next_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/next"
)

func TestAnswers(t *testing.T) {
	const (
		invalid  = `400 {"error":"invalid CloudEvent: CloudEvents → EventMeshFrame conversion failed"}`
		method   = `405 {"error":"method not allowed"}`
		accepted = `202 {"status":"accepted"}`
	)
	play(t, next.Options{}, func(m *mesh) {
		m.subscribe("c", "T", "BROADCAST")
		for _, c := range []struct{ method, target, body, want string }{
			{"POST", "/events/publish?topic=T", event("1"), accepted},
			{"POST", "/events/publishFOO?topic=T", event("1"), accepted},
			{"POST", "/events/publish/more?topic=T", event("1"), accepted},
			{"POST", "/events/publish?topic=", event("1"), accepted},
			{"POST", "/events/publish", event("1"), `400 {"error":"missing query param 'topic'"}`},
			{"GET", "/events/publish?topic=T", "", method},
			{"POST", "/events/publish?topic=T", "", invalid},
			{"POST", "/events/publish?topic=T", "\x1f\x8b", invalid},
			{"POST", "/events/publish-batch?topic=T", `[]`, accepted},
			{"POST", "/events/publish-batchFOO?topic=T", `[` + event("1") + `,` + event("2") + `]`, accepted},
			{"POST", "/events/publish-batch?topic=T", event("1"), `400 {"error":"expected a CloudEvent JSON array"}`},
			{"POST", "/events/publish-batch?topic=T", "", `400 {"error":"expected a CloudEvent JSON array"}`},
			{"POST", "/events/publish-batch", `[]`, `400 {"error":"missing query param 'topic'"}`},
			{"PUT", "/events/publish-batch?topic=T", `[]`, method},
			{"POST", "/events/subscribe", `{"clientId":"c","topic":"T"}`, `400 {"error":"missing clientId/topic/mode"}`},
			{"POST", "/events/subscribe", ``, `400 {"error":"missing clientId/topic/mode"}`},
			{"POST", "/events/subscribe", `[]`, `400 {"error":"missing clientId/topic/mode"}`},
			{"GET", "/events/subscribe", ``, method},
			{"POST", "/events/unsubscribe", `{"topic":"T"}`, `400 {"error":"missing clientId"}`},
			{"POST", "/events/unsubscribe", `{"clientId":"nobody"}`, `200 {"removed":false}`},
			{"POST", "/events/unsubscribe", `{"clientId":"nobody","topic":"T"}`, `200 {"removed":false}`},
			{"GET", "/events/unsubscribe", ``, method},
			{"GET", "/events/poll", "", `400 {"error":"missing clientId"}`},
			{"GET", "/events/poll?clientId=nobody&max=-1", "", `200 []`},
			{"POST", "/events/poll?clientId=c", "", method},
			{"POST", "/events/ack", `{}`, `400 {"error":"missing deliveryId"}`},
			{"POST", "/events/ack", `{"deliveryId":"d-1"}`, `404 {"error":"unknown deliveryId"}`},
			{"GET", "/events/ack", ``, method},
			{"GET", "/events/request?topic=T", ``, method},
			{"GET", "/events/reply", ``, method},
			{"POST", "/events/stream?clientId=c", ``, method},
			{"GET", "/events/stream", ``, `400 {"error":"missing clientId"}`},
			{"POST", "/events/lite/x", ``, `501 {"error":"storage does not support lite topic (needs rocketmq5)"}`},
			{"POST", "/agent/x", ``, `503 {"error":"not configured"}`},
			{"POST", "/session/x", ``, `503 {"error":"not configured"}`},
			{"POST", "/eventmesh/publish", ``, `404 <h1>404 Not Found</h1>No context found for request`},
			{"GET", "/", ``, `404 <h1>404 Not Found</h1>No context found for request`},
			{"POST", "/events/publish?topic=a|b", event("1"), `400 <h1>400 Bad Request</h1>URISyntaxException thrown`},
		} {
			m.want(c.method, c.target, c.body, c.want)
		}
	})
}

func TestConnectionsThatAreClosedWithoutAnAnswer(t *testing.T) {
	play(t, next.Options{}, func(m *mesh) {
		m.subscribe("c", "T", "LOAD_BALANCE")
		for _, c := range []struct{ method, target, body string }{
			{"POST", "/events/subscribe", `{"clientId":"c","topic":"T","mode":"SHARED"}`},
			{"POST", "/events/subscribe", `{"clientId":"c","topic":"T","mode":"broadcast"}`},
			{"POST", "/events/subscribe", `{"clientId"`},
			{"POST", "/events/unsubscribe", `{"clientId":c}`},
			{"POST", "/events/ack", `deliveryId`},
			{"GET", "/events/poll?clientId=c&max=many", ""},
			{"GET", "/events/poll?clientId=c&max=-1", ""},
			{"GET", "/events/poll?clientId=c&max=3000000000", ""},
			{"GET", "/events/poll?clientId=c&timeoutMs=1s", ""},
			{"GET", "/events/poll?clientId=%25", ""},
			{"POST", "/events/publish?topic=a%25b", event("1")},
			{"POST", "/events/request?topic=T&timeoutMs=x", event("1")},
		} {
			m.want(c.method, c.target, c.body, closed)
		}
	})
}

func TestTopicsOfTheQueryAreDecodedTwice(t *testing.T) {
	for target, topic := range map[string]string{
		"topic=a":                           "a",
		"topic=":                            "",
		"x=1&topic=a&topic=b":               "a",
		"topic=a+b":                         "a b",
		"topic=a%2Bb":                       "a b",
		"topic=a%252Bb":                     "a+b",
		"topic=a%26b":                       "a",
		"topic=a%2526b":                     "a&b",
		"topic=a%23b":                       "a#b",
		"topic=%C3%BC/%E2%98%81":            "ü/☁",
		"topic=a%7Cb":                       "a|b",
		"a%26topic=b":                       "b",
		"topic=" + strings.Repeat("x", 300): strings.Repeat("x", 300),
	} {
		t.Run(target, func(t *testing.T) {
			play(t, next.Options{}, func(m *mesh) {
				m.want("POST", "/events/publish?"+target, event("1"), `202 {"status":"accepted"}`)
				if got := m.s.Published(topic); len(got) != 1 {
					t.Errorf("topic %q has %d events, want 1", topic, len(got))
				}
			})
		})
	}
}

func TestOnlyTheLengthThatAPublishAnnouncesIsLimited(t *testing.T) {
	large := event("1", `,"data":"`, strings.Repeat("x", 1<<20), `"`)
	const tooLarge = `413 {"error":"payload too large (max 1048576 bytes)"}`
	play(t, next.Options{}, func(m *mesh) {
		for _, c := range []struct{ name, target, body, header, want string }{
			{"announced", "/events/publish?topic=T", "", "Content-Length: 1048577", tooLarge},
			{"announced without a topic", "/events/publish", "", "Content-Length: 1048577", tooLarge},
			{"in chunks", "/events/publish?topic=T", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(large), large), "Transfer-Encoding: chunked",
				`202 {"status":"accepted"}`},
			{"batch", "/events/publish-batch?topic=T", "[" + large + "]", "A: b", `202 {"status":"accepted"}`},
			{"request", "/events/request?topic=T&timeoutMs=1", large, "A: b", `504 {"error":"request timeout/error: request-reply timed out: req-1"}`},
		} {
			if got := m.do("POST", c.target, c.body, c.header); got != c.want {
				t.Errorf("%s: got %s, want %s", c.name, got, c.want)
			}
		}
	})
	play(t, next.Options{MaxContentLength: -1}, func(m *mesh) {
		m.want("POST", "/events/publish?topic=T", large, `202 {"status":"accepted"}`)
	})
}

func TestRateLimit(t *testing.T) {
	const (
		class   = "org.apache.eventmesh.runtime.ratelimit.RateLimitedException: "
		limited = `429 {"error":"rate limited: ` + class + `rate limited: `
	)
	play(t, next.Options{RateLimit: next.RateLimit{Capacity: 2, Rate: 1}}, func(m *mesh) {
		m.publish("T", "1", "2")
		m.want("POST", "/events/publish?topic=T", event("3"), limited+`T"}`)
		m.publish("other", "1")
		m.want("POST", "/events/request?topic=T", event("4"), `504 {"error":"request timeout/error: rate limited: T"}`)
		pass(time.Second)
		m.publish("T", "5")
		m.want("POST", "/events/publish?topic=T", event("6"), limited+`T"}`)
		m.want("POST", "/events/publish-batch?topic=other", "["+event("2")+","+event("3")+","+event("4")+"]", limited+`other"}`)
		if got := m.s.Published("other"); len(got) != 3 {
			t.Errorf("%d events of the batch are stored, want the two that there were tokens for", len(got)-1)
		}
	})
}

func TestTokens(t *testing.T) {
	play(t, next.Options{Tokens: []string{"Bearer secret"}, InstanceURL: "http://10.0.0.1:10105"}, func(m *mesh) {
		for _, c := range []struct {
			method, target, body string
			guarded              bool
		}{
			{"POST", "/events/publish?topic=T", event("1"), true},
			{"POST", "/events/subscribe", `{"clientId":"c","topic":"T","mode":"BROADCAST"}`, true},
			{"GET", "/events/poll?clientId=nobody", "", true},
			{"POST", "/events/request?topic=T&timeoutMs=0", event("1"), true},
			{"POST", "/events/publish-batch?topic=T", "[]", false},
			{"POST", "/events/ack", `{"deliveryId":"d"}`, false},
			{"POST", "/events/unsubscribe", `{"clientId":"c"}`, false},
			{"POST", "/events/reply", `{"correlationId":"1","event":` + event("1") + `}`, false},
		} {
			for _, header := range []string{"A: b", "Authorization: secret", "Authorization: Bearer other", "Authorization: bearer secret"} {
				got := m.do(c.method, c.target, c.body, header)
				if refused := got == `401 {"error":"unauthorized"}`; refused != c.guarded {
					t.Errorf("%s with %s: got %s", c.target, header, got)
				}
			}
			if got := m.do(c.method, c.target, c.body, "Authorization: Bearer secret"); strings.HasPrefix(got, "401") {
				t.Errorf("%s: got %s", c.target, got)
			}
		}
		got := m.do("POST", "/events/subscribe", `{"clientId":"c","topic":"T","mode":"MULTICAST"}`, "Authorization: Bearer secret")
		if !strings.HasSuffix(got, `,"instanceUrl":"http://10.0.0.1:10105"}`) {
			t.Errorf("got %s, want the instance's URL", got)
		}
	})
	play(t, next.Options{}, func(m *mesh) {
		got := m.do("POST", "/events/subscribe", `{"clientId":"c","topic":"T","mode":"BROADCAST"}`)
		if !strings.HasSuffix(got, `,"instanceUrl":""}`) {
			t.Errorf("got %s, want no URL", got)
		}
	})
}
