// Package transports lists the transports that there are, for programs that leave the choice to an address.
package transports

import (
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp"
)

// All are every transport of EventMesh.
var All = []eventmesh.Transport{grpc.Transport{}, tcp.Transport{}}
