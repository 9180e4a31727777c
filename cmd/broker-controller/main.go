// The controller writes into the statuses of Brokers of class EventMesh, and of their Triggers, where they are and whether they are served.
package main

import (
	"fmt"
	"os"

	"knative.dev/pkg/injection/sharedmain"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/version"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/controller"
)

const component = "eventmesh-broker-controller"

func main() {
	if version.Asked(os.Args[1:]) {
		fmt.Println(version.Line(component))
		return
	}
	sharedmain.Main(component, controller.NewBrokers, controller.NewTriggers)
}
