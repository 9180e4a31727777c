package source

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/zap"
	"golang.org/x/net/http/httpguts"
	framework "knative.dev/eventing/pkg/adapter/v2"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/delivery"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/podevents"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/transports"
)

// Config is the source's configuration, from the environment.
type Config struct {
	framework.EnvConfig
	adapter.EventMesh
	podevents.Pod

	// Topics to subscribe to.
	Topics []string `envconfig:"EVENTMESH_TOPICS" required:"true" desc:"topics to subscribe to" want:"one or more names of topics, comma separated"`
	// Group is the consumer group.
	Group string `envconfig:"EVENTMESH_GROUP" required:"true" desc:"consumer group; the replicas of one source share it, and different sources must not" want:"1 to 255 letters, digits and characters of %|_-"`
	// Mode is how the group shares events.
	Mode Mode `envconfig:"EVENTMESH_MODE" default:"clustering" desc:"whether each event goes to one replica or to all" want:"clustering or broadcasting"`
	// Type says whether publishers wait for replies.
	Type Type `envconfig:"EVENTMESH_TYPE" default:"async" desc:"whether to receive events, or requests, whose publishers get the event back that the sink answers with" want:"async or sync"`
	// Ordering is the order of requests.
	Ordering dispatch.Ordering `envconfig:"EVENTMESH_ORDERING" default:"unordered" desc:"which events are sent one after the other, in the order in which they were received: none, those with the same extension partitionkey (without it, of the same topic), or all" want:"unordered, key or strict"`
	// ContentMode is how events are written to HTTP.
	ContentMode dispatch.ContentMode `envconfig:"EVENTMESH_CONTENT_MODE" default:"auto" desc:"how requests to the sink hold events, for a sink that reads one mode of CloudEvents only; auto is binary, and structured for events of which a receiver may not get every attribute in headers as it is; with binary those are refused for good" want:"auto, binary or structured"`
	// SpoolDir is where events are kept.
	SpoolDir string `envconfig:"EVENTMESH_SPOOL_DIR" desc:"directory that keeps events until the sink has accepted them, also when the process dies; one for each replica; without it they are kept in memory, and die with it" want:"the path of a directory on a volume that outlives the container"`
	// SpoolDrain empties the spool.
	SpoolDrain bool `envconfig:"EVENTMESH_SPOOL_DRAIN" default:"false" desc:"whether to subscribe to nothing, deliver what is in EVENTMESH_SPOOL_DIR, and end: for the volume of a replica that there is no more" want:"true or false"`
	// BufferEvents bounds the buffer.
	BufferEvents int64 `envconfig:"EVENTMESH_BUFFER_EVENTS" default:"10000" min:"1" desc:"how many events are kept at most, in memory or on disk, until the sink has accepted them" want:"a number above 0"`
	// BufferBytes bounds the buffer.
	BufferBytes int64 `envconfig:"EVENTMESH_BUFFER_BYTES" default:"67108864" min:"1" desc:"how many bytes are kept at most, in memory or on disk: data, the names and values of attributes, 128 bytes for each extension, and 1 KiB for each event; a larger event is kept alone" want:"a number above 0"`
	// MaxInFlight bounds concurrent requests.
	MaxInFlight int `envconfig:"EVENTMESH_MAX_IN_FLIGHT" default:"16" min:"1" desc:"how many requests to the sink are under way at once, over as many connections" want:"a number above 0"`
	// Retries bounds attempts.
	Retries int `envconfig:"EVENTMESH_RETRIES" default:"-1" min:"-1" desc:"how often an event is sent again that the sink did not accept, before it becomes a dead letter, or without a place for those is dropped with an error in the log; -1 is for ever" want:"a number, -1 or above"`
	// BackoffMin is the first ceiling.
	BackoffMin time.Duration `envconfig:"EVENTMESH_BACKOFF_MIN" default:"100ms" min:"1ms" desc:"ceiling of the random wait before the first retry; it doubles with each" want:"a duration such as 100ms, at least 1ms"`
	// BackoffMax is the last ceiling.
	BackoffMax time.Duration `envconfig:"EVENTMESH_BACKOFF_MAX" default:"30s" min:"1ms" desc:"largest ceiling of the random wait before a retry, and of a Retry-After of the sink" want:"a duration such as 30s, not below EVENTMESH_BACKOFF_MIN"`
	// DeadLetterSink is where events go that the sink never accepts.
	DeadLetterSink SinkURL `envconfig:"EVENTMESH_DEAD_LETTER_SINK" desc:"where events go that the sink refuses for good or after all retries, and messages that are not events" want:"an http or https URL; not together with EVENTMESH_DEAD_LETTER_TOPIC"`
	// DeadLetterTopic is where events go that the sink never accepts.
	DeadLetterTopic string `envconfig:"EVENTMESH_DEAD_LETTER_TOPIC" desc:"the same, as a topic of EventMesh" want:"the name of a topic that is not one of EVENTMESH_TOPICS"`
	// DrainTimeout bounds the shutdown.
	DrainTimeout time.Duration `envconfig:"EVENTMESH_DRAIN_TIMEOUT" default:"20s" min:"0s" desc:"how long a shutdown may take to leave the group and to deliver: what is in flight, and without EVENTMESH_SPOOL_DIR all that has been received; below the pod's grace period" want:"a duration such as 20s"`
	// ProbesPort is for the kubelet.
	ProbesPort int `envconfig:"PROBES_PORT" default:"8080" min:"0" desc:"port of /health and /readiness; 0 lets the kernel choose" want:"a port number"`
	// SinkURL is where events go. It is the framework's variable, parsed.
	SinkURL SinkURL `envconfig:"K_SINK" required:"true" desc:"where events go; set by a ContainerSource or SinkBinding" want:"an http or https URL"`
	// SinkTimeout is in seconds. It is the framework's variable, with a default.
	SinkTimeout int `envconfig:"K_SINK_TIMEOUT" default:"30" min:"1" desc:"how many seconds the sink may take to answer" want:"a number of seconds above 0"`
	// TokenFile authenticates the source.
	TokenFile string `envconfig:"OIDC_TOKEN_FILE" default:"/oidc/token" desc:"file with the token that the sink gets, looked at once a second, and read again when it changes; no token is sent while there is no such file" want:"the path of a file; by default where a ContainerSource or SinkBinding puts it"`
	// Overrides is the framework's variable, parsed.
	Overrides Overrides `envconfig:"K_CE_OVERRIDES" desc:"extensions that every event gets; set by a ContainerSource or SinkBinding" want:"JSON such as {\"extensions\":{\"name\":\"value\"}}"`
}

// NewConfig returns an empty Config, for adapter.Main to fill.
func NewConfig() *Config { return &Config{} }

// GetSinktimeout replaces the framework's, which has no default.
func (c *Config) GetSinktimeout() int { return c.SinkTimeout }

// ShutdownTimeout is how long a shutdown may take.
func (c *Config) ShutdownTimeout() time.Duration { return c.DrainTimeout }

// Mode is the value of EVENTMESH_MODE.
type Mode eventmesh.Mode

// Decode parses the variable, for envconfig.
func (m *Mode) Decode(value string) error {
	switch mode := eventmesh.Mode(strings.ToUpper(value)); mode {
	case eventmesh.Clustering, eventmesh.Broadcasting:
		*m = Mode(mode)
		return nil
	default:
		return fmt.Errorf("%q is neither clustering nor broadcasting", value)
	}
}

// Type is the value of EVENTMESH_TYPE.
type Type eventmesh.Type

// Decode parses the variable, for envconfig.
func (t *Type) Decode(value string) error {
	switch kind := eventmesh.Type(strings.ToUpper(value)); kind {
	case eventmesh.Async, eventmesh.Sync:
		*t = Type(kind)
		return nil
	default:
		return fmt.Errorf("%q is neither async nor sync", value)
	}
}

// SinkURL is the value of K_SINK, and of EVENTMESH_DEAD_LETTER_SINK.
type SinkURL struct{ *url.URL }

// Decode parses the variable, for envconfig.
func (u *SinkURL) Decode(value string) error {
	if value == "" {
		return nil
	}
	parsed, err := url.Parse(value)
	if err != nil {
		return errors.New("it cannot be parsed: want an http or https URL")
	}
	if parsed.User == nil && strings.Contains(value, "@") && parsed.Host == "" {
		return errors.New("it is no absolute URL of http or https") // and may hold a password, in a place where none can be masked
	}
	if parsed.Hostname() == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
		return fmt.Errorf("%q is no absolute URL of http or https", parsed.Redacted())
	}
	if !adapter.ValidPort(parsed) {
		return fmt.Errorf("it has port %s: want an http or https URL, and a port of 1 to 65535", parsed.Port())
	}
	if strings.Contains(parsed.RawQuery, " ") { // which HTTP would take for the end of the URL
		return errors.New("it has a blank in its query: want an http or https URL")
	}
	u.URL = parsed
	return nil
}

// Overrides is the value of K_CE_OVERRIDES: extensions by name.
type Overrides map[string]string

// Decode parses the variable, for envconfig.
func (o *Overrides) Decode(value string) error {
	if value == "" {
		return nil
	}
	var overrides duckv1.CloudEventOverrides
	if err := json.Unmarshal([]byte(value), &overrides); err != nil {
		return errors.New(`it is not what it should be, JSON such as {"extensions":{"name":"value"}}`)
	}
	for name, value := range overrides.Extensions {
		if new(event.EventContextV1).SetExtension(name, value) != nil || strings.EqualFold(name, "data") {
			return fmt.Errorf("%.100q is not the name of an extension: want letters and digits, and none of CloudEvents' own attributes", name)
		}
		if strings.ContainsFunc(value, isForbidden) {
			return fmt.Errorf("the value of %s has a character that CloudEvents forbids: want no line breaks, and nothing else that cannot be seen", name)
		}
	}
	*o = overrides.Extensions
	return nil
}

// isForbidden tells whether CloudEvents forbids a character in an attribute: control characters and non-characters.
func isForbidden(r rune) bool {
	return unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Noncharacter_Code_Point, r)
}

// Validate checks what goes beyond one variable's type and range.
func (c *Config) Validate() error {
	for i, topic := range c.Topics {
		c.Topics[i] = strings.TrimSpace(topic)
		if err := c.ValidateTopic(c.Topics[i]); err != nil {
			return fmt.Errorf("EVENTMESH_TOPICS: %w", err)
		}
	}
	switch {
	case !adapter.ValidGroup(c.Group):
		return adapter.Invalid("EVENTMESH_GROUP", c.Group, adapter.WantGroup)
	case c.BackoffMax < c.BackoffMin:
		return adapter.Invalid("EVENTMESH_BACKOFF_MAX", c.BackoffMax.String(), "a duration not below EVENTMESH_BACKOFF_MIN, "+c.BackoffMin.String())
	case c.ProbesPort > 65535:
		return adapter.Invalid("PROBES_PORT", strconv.Itoa(c.ProbesPort), "a port number")
	}
	if err := c.validateRequests(); err != nil {
		return err
	}
	if err := c.validateDeadLetters(); err != nil {
		return err
	}
	if c.SpoolDir != "" && c.Type == Type(eventmesh.Sync) {
		return errors.New("EVENTMESH_SPOOL_DIR and EVENTMESH_TYPE=sync are both set: want one of them, since a requester does not wait for a reply that comes from a disk")
	}
	if c.SpoolDrain && c.SpoolDir == "" {
		return errors.New("EVENTMESH_SPOOL_DRAIN is set, and EVENTMESH_SPOOL_DIR is not: want the directory to empty")
	}
	_, err := c.ClientConfig(c.Group, zap.NewNop().Sugar())
	return err
}

// validateRequests checks what no request could be made with, or no connection.
func (c *Config) validateRequests() error {
	if !httpguts.ValidHeaderFieldValue(c.GetNamespace()) {
		return errors.New("NAMESPACE has a character that HTTP does not accept: want the name of a namespace")
	}
	if _, err := delivery.Trusted(nil); err != nil {
		return err
	}
	if pem := c.GetCACerts(); pem != nil && *pem != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(*pem)) {
		return errors.New("K_CA_CERTS holds no certificate: want certificates in PEM")
	}
	return nil
}

// redelivers tells whether EventMesh delivers again what is in memory when the process ends: to another member of the group, which in
// broadcasting there is none of.
func (c *Config) redelivers() bool {
	return transports.TraitsOf(c.URL[0]).Redelivers && eventmesh.Mode(c.Mode) != eventmesh.Broadcasting
}

// hasDeadLetters tells whether there is a place for dead letters.
func (c *Config) hasDeadLetters() bool { return c.DeadLetterSink.URL != nil || c.DeadLetterTopic != "" }

func (c *Config) validateDeadLetters() error {
	if c.DeadLetterTopic == "" {
		return nil
	}
	if c.DeadLetterSink.URL != nil {
		return errors.New("EVENTMESH_DEAD_LETTER_SINK and EVENTMESH_DEAD_LETTER_TOPIC are both set: want one of them")
	}
	if slices.Contains(c.Topics, c.DeadLetterTopic) {
		return adapter.Invalid("EVENTMESH_DEAD_LETTER_TOPIC", c.DeadLetterTopic, "the name of a topic that is not one of EVENTMESH_TOPICS")
	}
	if err := c.ValidateTopic(c.DeadLetterTopic); err != nil {
		return fmt.Errorf("EVENTMESH_DEAD_LETTER_TOPIC: %w", err)
	}
	return nil
}
