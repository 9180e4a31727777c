// The dispatcher delivers the events of Brokers of class EventMesh to their Triggers.
package main

import (
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/dispatcher"
)

func main() {
	adapter.Main("eventmesh-broker-dispatcher", "delivers the events of Brokers of class EventMesh to their Triggers.", dispatcher.NewConfig(), dispatcher.NewAdapter)
}
