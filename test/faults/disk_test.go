package faults

import (
	"net/http"
	"path/filepath"
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

// onDiskOf starts a source whose spool is on a small disk.
func onDiskOf(d *disk, with setting) (*stage, *replica) {
	with.t.Helper()
	with.options = eventmeshtest.Options{Storage: eventmeshtest.RocketMQ}
	s := newStage(with)
	r := s.replica("replica")
	r.spool = filepath.Join(d.path, "spool")
	return s, r
}

// acknowledgements counts what the source has acknowledged.
func (s *stage) acknowledgements() int {
	n := 0
	for _, d := range s.server.Deliveries() {
		if d.Acknowledged == eventmeshtest.ByClient {
			n++
		}
	}
	return n
}

// wantAcknowledgedKept fails unless everything that the source has acknowledged is in its spool, or at the sink.
func (s *stage) wantAcknowledgedKept() {
	s.t.Helper()
	deliveries := s.server.Deliveries()
	s.replicas[0].snapshot()
	for _, d := range deliveries {
		if d.Acknowledged == eventmeshtest.ByClient && !s.replicas[0].last().held[d.ID] && !s.sink.has(d.ID) {
			s.t.Errorf("event %s was acknowledged, and is neither in the spool nor at the sink", d.ID)
		}
	}
}

// awaitFullDisk waits until the source says that it cannot write, and checks that it acknowledges nothing then.
func (s *stage) awaitFullDisk(traffic *traffic) {
	s.t.Helper()
	s.replicas[0].awaitReadiness(http.StatusServiceUnavailable)
	traffic.more(20) // meanwhile acknowledgements of before arrive
	before := s.acknowledgements()
	traffic.more(50)
	if now := s.acknowledgements(); now != before {
		s.t.Errorf("%d events were acknowledged while the disk was full", now-before)
	}
	s.wantAcknowledgedKept()
	if got, says := status(s.replicas[0].last().probes + "/readiness"); got != http.StatusServiceUnavailable {
		s.t.Errorf("readiness is %d while the disk is full: %s", got, says)
	}
	if got, says := status(s.replicas[0].last().probes + "/health"); got != http.StatusOK {
		s.t.Errorf("health is %d while the disk is full: %s", got, says)
	}
}

// finishFull closes the account of a scenario with a full disk.
func (s *stage) finishFull(traffic *traffic) {
	s.t.Helper()
	traffic.more(50)
	traffic.stop()
	s.finishWhole()
}

// awaitEmptied waits until everything that is in the spool is at the sink too.
func (s *stage) awaitEmptied(r *replica) {
	s.t.Helper()
	r.snapshot()
	eventually(s.t, func() string {
		for id := range r.last().held {
			if !s.sink.has(id) {
				return "event " + id + " is in the spool, and not at the sink"
			}
		}
		return ""
	})
}

// TestDiskFull fills the disk while the sink takes nothing, and makes room again.
func TestDiskFull(t *testing.T) {
	eachSpooled(t, func(with setting) {
		d := newDisk(with.t, 4<<10)
		s, r := onDiskOf(d, with)
		r.startReady()
		traffic := s.publish()
		traffic.more(50)
		for range 2 {
			s.sink.obey(refuse(http.StatusServiceUnavailable))
			d.fill()
			s.awaitFullDisk(traffic)
			d.clear()
			s.awaitReady()
			traffic.more(50)
			s.sink.obey(accept)
			traffic.more(50)
		}
		s.finishFull(traffic)
	})
}

// TestDiskFullOfTheSpool lets the spool itself fill its disk. Nobody makes room: that the sink takes events again has to do.
func TestDiskFullOfTheSpool(t *testing.T) {
	eachSpooled(t, func(with setting) {
		d := newDisk(with.t, 512)
		s, r := onDiskOf(d, with)
		r.startReady()
		s.sink.obey(refuse(http.StatusServiceUnavailable))
		traffic := s.load(load{publishers: 3, pace: pace, data: 800})
		s.awaitFullDisk(traffic)
		s.sink.obey(accept)
		s.awaitReady()
		s.finishFull(traffic)
	})
}

// TestDiskFullAndKilled kills the source while the disk is full, and starts it again before there is room.
func TestDiskFullAndKilled(t *testing.T) {
	eachSpooled(t, func(with setting) {
		d := newDisk(with.t, 4<<10)
		s, r := onDiskOf(d, with)
		r.startReady()
		traffic := s.publish()
		traffic.more(50)
		s.sink.obey(refuse(http.StatusServiceUnavailable))
		traffic.more(50)
		d.fill()
		s.awaitFullDisk(traffic)
		r.kill()
		r.start()
		traffic.more(50)
		d.clear()
		s.sink.obey(accept)
		s.awaitReady()
		s.finishFull(traffic)
	})
}

// TestDiskFullAndTerminated terminates the source while the disk is full. What it has received and could not write, it
// delivers before it ends.
func TestDiskFullAndTerminated(t *testing.T) {
	eachSpooled(t, func(with setting) {
		d := newDisk(with.t, 4<<10)
		s, r := onDiskOf(d, with)
		r.startReady()
		traffic := s.publish()
		traffic.more(50)
		s.sink.obey(refuse(http.StatusServiceUnavailable))
		d.fill()
		s.awaitFullDisk(traffic)
		s.sink.obey(accept)
		s.awaitEmptied(r) // nothing is left to deliver but what the disk does not take
		r.terminate()
		s.wantNoneLostBySource()
		d.clear()
		r.startReady()
		s.finishFull(traffic)
	})
}

// TestDiskThatCannotBeWritten starts the source on a disk that is full, and on one that is read-only, with events in its
// spool.
func TestDiskThatCannotBeWritten(t *testing.T) {
	eachSpooled(t, func(with setting) {
		d := newDisk(with.t, 4<<10)
		s, r := onDiskOf(d, with)
		d.fill()
		r.start()
		r.awaitReadiness(http.StatusServiceUnavailable)
		if n := s.server.Subscribers(topic); n != 0 {
			with.t.Errorf("%d subscribers, want none that cannot keep anything", n)
		}
		d.clear()
		s.awaitReady()
		s.sink.obey(refuse(http.StatusServiceUnavailable))
		traffic := s.publish()
		traffic.more(50)
		r.terminate()
		if len(r.last().left) == 0 {
			with.t.Error("the spool is empty, which tests nothing")
		}
		d.protect(true)
		r.start()
		r.awaitReadiness(http.StatusServiceUnavailable)
		if n := s.server.Subscribers(topic); n != 0 {
			with.t.Errorf("%d subscribers, want none that cannot keep anything", n)
		}
		s.sink.obey(accept)
		d.protect(false)
		s.awaitReady()
		s.finishFull(traffic)
	})
}
