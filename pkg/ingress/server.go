package ingress

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second
	// writeMargin is for what comes after the answer of the destination.
	writeMargin = 5 * time.Second
	idleTimeout = 2 * time.Minute
	// maxHeaderBytes leaves room for the 64 KiB of an event that every intermediary has to forward.
	maxHeaderBytes = 128 << 10
	// maxStreams are the requests that one HTTP/2 connection may have open.
	maxStreams = 250
	// streamBytes and connectionBytes are what HTTP/2 holds of bodies that no handler has read yet.
	streamBytes     = 64 << 10
	connectionBytes = 256 << 10
	// pingInterval is when a silent HTTP/2 connection is asked whether it still lives.
	pingInterval = 30 * time.Second
	// writeStall is how long an HTTP/2 connection may accept nothing.
	writeStall = 10 * time.Second
)

// httpServer returns a server of HTTP/1.1 and HTTP/2, with TLS or without.
func (s *Server) httpServer() *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           s,
		TLSConfig:         s.options.TLS,
		Protocols:         &protocols,
		ConnState:         s.connections.changed,
		ConnContext:       withConnection,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      readTimeout + s.options.Bounds.Timeout + writeMargin,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams, MaxReceiveBufferPerStream: streamBytes, MaxReceiveBufferPerConnection: connectionBytes,
			SendPingTimeout: pingInterval, WriteByteTimeout: writeStall,
		},
		ErrorLog:                     log.New(connectionLog{s.options.Logger}, "", 0),
		DisableGeneralOptionsHandler: true, // which would answer some of them otherwise
	}
}

// ServeHTTP answers a request or a probe. [Server.Serve] does so for those that come over the network.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if one := connectionIn(r.Context()); one != nil {
		one.header.handled.Store(true)
	}
	s.handler.ServeHTTP(w, r)
}

// observed measures the requests of a handler, and continues their traces. Where metrics and traces are off, their traces still go on.
func observed(h http.HandlerFunc, serverName string) http.Handler {
	propagator := propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
	_, unmeasured := otel.Meter(telemetryScope).(metricnoop.Meter)
	_, untraced := otel.Tracer(telemetryScope).(tracenoop.Tracer)
	if unmeasured && untraced {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if ctx := propagator.Extract(r.Context(), propagation.HeaderCarrier(r.Header)); ctx != r.Context() {
				r = r.WithContext(ctx)
			}
			h(w, r)
		})
	}
	return otelhttp.NewHandler(h, "receive",
		otelhttp.WithPropagators(propagator),
		otelhttp.WithTracerProvider(otel.GetTracerProvider()), // else it makes a tracer for each request
		otelhttp.WithServerName(serverName),                   // else metrics have any name that a sender gives as Host
		otelhttp.WithFilter(func(r *http.Request) bool { return !isProbe(r) }),
	)
}

// Serve answers requests that come to the listeners, without TLS and with, until the context ends and those in flight are finished, as the
// package comment says. One of the listeners may be nil. It closes them, and returns an error if it cannot go on serving. It may be called
// once.
func (s *Server) Serve(ctx context.Context, plain, secure net.Listener) error {
	return errors.Join(s.serve(ctx, plain, secure), s.metrics.close())
}

func (s *Server) serve(ctx context.Context, plain, secure net.Listener) error {
	ended := s.listen(plain, secure)
	select {
	case <-ctx.Done():
	case err := <-ended:
		return err
	}
	s.leaving.Store(true) // readiness fails, and senders are asked to close their connections
	s.options.Logger.Infow("shutting down: not ready any more", "delay", s.options.ShutdownDelay.String())
	select {
	case <-time.After(s.options.ShutdownDelay):
	case err := <-ended:
		return err
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.options.DrainTimeout)
	defer cancel()
	defer s.connections.closeUnused()()
	if err := s.http.Shutdown(drain); err != nil {
		s.options.Logger.Warnw("cutting off requests that are still in flight: their senders get no answer", "requests", s.serving.Load(), zap.Error(err))
		_ = s.http.Close() // which is what cuts them off
	}
	return <-ended
}

// listen serves on the listeners in the background. The channel gets an error, or nil after a shutdown, when none is served any more: one
// that cannot be takes the other with it.
func (s *Server) listen(plain, secure net.Listener) (ended <-chan error) {
	var serving errgroup.Group
	serve := func(l net.Listener, serve func(net.Listener) error) {
		serving.Go(func() error {
			err := serve(&boundListener{Listener: l, connections: s.connections})
			if errors.Is(err, http.ErrServerClosed) {
				return nil
			}
			_ = s.http.Close()
			return fmt.Errorf("serving on %s: %w", l.Addr(), err)
		})
	}
	if plain != nil {
		serve(plain, s.http.Serve)
		s.options.Logger.Infow("serving", "address", plain.Addr().String())
	}
	if secure != nil {
		serve(secure, func(l net.Listener) error { return s.http.ServeTLS(l, "", "") })
		s.options.Logger.Infow("serving HTTPS", "address", secure.Addr().String())
	}
	all := make(chan error, 1)
	go func() { all <- serving.Wait() }()
	return all
}

// connectionLog writes what the HTTP server has to say of connections. Each line differs in the sender's address: as a
// field it lets the logger sample the lines, so that broken connections cannot flood the log.
type connectionLog struct{ logger *zap.SugaredLogger }

func (l connectionLog) Write(line []byte) (int, error) {
	reason, _, _ := strings.Cut(strings.TrimSpace(string(line)), "\n") // without a stack trace, which may hold data
	l.logger.Infow("a connection failed", "reason", reason)
	return len(line), nil
}
