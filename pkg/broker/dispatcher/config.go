package dispatcher

import (
	"time"

	framework "knative.dev/eventing/pkg/adapter/v2"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/dataplane"
)

// Config is the configuration of the dispatcher, from the environment.
type Config struct {
	framework.EnvConfig
	dataplane.Config

	// SpoolDir is where events are kept.
	SpoolDir string `envconfig:"EVENTMESH_SPOOL_DIR" required:"true" desc:"directory that keeps events until every Trigger that wants them has had them; one for each replica" want:"the path of a directory on a volume that outlives the container"`
	// BufferEvents and BufferBytes bound what is kept for a Trigger, and once more what overflows.
	BufferEvents int64 `envconfig:"EVENTMESH_BUFFER_EVENTS" default:"1000000" min:"1" desc:"how many events are kept at most for each Trigger; when one has as many, its Broker receives no more until it has fewer, or more go to its dead letter sink, for which as many again are kept" want:"a number above 0"`
	BufferBytes  int64 `envconfig:"EVENTMESH_BUFFER_BYTES" default:"1073741824" min:"1" desc:"how many bytes are kept at most for each Trigger: data, the names and values of attributes, 128 bytes for each extension, and 1 KiB for each event; a larger event is kept alone" want:"a number above 0"`
	// MaxInFlight bounds concurrent requests.
	MaxInFlight int `envconfig:"EVENTMESH_MAX_IN_FLIGHT" default:"4096" min:"1" desc:"how many requests to all subscribers together are under way at once; a Trigger has 16, or what its annotation says" want:"a number above 0"`
	// Timeout is that of Triggers without one.
	Timeout time.Duration `envconfig:"EVENTMESH_DELIVERY_TIMEOUT" default:"30s" min:"1ms" desc:"time in which a subscriber has to answer where no delivery spec says" want:"a duration such as 30s, at least 1ms"`
	// DrainTimeout bounds the shutdown.
	DrainTimeout time.Duration `envconfig:"EVENTMESH_DRAIN_TIMEOUT" default:"20s" min:"0s" desc:"how long a shutdown may take to leave the groups and to finish what is in flight; the rest stays on disk; below the pod's grace period" want:"a duration such as 20s"`
}

var (
	_ framework.EnvConfigAccessor = (*Config)(nil)
	_ adapter.Validator           = (*Config)(nil)
)

// NewConfig returns a configuration to be filled from the environment.
func NewConfig() *Config { return &Config{} }

// ShutdownTimeout is how long a shutdown may take.
func (c *Config) ShutdownTimeout() time.Duration { return c.DrainTimeout }

// Validate finds what the variables' types cannot tell. The error is one sentence that names the variable.
func (c *Config) Validate() error { return c.Config.Validate() }

// GetSinktimeout is -1, for none: there is no K_SINK, and Knative's framework would warn of a missing time-out.
func (c *Config) GetSinktimeout() int { return -1 }
