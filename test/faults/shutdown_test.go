package faults

import (
	"net/http"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

// TestShutdown terminates the source while events come faster than the sink takes them.
func TestShutdown(t *testing.T) {
	each(t, func(t *testing.T, with setting) {
		with.options = eventmeshtest.Options{Storage: eventmeshtest.RocketMQ}
		with.environment = []string{"EVENTMESH_MAX_IN_FLIGHT=4"}
		s := newStage(t, with)
		r := s.replica("replica")
		r.startReady()
		s.sink.obey(func(request) answer { return answer{status: http.StatusAccepted, delay: 20 * time.Millisecond} })
		traffic := s.publish()
		for range 2 {
			traffic.more(300)
			r.terminate()
			if a := s.account(); len(a.lostBySource) > 0 {
				t.Errorf("%d events were lost at the shutdown, such as %s", len(a.lostBySource), a.lostBySource[0])
				s.explain(a.lostBySource[:1])
			}
			r.startReady()
		}
		s.sink.obey(accept)
		traffic.more(100)
		traffic.stop()
		s.release()
		s.wantNothingLost(s.finish())
	})
}
