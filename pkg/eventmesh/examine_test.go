package eventmesh_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/next"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/releases"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
	all "github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/transports"
)

// examine examines a server as somebody.
func examine(t *testing.T, url string, as *eventmesh.Credentials) (eventmesh.Findings, error) {
	t.Helper()
	addresses, err := eventmesh.ParseAddresses(url, all.All...)
	if err != nil {
		t.Fatal(err)
	}
	cfg := eventmesh.Config{Addresses: addresses, ClientID: "examiner", Group: "examiners"}
	if as != nil {
		cfg.Credentials = func() (eventmesh.Credentials, error) { return *as, nil }
	}
	return eventmesh.Examine(bounded(t), cfg, all.All...)
}

func TestExamine(t *testing.T) {
	standalone, rocketMQ := eventmeshtest.Options{}, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ, MaxDataCharacters: -1}
	guarded := rocketMQ
	guarded.Credentials = map[string]string{"alice": "secret"}
	alice := &eventmesh.Credentials{Username: "alice", Password: "secret", Token: "secret"}
	for _, c := range []struct {
		name, transport string
		options         eventmeshtest.Options
		as              *eventmesh.Credentials
		want            eventmesh.Findings
	}{
		{"standalone storage", releases.GRPC, standalone, nil, eventmesh.Findings{Storage: eventmesh.Standalone}},
		{"standalone storage", releases.TCP, standalone, nil, eventmesh.Findings{Storage: eventmesh.Standalone, MaxData: 1000}},
		{"RocketMQ", releases.GRPC, rocketMQ, nil, eventmesh.Findings{Storage: eventmesh.RocketMQ}},
		{"RocketMQ", releases.TCP, rocketMQ, nil, eventmesh.Findings{Storage: eventmesh.RocketMQ}},
		{"the next release", releases.HTTP, rocketMQ, nil, eventmesh.Findings{Release: eventmesh.NextRelease}},
		{"credentials that are asked for", releases.GRPC, guarded, alice, eventmesh.Findings{Storage: eventmesh.RocketMQ}},
		{"credentials that are asked for", releases.TCP, guarded, alice, eventmesh.Findings{Storage: eventmesh.RocketMQ}},
		{"credentials that are asked for", releases.HTTP, guarded, alice, eventmesh.Findings{Release: eventmesh.NextRelease}},
		{"credentials that nobody asks for", releases.GRPC, rocketMQ, alice, eventmesh.Findings{Storage: eventmesh.RocketMQ, Anonymous: true}},
		{"credentials that nobody asks for", releases.TCP, rocketMQ, alice, eventmesh.Findings{Storage: eventmesh.RocketMQ, Anonymous: true}},
		{"credentials that nobody asks for", releases.HTTP, rocketMQ, alice, eventmesh.Findings{Release: eventmesh.NextRelease, Anonymous: true}},
		{"no credentials where they are asked for", releases.GRPC, guarded, nil, eventmesh.Findings{Refuses: eventmesh.ErrUnauthorized}},
	} {
		t.Run(c.name+" over "+c.transport, func(t *testing.T) {
			server := releases.New(t, c.transport, c.options)
			got, err := examine(t, server.URL(), c.as)
			if err != nil {
				t.Fatal(err)
			}
			if got.Took <= 0 || !errors.Is(got.Refuses, c.want.Refuses) || (got.TooLarge != nil) != (c.want.MaxData > 0) {
				t.Errorf("got %+v, want a time, and %+v", got, c.want)
			}
			got.Took, got.Refuses, got.TooLarge, c.want.Refuses = 0, nil, nil, nil
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if published := server.Published(wire.NoTopic); len(published) > 0 {
				t.Errorf("%d events are stored", len(published))
			}
		})
	}
}

// TestExamineTheSizeOfBinaryData: over TCP data that is no text is longer than its bytes, and a sink takes ProbeSize of it by default.
func TestExamineTheSizeOfBinaryData(t *testing.T) {
	enough := len(`""`) + base64.StdEncoding.EncodedLen(eventmesh.ProbeSize)
	binary := newEvent("1")
	binary.SetDataContentType("application/octet-stream")
	binary.DataEncoded = bytes.Repeat([]byte{0xff}, eventmesh.ProbeSize)
	for _, c := range []struct {
		limit, told int
		want        error
	}{
		{enough, 0, nil},
		{enough - 1, enough - 1, eventmesh.ErrTooLarge},
		{eventmesh.ProbeSize, eventmesh.ProbeSize, eventmesh.ErrTooLarge},
	} {
		t.Run(strconv.Itoa(c.limit), func(t *testing.T) {
			server := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ, MaxDataCharacters: c.limit})
			if got, err := examine(t, server.TCPURL(), nil); err != nil || got.MaxData != c.told || !errors.Is(got.TooLarge, c.want) {
				t.Errorf("got %+v, %v, want %d, %v", got, err, c.told, c.want)
			}
			cfg, publishing := config(t, server.TCPURL())
			publisher := newPublisher(t, cfg)
			publishing.await(t, true)
			if err := publisher.Publish(bounded(t), "orders", binary); !errors.Is(err, c.want) {
				t.Errorf("publishing: got %v, want %v", err, c.want)
			}
		})
	}
}

func TestExamineARateLimit(t *testing.T) {
	for _, transport := range []string{releases.GRPC, releases.TCP} {
		t.Run(transport, func(t *testing.T) {
			server := releases.New(t, transport, eventmeshtest.Options{})
			server.SetFaults(eventmeshtest.Faults{Refuse: "21", RefuseDescription: map[string]string{releases.TCP: "Tps overload, global flow control"}[transport]})
			if got, err := examine(t, server.URL(), nil); err != nil || !errors.Is(got.Refuses, eventmesh.ErrRateLimited) {
				t.Errorf("got %+v, %v, want %v", got, err, eventmesh.ErrRateLimited)
			}
		})
	}
}

// The bridge stores whatever it is given, so that nothing is asked of it.
func TestExamineTheBridge(t *testing.T) {
	server := next.New(t, next.Options{GRPCAddress: "127.0.0.1:0"})
	got, err := examine(t, server.GRPCURL(), nil)
	if got.Took = 0; err != nil || got != (eventmesh.Findings{Release: eventmesh.Bridge}) {
		t.Errorf("got %+v, %v, want a bridge", got, err)
	}
	if published := server.Published(wire.NoTopic); len(published) > 0 {
		t.Errorf("%d events are stored", len(published))
	}
}

func TestExamineNoEventMesh(t *testing.T) {
	accepting := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer accepting.Close()
	missing := httptest.NewServer(http.NotFoundHandler())
	defer missing.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().String()
	_ = listener.Close()
	guarded := eventmeshtest.New(t, eventmeshtest.Options{Credentials: map[string]string{"alice": "secret"}})
	for _, c := range []struct {
		name, url string
		kind      error
		part      string
	}{
		{"nobody over gRPC", "grpc://" + closed, eventmesh.ErrNotConnected, "connecting to grpc://" + closed},
		{"nobody over TCP", "tcp://" + closed, eventmesh.ErrNotConnected, "refused"},
		{"nobody over HTTP", "http://" + closed, eventmesh.ErrNotConnected, "refused"},
		{"who accepts anything", accepting.URL, eventmesh.ErrUnsupported, "no EventMesh"},
		{"who has nothing", missing.URL, eventmesh.ErrRefused, "404"},
		{"who speaks TCP", strings.Replace(guarded.TCPURL(), "tcp", "grpc", 1), eventmesh.ErrNotConnected, ""},
		{"who asks for credentials over TCP", guarded.TCPURL(), eventmesh.ErrRefused, "security"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := examine(t, c.url, nil)
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.part) {
				t.Errorf("got %+v, %v, want %v with %q", got, err, c.kind, c.part)
			}
		})
	}
}
