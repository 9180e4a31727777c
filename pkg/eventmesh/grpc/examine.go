package grpc

import (
	"context"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	pb "github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
)

var _ eventmesh.Examiner = (*publisher)(nil)

// Release tells a bridge by its first answer.
func (p *publisher) Release() eventmesh.Release {
	if p.form == wire.BridgeForm {
		return eventmesh.Bridge
	}
	return eventmesh.Release1
}

// Probe publishes to no topic. The bridge would store that.
func (p *publisher) Probe(ctx context.Context, n int) error {
	if p.form == wire.BridgeForm {
		return eventmesh.ErrUnsupported
	}
	m := control(p.client, wire.Filler(n), attributes{keySubject: text(wire.NoTopic), "ttl": text(published)})
	var answer outcome
	err := p.invoke(ctx, pb.PublisherService_Publish_FullMethodName, m, &answer)
	return check(answer, err)
}
