package sink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"go.opentelemetry.io/otel"
	"go.uber.org/zap"
	framework "knative.dev/eventing/pkg/adapter/v2"
	"knative.dev/pkg/logging"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

type sink struct {
	config *Config
	logger *zap.SugaredLogger
	err    error // of the construction
}

// NewAdapter returns the sink. It takes its configuration, a *Config, and its logger from the framework; the client, which
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
	encryption, err := tlsConfig(s.config, s.logger)
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
	// Requests are served for longer than the context lives.
	h := newHandler(s.config, publisher, s.logger)
	stopMeasuring, err := h.measure(ctx, otel.GetMeterProvider())
	if err != nil {
		return errors.Join(err, listener.Close(), publisher.Close())
	}
	if s.config.OIDC.Audience != "" {
		h.senders = newAuthenticator(s.config.OIDC, s.logger)
		if len(s.config.Subjects) == 0 {
			s.logger.Warn("OIDC_SUBJECTS is not set: everybody may send who has a token of the issuer for the audience")
		}
		defer h.senders.tokens.Start(ctx)()
	}
	server := newServer(s.config, h, s.logger)
	server.TLSConfig = encryption
	err = s.serve(ctx, listener, server, h, newConnections(s.config.maxConnections(), h.unreadable))
	return errors.Join(err, publisher.Close(), stopMeasuring())
}

// serve answers requests until the context ends and those in flight are finished.
func (s *sink) serve(ctx context.Context, listener net.Listener, server *http.Server, h *handler, all *connections) error {
	listener = all.bound(server, listener)
	ended := make(chan error, 1)
	secure := server.TLSConfig != nil // asked first, since Serve sets one of its own
	go func() {
		if secure {
			ended <- server.ServeTLS(listener, "", "")
			return
		}
		ended <- server.Serve(listener)
	}()
	s.logger.Infow("serving", "address", listener.Addr().String(), "tls", secure)

	select {
	case <-ctx.Done():
	case err := <-ended:
		return fmt.Errorf("serving on %s: %w", listener.Addr(), err)
	}
	h.leave()
	s.logger.Infow("shutting down: not ready any more", "delay", s.config.ShutdownDelay.String())
	select {
	case <-time.After(s.config.ShutdownDelay):
	case err := <-ended:
		return fmt.Errorf("serving on %s: %w", listener.Addr(), err)
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.DrainTimeout)
	defer cancel()
	defer all.closeUnused()()
	if err := server.Shutdown(drain); err != nil {
		s.logger.Warnw("cutting off requests that are still in flight: their senders get no answer", "requests", h.serving.Load(), zap.Error(err))
		_ = server.Close() // which is what cuts them off
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving on %s: %w", listener.Addr(), err)
	}
	return nil
}
