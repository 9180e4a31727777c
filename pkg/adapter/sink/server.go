package sink

import (
	"net"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"
	"knative.dev/pkg/observability/tracing"
)

const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second
	// writeMargin is for what comes after EventMesh's answer.
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
	// writeStall is how long an HTTP/2 connection may take nothing.
	writeStall = 10 * time.Second
)

// newServer returns a server of HTTP/1.1 and HTTP/2, with TLS or without, which continues the traces of requests.
func newServer(config *Config, h *handler, logger *zap.SugaredLogger) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           observed(h, config.Port),
		Protocols:         &protocols,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      readTimeout + max(config.PublishTimeout, config.RequestTimeout) + writeMargin,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams, MaxReceiveBufferPerStream: streamBytes, MaxReceiveBufferPerConnection: connectionBytes,
			SendPingTimeout: pingInterval, WriteByteTimeout: writeStall,
		},
		ErrorLog:                     newConnectionLog(logger),
		DisableGeneralOptionsHandler: true, // which would answer some of them otherwise
	}
}

// observed measures the requests of a handler, and continues their traces. Where metrics and traces are off, their traces still go on.
func observed(h http.Handler, port int) http.Handler {
	propagator := tracing.DefaultTextMapPropagator()
	_, unmeasured := otel.Meter(telemetryScope).(metricnoop.Meter)
	_, untraced := otel.Tracer(telemetryScope).(tracenoop.Tracer)
	if unmeasured && untraced {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if ctx := propagator.Extract(r.Context(), propagation.HeaderCarrier(r.Header)); ctx != r.Context() {
				r = r.WithContext(ctx)
			}
			h.ServeHTTP(w, r)
		})
	}
	return otelhttp.NewHandler(h, "receive",
		otelhttp.WithPropagators(propagator),
		otelhttp.WithTracerProvider(otel.GetTracerProvider()), // else it makes a tracer for each request
		otelhttp.WithServerName(serverName(port)),             // else metrics take any name that a sender gives as Host
		otelhttp.WithFilter(func(r *http.Request) bool { return !isProbe(r) }),
	)
}

func serverName(port int) string { return net.JoinHostPort("eventmesh-sink", strconv.Itoa(port)) }
