package ingress

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/ingresstest"
)

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

func TestTakesBatches(t *testing.T) {
	for name, ids := range map[string][]string{"none": {}, "one": {"1"}, "several": {"1", "2", "3"}, "more than are published at once": ingresstest.Numbers(3 * batchDeliveries)} {
		t.Run(name, func(t *testing.T) {
			p := &fake{}
			server, _ := serve(t, p)
			got, _ := ingresstest.SendBatch(t, server.URL+"/topics/orders", ingresstest.BatchOf(ids...))
			if got.Status != http.StatusAccepted || got.Body != "" {
				t.Fatalf("got %d %q, want 202 without a body", got.Status, got.Body)
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

func TestEventsOfABatchCountAsInFlight(t *testing.T) {
	for _, c := range []struct {
		inFlight, want int
	}{{1, 1}, {3, 3}, {1000, batchDeliveries}} {
		t.Run(fmt.Sprint(c.inFlight), func(t *testing.T) {
			var g gauge
			full := make(chan struct{})
			p := &fake{each: func(context.Context, event.Event) error {
				if g.add(1) == c.want {
					close(full)
				}
				<-full
				return nil
			}}
			server, _ := serve(t, p, bounds(Bounds{InFlight: c.inFlight}))
			// As many as are published at once: each stays until all are under way.
			if got, _ := ingresstest.SendBatch(t, server.URL, ingresstest.BatchOf(ingresstest.Numbers(c.want)...)); got.Status != http.StatusAccepted {
				t.Errorf("got %d %q, want 202", got.Status, got.Body)
			}
			g.add(-c.want)
			p.each = func(context.Context, event.Event) error {
				g.add(1)
				defer g.add(-1)
				return nil
			}
			if got, _ := ingresstest.SendBatch(t, server.URL, ingresstest.BatchOf(ingresstest.Numbers(4*batchDeliveries)...)); got.Status != http.StatusAccepted {
				t.Errorf("got %d %q, want 202", got.Status, got.Body)
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
	server, _ := serve(t, p, bounds(Bounds{InFlight: 2}))
	status := make(chan int, 1)
	go func() {
		got, _ := ingresstest.SendBatch(t, server.URL, ingresstest.BatchOf("1", "2"))
		status <- got.Status
	}()
	<-began
	<-began
	if got := ingresstest.Post(t, server.URL); got.Status != http.StatusTooManyRequests {
		t.Errorf("got %d beside a batch that takes all room, want 429", got.Status)
	}
	close(goOn)
	if got := <-status; got != http.StatusAccepted {
		t.Errorf("got %d for the batch, want 202", got)
	}
}

func TestBatchHasOneTimeout(t *testing.T) {
	const late = 9 * time.Second // of a time-out of 10 s
	for name, answer := range map[string]func(context.Context) error{
		"slow":  func(context.Context) error { time.Sleep(late); return nil },
		"stuck": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &fake{each: func(ctx context.Context, _ event.Event) error { return answer(ctx) }}
				s, _ := server(t, p)
				var events [][]byte
				for _, id := range ingresstest.Numbers(10 * batchDeliveries) {
					events = append(events, []byte(ingresstest.JSONEvent(id)))
				}
				to, err := p.route(httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil))
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				failures := s.deliverBatch(t.Context(), to, events)
				if took := time.Since(began); took > 2*late {
					t.Errorf("took %s, want that no event is begun after the time-out of 10s", took)
				}
				if len(failures) < 8*batchDeliveries || statusOf(failures[0].err) != http.StatusServiceUnavailable || !strings.Contains(failures[len(failures)-1].Reason, "no time was left") {
					t.Errorf("got %d failures, want 503 for those that had no time left", len(failures))
				}
			})
		})
	}
}
