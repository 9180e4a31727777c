package faults

import (
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

// interruption is what EventMesh can do to its clients.
type interruption struct {
	name string
	// only is the transport that knows it, "" for all.
	only string
	do   func(*stage)
	// long says that it lasts so long that over HTTP, at the usual pace, the buffer of a client overflows that cannot poll. Then EventMesh gives
	// that client nothing more until it restarts.
	long bool
}

var interruptions = []interruption{
	{name: "restarts", do: func(s *stage) {
		s.server.Stop()
		s.replicas[0].awaitReadiness(http.StatusServiceUnavailable)
		s.restart()
	}},
	{name: "drops connections", do: func(s *stage) { s.server.DropConnections() }},
	{name: "says goodbye", only: tcp, do: func(s *stage) { s.classic.SayGoodbye() }},
	{name: "redirects", only: tcp, do: func(s *stage) {
		to, err := url.Parse(s.url)
		if err != nil {
			s.t.Fatal(err)
		}
		port, err := strconv.Atoi(to.Port())
		if err != nil {
			s.t.Fatal(err)
		}
		s.classic.Redirect(to.Hostname(), port)
	}},
	{name: "refuses subscriptions", do: func(s *stage) {
		s.server.SetFaults(eventmeshtest.Faults{RefuseSubscribe: true, RefuseHello: true})
		s.dropUntilNotReady()
		s.server.SetFaults(eventmeshtest.Faults{})
	}},
	{name: "stalls subscriptions", long: true, do: func(s *stage) {
		s.server.SetFaults(eventmeshtest.Faults{StallSubscribe: true, StallHello: true})
		s.dropUntilNotReady()
		s.server.SetFaults(eventmeshtest.Faults{})
	}},
	{name: "loses answers", do: func(s *stage) {
		s.server.SetFaults(eventmeshtest.Faults{LoseAnswers: 0.02, MixUpAcknowledgements: 0.02})
	}},
}

// dropUntilNotReady drops the connections. Over HTTP the source notices only where it polls at the moment.
func (s *stage) dropUntilNotReady() {
	s.t.Helper()
	var dropped time.Time
	eventually(s.t, func() string {
		if s.transport == httpAPI && time.Since(dropped) > time.Second || dropped.IsZero() {
			s.server.DropConnections()
			dropped = time.Now()
		}
		if got, _ := status(s.replicas[0].last().probes + "/readiness"); got != http.StatusServiceUnavailable {
			return "the source is ready"
		}
		return ""
	})
}

func TestEventMesh(t *testing.T) {
	t.Parallel()
	for _, i := range interruptions {
		t.Run(i.name, func(t *testing.T) {
			each(t, func(with setting) {
				if i.only != "" && i.only != with.transport {
					with.t.Skipf("EventMesh does so over %s alone", i.only)
				}
				with.options = eventmeshtest.Options{Storage: eventmeshtest.RocketMQ, GoodbyeTimeout: time.Second}
				s := newStage(with)
				s.replica("replica").startReady()
				events := load{publishers: 3, pace: pace}
				if i.long && with.transport == httpAPI {
					events.pace *= 10
				}
				traffic := s.load(events)
				for range 3 {
					traffic.more(100)
					i.do(s)
					s.awaitReady()
				}
				traffic.more(100)
				traffic.stop()
				s.server.SetFaults(eventmeshtest.Faults{})
				s.finishWhole()
			})
		})
	}
}

// TestEventMeshStalls lets heartbeats go unanswered: the source gives the connection up.
func TestEventMeshStalls(t *testing.T) {
	t.Parallel()
	if !long {
		t.Skip("a heartbeat is missed after half a minute: FAULTS=long")
	}
	all.play(t, func(with setting) {
		with.options = eventmeshtest.Options{Storage: eventmeshtest.RocketMQ}
		s := newStage(with)
		s.stalled = true
		s.replica("replica").startReady()
		traffic := s.publish()
		traffic.more(100)
		s.server.SetFaults(eventmeshtest.Faults{StallHeartbeats: true})
		r := s.replicas[0].last()
		eventually(t, func() string { // it may be ready again before a probe sees that it was not
			if r.Line("not connected to EventMesh") == nil {
				return "the source keeps its connection"
			}
			return ""
		})
		s.server.SetFaults(eventmeshtest.Faults{})
		s.awaitReady()
		traffic.more(100)
		traffic.stop()
		s.finishWhole()
	})
}

// TestEventMeshIsKilled runs EventMesh as a process, and kills it while the source holds events that the sink has not taken.
func TestEventMeshIsKilled(t *testing.T) {
	each(t, func(with setting) {
		const held = 40
		with.environment = []string{"EVENTMESH_MAX_IN_FLIGHT=100", "K_SINK_TIMEOUT=60"}
		s := emptyStage(with)
		s.blind = true
		mesh := newMesh(with.t, with.transport)
		s.url = mesh.url
		mesh.start()
		s.replica("replica").startReady()
		traffic := s.publish()
		traffic.more(100)
		traffic.stop()
		s.awaitTaken(s.ledger.confirmations())

		released := make(chan struct{})
		s.sink.obey(func(r request) answer {
			if r.attempt == 1 {
				<-released
				return answer{status: http.StatusServiceUnavailable}
			}
			return answer{status: http.StatusAccepted}
		})
		asked := s.sink.asks()
		s.load(load{publishers: 4, each: held / 4}).wait()
		eventually(with.t, func() string {
			if s.sink.asks() < asked+held {
				return "not all events have come to the sink"
			}
			return ""
		})
		mesh.kill()
		s.replicas[0].snapshot()
		close(released)
		mesh.start()
		s.awaitReady()

		s.sink.obey(accept)
		traffic = s.publish()
		traffic.more(100)
		mesh.kill() // in the middle of the traffic
		mesh.start()
		s.awaitReady()
		traffic.more(100)
		traffic.stop()
		after := s.load(load{publishers: 2, each: 50})
		after.wait()
		s.awaitEvents(after)
		s.finish()
	})
}
