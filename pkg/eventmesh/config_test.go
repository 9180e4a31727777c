package eventmesh_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc"
)

func TestParseAddresses(t *testing.T) {
	for in, want := range map[string]string{
		"grpc://a:1":                "[grpc://a:1]",
		"grpc://a":                  "[grpc://a:10205]",
		"grpcs://a/":                "[grpcs://a:10205]",
		"tcp://a":                   "[tcp://a:10000]",
		"tcps://[::1]":              "[tcps://[::1]:10000]",
		"tcp://a:1, tcp://b,tcps:/": "",
		"tcp://a:1, tcps://b:2":     "[tcp://a:1 tcps://b:2]",
		"tcp://a,tcp://a":           "[tcp://a:10000]",
	} {
		got, err := eventmesh.ParseAddresses(in, transports...)
		if (err != nil) != (want == "") || err == nil && fmt.Sprint(got) != want {
			t.Errorf("%s: got %v, %v; want %s", in, got, err, want)
		}
	}
}

func TestParseAddressesRefuses(t *testing.T) {
	for in, reason := range map[string]string{
		"":                        "scheme",
		"host:10205":              "URL",
		"admin:geheim@host:1":     "URL",
		"grpc://a?p=geheim":       "more than a host",
		"http://a":                `scheme "http"`,
		"grpc://":                 "no host",
		"grpc://a/path":           "more than a host",
		"grpc://a?x=y":            "more than a host",
		"grpc://user:geheim@a":    "credentials",
		"grpc://a,tcp://a":        "different transports",
		"grpc://a:port":           "URL",
		"grpc://user:geheim@a:-1": "URL",
	} {
		_, err := eventmesh.ParseAddresses(in, transports...)
		if err == nil || !strings.Contains(err.Error(), reason) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%q: got %v, want an error about %q, and no password", in, err, reason)
		}
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	addresses, err := eventmesh.ParseAddresses("grpc://127.0.0.1:1", transports...)
	if err != nil {
		t.Fatal(err)
	}
	valid := eventmesh.Config{Addresses: addresses, ClientID: "c", Group: "g"}
	topics := eventmesh.Subscription{Topics: []string{"t"}}
	for name, c := range map[string]struct {
		change func(*eventmesh.Config, *eventmesh.Subscription)
		want   string
	}{
		"no address":          {func(c *eventmesh.Config, _ *eventmesh.Subscription) { c.Addresses = nil }, "address"},
		"no client ID":        {func(c *eventmesh.Config, _ *eventmesh.Subscription) { c.ClientID = "" }, "client ID"},
		"no group":            {func(c *eventmesh.Config, _ *eventmesh.Subscription) { c.Group = "" }, "group"},
		"no topic":            {func(_ *eventmesh.Config, s *eventmesh.Subscription) { s.Topics = nil }, "topic"},
		"invalid topic":       {func(_ *eventmesh.Config, s *eventmesh.Subscription) { s.Topics = []string{"a b"} }, `"a b"`},
		"invalid mode":        {func(_ *eventmesh.Config, s *eventmesh.Subscription) { s.Mode = "ANY" }, "ANY"},
		"invalid type":        {func(_ *eventmesh.Config, s *eventmesh.Subscription) { s.Type = "ANY" }, "ANY"},
		"invalid subscribers": {func(c *eventmesh.Config, _ *eventmesh.Subscription) { c.Subscribers = "http" }, `"http"`},
		"no transport": {func(c *eventmesh.Config, _ *eventmesh.Subscription) {
			c.Addresses = []eventmesh.Address{{Scheme: "tcp", Host: "a:1"}}
		}, "tcp://a:1"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, s := valid, topics
			c.change(&cfg, &s)
			if _, err := eventmesh.NewSubscriber(cfg, s, grpc.Transport{}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("subscriber: got %v, want an error about %s", err, c.want)
			}
			if strings.Contains(name, "topic") || strings.Contains(name, "mode") || strings.Contains(name, "type") {
				return
			}
			if _, err := eventmesh.NewPublisher(cfg, grpc.Transport{}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("publisher: got %v, want an error about %s", err, c.want)
			}
		})
	}
}

func TestCredentialsAreNotPrinted(t *testing.T) {
	if s := fmt.Sprintf("%v %s %+v", credentials, credentials, credentials); strings.Contains(s, "geheim") {
		t.Errorf("got %s", s)
	}
}

var credentials = eventmesh.Credentials{Username: "user", Password: "geheim"}

// A restarted replica must be the same client to EventMesh, and two must not.
func TestIdentity(t *testing.T) {
	server := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ})
	seen := map[string]string{}
	for _, id := range []string{"replica-0", "replica-0", "replica-1"} {
		cfg, told := config(t, server.GRPCURL())
		cfg.ClientID = id
		p := newPublisher(t, cfg)
		told.await(t, true)
		if err := p.Publish(bounded(t), "orders", newEvent("1")); err != nil {
			t.Fatal(err)
		}
		all := server.Published("orders")
		attributes := all[len(all)-1].GetAttributes()
		identity := attributes["ip"].GetCeString() + ":" + attributes["pid"].GetCeString()
		if before, ok := seen[id]; ok && before != identity {
			t.Errorf("%s was %s, and is %s after a restart", id, before, identity)
		}
		seen[id] = identity
		_ = p.Close()
	}
	if seen["replica-0"] == seen["replica-1"] {
		t.Errorf("two replicas are both %s", seen["replica-0"])
	}
}

func TestTemporary(t *testing.T) {
	for err, want := range map[error]bool{
		eventmesh.ErrNotConnected: true, eventmesh.ErrUnconfirmed: true, eventmesh.ErrRateLimited: true, eventmesh.ErrNoSubscriber: true,
		eventmesh.ErrNoReply: true, eventmesh.ErrInvalidReply: true, eventmesh.ErrRefused: true, errors.New("unknown"): true,
		eventmesh.ErrUnauthorized: false, eventmesh.ErrInvalidEvent: false, eventmesh.ErrInvalidTopic: false, eventmesh.ErrTooLarge: false,
	} {
		if got := eventmesh.Temporary(fmt.Errorf("publishing: %w", err)); got != want {
			t.Errorf("%v: got %t, want %t", err, got, want)
		}
	}
}
