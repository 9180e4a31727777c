package ingress

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/httpevent"
)

const (
	healthPath    = "/health"
	readinessPath = "/readiness"
	// kubeletAgent starts the User-Agent of the kubelet's probes.
	kubeletAgent = "kube-probe/"
	// eventMethods are what the paths of events answer to.
	eventMethods = http.MethodPost + ", " + http.MethodOptions
	// extensionTraceparent is the extension that CloudEvents has for a trace; tracestate goes with it.
	extensionTraceparent = "traceparent"
)

var errPanic = errors.New("internal error")

// handle is the way of a request: who sends, where to, the body, the event in it, its delivery, the answer.
func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	if s.leaving.Load() {
		w.Header().Set("Connection", "close") // over HTTP/2 this is a GOAWAY
	}
	if isProbe(r) {
		s.probe(w, r)
		return
	}
	s.serving.Add(1)
	defer s.serving.Add(-1)
	if r.Method == http.MethodOptions {
		s.handshake(w, r)
		return
	}
	if s.options.Authenticate != nil {
		if err := s.options.Authenticate(r); err != nil {
			s.refuse(w, "", err)
			return
		}
	}
	to, err := s.options.Route(r)
	if err != nil {
		s.refuse(w, to.Topic, err)
		return
	}
	if isBatch(r) {
		s.batch(w, r, to)
		return
	}
	reply, err := s.accept(w, r, to)
	switch {
	case err != nil:
		s.refuse(w, to.Topic, err)
	case reply != nil:
		s.reply(w, to.Topic, *reply)
	default:
		w.WriteHeader(http.StatusAccepted)
	}
}

// accept delivers the event of a request. When it returns the request holds no place any more, however slowly its sender reads the
// answer.
func (s *Server) accept(w http.ResponseWriter, r *http.Request, to Destination) (reply *event.Event, err error) {
	body, err := s.admit(w, r)
	if err != nil {
		return nil, err
	}
	defer s.leave(r.Context(), body)
	e, err := httpevent.Read(r.Header, body.content)
	if s.options.Older && errors.Is(err, httpevent.ErrVersion) {
		e, err = httpevent.ReadOlder(r.Context(), r.Header, body.content)
	}
	if err != nil {
		return nil, notAnEvent(err)
	}
	ctx, cancel := s.deadline(r.Context(), to)
	defer cancel()
	return s.deliver(ctx, to, e)
}

// admit reads the body of a request, and then gives the request one of the places in flight: slow senders hold none. It ends with leave.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) (*body, error) {
	body, err := s.bodies.read(w, r, s.options.Bounds.BodyBytes)
	if err != nil {
		return nil, err
	}
	select {
	case s.inFlight <- struct{}{}:
		connectionIn(r.Context()).begin()
		return body, nil
	default:
		body.release()
		return nil, Refusef(http.StatusTooManyRequests, "%d requests are in flight, as many as EVENTMESH_MAX_IN_FLIGHT allows", cap(s.inFlight))
	}
}

func (s *Server) leave(ctx context.Context, body *body) {
	connectionIn(ctx).end()
	<-s.inFlight
	body.release()
}

// deadline bounds a delivery. It goes on when the sender has gone away, since the destination may have the event by then.
func (s *Server) deadline(ctx context.Context, to Destination) (context.Context, context.CancelFunc) {
	timeout := to.Timeout
	if timeout == 0 {
		timeout = s.options.Bounds.Timeout
	}
	return context.WithTimeout(context.WithoutCancel(ctx), timeout)
}

// deliver returns when the destination has accepted an event, or not. Events of a batch have goroutines of their own: one that makes a
// library panic must not end the process.
func (s *Server) deliver(ctx context.Context, to Destination, e *event.Event) (reply *event.Event, err error) {
	if err := s.options.Check(*e); err != nil {
		return nil, Refusef(http.StatusBadRequest, "%w", err)
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("publishing to %s: not confirmed by EventMesh in time: no time was left for it", to.Topic)
	}
	continueTrace(ctx, e)
	defer func() {
		if reason := recover(); reason != nil {
			s.options.Logger.Errorw("an event could not be published: panic", "topic", to.Topic, "reason", reason, zap.StackSkip("stack", 1))
			reply, err = nil, fmt.Errorf("publishing to %s: %w", to.Topic, errPanic)
		}
	}()
	return to.Deliver(ctx, *e)
}

// continueTrace lets the request's trace go on in the event, unless the event belongs to one already.
func continueTrace(ctx context.Context, e *event.Event) {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return
	}
	own := e.Extensions()
	if _, traced := own[extensionTraceparent]; traced {
		return
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	for name, value := range carrier {
		if _, set := own[name]; !set {
			e.SetExtension(name, value)
		}
	}
}

// isProbe tells probes from requests. The kubelet's are probes whatever their path.
func isProbe(r *http.Request) bool {
	return r.URL.Path == healthPath || r.URL.Path == readinessPath ||
		strings.HasPrefix(r.UserAgent(), kubeletAgent) && isRead(r)
}

func isRead(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

func (s *Server) probe(w http.ResponseWriter, r *http.Request) {
	if !isRead(r) {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "a probe is a GET", http.StatusMethodNotAllowed)
		return
	}
	if r.URL.Path == healthPath {
		fmt.Fprintln(w, "ok")
		return
	}
	if err := s.ready(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

// ready returns nil, or why no more requests should come.
func (s *Server) ready() error {
	if s.leaving.Load() {
		return errors.New("shutting down")
	}
	if s.options.Ready == nil {
		return nil
	}
	return s.options.Ready()
}

// handshake answers whether a sender may send events to the path of its request, or to the server as a whole (*), as CloudEvents'
// webhook specification has it, and as Knative's Brokers do: everybody, and as many as it likes. No token is asked for, since this
// gives nobody a right; so it does not tell either which topics are open where tokens are asked for. The answer is given at once: a
// callback that the request names is never called.
func (s *Server) handshake(w http.ResponseWriter, r *http.Request) {
	to, err := s.options.Route(r)
	if err != nil && r.URL.Path != "*" && (s.options.Authenticate == nil || statusOf(err) != http.StatusForbidden) {
		s.refuse(w, to.Topic, err)
		return
	}
	header := w.Header()
	header.Set("Allow", eventMethods)
	header.Set("WebHook-Allowed-Origin", "*")
	header.Set("WebHook-Allowed-Rate", "*")
	w.WriteHeader(http.StatusOK)
}
