package sink

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
)

// publisher is what the sink needs of an [eventmesh.Publisher].
type publisher interface {
	Publish(ctx context.Context, topic string, e event.Event) error
	Request(ctx context.Context, topic string, e event.Event) (*event.Event, error)
	Ready() error
}

// handler answers requests and probes.
type handler struct {
	config   *Config
	guard    *guard
	senders  *authenticator // nil: whoever sends
	probes   adapter.Probes
	logger   *zap.SugaredLogger
	bodies   *bodies
	inFlight chan struct{} // holds one for each event that is being published
	batches  metric.Int64Histogram
	unread   metric.Int64Counter
	serving  atomic.Int64 // requests without an answer
	leaving  atomic.Bool
}

func newHandler(config *Config, p publisher, logger *zap.SugaredLogger) *handler {
	h := &handler{
		config: config, logger: adapter.Sampled(logger), bodies: newBodies(config.BufferBytes), inFlight: make(chan struct{}, config.MaxInFlight),
		batches: noop.Int64Histogram{}, unread: noop.Int64Counter{},
	}
	h.guard = &guard{publisher: p, logger: h.logger}
	h.probes = adapter.Probes{Ready: h.ready}
	return h
}

// ServeHTTP takes a request on its way: receive, publish, answer.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.leaving.Load() {
		w.Header().Set("Connection", "close") // over HTTP/2 this is a GOAWAY
	}
	if isProbe(r) {
		h.probe(w, r)
		return
	}
	h.serving.Add(1)
	defer h.serving.Add(-1)
	if r.Method == http.MethodOptions {
		h.handshake(w, r)
		return
	}
	if err := h.senders.authenticate(w, r); err != nil {
		h.refuse(w, destination{}, err)
		return
	}
	to, err := h.route(r)
	if err != nil {
		h.refuse(w, to, err)
		return
	}
	if isBatch(r) {
		h.batch(w, r, to)
		return
	}
	reply, err := h.take(w, r, to)
	switch {
	case err != nil:
		h.refuse(w, to, err)
	case reply != nil:
		h.reply(w, to, *reply)
	default:
		accept(w)
	}
}

// take publishes the event of a request. When it returns the request takes no place any more, however slowly its sender reads
// the answer.
func (h *handler) take(w http.ResponseWriter, r *http.Request, to destination) (reply *event.Event, err error) {
	body, leave, err := h.admit(w, r)
	if err != nil {
		return nil, err
	}
	defer leave()
	e, err := h.receive(r, body)
	if err != nil {
		return nil, err
	}
	return h.publish(r.Context(), to, *e)
}

// ready returns nil, or why no more requests should come.
func (h *handler) ready() error {
	if h.leaving.Load() {
		return errors.New("shutting down")
	}
	if err := h.senders.ready(); err != nil {
		return err
	}
	return h.guard.Ready()
}

// leave makes readiness fail, and asks senders to close their connections.
func (h *handler) leave() { h.leaving.Store(true) }
