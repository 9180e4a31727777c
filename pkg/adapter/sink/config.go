package sink

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	framework "knative.dev/eventing/pkg/adapter/v2"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/httpserver"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/podevents"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/ingress"
)

// Config is the configuration of the sink, from the environment.
type Config struct {
	framework.EnvConfig
	adapter.EventMesh
	OIDC
	httpserver.Server
	podevents.Pod

	// Topic is where / publishes to; it is open.
	Topic string `envconfig:"EVENTMESH_TOPIC" desc:"topic that POST / publishes to; it is open without being one of EVENTMESH_TOPICS" want:"the name of a topic; this or EVENTMESH_TOPICS is needed"`
	// Topics are open besides Topic.
	Topics Topics `envconfig:"EVENTMESH_TOPICS" desc:"topics that /topics/{topic} and /requests/{topic} are open for" want:"names of topics, comma separated; a * at the end of a name stands for any rest"`
	// Group is the producer group.
	Group string `envconfig:"EVENTMESH_GROUP" default:"eventmesh-sink" desc:"EventMesh's producer group" want:"1 to 255 letters, digits and characters of %|_-"`
	// Subscribers are those that events are published for.
	Subscribers string `envconfig:"EVENTMESH_SUBSCRIBER_TRANSPORT" desc:"transport of the subscribers that get what is published, for EventMesh delivers to no others; /requests/{topic} is for those of the transport of EVENTMESH_URL alone" want:"the name of a transport, such as grpc or tcp; by default that of EVENTMESH_URL, and that of http has no others"`
	// RequestTimeout bounds the reply to a request.
	RequestTimeout time.Duration `envconfig:"EVENTMESH_REQUEST_TIMEOUT" default:"10s" min:"1ns" desc:"time in which the reply to a request has to come" want:"a duration such as 10s, more than 0"`
}

var (
	_ framework.EnvConfigAccessor = (*Config)(nil)
	_ adapter.Validator           = (*Config)(nil)
)

// NewConfig returns a configuration to be filled from the environment.
func NewConfig() *Config { return &Config{} }

// Validate finds what the variables' types cannot tell. The error is one sentence that names the variable.
func (c *Config) Validate() error {
	switch {
	case c.Topic == "" && len(c.Topics) == 0:
		return errors.New("EVENTMESH_TOPIC and EVENTMESH_TOPICS are missing: want one of them, or no topic is open")
	case c.Subscribers != "" && !slices.Contains(c.SubscriberTransports(), c.Subscribers):
		return adapter.Invalid("EVENTMESH_SUBSCRIBER_TRANSPORT", c.Subscribers, strings.Join(c.SubscriberTransports(), " or "))
	case !adapter.ValidGroup(c.Group):
		return adapter.Invalid("EVENTMESH_GROUP", c.Group, adapter.WantGroup)
	}
	if c.Topic != "" {
		if err := c.ValidateTopic(c.Topic); err != nil {
			return fmt.Errorf("EVENTMESH_TOPIC: %w", err)
		}
	}
	for _, topic := range c.Topics {
		if name := strings.TrimSuffix(topic, wildcard); name != "" {
			if err := c.ValidateTopic(name); err != nil {
				return fmt.Errorf("EVENTMESH_TOPICS: %w", err)
			}
		}
	}
	if err := cmp.Or(c.Server.Validate(), c.validateTokens()); err != nil {
		return err
	}
	_, err := c.ClientConfig(c.Group, zap.NewNop().Sugar())
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
	o := c.Options("eventmesh-sink")
	o.Bounds.Timeout = max(o.Bounds.Timeout, c.RequestTimeout)
	o.Name = name
	return o
}
