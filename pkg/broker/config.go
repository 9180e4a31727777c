package broker

import (
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/transports"
)

// The keys of the ConfigMap that a Broker's spec.config names.
const (
	// KeyURL is where EventMesh is: one URL, or several of replicas, as in EVENTMESH_URL. It has to be there.
	KeyURL = "eventmesh.url"
	// KeyCredentials names a Secret of the ConfigMap's namespace with the keys username and password, or for http and https token; by
	// default there are none.
	KeyCredentials = "eventmesh.credentials" //nolint:gosec // a name
	// KeyCA holds, in PEM, the certificates to trust for grpcs, tcps and https instead of the system's.
	KeyCA = "eventmesh.ca"
	// KeyTopic names an existing topic, for Brokers whose events other clients of EventMesh read or write. By default a Broker has its own.
	KeyTopic = "topic"
	// KeyTopicTemplate is the name of a Broker's own topic, in which {namespace}, {name} and {uid8} stand for the Broker's namespace, its name
	// and the start of its UID; by default knative-{namespace}-{name}-{uid8}.
	KeyTopicTemplate = "topic.template"
)

const defaultTopicTemplate = "knative-{namespace}-{name}-{uid8}"

// Config is what such a ConfigMap says.
type Config struct{ URL, Credentials, CA, Topic, TopicTemplate string }

// templateKeys are those of the template of a channel, today's and the one before.
var templateKeys = [...]string{"channel-template-spec", "channelTemplateSpec"}

// ErrNoConfig says that a ConfigMap is the template of a channel. Knative's webhook gives a Broker without spec.config the reference that is
// the cluster's default, which may be one: such a Broker has the default of the installation.
var ErrNoConfig = errors.New("it is the template of a channel, and has none of the keys of a Broker of class EventMesh")

// ParseConfig reads the data of a ConfigMap. The error is [ErrNoConfig], or names the key that is wrong.
func ParseConfig(data map[string]string) (c Config, err error) {
	known := map[string]*string{KeyURL: &c.URL, KeyCredentials: &c.Credentials, KeyCA: &c.CA, KeyTopic: &c.Topic, KeyTopicTemplate: &c.TopicTemplate}
	found := 0
	for _, key := range slices.Sorted(maps.Keys(known)) {
		if value, ok := data[key]; ok {
			*known[key] = strings.TrimSpace(value)
			found++
		}
	}
	if found == 0 && slices.ContainsFunc(templateKeys[:], func(key string) bool { _, ok := data[key]; return ok }) {
		return c, ErrNoConfig
	}
	for _, key := range slices.Sorted(maps.Keys(data)) {
		if known[key] == nil && !strings.HasPrefix(key, "_") { // such as Knative's _example
			return c, fmt.Errorf("%s: there is no such key; there are %s", key, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
	}
	return c, c.validate()
}

func (c Config) validate() error {
	if c.URL == "" {
		return fmt.Errorf("%s: want the URL of EventMesh, such as grpc://eventmesh.example:10205", KeyURL)
	}
	addresses, err := eventmesh.ParseAddresses(c.URL, transports.All...)
	if err != nil {
		return fmt.Errorf("%s: %w", KeyURL, err)
	}
	switch {
	case c.CA != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(c.CA)):
		return fmt.Errorf("%s: want certificates in PEM", KeyCA)
	case c.Topic != "" && c.TopicTemplate != "":
		return fmt.Errorf("%s: there is %s, too; want one of them", KeyTopicTemplate, KeyTopic)
	case c.Topic != "":
		if err := transports.ValidateTopic(addresses[0], c.Topic); err != nil {
			return fmt.Errorf("%s: %w", KeyTopic, err)
		}
	case c.TopicTemplate != "":
		if !strings.Contains(c.TopicTemplate, "{uid8}") {
			return fmt.Errorf("%s: want {uid8} in it, so that no Broker gets the events of another", KeyTopicTemplate)
		}
		if err := transports.ValidateTopic(addresses[0], topicOf(c.TopicTemplate, "ns", "name", "0123abcd")); err != nil {
			return fmt.Errorf("%s: %w", KeyTopicTemplate, err)
		}
	}
	return nil
}

// maxTopic is how long the name of a topic may be, by [eventmesh.ValidateTopic].
const maxTopic = 127

// TopicOf returns the name of the topic of a Broker. Its own has the start of the Broker's UID, so that a Broker that is created anew, with the
// name of one before, gets none of its events.
func (c Config) TopicOf(namespace, name, uid string) string {
	if c.Topic != "" {
		return c.Topic
	}
	template := c.TopicTemplate
	if template == "" {
		template = defaultTopicTemplate
	}
	return topicOf(template, namespace, name, uid[:min(len(uid), 8)])
}

// topicOf fills in a template. What is too long is cut, but for the UID.
func topicOf(template, namespace, name, uid8 string) string {
	topic := strings.NewReplacer("{namespace}", namespace, "{name}", name, "{uid8}", uid8).Replace(template)
	topic = strings.ReplaceAll(topic, ".", "-") // which RocketMQ refuses
	if len(topic) > maxTopic {
		topic = topic[:maxTopic-len(uid8)-1] + "-" + uid8
	}
	return topic
}

// GroupOf returns the name of the group in which a Broker's events are received: one for all of its Triggers, which no other Broker has.
func GroupOf(uid string) string { return "knative-" + strings.ReplaceAll(uid, "-", "") }
