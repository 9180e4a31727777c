package faults

import (
	"net/http"
	"testing"
	"time"
)

// sinkFaults are what a sink can do to its sender, for a while.
func sinkFaults(d *dice) map[string]rule {
	return map[string]rule{
		"stalls": func(request) answer { return answer{how: never} },
		"breaks off answers": func(request) answer {
			a := answer{status: http.StatusAccepted}
			switch {
			case d.chance(0.4):
				a.how = brokenBefore
			case d.chance(0.5):
				a.how = brokenAfter
			}
			return a
		},
		"is slow":     func(request) answer { return answer{status: http.StatusAccepted, delay: 200 * time.Millisecond} },
		"answers 500": refuse(http.StatusInternalServerError),
		"answers 404": refuse(http.StatusNotFound),
		"answers 429": func(request) answer { return answer{status: http.StatusTooManyRequests, retryAfter: "1"} },
		"answers 503": func(request) answer { return answer{status: http.StatusServiceUnavailable, retryAfter: "1"} },
		"answers 400": refuse(http.StatusBadRequest),
		"answers 302": refuse(http.StatusFound),
		"fails at times": func(request) answer {
			if d.chance(0.5) {
				return answer{status: http.StatusBadGateway}
			}
			return answer{status: http.StatusAccepted}
		},
	}
}

func TestSink(t *testing.T) {
	t.Parallel()
	for name := range sinkFaults(newDice(t)) {
		t.Run(name, func(t *testing.T) {
			eachOnce(t, func(with setting) {
				with.environment = []string{"K_SINK_TIMEOUT=1", "EVENTMESH_BACKOFF_MAX=1s"}
				s := newStage(with)
				s.replica("replica").startReady()
				traffic := s.publish()
				traffic.more(50)
				s.sink.obey(sinkFaults(newDice(with.t))[name])
				s.awaitAsked(3)
				traffic.more(150)
				s.sink.obey(accept)
				traffic.more(50)
				traffic.stop()
				s.wantNothingLost(s.finish())
			})
		})
	}
}

func TestSinkRefusesConnections(t *testing.T) {
	each(t, func(with setting) {
		s := newStage(with)
		s.replica("replica").startReady()
		traffic := s.publish()
		traffic.more(100)
		s.sink.stop()
		traffic.more(300)
		s.sink.start(with.t)
		traffic.more(100)
		traffic.stop()
		s.wantNothingLost(s.finish())
	})
}

// TestSinkIsAway lets events come for a while that the sink does not take. Only probes may go out.
func TestSinkIsAway(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string]answer{
		"answers 503": {status: http.StatusServiceUnavailable},
		"answers 502": {status: http.StatusBadGateway},
		"stalls":      {how: never},
	} {
		t.Run(name, func(t *testing.T) {
			eachOnce(t, func(with setting) {
				const inFlight, ceiling = 16, time.Second
				with.patient = long
				with.environment = []string{"EVENTMESH_BACKOFF_MIN=50ms", "EVENTMESH_BACKOFF_MAX=1s", "K_SINK_TIMEOUT=1"}
				s := newStage(with)
				s.replica("replica").startReady()
				traffic := s.publish()
				traffic.more(100)
				s.sink.obey(func(request) answer { return refusal })
				asked, confirmed := s.sink.asks(), traffic.confirmed.Load()
				began := time.Now()
				away := lasting(3*time.Second, 3*time.Minute)
				if with.transport == httpAPI { // which moves to its dead letters what waits for three minutes
					away = min(away, 2*time.Minute)
				}
				wait(with.t.Context(), away)
				away = time.Since(began)
				asked, confirmed = s.sink.asks()-asked, traffic.confirmed.Load()-confirmed
				s.sink.obey(accept)
				traffic.more(100)
				traffic.stop()
				s.wantNothingLost(s.finish())
				with.t.Logf("the sink was asked %d times while %d events came", asked, confirmed)
				// What was under way, the first attempts, whose waits are short, and then on average two in the largest wait.
				if most := inFlight + 20 + int(6*away/ceiling); asked > most {
					with.t.Errorf("the sink was asked %d times in %v, want at most %d", asked, away, most)
				}
			})
		})
	}
}
