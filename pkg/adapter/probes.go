package adapter

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Probes answers GET /health and GET /readiness, the former always with 200: a process that can answer needs no restart.
// Ready returns nil, or why traffic or trust in this replica is premature; the answer, 503, says so.
type Probes struct {
	Ready func() error
	// Other answers requests of other paths; by default with 404.
	Other http.Handler
}

// ServeHTTP answers a probe.
func (p Probes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/health":
		fmt.Fprintln(w, "ok")
	case "/readiness":
		if err := p.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	default:
		if p.Other == nil {
			http.NotFound(w, r)
			return
		}
		p.Other.ServeHTTP(w, r)
	}
}

// Listen returns a listener on a port of all interfaces; 0 lets the kernel choose.
func Listen(ctx context.Context, port int) (net.Listener, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("", strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("listening on port %d: %w", port, err)
	}
	return listener, nil
}

// Serve serves probes on the listener. The returned function ends it, and waits for it.
func (p Probes) Serve(listener net.Listener) (stop func() error) {
	server := &http.Server{Handler: p, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	return func() error {
		err := server.Close()
		if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	}
}
