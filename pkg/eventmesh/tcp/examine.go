package tcp

import (
	"context"
	"encoding/base64"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

var _ eventmesh.Examiner = (*publisher)(nil)

// Release is the only one that speaks TCP.
func (*publisher) Release() eventmesh.Release { return eventmesh.Release1 }

// Probe publishes to no topic. EventMesh tries that again every 10 s for as long as the session lasts, in vain. The data is as long as n bytes
// become that are not text, for EventMesh counts the characters of what it gets.
func (p *publisher) Probe(ctx context.Context, n int) error {
	e := event.New()
	e.SetID(sequence())
	e.SetSource("eventing-eventmesh")
	e.SetType("eventing-eventmesh.probe")
	e.SetSubject(wire.NoTopic)
	e.SetExtension("ttl", "1")
	e.SetDataContentType(event.ApplicationCloudEventsJSON)
	e.DataEncoded = []byte(wire.Filler(len(`""`) + base64.StdEncoding.EncodedLen(n)))
	body, err := marshalEvent(e)
	if err != nil {
		return err
	}
	message := frame.Frame{Header: frame.Header{Command: frame.AsyncMessageToServer, Properties: p.properties}, Body: body}
	return p.permitted(ctx, func() error { return p.confirm(ctx, message, identityOf(e), 0) })
}
