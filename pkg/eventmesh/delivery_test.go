package eventmesh_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// ledger is a session that notes how many deliveries each call acknowledges.
type ledger struct {
	calls    []int
	released int
	failure  error
}

func (l *ledger) Acknowledge(_ context.Context, deliveries []*eventmesh.Delivery) error {
	l.calls = append(l.calls, len(deliveries))
	return l.failure
}

func (l *ledger) Release(context.Context, *eventmesh.Delivery) error {
	l.released++
	return l.failure
}

func TestAcknowledgeManyOfSeveralSessions(t *testing.T) {
	broken := errors.New("broken")
	over, current := &ledger{failure: broken}, &ledger{}
	by := func(s eventmesh.Acknowledger) *eventmesh.Delivery { return &eventmesh.Delivery{Acknowledger: s} }
	err := eventmesh.Acknowledge(t.Context(), by(over), by(over), &eventmesh.Delivery{}, by(current), by(current), by(current))
	if !errors.Is(err, broken) || !slices.Equal(over.calls, []int{2}) || !slices.Equal(current.calls, []int{3}) {
		t.Errorf("got %v, calls %v and %v; want the first session's error, and one call for each", err, over.calls, current.calls)
	}
	if err := eventmesh.Acknowledge(t.Context()); err != nil {
		t.Errorf("acknowledging nothing: %v", err)
	}
	if err := by(over).Release(t.Context()); !errors.Is(err, broken) || over.released != 1 {
		t.Errorf("releasing: got %v, %d calls, want the session's error", err, over.released)
	}
	if err := (&eventmesh.Delivery{}).Release(t.Context()); err != nil {
		t.Errorf("releasing where there is nothing to acknowledge: %v", err)
	}
}
