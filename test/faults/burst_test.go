package faults

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	// mostWait is how long an event may take past others that the sink does not take: 99 in 100.
	mostWait = 2 * time.Second
	// mostRequests is how often the sink may be asked in a second for events that it does not take.
	mostRequests = 20
)

// defaults are the source's settings for repeats, against those of a stage.
var defaults = []string{"EVENTMESH_BACKOFF_MIN=", "EVENTMESH_BACKOFF_MAX=", "K_SINK_TIMEOUT="}

// bursting are the variants in which a burst delays no others. In memory over HTTP EventMesh is asked for no more while much is not
// acknowledged: it would move it to its dead letters.
var bursting = variants{{grpc, onDisk}, {tcp, inRAM}, {httpAPI, onDisk}}

// TestBurstDelaysNoOthers lets the sink refuse a burst of events. Those after it have to come in time, and the sink must not be flooded
// with repeats. When it takes the burst too, all of it has to come.
func TestBurstDelaysNoOthers(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusBadRequest, http.StatusNotFound, http.StatusInternalServerError} {
		for _, burst := range lasting([]int{40, 1000}, []int{5, 40, 1000, 9000}) {
			t.Run(fmt.Sprintf("%d/%d", status, burst), func(t *testing.T) {
				t.Parallel()
				bursting.play(t, func(with setting) {
					with.environment = defaults
					s := newStage(with)
					s.replica("replica").startReady()
					s.refuseBurst(status, burst)

					const good, pace = 100, 200 * time.Millisecond
					asked, began := s.sink.asks(), time.Now()
					lag := watchLag(with.t)
					others := s.load(load{publishers: 1, each: good, pace: pace})
					others.wait()
					s.awaitEvents(others)
					took := time.Since(began)
					if repeats := s.sink.asks() - asked - good; float64(repeats) > mostRequests*took.Seconds()+mostRequests {
						with.t.Errorf("the sink was asked %d times in %s for events that it does not take, want at most %d a second", repeats, took, mostRequests)
					}
					got := s.percentile(others, 99)
					with.t.Logf("99 in 100 of the others arrived within %s", got)
					if most := mostWait + lag(); got > most {
						with.t.Errorf("99 in 100 of the others arrived within %s, want at most %s", got, most)
					}
					s.sink.obey(accept)
					s.wantNothingLost(s.finish())
				})
			})
		}
	}
}

// TestBurstBecomesDeadLetters lets many events fail at once: each has its own retries.
func TestBurstBecomesDeadLetters(t *testing.T) {
	t.Parallel()
	bursting.play(t, func(with setting) {
		const retries = 2
		burst := lasting(1000, 9000)
		with.environment = append([]string{fmt.Sprintf("EVENTMESH_RETRIES=%d", retries)}, defaults...)
		with.deadLetters = true
		s := newStage(with)
		s.replica("replica").startReady()
		s.refuseBurst(http.StatusInternalServerError, burst)
		for left := burst; left > 0; left = burst - s.dead.taken() { // as long as it goes on
			before := s.dead.taken()
			eventually(with.t, func() string {
				if s.dead.taken() == before && before < burst {
					return fmt.Sprintf("no dead letter after the %d that there are of %d", before, burst)
				}
				return ""
			})
		}
		if got := s.sink.asks(); got < burst*(retries+1) {
			with.t.Errorf("the sink was asked %d times for %d events, want %d times for each", got, burst, retries+1)
		}
		s.wantNothingLost(s.finish())
	})
}

// refuseBurst publishes events of which the sink takes none, and waits until it was asked for each.
func (s *stage) refuseBurst(status, events int) {
	s.t.Helper()
	const publishers = 5
	s.sink.obey(refuse(status))
	burst := s.load(load{publishers: publishers, each: events / publishers})
	s.sink.obey(func(r request) answer {
		if strings.HasPrefix(r.id, burst.prefix) {
			return answer{status: status}
		}
		return answer{status: http.StatusAccepted}
	})
	burst.wait()
	eventually(s.t, func() string {
		if got := s.sink.asks(); got < events {
			return fmt.Sprintf("%d requests, want %d", got, events)
		}
		return ""
	})
}

// percentile is how long so many in a hundred of the events took from their publisher to the sink.
func (s *stage) percentile(of *traffic, percent int) time.Duration {
	s.t.Helper()
	var waits []time.Duration
	for id, p := range s.ledger.snapshot() {
		if strings.HasPrefix(id, of.prefix) {
			waits = append(waits, s.sink.firstTaken(id).Sub(p.began))
		}
	}
	slices.Sort(waits)
	return waits[(len(waits)-1)*percent/100]
}

// watchLag measures how late a busy machine is with what needs no time, until the returned function is called.
func watchLag(t *testing.T) (most func() time.Duration) {
	t.Helper()
	const every = 100 * time.Millisecond
	ended, longest := make(chan struct{}), make(chan time.Duration, 1)
	go func() {
		var lag time.Duration
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for last := time.Now(); ; last = time.Now() {
			select {
			case <-ticker.C:
				lag = max(lag, time.Since(last)-every)
			case <-ended:
				longest <- lag
				return
			}
		}
	}()
	t.Cleanup(func() { close(ended) })
	return func() time.Duration {
		ended <- struct{}{}
		return <-longest
	}
}
