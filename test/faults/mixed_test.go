package faults

import (
	"net/http"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

// TestMixed lets two replicas meet all faults at once, at random.
func TestMixed(t *testing.T) {
	each(t, func(with setting) {
		with.options = eventmeshtest.Options{Storage: eventmeshtest.RocketMQ, GoodbyeTimeout: time.Second}
		with.environment = []string{"K_SINK_TIMEOUT=1"}
		s := newStage(with)
		for _, name := range []string{"one", "two"} {
			s.replica(name).startReady()
		}
		traffic := s.publish()
		d := newDice(with.t)
		for end := time.Now().Add(lasting(20*time.Second, 5*time.Minute)); time.Now().Before(end); {
			s.misfortune(d)
			wait(with.t.Context(), d.between(20*time.Millisecond, 500*time.Millisecond))
		}
		s.server.SetFaults(eventmeshtest.Faults{})
		s.sink.obey(accept)
		s.awaitReady()
		traffic.more(50)
		traffic.stop()
		s.finishWhole()
	})
}

// misfortune lets one thing happen.
func (s *stage) misfortune(d *dice) {
	s.t.Helper()
	replica := s.replicas[d.n(len(s.replicas))]
	switch d.n(12) {
	case 0, 1:
		s.sink.obey(accept)
	case 2:
		s.sink.obey(refuse(http.StatusServiceUnavailable))
	case 3:
		s.sink.obey(func(request) answer { return answer{how: never} })
	case 4, 5:
		s.sink.obey(failingByKey(d))
	case 6:
		s.sink.stop()
		wait(s.t.Context(), d.between(10*time.Millisecond, 300*time.Millisecond))
		s.sink.start(s.t)
	case 7:
		s.server.DropConnections()
	case 8:
		s.restart()
	case 9:
		s.server.SetFaults([]eventmeshtest.Faults{
			{}, {}, {LoseAnswers: 0.02}, {MixUpAcknowledgements: 0.05}, {RefuseSubscribe: true}, {RefuseHello: true},
			{StallSubscribe: true}, {Refuse: "21"}, {Delay: 20 * time.Millisecond},
		}[d.n(9)])
	case 10:
		if s.buffer == inRAM && s.classic != nil { // which loses what the source has in memory
			s.classic.SayGoodbye()
			return
		}
		replica.kill()
		replica.start()
	case 11:
		if s.buffer == inRAM { // what it cannot deliver in time would be lost
			s.sink.obey(accept)
		}
		replica.terminate()
		replica.start()
	}
}
