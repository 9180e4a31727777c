package sink

import (
	"net/http"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
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
)

// newServer returns a server of HTTP/1.1 and HTTP/2, with TLS or without, which continues the traces of requests.
func newServer(config *Config, h *handler, logger *zap.SugaredLogger) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler: otelhttp.NewHandler(h, "receive",
			otelhttp.WithPropagators(tracing.DefaultTextMapPropagator()),
			otelhttp.WithFilter(func(r *http.Request) bool { return !isProbe(r) }),
		),
		Protocols:         &protocols,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      readTimeout + max(config.PublishTimeout, config.RequestTimeout) + writeMargin,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          newConnectionLog(logger),
	}
}
