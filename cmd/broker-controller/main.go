// The controller writes into the statuses of Brokers of class EventMesh, and of their Triggers, where they are and whether they are served.
package main

import (
	"knative.dev/pkg/injection/sharedmain"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/controller"
)

func main() {
	sharedmain.Main("eventmesh-broker-controller", controller.NewBrokers, controller.NewTriggers)
}
