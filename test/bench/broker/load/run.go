package load

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/test/bench/stats"
)

// run is an Order that is carried out.
type run struct {
	Order
	client *http.Client
	prefix string // of the IDs of its events
	data   []byte

	mu       sync.Mutex
	events   int
	under    map[string]*passage
	answered []time.Duration
	ages     []time.Duration // of deliveries
	last     time.Time       // of them
	result   Result
}

// passage is an event that is under way.
type passage struct {
	sent    time.Time
	missing uint64        // a bit for each Trigger
	done    chan struct{} // closed when there is none left
}

func newRun(o Order, client *http.Client) *run {
	const frame = `{"padding":""}`
	data := `{"padding":"` + strings.Repeat("x", max(o.Size-len(frame), 0)) + `"}`
	return &run{
		Order: o, client: client, prefix: strconv.FormatInt(time.Now().UnixNano(), 36) + "-", data: []byte(data),
		under: map[string]*passage{},
	}
}

func (r *run) do(ctx context.Context) Result {
	began := time.Now()
	var all sync.WaitGroup
	if r.Rate > 0 {
		r.paced(ctx, began, &all)
	} else {
		for range r.Window {
			all.Go(func() {
				for time.Since(began) < r.Duration && ctx.Err() == nil {
					r.one(ctx)
				}
			})
		}
	}
	all.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	result := r.result
	result.Elapsed = max(r.last.Sub(began), 0)
	result.Answered, result.Delivered = latency(r.answered), latency(r.ages)
	return result
}

// paced posts an event whenever one is due, without waiting for those before.
func (r *run) paced(ctx context.Context, began time.Time, all *sync.WaitGroup) {
	for i := range int(r.Rate * r.Duration.Seconds()) {
		due := time.Duration(float64(i) / r.Rate * float64(time.Second))
		select {
		case <-time.After(due - time.Since(began)):
			all.Go(func() { r.one(ctx) })
		case <-ctx.Done():
			return
		}
	}
}

// one posts an event, and waits until every Trigger has delivered it.
func (r *run) one(ctx context.Context) {
	id, p := r.begin()
	err := r.post(ctx, id)
	answered := time.Since(p.sent)
	if err == nil {
		patience := time.NewTimer(r.Patience)
		defer patience.Stop()
		select {
		case <-p.done:
		case <-patience.C:
		case <-ctx.Done():
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.under, id)
	switch {
	case err != nil:
		r.result.Refused++
	case p.missing != 0:
		r.result.Lost++
	default:
		r.result.Events++
		r.answered = append(r.answered, answered)
	}
}

func (r *run) begin() (id string, p *passage) {
	p = &passage{missing: 1<<r.Matching - 1, done: make(chan struct{})}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events++
	id = r.prefix + strconv.Itoa(r.events)
	r.under[id] = p
	p.sent = time.Now()
	return id, p
}

func (r *run) post(ctx context.Context, id string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.Target, bytes.NewReader(r.data))
	if err != nil {
		return err
	}
	for name, value := range map[string]string{
		"Ce-Specversion": "1.0", "Ce-Id": id, "Ce-Source": "/bench", "Ce-Time": "2026-01-02T03:04:05.678Z", "Content-Type": "application/json",
	} {
		request.Header.Set(name, value)
	}
	for name, value := range r.Attributes {
		request.Header.Set("Ce-"+name, value)
	}
	answer, err := r.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("the Broker answers %s", answer.Status)
	}
	return nil
}

// deliver takes note of a delivery. Those of earlier runs count nowhere.
func (r *run) deliver(id string, trigger uint64, now time.Time) {
	if !strings.HasPrefix(id, r.prefix) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p, bit := r.under[id], uint64(1)<<trigger
	if p == nil || p.missing&bit == 0 {
		r.result.Repeated++
		return
	}
	r.ages = append(r.ages, now.Sub(p.sent))
	r.last = now
	if p.missing &^= bit; p.missing == 0 {
		close(p.done)
	}
}

func latency(all []time.Duration) Latency {
	if len(all) == 0 {
		return Latency{}
	}
	slices.Sort(all)
	at := func(share float64) float64 { return stats.Percentile(all, share) / 1000 }
	return Latency{P50: at(0.5), P99: at(0.99), Max: at(1)}
}
