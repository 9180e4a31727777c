package sink

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
)

func TestConfigDefaults(t *testing.T) {
	c := config(t, "EVENTMESH_URL=grpc://eventmesh", "EVENTMESH_TOPIC=orders")
	if c.Port != 8080 || c.Group != "eventmesh-sink" || c.PublishTimeout != 10*time.Second || c.RequestTimeout != 10*time.Second ||
		c.MaxEventBytes != 1<<20 || c.MaxInFlight != 1000 || c.ShutdownDelay != 5*time.Second || c.DrainTimeout != 20*time.Second {
		t.Errorf("got port %d, group %s, time-outs %s %s, limits %d %d, shutdown %s %s", c.Port, c.Group, c.PublishTimeout, c.RequestTimeout,
			c.MaxEventBytes, c.MaxInFlight, c.ShutdownDelay, c.DrainTimeout)
	}
	if c.BufferBytes != 64<<20 || c.MaxConnections != 0 {
		t.Errorf("got limits %d %d, want 64 MiB and the default for connections", c.BufferBytes, c.MaxConnections)
	}
	if c.GetSinktimeout() != -1 {
		t.Errorf("got a time-out for K_SINK, which the sink has not")
	}
}

func TestConfigSaysWhatIsWrong(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("in-a-file"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name        string
		environment []string
		want        []string
	}{
		{"no topic", []string{"EVENTMESH_URL=grpc://e"}, []string{"EVENTMESH_TOPIC", "EVENTMESH_TOPICS"}},
		{"topics of commas", []string{"EVENTMESH_URL=grpc://e", "EVENTMESH_TOPICS=,"}, []string{"EVENTMESH_TOPICS"}},
		{"bad topic", []string{"EVENTMESH_URL=grpc://e", "EVENTMESH_TOPIC=a b"}, []string{"EVENTMESH_TOPIC", `"a b"`, "letters"}},
		{"bad topics", []string{"EVENTMESH_URL=grpc://e", "EVENTMESH_TOPICS=ok, a*b"}, []string{"EVENTMESH_TOPICS", `"a*b"`, "letters"}},
		{"bad prefix", []string{"EVENTMESH_URL=grpc://e", "EVENTMESH_TOPICS=a/*"}, []string{"EVENTMESH_TOPICS", `"a/"`, "letters"}},
		{"negative port", []string{"EVENTMESH_URL=grpc://e", "EVENTMESH_TOPIC=a", "PORT=-1"}, []string{"PORT", `"-1"`, "65535"}},
		{"port too high", []string{"EVENTMESH_URL=grpc://e", "EVENTMESH_TOPIC=a", "PORT=65536"}, []string{"PORT", `"65536"`, "65535"}},
		{"invalid group", []string{"EVENTMESH_URL=grpc://e", "EVENTMESH_TOPIC=a", "EVENTMESH_GROUP=a b"}, []string{"EVENTMESH_GROUP", `"a b"`, "letters"}},
		{"unknown subscribers", []string{"EVENTMESH_URL=grpc://e", "EVENTMESH_TOPIC=a", "EVENTMESH_SUBSCRIBER_TRANSPORT=amqp"}, []string{"EVENTMESH_SUBSCRIBER_TRANSPORT", `"amqp"`, "grpc or tcp"}},
		{"topic that HTTP has not", []string{"EVENTMESH_URL=http://e", "EVENTMESH_TOPIC=a%b"}, []string{"EVENTMESH_TOPIC", `"a%b"`, "over HTTP"}},
		{"topics that HTTP has not", []string{"EVENTMESH_URL=http://e", "EVENTMESH_TOPICS=orders,a|*"}, []string{"EVENTMESH_TOPICS", `"a|"`, "over HTTP"}},
		{"subscribers that HTTP has not", []string{"EVENTMESH_URL=http://e", "EVENTMESH_TOPIC=a", "EVENTMESH_SUBSCRIBER_TRANSPORT=grpc"}, []string{"EVENTMESH_SUBSCRIBER_TRANSPORT", `"grpc"`, "http"}},
		{"no time", []string{"EVENTMESH_URL=grpc://e", "EVENTMESH_TOPIC=a", "EVENTMESH_PUBLISH_TIMEOUT=0s"}, []string{"EVENTMESH_PUBLISH_TIMEOUT", `"0s"`, "more than 0"}},
		{"no bytes", []string{"EVENTMESH_URL=grpc://e", "EVENTMESH_TOPIC=a", "EVENTMESH_MAX_EVENT_BYTES=0"}, []string{"EVENTMESH_MAX_EVENT_BYTES", `"0"`, "at least 1"}},
		{"room below an event", []string{"EVENTMESH_URL=grpc://e", "EVENTMESH_TOPIC=a", "EVENTMESH_MAX_EVENT_BYTES=100", "EVENTMESH_BUFFER_BYTES=99"}, []string{"EVENTMESH_BUFFER_BYTES", `"99"`, "100 of EVENTMESH_MAX_EVENT_BYTES"}},
		{"connections below events", []string{"EVENTMESH_URL=grpc://e", "EVENTMESH_TOPIC=a", "EVENTMESH_MAX_IN_FLIGHT=10", "EVENTMESH_MAX_CONNECTIONS=10"}, []string{"EVENTMESH_MAX_CONNECTIONS", `"10"`, "10 of EVENTMESH_MAX_IN_FLIGHT"}},
		{"two passwords", []string{"EVENTMESH_URL=grpc://e", "EVENTMESH_TOPIC=a", "EVENTMESH_PASSWORD=hidden", "EVENTMESH_PASSWORD_FILE=" + file}, []string{"EVENTMESH_PASSWORD", "EVENTMESH_PASSWORD_FILE"}},
		{"no certificates", []string{"EVENTMESH_URL=grpcs://e", "EVENTMESH_TOPIC=a", "EVENTMESH_CA_FILE=" + file}, []string{"EVENTMESH_CA_FILE", file, "PEM"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := load(t, c.environment...)
			if err == nil {
				t.Fatal("got no error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want %q in it", err, want)
				}
			}
			if strings.ContainsAny(err.Error(), "\n") || strings.Contains(err.Error(), "hidden") || strings.Contains(err.Error(), "in-a-file") {
				t.Errorf("got %q, want one line without a secret", err)
			}
		})
	}
}

func TestEveryVariableIsDescribed(t *testing.T) {
	for _, v := range adapter.Variables(NewConfig()) {
		if v.Name == "" || v.Description == "" || v.Want == "" {
			t.Errorf("variable %+v lacks a name, a description or what is allowed", v)
		}
	}
}

func TestOpenTopics(t *testing.T) {
	for _, c := range []struct {
		topics, topic string
		open          map[string]bool
	}{
		{"", "orders", map[string]bool{"orders": true, "orders2": false, "": false}},
		{"a,b-*", "", map[string]bool{"a": true, "aa": false, "b-": true, "b-1": true, "b": false, "": false}},
		{" a , b ,", "c", map[string]bool{"a": true, "b": true, "c": true, "d": false}},
		{"*", "", map[string]bool{"a": true, "b.c_d|e%f-": true}},
	} {
		config := Config{Topic: c.topic}
		if err := config.Topics.Decode(c.topics); err != nil {
			t.Fatal(err)
		}
		for topic, want := range c.open {
			if topic == "" {
				continue // no request can name it
			}
			if got := config.open(topic); got != want {
				t.Errorf("EVENTMESH_TOPICS=%s EVENTMESH_TOPIC=%s: topic %q open: got %t, want %t", c.topics, c.topic, topic, got, want)
			}
		}
	}
}
