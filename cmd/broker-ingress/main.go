// The ingress receives events for Brokers of class EventMesh, and publishes each to the topic of its Broker.
package main

import (
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/ingress"
)

func main() {
	adapter.Main("eventmesh-broker-ingress", "receives CloudEvents for Brokers of class EventMesh, and publishes them to EventMesh.", ingress.NewConfig(), ingress.NewAdapter)
}
