package faults

import (
	"net/http"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

// TestKill kills the source at random times, while it starts too. Everything that its spool held has to reach the sink, and
// over TCP and HTTP everything that was confirmed; over HTTP also without a spool.
func TestKill(t *testing.T) {
	t.Parallel()
	keeping.play(t, func(with setting) {
		with.options = eventmeshtest.Options{Storage: eventmeshtest.RocketMQ}
		s := newStage(with)
		r := s.replica("replica")
		r.startReady()
		rnd := newDice(with.t)
		s.sink.obey(failingByKey(rnd))
		traffic := s.publish()
		spooled := 0
		for range lasting(6, 60) {
			if rnd.chance(0.5) {
				s.sink.obey(refuse(http.StatusServiceUnavailable))
			} else {
				s.sink.obey(failingByKey(rnd))
			}
			wait(with.t.Context(), rnd.between(10*time.Millisecond, 800*time.Millisecond))
			r.kill()
			spooled += len(r.last().left)
			if rnd.chance(0.2) && with.transport != httpAPI { // which loses what a dead source has not acknowledged
				s.restart()
			}
			r.start()
		}
		s.awaitReady()
		s.sink.obey(accept)
		traffic.more(50)
		traffic.stop()
		with.t.Logf("the spool held %d events at the kills", spooled)
		if with.buffer == onDisk && spooled == 0 {
			with.t.Error("the spool held nothing at any kill, which tests nothing")
		}
		s.finishWhole()
	})
}
