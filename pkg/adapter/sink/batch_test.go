package sink

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/ingresstest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/releases"
)

func TestBatchImpliesContentTypes(t *testing.T) {
	const attributes = `"specversion":"1.0","id":"1","source":"/s","type":"t"`
	for _, c := range []struct{ name, event, contentType, data string }{
		{"JSON", `{` + attributes + `,"data":"text"}`, "application/json", `"text"`},
		{"an object of another JSON type", `{` + attributes + `,"data":{"a": 1},"datacontenttype":"application/fhir+json"}`, "application/fhir+json", `{"a": 1}`},
		{"a string of another JSON type", `{` + attributes + `,"data":"text","datacontenttype":"Application/JSON"}`, "Application/JSON", `"text"`},
		{"binary", `{` + attributes + `,"data_base64":"AP8="}`, "", "\x00\xff"},
		{"none", `{` + attributes + `}`, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &fake{}
			server, _ := serve(t, p)
			if got, _ := ingresstest.SendBatch(t, server.URL, "["+c.event+"]"); got.Status != http.StatusAccepted {
				t.Fatalf("got %d %q, want 202", got.Status, got.Body)
			}
			events, _ := p.taken()
			if e := events[0]; e.DataContentType() != c.contentType || string(e.Data()) != c.data {
				t.Errorf("got %q as %q, want %q as %q", e.Data(), e.DataContentType(), c.data, c.contentType)
			}
		})
	}
}

func TestBatchAnswersForItsWorstEvent(t *testing.T) {
	errs := map[string]error{
		"unconfirmed": eventmesh.ErrUnconfirmed, "away": eventmesh.ErrNotConnected, "limited": eventmesh.ErrRateLimited,
		"large": eventmesh.ErrTooLarge, "invalid": eventmesh.ErrInvalidEvent, "unauthorized": eventmesh.ErrUnauthorized,
		"unheard of": eventmesh.ErrNoReply,
	}
	statuses := map[string]int{"unconfirmed": 503, "away": 503, "limited": 429, "large": 413, "invalid": 400, "unauthorized": 503, "unheard of": 504}
	for _, c := range []struct {
		ids        []string
		status     int
		retryAfter string
		failed     []int
	}{
		{[]string{"ok", "invalid"}, 400, "", []int{1}},
		{[]string{"invalid", "large"}, 413, "", []int{0, 1}},
		{[]string{"large", "ok", "invalid"}, 413, "", []int{0, 2}},
		{[]string{"limited", "large", "invalid"}, 429, "1", []int{0, 1, 2}},
		{[]string{"invalid", "limited"}, 429, "1", []int{0, 1}},
		{[]string{"limited", "unconfirmed"}, 503, "1", []int{0, 1}},
		{[]string{"invalid", "away", "ok"}, 503, "1", []int{0, 1}},
		{[]string{"large", "unauthorized"}, 503, "1", []int{0, 1}},
		{[]string{"unheard of", "away"}, 504, "", []int{0, 1}},
	} {
		t.Run(strings.Join(c.ids, ","), func(t *testing.T) {
			p := &fake{each: func(_ context.Context, e event.Event) error { return errs[e.ID()] }}
			server, logs := serve(t, p)
			got, says := ingresstest.SendBatch(t, server.URL, ingresstest.BatchOf(c.ids...))
			if got.Status != c.status || got.Header.Get("Retry-After") != c.retryAfter {
				t.Errorf("got %d %q, Retry-After %q; want %d and %q", got.Status, got.Body, got.Header.Get("Retry-After"), c.status, c.retryAfter)
			}
			var failed []int
			for _, f := range says.Failed {
				failed = append(failed, f.Index)
				id := c.ids[f.Index]
				if f.ID != id || f.Status != statuses[id] || f.Reason != errs[id].Error() {
					t.Errorf("got %+v for event %s", f, id)
				}
			}
			if !slices.Equal(failed, c.failed) || says.Events != len(c.ids) {
				t.Errorf("got %v of %d failed, want %v of %d", failed, says.Events, c.failed, len(c.ids))
			}
			if taken, _ := p.taken(); len(taken) != len(c.ids)-len(c.failed) {
				t.Errorf("got %d events taken, want those that did not fail", len(taken))
			}
			if lines := logs.FilterMessageSnippet(fmt.Sprint(c.status)).All(); len(lines) != 1 || lines[0].ContextMap()["failed"] != int64(len(c.failed)) {
				t.Errorf("got log %v, want one line with the number of failures", lines)
			}
		})
	}
}

func TestBatchWithWhatIsNoEvent(t *testing.T) {
	for _, c := range []struct{ name, malformed, id, why string }{
		{"no ID", `{"specversion":"1.0","source":"/s","type":"t","data":"hunter2"}`, "", "id: MUST"},
		{"no source", `{"specversion":"1.0","id":"x","type":"t","data":"hunter2"}`, "x", "source"},
		{"old version", `{"specversion":"0.3","id":"x","source":"/s","type":"t","data":"hunter2"}`, "x", `"0.3"`},
		{"null", `null`, "", "no JSON object"},
		{"text", `"hunter2"`, "", "no JSON object"},
		{"number as ID", `{"specversion":"1.0","id":1,"source":"/s","type":"t"}`, "", "id: want a string"},
		{"data that is a number", `{"specversion":"1.0","id":"x","source":"/s","type":"t","data_base64":1}`, "x", "data_base64: want a string"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &fake{}
			server, logs := serve(t, p)
			got, says := ingresstest.SendBatch(t, server.URL, "["+ingresstest.JSONEvent("1")+","+c.malformed+","+ingresstest.JSONEvent("2")+"]")
			if got.Status != http.StatusBadRequest || len(says.Failed) != 1 {
				t.Fatalf("got %d %q, want 400 and one failure", got.Status, got.Body)
			}
			if f := says.Failed[0]; f.Index != 1 || f.ID != c.id || f.Status != http.StatusBadRequest || !strings.Contains(f.Reason, c.why) {
				t.Errorf("got %+v, want index 1, id %q, status 400 and %q", f, c.id, c.why)
			}
			if events, _ := p.taken(); len(events) != 2 {
				t.Errorf("got %d events published, want the other two", len(events))
			}
			if said := got.Body + fmt.Sprint(logs.All()); strings.Contains(said, secret) {
				t.Errorf("data in answer or log: %s", said)
			}
		})
	}
}

func TestBatchLimits(t *testing.T) {
	for _, c := range []struct {
		name, path, body string
		status           int
		why              string
	}{
		{"as many as allowed", "/topics/orders", ingresstest.BatchOf("1", "2", "3"), 202, ""},
		{"more", "/topics/orders", ingresstest.BatchOf("1", "2", "3", "4"), 413, "EVENTMESH_MAX_BATCH_EVENTS"},
		{"more, and malformed", "/topics/orders", "[1,2,3,4", 413, "EVENTMESH_MAX_BATCH_EVENTS"},
		{"larger", "/topics/orders", ingresstest.BatchOf("1", strings.Repeat("x", 1000)), 413, "EVENTMESH_MAX_EVENT_BYTES"},
		{"request", "/requests/orders", ingresstest.BatchOf("1"), 400, "a request is a single event"},
		{"closed topic", "/topics/other", ingresstest.BatchOf("1"), 403, "not open"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &fake{}
			server, _ := serve(t, p, "EVENTMESH_MAX_BATCH_EVENTS=3", "EVENTMESH_MAX_EVENT_BYTES=1000")
			got, _ := ingresstest.SendBatch(t, server.URL+c.path, c.body)
			if got.Status != c.status || !strings.Contains(got.Body, c.why) {
				t.Errorf("got %d %q, want %d with %q", got.Status, got.Body, c.status, c.why)
			}
			if events, _ := p.taken(); c.status != http.StatusAccepted && len(events) != 0 {
				t.Errorf("got %d events published", len(events))
			}
		})
	}
}

func TestBatchesReachEventMesh(t *testing.T) {
	for _, transport := range releases.Transports {
		t.Run(transport, func(t *testing.T) {
			server, url := eventMesh(t, transport, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ})
			s := start(t, "EVENTMESH_URL="+url, "EVENTMESH_TOPICS=orders")
			s.awaitReadiness(t, http.StatusOK)
			const n = 100
			if got, _ := ingresstest.SendBatch(t, s.url+"/topics/orders", ingresstest.BatchOf(ingresstest.Numbers(n)...)); got.Status != http.StatusAccepted {
				t.Fatalf("got %d %q, want 202", got.Status, got.Body)
			}
			stored := map[string]bool{}
			for _, e := range server.Published("orders") {
				stored[e.GetId()] = true
			}
			if len(stored) != n {
				t.Errorf("got %d events in EventMesh, want %d", len(stored), n)
			}
			large := strings.Replace(ingresstest.JSONEvent("large"), `{"n":1.50}`, `"`+strings.Repeat("x", 2000)+`"`, 1)
			got, says := ingresstest.SendBatch(t, s.url+"/topics/orders", "["+ingresstest.JSONEvent("a")+","+large+"]")
			if transport == "TCP" && (got.Status != http.StatusRequestEntityTooLarge || len(says.Failed) != 1 || says.Failed[0].ID != "large") {
				t.Errorf("got %d %q, want 413 for the large event", got.Status, got.Body)
			}
		})
	}
}
