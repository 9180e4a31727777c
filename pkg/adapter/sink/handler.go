package sink

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"

	"github.com/cloudevents/sdk-go/v2/event"
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
	config    *Config
	publisher publisher
	senders   *authenticator // nil: whoever sends
	probes    adapter.Probes
	logger    *zap.SugaredLogger
	inFlight  chan struct{} // holds one for each request
	leaving   atomic.Bool
}

func newHandler(config *Config, p publisher, logger *zap.SugaredLogger) *handler {
	h := &handler{config: config, logger: sampled(logger), inFlight: make(chan struct{}, config.MaxInFlight)}
	h.publisher = &guard{publisher: p, logger: h.logger}
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
	if err := h.senders.authenticate(w, r); err != nil {
		h.refuse(w, destination{}, err)
		return
	}
	to, err := h.route(r)
	if err != nil {
		h.refuse(w, to, err)
		return
	}
	select {
	case h.inFlight <- struct{}{}:
		defer func() { <-h.inFlight }()
	default:
		h.refuse(w, to, refusef(http.StatusTooManyRequests, "%d requests are in flight, as many as EVENTMESH_MAX_IN_FLIGHT allows", h.config.MaxInFlight))
		return
	}
	if isBatch(r) {
		h.batch(w, r, to)
		return
	}
	e, err := h.receive(w, r)
	if err != nil {
		h.refuse(w, to, err)
		return
	}
	reply, err := h.publish(r.Context(), to, *e)
	switch {
	case err != nil:
		h.refuse(w, to, err)
	case reply != nil:
		h.reply(r.Context(), w, to, *reply)
	default:
		accept(w)
	}
}

// ready returns nil, or why no more requests should come.
func (h *handler) ready() error {
	if h.leaving.Load() {
		return errors.New("shutting down")
	}
	if err := h.senders.ready(); err != nil {
		return err
	}
	return h.publisher.Ready()
}

// leave makes readiness fail, and asks senders to close their connections.
func (h *handler) leave() { h.leaving.Store(true) }
