package faults

import (
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

// twoReplicas starts two members of one group.
func twoReplicas(with setting) (s *stage, leaving *replica) {
	with.t.Helper()
	s = newStage(with)
	leaving = s.replica("leaving")
	leaving.startReady()
	s.replica("staying").startReady()
	s.awaitSubscribers(2)
	return s, leaving
}

// TestReplicaLeaves terminates one of two replicas. Over gRPC, EventMesh ends the streams of both, and loses what is
// published until the other has subscribed again.
func TestReplicaLeaves(t *testing.T) {
	each(t, func(with setting) {
		s, leaving := twoReplicas(with)
		traffic := s.publish()
		for range 3 {
			traffic.more(200)
			leaving.terminate()
			s.awaitSubscribers(1)
			traffic.more(100)
			leaving.startReady()
			s.awaitSubscribers(2)
		}
		traffic.more(100)
		traffic.stop()
		s.wantOnlyUnreadLost(s.finish())
	})
}

// TestReplicaIsKilled kills one of two replicas. Over gRPC, EventMesh goes on writing to the dead stream until the replica
// is back under its client ID. RocketMQ holds what could not be written, for the replica to fetch.
func TestReplicaIsKilled(t *testing.T) {
	t.Parallel()
	for _, storage := range []eventmeshtest.Storage{eventmeshtest.Standalone, eventmeshtest.RocketMQ} {
		t.Run(storage.String(), func(t *testing.T) {
			each(t, func(with setting) {
				// Or what a slow machine has not acknowledged in time is lost with a kill.
				with.options = eventmeshtest.Options{Storage: storage, AcknowledgeAfter: -1}
				s, leaving := twoReplicas(with)
				traffic := s.publish()
				for range 3 {
					traffic.more(200)
					leaving.kill()
					traffic.more(100)
					leaving.startReady()
					s.awaitSubscribers(2)
				}
				traffic.stop()
				after := s.load(load{publishers: 3, each: 50, pace: time.Millisecond})
				after.wait()
				s.awaitEvents(after) // the ghost has ended
				a := s.finish()
				s.wantOnlyUnreadLost(a)
				if n := a.lostByEventMesh[deadStream]; n > 0 && storage == eventmeshtest.RocketMQ {
					t.Errorf("%d events that RocketMQ holds have not been fetched", n)
				}
			})
		})
	}
}
