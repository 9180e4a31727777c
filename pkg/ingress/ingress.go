package ingress

import (
	"cmp"
	"context"
	"crypto/tls"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"
)

// Destination is where the event of a request goes.
type Destination struct {
	// Topic is what logs and errors call it.
	Topic string
	// Timeout is how long a delivery may take, or those of a batch together; by default it is that of [Bounds], which it must not exceed.
	Timeout time.Duration
	// Single is for destinations that reply: a batch is answered 400.
	Single bool
	// Deliver returns nil once the event is where it will not be lost, and the event to reply with, if any. The context ends after
	// Timeout, not with the request. Its error may be a [RefusalError]; any other is answered 503. It may change the event, and is called by
	// many goroutines at once.
	Deliver func(ctx context.Context, e event.Event) (reply *event.Event, err error)
}

// Bounds limit what senders can make a Server hold. Answers name the variables of the environment that they come from.
type Bounds struct {
	// BodyBytes is how large the body of a request may be, by default 1 MiB: EVENTMESH_MAX_EVENT_BYTES.
	BodyBytes int64
	// HeldBytes is how many bytes of bodies are held at once, those that arrive and those that are being delivered, by default 64 MiB:
	// EVENTMESH_BUFFER_BYTES. It must not be below BodyBytes.
	HeldBytes int64
	// InFlight is how many events are delivered at once, by default 1,000: EVENTMESH_MAX_IN_FLIGHT.
	InFlight int
	// BatchEvents is how many events a batch may have, by default 1,000: EVENTMESH_MAX_BATCH_EVENTS.
	BatchEvents int
	// Connections is how many connections are open at once, by default 1,000 more than InFlight.
	Connections int
	// Timeout is the longest that a delivery may take, by default 10 s.
	Timeout time.Duration
}

// spareConnections are those that may be open besides one for each event in flight, by default.
const spareConnections = 1000

func (b Bounds) orDefaults() Bounds {
	inFlight := cmp.Or(b.InFlight, 1000)
	return Bounds{
		BodyBytes: cmp.Or(b.BodyBytes, 1<<20), HeldBytes: cmp.Or(b.HeldBytes, 64<<20), InFlight: inFlight, BatchEvents: cmp.Or(b.BatchEvents, 1000),
		Connections: cmp.Or(b.Connections, inFlight+spareConnections), Timeout: cmp.Or(b.Timeout, 10*time.Second),
	}
}

// Options configure a Server. All but Route may be left out. The functions are called by many goroutines at once.
type Options struct {
	// Route finds where the event of a request goes, by all but its body. Its error may be a [RefusalError], of which 404, 405 and 403 are of
	// use. It is asked for handshakes, too, whose method is OPTIONS. What it sets as the Pattern of the request is the route in metrics.
	Route func(r *http.Request) (Destination, error)
	// Authenticate, if there is one, returns nil for requests that may be served, before they are routed: see [Subject]. Where that depends
	// on the destination, Route does it instead.
	Authenticate func(r *http.Request) error
	// Check returns why an event cannot be delivered, which is answered 400. By default it asks for what every CloudEvent has.
	Check func(e event.Event) error
	// Older accepts events of CloudEvents 0.3, too, and makes them such of 1.0.
	Older bool
	// Ready returns nil, or why no events should come, which the probe of readiness says.
	Ready func() error

	Bounds Bounds
	// TLS is for requests with TLS: see [Certificate].
	TLS *tls.Config

	// ShutdownDelay is how long requests are still accepted once the context of Serve has ended, and DrainTimeout how long those in flight
	// have after that.
	ShutdownDelay, DrainTimeout time.Duration

	// Logger gets a line for each refusal: it has to sample them. By default nothing is logged.
	Logger *zap.SugaredLogger
	// Meter makes the server's own instruments, by default that of the global provider.
	Meter metric.Meter
	// Name begins the names of these instruments, by default eventmesh.ingress.
	Name string
	// ServerName is host and port as OpenTelemetry's metrics of HTTP have them.
	ServerName string
}

// Server answers requests and probes.
type Server struct {
	options     Options
	http        *http.Server
	handler     http.Handler
	connections *connections
	bodies      *bodies
	inFlight    chan struct{} // holds one for each event that is being delivered
	metrics     metrics
	serving     atomic.Int64 // requests without an answer
	leaving     atomic.Bool
}

// New returns a Server that serves nothing yet. An error says which metric cannot be made.
func New(o Options) (*Server, error) {
	o.Bounds, o.Name = o.Bounds.orDefaults(), cmp.Or(o.Name, "eventmesh.ingress")
	if o.Check == nil {
		o.Check = event.Event.Validate
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop().Sugar()
	}
	if o.Meter == nil {
		o.Meter = otel.Meter(telemetryScope)
	}
	s := &Server{options: o, bodies: newBodies(o.Bounds.HeldBytes), inFlight: make(chan struct{}, o.Bounds.InFlight)}
	var err error
	if s.metrics, err = newMetrics(o.Meter, o.Name, s.inFlight); err != nil {
		return nil, err
	}
	s.connections = newConnections(o.Bounds.Connections, s.unreadable)
	s.handler = observed(s.handle, o.ServerName)
	s.http = s.httpServer()
	return s, nil
}
