// Package httpserver is the configuration, from the environment, of an HTTP server that receives events.
package httpserver

import (
	"fmt"
	"net"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/ingress"
)

// Server is a part of the configuration of a program.
type Server struct {
	// Port is where requests and probes are served.
	Port int `envconfig:"PORT" default:"8080" min:"0" desc:"port that requests and probes are served on" want:"a port, 0 to 65535; 0 lets the kernel choose"`
	// TLSCertFile and TLSKeyFile are for requests by HTTPS.
	TLSCertFile string `envconfig:"TLS_CERT_FILE" desc:"file with the certificate of HTTPS, and those that lead to its authority, read again when it changes" want:"the path of a file in PEM, such as tls.crt of a Secret; together with TLS_KEY_FILE"`
	TLSKeyFile  string `envconfig:"TLS_KEY_FILE" desc:"file with the certificate's key, read again when it changes" want:"the path of a file in PEM, such as tls.key of a Secret"`
	// PublishTimeout bounds the confirmation of an event.
	PublishTimeout time.Duration `envconfig:"EVENTMESH_PUBLISH_TIMEOUT" default:"10s" min:"1ns" desc:"time in which EventMesh has to confirm an event" want:"a duration such as 10s, more than 0"`
	// MaxEventBytes bounds the body of a request.
	MaxEventBytes int64 `envconfig:"EVENTMESH_MAX_EVENT_BYTES" default:"1048576" min:"1" desc:"largest body of a request in bytes" want:"a whole number, at least 1"`
	// MaxBatchEvents bounds the events of a batch.
	MaxBatchEvents int `envconfig:"EVENTMESH_MAX_BATCH_EVENTS" default:"1000" min:"1" desc:"most events of a batch; EVENTMESH_MAX_EVENT_BYTES bounds its size" want:"a whole number, at least 1"`
	// BufferBytes bounds the bodies of all requests together.
	BufferBytes int64 `envconfig:"EVENTMESH_BUFFER_BYTES" default:"67108864" min:"1" desc:"how many bytes of bodies are held at once, of those that arrive and those in flight; more are answered with 429, slow ones first" want:"a whole number, not below EVENTMESH_MAX_EVENT_BYTES"`
	// MaxInFlight bounds events that are being published.
	MaxInFlight int `envconfig:"EVENTMESH_MAX_IN_FLIGHT" default:"1000" min:"1" desc:"events that are being published at once, up to 16 of a batch among them; more are answered with 429" want:"a whole number, at least 1"`
	// MaxConnections bounds the connections that are open.
	MaxConnections int `envconfig:"EVENTMESH_MAX_CONNECTIONS" min:"0" desc:"connections that are open at once; for one more, that is closed which has kept the server waiting for longest" want:"a whole number above EVENTMESH_MAX_IN_FLIGHT; by default 1000 above it"`
	// ShutdownDelay is how long requests are still accepted after SIGTERM.
	ShutdownDelay time.Duration `envconfig:"EVENTMESH_SHUTDOWN_DELAY" default:"5s" min:"0s" desc:"time between SIGTERM, when readiness fails, and the end of accepting requests" want:"a duration such as 5s, or 0s"`
	// DrainTimeout bounds what is in flight after ShutdownDelay.
	DrainTimeout time.Duration `envconfig:"EVENTMESH_DRAIN_TIMEOUT" default:"20s" min:"1ns" desc:"time after that in which requests in flight are finished" want:"a duration such as 20s, more than 0"`
}

// ShutdownTimeout is how long a shutdown may take.
func (s *Server) ShutdownTimeout() time.Duration { return s.ShutdownDelay + s.DrainTimeout }

const maxPort = 65535

// Validate finds what the variables' types cannot tell. The error is one sentence that names the variable.
func (s *Server) Validate() error {
	switch {
	case s.Port > maxPort:
		return adapter.Invalid("PORT", strconv.Itoa(s.Port), "a port, 0 to 65535")
	case s.BufferBytes < s.MaxEventBytes:
		return adapter.Invalid("EVENTMESH_BUFFER_BYTES", strconv.FormatInt(s.BufferBytes, 10), fmt.Sprintf("at least the %d of EVENTMESH_MAX_EVENT_BYTES", s.MaxEventBytes))
	case s.MaxConnections != 0 && s.MaxConnections <= s.MaxInFlight:
		return adapter.Invalid("EVENTMESH_MAX_CONNECTIONS", strconv.Itoa(s.MaxConnections), fmt.Sprintf("more than the %d of EVENTMESH_MAX_IN_FLIGHT", s.MaxInFlight))
	}
	_, err := s.TLS(zap.NewNop().Sugar())
	return err
}

// Options returns those of the server, which metrics call by a name.
func (s *Server) Options(name string) ingress.Options {
	return ingress.Options{
		Bounds: ingress.Bounds{
			BodyBytes: s.MaxEventBytes, HeldBytes: s.BufferBytes, InFlight: s.MaxInFlight, BatchEvents: s.MaxBatchEvents,
			Connections: s.MaxConnections, Timeout: s.PublishTimeout,
		},
		ShutdownDelay: s.ShutdownDelay, DrainTimeout: s.DrainTimeout, ServerName: net.JoinHostPort(name, strconv.Itoa(s.Port)),
	}
}
