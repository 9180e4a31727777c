// Package load posts events to a Broker, and is the subscriber of its Triggers: one process, so that one clock tells how long an event
// took, and an event counts once every Trigger that wants it has delivered it.
package load

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// Order says which events to post.
type Order struct {
	// Target is the URL of the Broker.
	Target string `json:"target"`
	// Attributes are those of the events besides id, source and what belongs to the data.
	Attributes map[string]string `json:"attributes"`
	// Matching is how many Triggers want them, 64 at most. Their subscribers are /0, /1 and so on of this program.
	Matching int `json:"matching"`
	// Size is that of an event's data, in bytes.
	Size int `json:"size"`
	// Rate is how many events to post in a second, whatever becomes of them. With 0 so many are posted as can be, with Window of them
	// under way: not delivered to every Trigger.
	Rate   float64 `json:"rate"`
	Window int     `json:"window"`
	// Duration is how long to post.
	Duration time.Duration `json:"duration"`
	// Patience is how long to wait for an event before it counts as lost.
	Patience time.Duration `json:"patience"`
}

// Result is what became of the events of an Order.
type Result struct {
	// Events have been delivered to every Trigger that wants them. Refused were not accepted, and the rest of them is Lost.
	Events, Refused, Lost int
	// Repeated are deliveries of what a Trigger had delivered before, or of an event that counts as lost or refused.
	Repeated int
	// Elapsed is the time from the first event to the last delivery.
	Elapsed time.Duration
	// Answered is how long the Broker took to accept an event, and Delivered how long until a Trigger had delivered it, in ms.
	Answered, Delivered Latency
}

// Latency has percentiles, in milliseconds.
type Latency struct{ P50, P99, Max float64 }

// Load is the HTTP handler of the program. POST /run with an Order answers with its Result, once all is done; there is one at a time.
type Load struct {
	mux     http.ServeMux
	client  http.Client
	current atomic.Pointer[run]
}

// New returns a Load at rest.
func New() *Load {
	l := &Load{client: http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1000, DisableCompression: true}}}
	l.mux.HandleFunc("POST /run", l.serveRun)
	l.mux.HandleFunc("POST /{trigger}", l.deliver)
	return l
}

// ServeHTTP implements [http.Handler].
func (l *Load) ServeHTTP(w http.ResponseWriter, r *http.Request) { l.mux.ServeHTTP(w, r) }

func (l *Load) serveRun(w http.ResponseWriter, r *http.Request) {
	var o Order
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	result, err := l.run(r.Context(), o)
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(result) // who has asked is gone
}

// deliver is the subscriber.
func (l *Load) deliver(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	trigger, err := strconv.ParseUint(r.PathValue("trigger"), 10, 8)
	if err != nil {
		http.Error(w, "want a number", http.StatusNotFound)
		return
	}
	_, _ = io.Copy(io.Discard, r.Body)
	w.WriteHeader(http.StatusAccepted)
	if current := l.current.Load(); current != nil {
		current.deliver(r.Header.Get("Ce-Id"), trigger, now)
	}
}

func (l *Load) run(ctx context.Context, o Order) (Result, error) {
	if o.Matching < 1 || o.Matching > 64 || o.Rate <= 0 && o.Window <= 0 {
		return Result{}, fmt.Errorf("%+v asks for nothing that can be done", o)
	}
	r := newRun(o, &l.client)
	if !l.current.CompareAndSwap(nil, r) {
		return Result{}, fmt.Errorf("another run is under way")
	}
	defer l.current.Store(nil)
	return r.do(ctx), nil
}
