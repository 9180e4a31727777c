package sink

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

// jsonEvent is one that a batch holds.
func jsonEvent(id string) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/shop","type":"order.placed","datacontenttype":"application/json","data":{"n":1.50}}`, id)
}

func batchOf(ids ...string) string {
	events := make([]string, len(ids))
	for i, id := range ids {
		events[i] = jsonEvent(id)
	}
	return "[" + strings.Join(events, ",") + "]"
}

// batchAnswer is the body of an answer that refuses events of a batch.
type batchAnswer struct {
	Events int
	Failed []failure
}

func sendBatch(t *testing.T, url, body string) (answer, batchAnswer) {
	t.Helper()
	got := send(t, http.DefaultClient, http.MethodPost, url, batched(), strings.NewReader(body))
	var says batchAnswer
	if got.header.Get("Content-Type") == "application/json" {
		if err := json.Unmarshal([]byte(got.body), &says); err != nil {
			t.Fatalf("%v in %s", err, got.body)
		}
	}
	return got, says
}

func TestTakesBatches(t *testing.T) {
	for name, ids := range map[string][]string{"none": {}, "one": {"1"}, "several": {"1", "2", "3"}, "more than are published at once": numbers(3 * batchPublishes)} {
		t.Run(name, func(t *testing.T) {
			p := &fake{}
			_, server, _ := serve(t, p)
			got, _ := sendBatch(t, server.URL+"/topics/orders", batchOf(ids...))
			if got.status != http.StatusAccepted || got.body != "" {
				t.Fatalf("got %d %q, want 202 without a body", got.status, got.body)
			}
			events, topics := p.taken()
			var taken []string
			for i, e := range events {
				taken = append(taken, e.ID())
				if topics[i] != "orders" || e.Source() != "/shop" || e.DataContentType() != "application/json" || string(e.Data()) != `{"n":1.50}` {
					t.Errorf("got %s of topic %s", e, topics[i])
				}
			}
			slices.Sort(taken)
			slices.Sort(ids)
			if !slices.Equal(taken, ids) {
				t.Errorf("got events %v, want %v", taken, ids)
			}
		})
	}
}

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
			_, server, _ := serve(t, p)
			if got, _ := sendBatch(t, server.URL, "["+c.event+"]"); got.status != http.StatusAccepted {
				t.Fatalf("got %d %q, want 202", got.status, got.body)
			}
			events, _ := p.taken()
			if e := events[0]; e.DataContentType() != c.contentType || string(e.Data()) != c.data {
				t.Errorf("got %q as %q, want %q as %q", e.Data(), e.DataContentType(), c.data, c.contentType)
			}
		})
	}
}

func numbers(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprint(i)
	}
	return ids
}

func TestBatchAnswersForItsWorstEvent(t *testing.T) {
	errs := map[string]error{
		"unconfirmed": eventmesh.ErrUnconfirmed, "away": eventmesh.ErrNotConnected, "limited": eventmesh.ErrRateLimited,
		"large": eventmesh.ErrTooLarge, "invalid": eventmesh.ErrInvalidEvent, "unauthorized": eventmesh.ErrUnauthorized,
		"unheard of": eventmesh.ErrNoReply,
	}
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
			_, server, logs := serve(t, p)
			got, says := sendBatch(t, server.URL, batchOf(c.ids...))
			if got.status != c.status || got.header.Get("Retry-After") != c.retryAfter {
				t.Errorf("got %d %q, Retry-After %q; want %d and %q", got.status, got.body, got.header.Get("Retry-After"), c.status, c.retryAfter)
			}
			var failed []int
			for _, f := range says.Failed {
				failed = append(failed, f.Index)
				id := c.ids[f.Index]
				if f.ID != id || f.Status != statusOf(errs[id]) || f.Reason != errs[id].Error() {
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
			_, server, logs := serve(t, p)
			got, says := sendBatch(t, server.URL, "["+jsonEvent("1")+","+c.malformed+","+jsonEvent("2")+"]")
			if got.status != http.StatusBadRequest || len(says.Failed) != 1 {
				t.Fatalf("got %d %q, want 400 and one failure", got.status, got.body)
			}
			if f := says.Failed[0]; f.Index != 1 || f.ID != c.id || f.Status != http.StatusBadRequest || !strings.Contains(f.Reason, c.why) {
				t.Errorf("got %+v, want index 1, id %q, status 400 and %q", f, c.id, c.why)
			}
			if events, _ := p.taken(); len(events) != 2 {
				t.Errorf("got %d events published, want the other two", len(events))
			}
			if said := got.body + fmt.Sprint(logs.All()); strings.Contains(said, secret) {
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
		{"as many as allowed", "/topics/orders", batchOf("1", "2", "3"), 202, ""},
		{"more", "/topics/orders", batchOf("1", "2", "3", "4"), 413, "EVENTMESH_MAX_BATCH_EVENTS"},
		{"more, and malformed", "/topics/orders", "[1,2,3,4", 413, "EVENTMESH_MAX_BATCH_EVENTS"},
		{"larger", "/topics/orders", batchOf("1", strings.Repeat("x", 1000)), 413, "EVENTMESH_MAX_EVENT_BYTES"},
		{"request", "/requests/orders", batchOf("1"), 400, "a request is a single event"},
		{"closed topic", "/topics/other", batchOf("1"), 403, "not open"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &fake{}
			_, server, _ := serve(t, p, "EVENTMESH_MAX_BATCH_EVENTS=3", "EVENTMESH_MAX_EVENT_BYTES=1000")
			got, _ := sendBatch(t, server.URL+c.path, c.body)
			if got.status != c.status || !strings.Contains(got.body, c.why) {
				t.Errorf("got %d %q, want %d with %q", got.status, got.body, c.status, c.why)
			}
			if events, _ := p.taken(); c.status != http.StatusAccepted && len(events) != 0 {
				t.Errorf("got %d events published", len(events))
			}
		})
	}
}

// gauge counts what is under way at once.
type gauge struct {
	mu       sync.Mutex
	now, top int
}

func (g *gauge) add(n int) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now += n
	g.top = max(g.top, g.now)
	return g.now
}

func TestEventsOfABatchCountAsInFlight(t *testing.T) {
	for _, c := range []struct {
		inFlight string
		want     int
	}{{"1", 1}, {"3", 3}, {"1000", batchPublishes}} {
		t.Run(c.inFlight, func(t *testing.T) {
			var g gauge
			full := make(chan struct{})
			p := &fake{each: func(context.Context, event.Event) error {
				if g.add(1) == c.want {
					close(full)
				}
				<-full
				return nil
			}}
			_, server, _ := serve(t, p, "EVENTMESH_MAX_IN_FLIGHT="+c.inFlight)
			// As many as are published at once: each stays until all are under way.
			if got, _ := sendBatch(t, server.URL, batchOf(numbers(c.want)...)); got.status != http.StatusAccepted {
				t.Errorf("got %d %q, want 202", got.status, got.body)
			}
			g.add(-c.want)
			p.each = func(context.Context, event.Event) error {
				g.add(1)
				defer g.add(-1)
				return nil
			}
			if got, _ := sendBatch(t, server.URL, batchOf(numbers(4*batchPublishes)...)); got.status != http.StatusAccepted {
				t.Errorf("got %d %q, want 202", got.status, got.body)
			}
			if g.top != c.want {
				t.Errorf("got %d events under way at once, want %d", g.top, c.want)
			}
		})
	}
}

func TestBatchWithoutRoomForOthers(t *testing.T) {
	began, goOn := make(chan struct{}), make(chan struct{})
	p := &fake{each: func(context.Context, event.Event) error {
		began <- struct{}{}
		<-goOn
		return nil
	}}
	_, server, _ := serve(t, p, "EVENTMESH_MAX_IN_FLIGHT=2")
	status := make(chan int, 1)
	go func() {
		got, _ := sendBatch(t, server.URL, batchOf("1", "2"))
		status <- got.status
	}()
	<-began
	<-began
	if got := post(t, server.URL); got.status != http.StatusTooManyRequests {
		t.Errorf("got %d beside a batch that takes all room, want 429", got.status)
	}
	close(goOn)
	if got := <-status; got != http.StatusAccepted {
		t.Errorf("got %d for the batch, want 202", got)
	}
}

func TestBatchHasOneTimeout(t *testing.T) {
	const late = 9 * time.Second // of a time-out of 10 s
	for name, answer := range map[string]func(context.Context) error{
		"EventMesh is slow":  func(context.Context) error { time.Sleep(late); return nil },
		"EventMesh is stuck": func(ctx context.Context) error { <-ctx.Done(); return eventmesh.ErrUnconfirmed },
	} {
		c := config(t, "EVENTMESH_URL=grpc://eventmesh", "EVENTMESH_TOPIC=orders", "EVENTMESH_PUBLISH_TIMEOUT=10s")
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &fake{each: func(ctx context.Context, _ event.Event) error { return answer(ctx) }}
				h := newHandler(c, p, zap.NewNop().Sugar())
				var events [][]byte
				for _, id := range numbers(10 * batchPublishes) {
					events = append(events, []byte(jsonEvent(id)))
				}
				began := time.Now()
				failures := h.publishBatch(t.Context(), destination{topic: "orders"}, events)
				if took := time.Since(began); took > 2*late {
					t.Errorf("took %s, want that no event is begun after the time-out of 10s", took)
				}
				if len(failures) < 8*batchPublishes || statusOf(failures[0].err) != http.StatusServiceUnavailable {
					t.Errorf("got %d failures, want 503 for those that had no time left", len(failures))
				}
			})
		})
	}
}

func TestBatchesReachEventMesh(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			server, url := eventMesh(t, transport, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ})
			s := start(t, "EVENTMESH_URL="+url, "EVENTMESH_TOPICS=orders")
			s.awaitReadiness(t, http.StatusOK)
			const n = 100
			if got, _ := sendBatch(t, s.url+"/topics/orders", batchOf(numbers(n)...)); got.status != http.StatusAccepted {
				t.Fatalf("got %d %q, want 202", got.status, got.body)
			}
			stored := map[string]bool{}
			for _, e := range server.Published("orders") {
				stored[e.GetId()] = true
			}
			if len(stored) != n {
				t.Errorf("got %d events in EventMesh, want %d", len(stored), n)
			}
			large := strings.Replace(jsonEvent("large"), `{"n":1.50}`, `"`+strings.Repeat("x", 2000)+`"`, 1)
			got, says := sendBatch(t, s.url+"/topics/orders", "["+jsonEvent("a")+","+large+"]")
			if transport == "TCP" && (got.status != http.StatusRequestEntityTooLarge || len(says.Failed) != 1 || says.Failed[0].ID != "large") {
				t.Errorf("got %d %q, want 413 for the large event", got.status, got.body)
			}
		})
	}
}
