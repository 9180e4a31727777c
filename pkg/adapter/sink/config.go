package sink

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
	framework "knative.dev/eventing/pkg/adapter/v2"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/ingress"
)

// Config is the configuration of the sink, from the environment.
type Config struct {
	framework.EnvConfig
	adapter.EventMesh
	OIDC

	// Port is where requests and probes are served.
	Port int `envconfig:"PORT" default:"8080" min:"0" desc:"port that requests and probes are served on" want:"a port, 0 to 65535; 0 lets the kernel choose"`
	// TLSCertFile and TLSKeyFile make the port one of HTTPS.
	TLSCertFile string `envconfig:"TLS_CERT_FILE" desc:"file with the certificate, and those that lead to its authority; with it requests and probes come by HTTPS alone; read again when it changes" want:"the path of a file in PEM, such as tls.crt of a Secret; together with TLS_KEY_FILE"`
	TLSKeyFile  string `envconfig:"TLS_KEY_FILE" desc:"file with the certificate's key, read again when it changes" want:"the path of a file in PEM, such as tls.key of a Secret"`
	// Topic is where / publishes to; it is open.
	Topic string `envconfig:"EVENTMESH_TOPIC" desc:"topic that POST / publishes to; it is open without being one of EVENTMESH_TOPICS" want:"the name of a topic; this or EVENTMESH_TOPICS is needed"`
	// Topics are open besides Topic.
	Topics Topics `envconfig:"EVENTMESH_TOPICS" desc:"topics that /topics/{topic} and /requests/{topic} are open for" want:"names of topics, comma separated; a * at the end of a name stands for any rest"`
	// Group is the producer group.
	Group string `envconfig:"EVENTMESH_GROUP" default:"eventmesh-sink" desc:"EventMesh's producer group" want:"1 to 255 letters, digits and characters of %|_-"`
	// Subscribers are those that events are published for.
	Subscribers string `envconfig:"EVENTMESH_SUBSCRIBER_TRANSPORT" desc:"transport of the subscribers that get what is published, for EventMesh delivers to no others; /requests/{topic} is for those of the transport of EVENTMESH_URL alone" want:"the name of a transport, such as grpc or tcp; by default that of EVENTMESH_URL"`
	// PublishTimeout bounds the confirmation of an event.
	PublishTimeout time.Duration `envconfig:"EVENTMESH_PUBLISH_TIMEOUT" default:"10s" min:"1ns" desc:"time in which EventMesh has to confirm an event" want:"a duration such as 10s, more than 0"`
	// RequestTimeout bounds the reply to a request.
	RequestTimeout time.Duration `envconfig:"EVENTMESH_REQUEST_TIMEOUT" default:"10s" min:"1ns" desc:"time in which the reply to a request has to come" want:"a duration such as 10s, more than 0"`
	// MaxEventBytes bounds the body of a request.
	MaxEventBytes int64 `envconfig:"EVENTMESH_MAX_EVENT_BYTES" default:"1048576" min:"1" desc:"largest body of a request in bytes" want:"a whole number, at least 1"`
	// MaxBatchEvents bounds the events of a batch.
	MaxBatchEvents int `envconfig:"EVENTMESH_MAX_BATCH_EVENTS" default:"1000" min:"1" desc:"most events of a batch; EVENTMESH_MAX_EVENT_BYTES bounds its size" want:"a whole number, at least 1"`
	// BufferBytes bounds the bodies of all requests together.
	BufferBytes int64 `envconfig:"EVENTMESH_BUFFER_BYTES" default:"67108864" min:"1" desc:"how many bytes of bodies are held at once, of those that arrive and those in flight; more are answered with 429, slow ones first" want:"a whole number, not below EVENTMESH_MAX_EVENT_BYTES"`
	// MaxInFlight bounds events that are being published.
	MaxInFlight int `envconfig:"EVENTMESH_MAX_IN_FLIGHT" default:"1000" min:"1" desc:"events that are being published at once, up to 16 of a batch among them; more are answered with 429" want:"a whole number, at least 1"`
	// MaxConnections bounds the connections that are open.
	MaxConnections int `envconfig:"EVENTMESH_MAX_CONNECTIONS" min:"0" desc:"connections that are open at once; for one more, that is closed which has kept the sink waiting for longest" want:"a whole number above EVENTMESH_MAX_IN_FLIGHT; by default 1000 above it"`
	// ShutdownDelay is how long requests are still accepted after SIGTERM.
	ShutdownDelay time.Duration `envconfig:"EVENTMESH_SHUTDOWN_DELAY" default:"5s" min:"0s" desc:"time between SIGTERM, when readiness fails, and the end of accepting requests" want:"a duration such as 5s, or 0s"`
	// DrainTimeout bounds what is in flight after ShutdownDelay.
	DrainTimeout time.Duration `envconfig:"EVENTMESH_DRAIN_TIMEOUT" default:"20s" min:"1ns" desc:"time after that in which requests in flight are finished" want:"a duration such as 20s, more than 0"`
}

var (
	_ framework.EnvConfigAccessor = (*Config)(nil)
	_ adapter.Validator           = (*Config)(nil)
)

// NewConfig returns a configuration to be filled from the environment.
func NewConfig() *Config { return &Config{} }

// ShutdownTimeout is how long a shutdown may take.
func (c *Config) ShutdownTimeout() time.Duration { return c.ShutdownDelay + c.DrainTimeout }

const maxPort = 65535

// Validate finds what the variables' types cannot tell. The error is one sentence that names the variable.
func (c *Config) Validate() error {
	switch {
	case c.Port > maxPort:
		return adapter.Invalid("PORT", strconv.Itoa(c.Port), "a port, 0 to 65535")
	case c.Topic == "" && len(c.Topics) == 0:
		return errors.New("EVENTMESH_TOPIC and EVENTMESH_TOPICS are missing: want one of them, or no topic is open")
	case c.Subscribers != "" && !slices.Contains(adapter.TransportNames(), c.Subscribers):
		return adapter.Invalid("EVENTMESH_SUBSCRIBER_TRANSPORT", c.Subscribers, strings.Join(adapter.TransportNames(), " or "))
	case !adapter.ValidGroup(c.Group):
		return adapter.Invalid("EVENTMESH_GROUP", c.Group, adapter.WantGroup)
	}
	if c.BufferBytes < c.MaxEventBytes {
		return adapter.Invalid("EVENTMESH_BUFFER_BYTES", strconv.FormatInt(c.BufferBytes, 10), fmt.Sprintf("at least the %d of EVENTMESH_MAX_EVENT_BYTES", c.MaxEventBytes))
	}
	if c.MaxConnections != 0 && c.MaxConnections <= c.MaxInFlight {
		return adapter.Invalid("EVENTMESH_MAX_CONNECTIONS", strconv.Itoa(c.MaxConnections), fmt.Sprintf("more than the %d of EVENTMESH_MAX_IN_FLIGHT", c.MaxInFlight))
	}
	if c.Topic != "" && eventmesh.ValidateTopic(c.Topic) != nil {
		return adapter.Invalid("EVENTMESH_TOPIC", c.Topic, "1 to 127 letters, digits and characters of ._%|-")
	}
	nobody := zap.NewNop().Sugar()
	if _, err := tlsConfig(c, nobody); err != nil {
		return err
	}
	if err := c.validateTokens(); err != nil {
		return err
	}
	_, err := c.ClientConfig(c.Group, nobody)
	return err
}

// GetSinktimeout is -1, for none: this adapter has no K_SINK, and Knative's framework would warn of a missing time-out.
func (c *Config) GetSinktimeout() int { return -1 }

// named are the topics that are open and have a name, not a pattern.
func (c *Config) named() []string {
	var named []string
	for _, topic := range append([]string{c.Topic}, c.Topics...) {
		if topic != "" && !strings.HasSuffix(topic, wildcard) {
			named = append(named, topic)
		}
	}
	return named
}

// open tells whether requests may name the topic.
func (c *Config) open(topic string) bool { return topic == c.Topic || c.Topics.match(topic) }

// ingress returns the options of the HTTP server that are from the environment.
func (c *Config) ingress() ingress.Options {
	return ingress.Options{
		Bounds: ingress.Bounds{
			BodyBytes: c.MaxEventBytes, HeldBytes: c.BufferBytes, InFlight: c.MaxInFlight, BatchEvents: c.MaxBatchEvents,
			Connections: c.MaxConnections, Timeout: max(c.PublishTimeout, c.RequestTimeout),
		},
		ShutdownDelay: c.ShutdownDelay, DrainTimeout: c.DrainTimeout,
		Name: name, ServerName: net.JoinHostPort("eventmesh-sink", strconv.Itoa(c.Port)),
	}
}
