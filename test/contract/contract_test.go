// Package contract runs the suite of the transports against a real EventMesh, where EVENTMESH_GRPC_URL or EVENTMESH_TCP_URL
// names one, and else against the in-memory one. EVENTMESH_STORAGE=rocketmq says that the real one has such a storage;
// EVENTMESH_USERNAME and EVENTMESH_PASSWORD are used if set.
package contract_test

import (
	"os"
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/contract"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp"
)

var rocketMQ = contract.Storage{HoldsEvents: true, Requests: true}

func TestGRPC(t *testing.T) {
	run(t, "EVENTMESH_GRPC_URL", grpc.Transport{}, (*eventmeshtest.Server).GRPCURL)
}

func TestTCP(t *testing.T) {
	run(t, "EVENTMESH_TCP_URL", tcp.Transport{}, (*eventmeshtest.Server).TCPURL)
}

func run(t *testing.T, variable string, transport eventmesh.Transport, inMemory func(*eventmeshtest.Server) string) {
	t.Helper()
	target := contract.Target{
		Transport: transport,
		Credentials: func() (eventmesh.Credentials, error) {
			return eventmesh.Credentials{Username: os.Getenv("EVENTMESH_USERNAME"), Password: os.Getenv("EVENTMESH_PASSWORD")}, nil
		},
	}
	if url := os.Getenv(variable); url != "" {
		if os.Getenv("EVENTMESH_STORAGE") == "rocketmq" {
			target.Storage = rocketMQ
		}
		runAt(t, target, url)
		return
	}
	t.Run("standalone", func(t *testing.T) {
		runAt(t, target, inMemory(eventmeshtest.New(t, eventmeshtest.Options{})))
	})
	t.Run("rocketmq", func(t *testing.T) {
		target.Storage = rocketMQ
		runAt(t, target, inMemory(eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ})))
	})
}

func runAt(t *testing.T, target contract.Target, url string) {
	t.Helper()
	addresses, err := eventmesh.ParseAddresses(url)
	if err != nil {
		t.Fatal(err)
	}
	target.Addresses = addresses
	contract.Run(t, target)
}
