// Package contract runs the suite of the transports against a real EventMesh, where EVENTMESH_GRPC_URL, EVENTMESH_TCP_URL or
// EVENTMESH_HTTP_URL names one, and else against the in-memory ones. Where the first two both name one, it has to be the same.
// EVENTMESH_STORAGE=rocketmq is for one with such a storage; EVENTMESH_USERNAME, EVENTMESH_PASSWORD and, over HTTP, EVENTMESH_TOKEN
// are used if set.
package contract_test

import (
	"os"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/contract"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/next"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/http"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/transports"
)

var rocketMQ = contract.Storage{HoldsEvents: true, Requests: true}

// way is a transport, and where a server takes it.
type way struct {
	transport eventmesh.Transport
	variable  string
	inMemory  func(*eventmeshtest.Server) string
}

var (
	overGRPC = way{grpc.Transport{}, "EVENTMESH_GRPC_URL", (*eventmeshtest.Server).GRPCURL}
	overTCP  = way{tcp.Transport{}, "EVENTMESH_TCP_URL", (*eventmeshtest.Server).TCPURL}
)

func TestGRPC(t *testing.T) { run(t, overGRPC, overTCP) }

func TestTCP(t *testing.T) { run(t, overTCP, overGRPC) }

// TestHTTP runs against EventMesh's HTTP API, all of whose storages hold events and carry requests.
func TestHTTP(t *testing.T) {
	t.Parallel()
	target := contract.Target{
		Transport: http.Transport{}, Storage: rocketMQ,
		Credentials: func() (eventmesh.Credentials, error) {
			return eventmesh.Credentials{Token: os.Getenv("EVENTMESH_TOKEN")}, nil
		},
	}
	if url := os.Getenv("EVENTMESH_HTTP_URL"); url != "" {
		target.Addresses = addresses(t, url)
		contract.Run(t, target)
		return
	}
	for _, storage := range []next.Storage{next.Memory, next.Holding} {
		t.Run(storage.String(), func(t *testing.T) {
			t.Parallel()
			target := target
			target.Addresses = addresses(t, next.New(t, next.Options{Storage: storage, PumpInterval: 5 * time.Millisecond, AcknowledgeWithin: 8 * time.Second}).URL())
			contract.Run(t, target)
		})
	}
}

func run(t *testing.T, tested, other way) {
	t.Helper()
	target := contract.Target{
		Transport: tested.transport,
		Credentials: func() (eventmesh.Credentials, error) {
			return eventmesh.Credentials{Username: os.Getenv("EVENTMESH_USERNAME"), Password: os.Getenv("EVENTMESH_PASSWORD")}, nil
		},
	}
	if url := os.Getenv(tested.variable); url != "" {
		if os.Getenv("EVENTMESH_STORAGE") == "rocketmq" {
			target.Storage = rocketMQ
		}
		target.Addresses = addresses(t, url)
		if url := os.Getenv(other.variable); url != "" {
			target.Other = &contract.Other{Addresses: addresses(t, url), Transport: other.transport}
		}
		contract.Run(t, target)
		return
	}
	for name, storage := range map[string]eventmeshtest.Storage{"standalone": eventmeshtest.Standalone, "rocketmq": eventmeshtest.RocketMQ} {
		t.Run(name, func(t *testing.T) {
			server := eventmeshtest.New(t, eventmeshtest.Options{Storage: storage, AcknowledgeAfter: -1, UnknownTopics: true})
			target := target
			if storage == eventmeshtest.RocketMQ {
				target.Storage = rocketMQ
			}
			target.Addresses = addresses(t, tested.inMemory(server))
			target.Other = &contract.Other{Addresses: addresses(t, other.inMemory(server)), Transport: other.transport}
			contract.Run(t, target)
		})
	}
}

func addresses(t *testing.T, url string) []eventmesh.Address {
	t.Helper()
	parsed, err := eventmesh.ParseAddresses(url, transports.All...)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}
