package http

import (
	"bytes"
	"context"
	"fmt"
	"net/http"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

var _ eventmesh.Examiner = publisher{}

// Release is the only one with this API.
func (publisher) Release() eventmesh.Release { return eventmesh.NextRelease }

// Probe publishes what is no event, to a topic of nobody.
func (p publisher) Probe(ctx context.Context, n int) error {
	answer, err := p.post(ctx, pathPublish+"?topic="+nobody, bytes.Repeat([]byte("x"), n))
	switch {
	case err != nil:
		return p.unanswered(ctx, err)
	case answer.status/100 == http.StatusOK/100:
		return fmt.Errorf("%w: it accepts what is no event, and so is no EventMesh", eventmesh.ErrUnsupported)
	default:
		return answer.expect(http.StatusBadRequest)
	}
}
