// Command sink takes CloudEvents over HTTP and publishes them to Apache EventMesh.
package main

import (
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/sink"
)

func main() {
	adapter.Main("eventmesh-sink", "takes CloudEvents over HTTP and publishes them to Apache EventMesh.", sink.NewConfig(), sink.NewAdapter)
}
