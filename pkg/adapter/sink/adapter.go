package sink

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"
	framework "knative.dev/eventing/pkg/adapter/v2"
	"knative.dev/pkg/logging"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/guard"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/podevents"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/ingress"
)

const (
	// telemetryScope names this package to OpenTelemetry.
	telemetryScope = "github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/sink"
	// name begins the names of the sink's own instruments.
	name = "eventmesh.sink"
)

type sink struct {
	config *Config
	logger *zap.SugaredLogger
	err    error // of the construction
}

// NewAdapter returns the sink. It gets its configuration, a *Config, and its logger from the framework; the client, which
// sends events to K_SINK, is of no use to it. An error of the construction is returned by Start.
func NewAdapter(ctx context.Context, env framework.EnvConfigAccessor, _ cloudevents.Client) framework.Adapter {
	s := &sink{logger: logging.FromContext(ctx)}
	config, ok := env.(*Config)
	if !ok {
		s.err = fmt.Errorf("creating sink: configuration is a %T, want a %T", env, config)
	}
	s.config = config
	return s
}

// Start serves until the context ends, and then shuts down as the package comment says. It returns nil after that, and an
// error if it cannot serve before.
func (s *sink) Start(ctx context.Context) error {
	if s.err != nil {
		return s.err
	}
	client, err := s.config.ClientConfig(s.config.Group, s.logger)
	if err != nil {
		return err
	}
	client.Subscribers = s.config.Subscribers
	encryption, err := s.config.TLS(s.logger)
	if err != nil {
		return err
	}
	listener, err := adapter.Listen(ctx, s.config.Port)
	if err != nil {
		return err
	}
	publisher, err := eventmesh.NewPublisher(client, adapter.Transports...)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	events := podevents.New(ctx, s.config.Component, s.config.GetNamespace(), s.config.Pod, s.logger)
	f, err := newFace(s.config, publisher, events, encryption, otel.Meter(telemetryScope), s.logger) //nolint:contextcheck // counters that start at 0 belong to no context
	if err != nil {
		return errors.Join(err, listener.Close(), publisher.Close())
	}
	if f.senders != nil {
		if len(s.config.Subjects) == 0 {
			s.logger.Warn("OIDC_SUBJECTS is not set: everybody may send who has a token of the issuer for the audience")
		}
		defer f.senders.tokens.Start(ctx)()
	}
	defer events.Watch(ctx, f.trouble)()
	plain, secure := listener, net.Listener(nil)
	if encryption != nil {
		plain, secure = secure, plain
	}
	return errors.Join(f.Serve(ctx, plain, secure), publisher.Close(), f.guard.Close())
}

// face is a sink but for its connection to EventMesh.
type face struct {
	*ingress.Server
	guard   *guard.Guard
	senders *authenticator // nil: whoever sends
}

func newFace(c *Config, p guard.Publisher, events *podevents.Recorder, encryption *tls.Config, meter metric.Meter, logger *zap.SugaredLogger) (*face, error) {
	logger = adapter.Sampled(logger)
	f := &face{senders: newAuthenticator(c.OIDC, logger)}
	var err error
	if f.guard, err = guard.New(p, guard.Options{Meter: meter, Name: name, Topics: c.named(), Logger: logger}); err != nil {
		return nil, err
	}
	o := c.ingress()
	o.Route = router{c, f.guard, events}.route
	o.Check = eventmesh.Validate
	o.Ready = f.ready
	o.TLS, o.Meter, o.Logger = encryption, meter, logger
	if f.senders != nil {
		o.Authenticate = f.senders.authenticate
	}
	f.Server, err = ingress.New(o)
	return f, err
}

// ready returns nil, or why no events should come.
func (f *face) ready() error { return cmp.Or(f.keys(), f.guard.Ready()) }

// trouble returns nil, or why events that come are not published.
func (f *face) trouble() error { return cmp.Or(f.keys(), f.guard.Trouble()) }

// keys returns nil, or why no token can be verified.
func (f *face) keys() error {
	if f.senders == nil {
		return nil
	}
	return podevents.Because(podevents.IssuerUnknown, f.senders.tokens.Ready())
}
