package faults

import (
	"testing"
	"time"
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
// is back under its client ID.
func TestReplicaIsKilled(t *testing.T) {
	each(t, func(with setting) {
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
		s.wantOnlyUnreadLost(s.finish())
	})
}
