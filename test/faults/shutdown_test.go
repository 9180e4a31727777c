package faults

import (
	"net/http"
	"slices"
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

// TestShutdownWhileSubscribing terminates one of two replicas at any time while it subscribes. Over gRPC it must not stay in the group:
// EventMesh would give it half of all events.
func TestShutdownWhileSubscribing(t *testing.T) {
	each(t, func(with setting) {
		with.options = eventmeshtest.Options{Storage: eventmeshtest.RocketMQ, GoodbyeTimeout: time.Second}
		s := newStage(with)
		s.replica("stays").startReady()
		joins := s.replica("joins")
		traffic := s.publish()
		d := newDice(with.t)
		for range lasting(10, 100) {
			joins.start()
			wait(with.t.Context(), d.between(0, 20*time.Millisecond))
			joins.terminate()
			if n := s.server.Members(topic); with.transport == grpc && n > 1 { // over TCP the end of the connection is enough
				with.t.Errorf("%s has ended, and the group has %d members, want the one that stays", joins.last().user, n)
			}
		}
		traffic.more(50)
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

// wantFirst fails unless the last process has delivered these events before all others.
func (s *stage) wantFirst(ids map[string]bool) {
	s.t.Helper()
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	for _, id := range overtaking(s.sink.takes, ids, s.replicas[0].last().user) {
		s.t.Errorf("event %s came before the spool was empty", id)
	}
}

// overtaking returns the events that a process has delivered while some of these were still to come. What was delivered before it does
// not count: of an event that was published twice the spool can hold the second delivery, and the sink have the first.
func overtaking(takes map[string][]take, ids map[string]bool, process string) []string {
	first := map[string]int64{}
	last := int64(0)
	for id, all := range takes {
		for _, t := range all {
			if t.by == process {
				first[id] = t.step
				break
			}
		}
		if ids[id] {
			last = max(last, first[id])
		}
	}
	var found []string
	for id, step := range first {
		if !ids[id] && step < last {
			found = append(found, id)
		}
	}
	slices.Sort(found)
	return found
}

// An event of the spool that was published twice may have come before.
func TestOvertaking(t *testing.T) {
	takes := map[string][]take{
		"published twice": {{step: 1, by: "run1"}, {step: 4, by: "run2"}},
		"before":          {{step: 2, by: "run1"}},
		"left":            {{step: 5, by: "run2"}},
		"new":             {{step: 6, by: "run2"}},
	}
	left := map[string]bool{"published twice": true, "left": true}
	if got := overtaking(takes, left, "run2"); len(got) > 0 {
		t.Errorf("got %v, want none", got)
	}
	takes["before"] = append(takes["before"], take{step: 3, by: "run2"})
	takes["new"][0].step = 4
	if got, want := overtaking(takes, left, "run2"), []string{"before", "new"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
