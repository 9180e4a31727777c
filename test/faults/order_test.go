package faults

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

// TestOrder lets the sink fail at random, for some keys more than for others, and ends the source again and again. With one
// subscriber, the source receives events in the order in which EventMesh hands them out.
func TestOrder(t *testing.T) {
	t.Parallel()
	for _, ordering := range []string{"key", "strict"} {
		t.Run(ordering, func(t *testing.T) {
			each(t, func(with setting) {
				with.options = eventmeshtest.Options{Storage: eventmeshtest.RocketMQ}
				with.environment = []string{"EVENTMESH_ORDERING=" + ordering}
				s := newStage(with)
				s.ordered, s.strict = ordering == "key", ordering == "strict"
				r := s.replica("replica")
				r.startReady()
				s.sink.obey(failingByKey(newDice(with.t)))
				traffic := s.load(load{publishers: 3, pace: 10 * pace}) // one after the other takes its time
				for round := range lasting(2, 20) {
					traffic.more(60)
					if with.buffer == onDisk && round%2 == 0 {
						r.kill()
					} else {
						r.terminate()
					}
					r.startReady()
				}
				traffic.more(60)
				traffic.stop()
				s.sink.obey(accept)
				s.finishWhole()
			})
		})
	}
}

// failingByKey fails half of the requests of every second key, in all the ways there are, and few of the others.
func failingByKey(d *dice) rule {
	var mu sync.Mutex
	weak := map[string]bool{}
	return func(r request) answer {
		mu.Lock()
		defer mu.Unlock()
		if _, known := weak[r.key]; !known {
			weak[r.key] = len(weak)%2 == 0
		}
		share := 0.02
		if weak[r.key] {
			share = 0.5
		}
		a := answer{status: http.StatusAccepted, delay: time.Duration(d.n(3)) * time.Millisecond}
		if d.chance(share) {
			return fail(d, a)
		}
		return a
	}
}

// fail picks a failure.
func fail(d *dice, a answer) answer {
	switch d.n(6) {
	case 0:
		a.how = brokenBefore
	case 1:
		a.how = brokenAfter
	case 2:
		a.status, a.retryAfter = http.StatusTooManyRequests, "0"
	case 3:
		a.status = http.StatusNotFound
	default:
		a.status = http.StatusServiceUnavailable
	}
	return a
}
