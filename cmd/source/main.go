// Command source sends the events of EventMesh topics to a Knative sink.
package main

import (
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/source"
)

func main() {
	adapter.Main("eventmesh-source", "subscribes to topics of EventMesh, and sends each event to K_SINK.", source.NewConfig(), source.NewAdapter)
}
