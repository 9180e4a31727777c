package faults

import (
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

// TestShutdown terminates the source while events come faster than the sink takes them.
func TestShutdown(t *testing.T) {
	each(t, func(with setting) {
		with.options = eventmeshtest.Options{Storage: eventmeshtest.RocketMQ}
		with.environment = []string{"EVENTMESH_MAX_IN_FLIGHT=4"}
		s := newStage(with)
		r := s.replica("replica")
		r.startReady()
		s.sink.obey(func(request) answer { return answer{status: http.StatusAccepted, delay: 20 * time.Millisecond} })
		traffic := s.publish()
		for range 2 {
			traffic.more(300)
			r.terminate()
			s.wantNoneLostBySource()
			r.startReady()
		}
		s.sink.obey(accept)
		traffic.more(100)
		traffic.stop()
		s.finishWhole()
	})
}

// TestShutdownKeepsTheRest terminates the source while the sink takes nothing. The next process delivers what is in the
// spool, before anything else.
func TestShutdownKeepsTheRest(t *testing.T) {
	eachSpooled(t, func(with setting) {
		with.options = eventmeshtest.Options{Storage: eventmeshtest.RocketMQ}
		with.environment = []string{"EVENTMESH_ORDERING=strict"}
		s := newStage(with)
		s.strict = true
		r := s.replica("replica")
		r.startReady()
		traffic := s.publish()
		traffic.more(50)
		s.sink.obey(refuse(http.StatusServiceUnavailable))
		traffic.more(100)
		r.terminate()
		s.sink.obey(accept)
		left := r.last().left
		if len(left) < 50 {
			with.t.Errorf("%d events are in the spool, want nearly the 100 that the sink did not take", len(left))
		}
		r.startReady()
		traffic.more(100)
		traffic.stop()
		s.finishWhole()
		s.wantFirst(left)
	})
}

// wantFirst fails unless the sink has taken these events before all others that it took since.
func (s *stage) wantFirst(ids map[string]bool) {
	s.t.Helper()
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	first, last := int64(math.MaxInt64), int64(0)
	for id := range ids {
		first, last = min(first, s.sink.takes[id][0].step), max(last, s.sink.takes[id][0].step)
	}
	for id, takes := range s.sink.takes {
		if step := takes[0].step; !ids[id] && step > first && step < last {
			s.t.Errorf("event %s came before the spool was empty", id)
		}
	}
}
