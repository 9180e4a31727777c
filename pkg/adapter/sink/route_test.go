package sink

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/ingresstest"
)

func TestRoutes(t *testing.T) {
	for _, c := range []struct {
		name, method, path string
		status             int
		topic, allow, why  string
	}{
		{name: "root", method: "POST", path: "/", status: 202, topic: "orders"},
		{name: "topic", method: "POST", path: "/topics/orders", status: 202, topic: "orders"},
		{name: "topic by prefix", method: "POST", path: "/topics/stock-eu.west", status: 202, topic: "stock-eu.west"},
		{name: "escaped topic", method: "POST", path: "/topics/stock-%25%7C", status: 202, topic: "stock-%|"},
		{name: "query", method: "POST", path: "/topics/orders?x=y", status: 202, topic: "orders"},
		{name: "request", method: "POST", path: "/requests/orders", status: 200, topic: "orders"},
		{name: "closed topic", method: "POST", path: "/topics/stock", status: 403, why: "stock is not open"},
		{name: "closed topic for requests", method: "POST", path: "/requests/other", status: 403, why: "other is not open"},
		{name: "invalid topic", method: "POST", path: "/topics/a%20b", status: 400, why: `invalid topic "a b"`},
		{name: "topic with a slash", method: "POST", path: "/topics/orders/1", status: 400, why: "invalid topic"},
		{name: "no topic", method: "POST", path: "/topics/", status: 400, why: "invalid topic"},
		{name: "long topic", method: "POST", path: "/topics/stock-" + strings.Repeat("a", 127), status: 400, why: "invalid topic"},
		{name: "unknown path", method: "POST", path: "/topic/orders", status: 404, why: "/topics/{topic}"},
		{name: "path that could be cleaned", method: "POST", path: "//topics/orders", status: 404, why: "no such path"},
		{name: "path without a topic", method: "POST", path: "/topics", status: 404, why: "no such path"},
		{name: "unknown path by GET", method: "GET", path: "/favicon.ico", status: 404, why: "no such path"},
		{name: "GET", method: "GET", path: "/topics/orders", status: 405, allow: "POST, OPTIONS", why: "POST"},
		{name: "GET of the root", method: "GET", path: "/", status: 405, allow: "POST, OPTIONS", why: "POST"},
		{name: "PUT", method: "PUT", path: "/requests/orders", status: 405, allow: "POST, OPTIONS", why: "POST"},
		{name: "POST to a probe", method: "POST", path: "/readiness", status: 405, allow: "GET, HEAD", why: "GET"},
	} {
		t.Run(c.name, func(t *testing.T) {
			reply := event.New()
			reply.SetID("1")
			reply.SetSource("/s")
			reply.SetType("t")
			p := &fake{request: func(context.Context, string) (*event.Event, error) { return &reply, nil }}
			server, _ := serve(t, p)
			got := ingresstest.Send(t, server.Client(), c.method, server.URL+c.path, ingresstest.Binary(), strings.NewReader("{}"))
			if got.Status != c.status || !strings.Contains(got.Body, c.why) || got.Header.Get("Allow") != c.allow {
				t.Errorf("got %d %q, Allow %q; want %d %q, Allow %q", got.Status, got.Body, got.Header.Get("Allow"), c.status, c.why, c.allow)
			}
			_, topics := p.taken()
			if got := strings.Join(topics, ","); got != c.topic {
				t.Errorf("got topic %q, want %q", got, c.topic)
			}
		})
	}
}

func TestRootWithoutTopic(t *testing.T) {
	server, _ := serve(t, &fake{}, "EVENTMESH_TOPIC=")
	got := ingresstest.Post(t, server.URL)
	if got.Status != http.StatusForbidden || !strings.Contains(got.Body, "EVENTMESH_TOPIC") || !strings.Contains(got.Body, "/topics/") {
		t.Errorf("got %d %q, want 403 that says what to do", got.Status, got.Body)
	}
}
