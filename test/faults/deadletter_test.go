package faults

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

// bad tells the events that the sink never takes: one in five.
func bad(id string) bool { return strings.HasSuffix(id, "0") || strings.HasSuffix(id, "5") }

// TestDeadLetters lets the sink refuse some events for good, and the dead letter sink everything for a while.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string]answer{
		"after 400": {status: http.StatusBadRequest, body: "no such order"},
		"after 500": {status: http.StatusInternalServerError, body: "no such order"},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(with setting) {
				with.deadLetters = true
				with.environment = []string{"EVENTMESH_RETRIES=3"}
				s := newStage(with)
				s.replica("replica").startReady()
				s.sink.obey(func(r request) answer {
					if bad(r.id) {
						return refusal
					}
					return answer{status: http.StatusAccepted}
				})
				s.dead.obey(func(r request) answer {
					if r.attempt%2 == 1 {
						return answer{status: http.StatusServiceUnavailable}
					}
					return answer{status: http.StatusAccepted}
				})
				traffic := s.publish()
				traffic.more(100)
				s.dead.stop()
				traffic.more(200)
				s.dead.start(with.t)
				traffic.more(100)
				traffic.stop()
				s.wantNothingLost(s.finish())
				s.wantDeadLetters(refusal)
			})
		})
	}
}

// wantDeadLetters checks that exactly the bad events have become dead letters, and what those say.
func (s *stage) wantDeadLetters(refusal answer) {
	s.t.Helper()
	for id := range s.ledger.snapshot() {
		if bad(id) && s.sink.has(id) || !bad(id) && s.dead.has(id) {
			s.t.Errorf("event %s is in the wrong place", id)
		}
	}
	for _, e := range s.dead.letters() {
		data, err := base64.StdEncoding.DecodeString(extension(e, "knativeerrordata"))
		if err != nil {
			s.t.Errorf("event %s: knativeerrordata: %v", e.ID(), err)
		}
		if dest, code := extension(e, "knativeerrordest"), extension(e, "knativeerrorcode"); dest != s.sink.url ||
			code != strconv.Itoa(refusal.status) || string(data) != refusal.body {
			s.t.Errorf("event %s: got %s, %s, %q, want %s, %d, %q", e.ID(), dest, code, data, s.sink.url, refusal.status, refusal.body)
		}
	}
}

func extension(e event.Event, name string) string {
	value, _ := e.Extensions()[name].(string)
	return value
}

// TestDeadLetterTopic gives what the sink refuses back to EventMesh, which restarts in the middle of it.
func TestDeadLetterTopic(t *testing.T) {
	each(t, func(with setting) {
		with.options = eventmeshtest.Options{Storage: eventmeshtest.RocketMQ}
		with.environment = []string{"EVENTMESH_DEAD_LETTER_TOPIC=" + deadTopic}
		s := newStage(with)
		s.replica("replica").startReady()
		s.sink.obey(func(r request) answer {
			if bad(r.id) {
				return answer{status: http.StatusBadRequest}
			}
			return answer{status: http.StatusAccepted}
		})
		traffic := s.publish()
		traffic.more(200)
		s.server.Stop()
		s.replicas[0].awaitReadiness(http.StatusServiceUnavailable)
		s.restart()
		s.awaitReady()
		traffic.more(100)
		traffic.stop()
		s.finishWhole()
	})
}
