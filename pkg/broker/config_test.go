package broker_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

const uid = "01234567-89ab-cdef-0123-456789abcdef"

func TestConfig(t *testing.T) {
	const url = "grpc://eventmesh:10205"
	long := strings.Repeat("n", 63)
	for name, test := range map[string]struct {
		data  map[string]string
		want  broker.Config
		topic string // of Broker default in my.namespace
	}{
		"a URL": {map[string]string{broker.KeyURL: url}, broker.Config{URL: url}, "knative-my-namespace-default-01234567"},
		"all": {
			map[string]string{broker.KeyURL: " " + url + "\n", broker.KeyCredentials: "secret", broker.KeyTopic: "orders", "_example": "text"},
			broker.Config{URL: url, Credentials: "secret", Topic: "orders"}, "orders",
		},
		"a template": {
			map[string]string{broker.KeyURL: url, broker.KeyTopicTemplate: "{uid8}.{name}"},
			broker.Config{URL: url, TopicTemplate: "{uid8}.{name}"}, "01234567-default",
		},
		"a long template": {
			map[string]string{broker.KeyURL: url, broker.KeyTopicTemplate: long + long + "{uid8}"},
			broker.Config{URL: url, TopicTemplate: long + long + "{uid8}"}, (long + long)[:118] + "-01234567",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := broker.ParseConfig(test.data)
			if err != nil || got != test.want {
				t.Fatalf("got %+v, %v, want %+v", got, err, test.want)
			}
			if topic := got.TopicOf("my.namespace", "default", uid); topic != test.topic || eventmesh.ValidateTopic(topic) != nil {
				t.Errorf("got topic %s, %v, want %s", topic, eventmesh.ValidateTopic(topic), test.topic)
			}
		})
	}
}

// Brokers with the longest of names, and almost the same, have topics of their own.
func TestTopicsDiffer(t *testing.T) {
	long, c := strings.Repeat("n", 63), broker.Config{}
	a, b := c.TopicOf(long, long, uid), c.TopicOf(long, long, "1"+uid[1:])
	if a == b || eventmesh.ValidateTopic(a) != nil || eventmesh.ValidateTopic(b) != nil {
		t.Errorf("got %s and %s", a, b)
	}
	if got := c.TopicOf("n", "b", "1"); got != "knative-n-b-1" {
		t.Errorf("got %s of a short UID", got)
	}
	if got := broker.GroupOf(uid); got != "knative-0123456789abcdef0123456789abcdef" {
		t.Errorf("got group %s", got)
	}
}

func TestConfigThatIsNone(t *testing.T) {
	for name, test := range map[string]struct {
		data map[string]string
		want string
	}{
		"no URL":                    {map[string]string{broker.KeyTopic: "orders"}, "eventmesh.url: want the URL"},
		"nothing":                   {nil, "eventmesh.url: want the URL"},
		"a wrong key alone":         {map[string]string{"eventmesh.uri": "grpc://e"}, "eventmesh.uri: there is no such key"},
		"no URL of EventMesh":       {map[string]string{broker.KeyURL: "amqp://e"}, "eventmesh.url: "},
		"no certificates":           {map[string]string{broker.KeyURL: "grpcs://e", broker.KeyCA: "none"}, "eventmesh.ca: want certificates"},
		"an unknown key":            {map[string]string{broker.KeyURL: "grpc://e", "topics": "orders"}, "topics: there is no such key"},
		"no topic":                  {map[string]string{broker.KeyURL: "grpc://e", broker.KeyTopic: "a b"}, "topic: "},
		"a topic that HTTP has not": {map[string]string{broker.KeyURL: "http://e", broker.KeyTopic: "a%b"}, "topic: "},
		"topic and template":        {map[string]string{broker.KeyURL: "grpc://e", broker.KeyTopic: "a", broker.KeyTopicTemplate: "{uid8}"}, "topic.template: there is topic, too"},
		"a template without UID":    {map[string]string{broker.KeyURL: "grpc://e", broker.KeyTopicTemplate: "{name}"}, "topic.template: want {uid8}"},
		"no template":               {map[string]string{broker.KeyURL: "grpc://e", broker.KeyTopicTemplate: "{uid8}{Name}"}, "topic.template: "},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := broker.ParseConfig(test.data); err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
	for _, key := range []string{"channel-template-spec", "channelTemplateSpec"} {
		if _, err := broker.ParseConfig(map[string]string{key: "apiVersion: messaging.knative.dev/v1"}); !errors.Is(err, broker.ErrNoConfig) {
			t.Errorf("got %v of %s", err, key)
		}
	}
}
