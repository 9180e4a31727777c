package faults

import (
	"net/http"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

// TestBacklog lets a million events of 1 KB come while the sink is away. They are on disk, and not in memory.
func TestBacklog(t *testing.T) {
	if !long {
		t.Skip("a million events take minutes: FAULTS=long")
	}
	const (
		publishers, each = 16, 1_000_000 / 16
		// mostMemory is what the source may have of its own, in KiB, however many events it keeps.
		mostMemory = 256 << 10
	)
	s := newStage(setting{t: t, transport: grpc, buffer: onDisk, options: eventmeshtest.Options{RateLimit: -1}, environment: []string{
		"EVENTMESH_BUFFER_EVENTS=2000000", "EVENTMESH_BUFFER_BYTES=4294967296", "EVENTMESH_MAX_IN_FLIGHT=64",
	}})
	r := s.replica("replica")
	r.startReady()
	s.sink.obey(refuse(http.StatusServiceUnavailable))
	stop := watchMemory(t, r.last().Program)
	began := time.Now()
	s.load(load{publishers: publishers, each: each, data: 1000}).wait()
	t.Logf("%d events were published in %v", publishers*each, time.Since(began).Round(time.Second))
	s.logSpool(r)
	s.sink.obey(accept)
	began = time.Now()
	s.awaitProgress(publishers * each)
	t.Logf("the sink has taken them in %v", time.Since(began).Round(time.Second))
	m := stop()
	s.logSpool(r)
	t.Logf("the source had %d MiB of memory of its own at most, and with the pages of its spool %d MiB", m.anonymous>>10, m.peak>>10)
	if m.anonymous > mostMemory {
		t.Errorf("the source had %d KiB of memory of its own, want at most %d", m.anonymous, mostMemory)
	}
	s.wantNothingLost(s.finish())
}

func (s *stage) logSpool(r *replica) {
	s.t.Helper()
	s.t.Logf("the spool has %d MiB", spoolSize(s.t, r.spool)>>20)
}

// awaitProgress waits until the sink has taken so many events, for as long as it goes on.
func (s *stage) awaitProgress(n int) {
	s.t.Helper()
	for taken := s.sink.taken(); taken < n; taken = s.sink.taken() {
		eventually(s.t, func() string {
			if s.sink.taken() == taken {
				return "the sink gets nothing more"
			}
			return ""
		})
	}
}
