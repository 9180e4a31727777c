package ingress

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cloudevents/sdk-go/v2/binding/format"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/httpevent"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsontext"
)

// batchDeliveries bounds how many events of one batch are delivered at once.
const batchDeliveries = 16

// maxNamedID is how long an id may be that the answer repeats, in bytes.
const maxNamedID = 1 << 10

// batchStatuses are those that an event of a batch can have, the worst first. One that is worth repeating stands above those that
// are not: a sender that gives up would lose an event that EventMesh accepts a second later, and one that repeats in vain learns the
// final status then.
var batchStatuses = []int{
	http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusRequestEntityTooLarge, http.StatusBadRequest,
}

// failure is an event of a batch that was not accepted, as the body of the answer tells of it.
type failure struct {
	// Index is the event's place in the batch, from 0.
	Index int `json:"index"`
	// ID is the event's, where it could be read and is not too long to be one.
	ID string `json:"id,omitempty"`
	// Status is what the event would have been answered with if it had come alone.
	Status int `json:"status"`
	// Reason is one sentence.
	Reason string `json:"reason"`

	err error
}

func isBatch(r *http.Request) bool {
	return format.Lookup(r.Header.Get(cehttp.ContentType)) == format.JSONBatch
}

// batch delivers the events of a request, each by itself, and answers for all of them.
func (s *Server) batch(w http.ResponseWriter, r *http.Request, to Destination) {
	events, failures, err := s.acceptBatch(w, r, to)
	switch {
	case err != nil:
		s.refuse(w, to.Topic, err)
	case len(failures) > 0:
		s.refuseBatch(w, to, events, failures)
	default:
		w.WriteHeader(http.StatusAccepted)
	}
}

// acceptBatch delivers the events of a batch, and returns how many there are, and which failed. Events are parsed one by one: one
// that is malformed says nothing about others.
func (s *Server) acceptBatch(w http.ResponseWriter, r *http.Request, to Destination) (events int, failures []failure, err error) {
	if to.Single {
		return 0, nil, Refusef(http.StatusBadRequest, "a request is a single event, and has a single reply: Content-Type %s holds a batch", r.Header.Get(cehttp.ContentType))
	}
	if err := httpevent.CheckHeader(r.Header); err != nil {
		return 0, nil, notAnEvent(err)
	}
	body, err := s.admit(w, r)
	if err != nil {
		return 0, nil, err
	}
	defer s.leave(r.Context(), body)
	raw, err := splitBatch(body.content, s.options.Bounds.BatchEvents)
	if err != nil {
		return 0, nil, err
	}
	s.metrics.batches.Record(r.Context(), int64(len(raw)))
	return len(raw), s.deliverBatch(r.Context(), to, raw), nil
}

func splitBatch(body []byte, limit int) (events [][]byte, err error) {
	err = jsontext.Elements(body, func(one []byte) error {
		if len(events) == limit {
			return Refusef(http.StatusRequestEntityTooLarge, "the batch has more than the %d events that EVENTMESH_MAX_BATCH_EVENTS allows", limit)
		}
		events = append(events, one)
		return nil
	})
	if errors.Is(err, jsontext.ErrNoArray) {
		return nil, errNoBatch
	}
	return events, err
}

var errNoBatch = Refusef(http.StatusBadRequest, "not a batch of CloudEvents: want a JSON array of events")

// deliverBatch delivers several events at once, and returns those that failed. The time for an event is that for all of them.
// The request holds one place of those in flight; each event that is delivered beside another takes one more, if there is one.
func (s *Server) deliverBatch(ctx context.Context, to Destination, events [][]byte) []failure {
	ctx, cancel := s.deadline(ctx, to)
	defer cancel()
	failed := make([]*failure, len(events))
	var next atomic.Int64
	work := func() {
		for i := int(next.Add(1)) - 1; i < len(events); i = int(next.Add(1)) - 1 {
			failed[i] = s.deliverOne(ctx, to, i, events[i])
		}
	}
	var others sync.WaitGroup
spread:
	for range min(batchDeliveries, len(events)) - 1 {
		select {
		case s.inFlight <- struct{}{}:
			others.Go(func() {
				defer func() { <-s.inFlight }()
				work()
			})
		default:
			break spread
		}
	}
	work()
	others.Wait()

	var failures []failure
	for _, f := range failed {
		if f != nil {
			failures = append(failures, *f)
		}
	}
	return failures
}

func (s *Server) deliverOne(ctx context.Context, to Destination, index int, raw []byte) *failure {
	e, err := httpevent.ReadJSON(raw)
	if err != nil {
		err = notAnEvent(err)
	} else if _, err = s.deliver(ctx, to, e); err == nil {
		return nil
	}
	var named struct {
		ID string `json:"id"`
	}
	if _ = json.Unmarshal(raw, &named); len(named.ID) > maxNamedID { // as far as it goes
		named.ID = ""
	}
	return &failure{Index: index, ID: named.ID, Status: statusOf(err), Reason: oneLine(err), err: err}
}

// refuseBatch answers with the worst status, and which events have not been accepted; the destination has the others.
func (s *Server) refuseBatch(w http.ResponseWriter, to Destination, events int, failures []failure) {
	worst := slices.MinFunc(failures, func(a, b failure) int {
		return slices.Index(batchStatuses, a.Status) - slices.Index(batchStatuses, b.Status)
	})
	body, err := json.Marshal(struct {
		Events int       `json:"events"`
		Failed []failure `json:"failed"`
	}{events, failures})
	if err != nil {
		s.refuse(w, to.Topic, fmt.Errorf("encoding the answer: %w", err))
		return
	}
	setRefusalHeaders(w.Header(), worst.Status)
	w.Header().Set("Content-Type", event.ApplicationJSON)
	w.WriteHeader(worst.Status)
	_, _ = w.Write(append(body, '\n')) // a sender that has gone repeats
	s.options.Logger.Warnw(fmt.Sprintf("events of a batch not accepted: answered %d", worst.Status),
		"topic", to.Topic, "events", events, "failed", len(failures), zap.Error(worst.err))
}
