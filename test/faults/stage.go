package faults

import (
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/releases"
)

const (
	// deadTopic is where the source may put dead letters.
	deadTopic = "dead-letters"

	grpc    = releases.GRPC
	tcp     = releases.TCP
	httpAPI = releases.HTTP

	inRAM  = "memory"
	onDisk = "spool"
)

// setting is what a scenario starts from.
type setting struct {
	t         *testing.T
	transport string
	// buffer is memory or spool.
	buffer  string
	options eventmeshtest.Options
	// patient lets EventMesh wait for acknowledgements over HTTP as long as a real one.
	patient bool
	// deadLetters gives the source a dead letter sink.
	deadLetters bool
	environment []string
}

// stage is where a scenario is played: an EventMesh, a sink, the source's replicas, publishers.
type stage struct {
	setting

	server releases.Server
	// classic is the server where that is EventMesh 1.12.
	classic *eventmeshtest.Server
	url     string
	sink    *sink
	dead    *sink
	ledger  *ledger

	replicas []*replica
	traffics int

	ordered, strict, stalled, blind bool
	// restarted says that the server has lost what it had in its memory.
	restarted bool
}

// variants are the ways to play a scenario: over a transport, with a buffer.
type variants [][2]string

var (
	// all are all the ways there are.
	all = variants{{grpc, inRAM}, {grpc, onDisk}, {tcp, inRAM}, {tcp, onDisk}, {httpAPI, inRAM}, {httpAPI, onDisk}}
	// spools are those with a spool.
	spools = variants{{grpc, onDisk}, {tcp, onDisk}, {httpAPI, onDisk}}
	// keeping are those in which a source may be killed: over HTTP EventMesh delivers again what is lost with its memory.
	keeping = append(spools[:len(spools):len(spools)], [2]string{httpAPI, inRAM})
	// some have each transport once.
	some = variants{{grpc, onDisk}, {tcp, inRAM}, {httpAPI, inRAM}}
)

// each plays a scenario in all ways, at once.
func each(t *testing.T, play func(setting)) {
	t.Helper()
	t.Parallel()
	all.play(t, play)
}

// eachSpooled plays a scenario over all transports, with a spool.
func eachSpooled(t *testing.T, play func(setting)) {
	t.Helper()
	t.Parallel()
	spools.play(t, play)
}

// eachOnce plays a scenario that is one of many alike: in the short form not in all ways.
func eachOnce(t *testing.T, play func(setting)) {
	t.Helper()
	t.Parallel()
	lasting(some, all).play(t, play)
}

func (v variants) play(t *testing.T, play func(setting)) {
	t.Helper()
	for _, variant := range v {
		t.Run(variant[0]+"/"+variant[1], func(t *testing.T) {
			t.Parallel()
			play(setting{t: t, transport: variant[0], buffer: variant[1]})
		})
	}
}

// newStage starts an EventMesh and a sink.
func newStage(with setting) *stage {
	with.t.Helper()
	s := emptyStage(with)
	log := &recent{}
	if with.buffer == onDisk {
		with.options.AcknowledgeAfter = -1 // or what a slow machine has not acknowledged in time is lost with a kill
	}
	with.options.RecordDeliveries, with.options.Logf = true, log.add
	with.options.GRPCAddress, with.options.TCPAddress = loopback+":0", loopback+":0"
	with.t.Cleanup(func() {
		if with.t.Failed() {
			with.t.Logf("end of the log of EventMesh:\n%s", log)
		}
	})
	s.startServer(with)
	s.url = s.server.URL()
	return s
}

// emptyStage starts all but an EventMesh.
func emptyStage(with setting) *stage {
	with.t.Helper()
	steps := &atomic.Int64{}
	s := &stage{setting: with, sink: newSink(with.t, steps), ledger: newLedger()}
	if with.deadLetters {
		s.dead = newSink(with.t, steps)
		s.dead.keep = true
	}
	return s
}

// replica adds a replica, whose process has to be started.
func (s *stage) replica(name string) *replica {
	r := &replica{t: s.t, name: name, environment: slices.Concat([]string{
		"EVENTMESH_URL=" + s.url, "EVENTMESH_TOPICS=" + topic, "EVENTMESH_GROUP=source", "K_SINK=" + s.sink.url, "K_SINK_TIMEOUT=5",
		"EVENTMESH_BACKOFF_MIN=5ms", "EVENTMESH_BACKOFF_MAX=250ms",
	}, s.environment)}
	if s.dead != nil {
		r.environment = append(r.environment, "EVENTMESH_DEAD_LETTER_SINK="+s.dead.url)
	}
	if s.buffer == inRAM { // has to be delivered before the end, however slow the machine is
		r.environment = append(r.environment, "EVENTMESH_DRAIN_TIMEOUT=80s")
	}
	if s.buffer == onDisk {
		r.spool = filepath.Join(s.t.TempDir(), "spool")
	}
	s.replicas = append(s.replicas, r)
	return r
}

// publish starts three publishers, at the usual pace, until they are stopped.
func (s *stage) publish() *traffic {
	s.t.Helper()
	return s.load(load{publishers: 3, pace: pace})
}

func (s *stage) load(with load) *traffic {
	s.t.Helper()
	s.traffics++
	with.url = s.url
	return newTraffic(s.t, s.ledger, fmt.Sprintf("%c", 'a'+s.traffics-1), with)
}

// awaitSubscribers waits until EventMesh has so many.
func (s *stage) awaitSubscribers(n int) {
	s.t.Helper()
	eventually(s.t, func() string {
		if got := s.server.Subscribers(topic); got != n {
			return fmt.Sprintf("%d subscribers, want %d", got, n)
		}
		return ""
	})
}

// awaitAsked waits until the sink has had so many more requests.
func (s *stage) awaitAsked(n int) {
	s.t.Helper()
	want := s.sink.asks() + n
	eventually(s.t, func() string {
		if got := s.sink.asks(); got < want {
			return fmt.Sprintf("%d requests, want %d", got, want)
		}
		return ""
	})
}

// awaitTaken waits until the sink has taken so many events.
func (s *stage) awaitTaken(n int) {
	s.t.Helper()
	eventually(s.t, func() string {
		if got := s.sink.taken(); got < n {
			return fmt.Sprintf("%d events taken, want %d", got, n)
		}
		return ""
	})
}

// awaitEvents waits until the sink has taken everything that was confirmed to these publishers.
func (s *stage) awaitEvents(of *traffic) {
	s.t.Helper()
	eventually(s.t, func() string {
		for id, p := range s.ledger.snapshot() {
			if p.confirmed && strings.HasPrefix(id, of.prefix) && !s.sink.has(id) {
				return "event " + id + " is missing"
			}
		}
		return ""
	})
}

func (s *stage) deliveries() []eventmeshtest.Delivery {
	if s.blind {
		return nil
	}
	return s.server.Deliveries()
}

func (s *stage) account() *account {
	e := &evidence{
		published: s.ledger.snapshot(), deliveries: s.deliveries(), runs: map[string]*sourceRun{}, spooled: map[string]bool{},
		buried: map[string]bool{}, sinks: []*sink{s.sink}, ordered: s.ordered, strict: s.strict, stalled: s.stalled, blind: s.blind,
	}
	if s.dead != nil {
		e.sinks = append(e.sinks, s.dead)
	}
	if !s.blind {
		e.sinks = append(e.sinks, s.deadLetterTopic())
		for _, moved := range s.server.Published(topic + "_DLQ") {
			e.buried[moved.GetId()] = true
		}
	}
	for _, r := range s.replicas {
		for _, run := range r.runs {
			e.runs[run.user] = run
		}
		if len(r.runs) > 0 && !r.last().running() {
			maps.Copy(e.spooled, r.last().left)
		}
	}
	return e.account()
}

// deadLetterTopic is the topic of dead letters as if it were a sink: what EventMesh has stored there is at rest. When, it
// does not tell.
func (s *stage) deadLetterTopic() *sink {
	published := s.server.Published(deadTopic)
	rest := &sink{takes: make(map[string][]take, len(published))}
	for _, e := range published {
		rest.takes[e.GetId()] = append(rest.takes[e.GetId()], take{unanswered: true})
	}
	return rest
}

// settle waits until the source has brought everything it holds to the sink, and over HTTP EventMesh everything to the source, for as long as
// it goes on.
func (s *stage) settle() {
	s.t.Helper()
	left, since := -1, time.Now()
	for {
		began := time.Now()
		missing, pending := s.account().lostBySource, s.pending()
		took := time.Since(began) // which grows with the events: most of the time is the source's
		switch now := len(missing) + pending; {
		case now == 0:
			return
		case now != left:
			left, since = now, time.Now()
		case time.Since(since) > patience:
			missing = missing[:min(len(missing), 1)]
			s.explain(missing)
			s.t.Fatalf("for %s now %d events are not where they should be, and EventMesh delivers %d of them, or again; at the source is %v",
				patience, left, pending, missing)
		}
		wait(s.t.Context(), max(4*took, 20*time.Millisecond))
	}
}

// pending counts the events that EventMesh delivers yet by itself.
func (s *stage) pending() int {
	if s.blind {
		return 0
	}
	return s.server.Pending(topic)
}

// release restarts EventMesh, which makes RocketMQ storage deliver what it holds back, and waits until everything that was
// confirmed has come to rest, but for what EventMesh may lose.
func (s *stage) release() {
	s.t.Helper()
	s.settle() // or the restart cuts off what is under way
	s.server.MustRestart(s.t, true)
	eventually(s.t, func() string {
		a := s.account()
		if s.tooMuchLost(a) || len(a.lostBySource) > 0 {
			return fmt.Sprintf("confirmed events are not at the sink: %v, and %d that the source should have", a.lostByEventMesh, len(a.lostBySource))
		}
		return ""
	})
}

func (s *stage) restart() {
	s.t.Helper()
	s.restarted = true
	s.server.MustRestart(s.t, true)
}

// tooMuchLost tells whether EventMesh has lost what it need not. Over TCP it loses nothing as long as the source acknowledges
// in time, nor over HTTP as long as it lives, but for what a subscription costs that ends. Over gRPC it loses what it wrote to streams that
// nobody read, or not to the end.
func (s *stage) tooMuchLost(a *account) bool {
	var may []string
	switch {
	case s.transport == grpc:
		may = []string{deadStream, endedStream, brokenStream, inCut, inKilled, inMemory, inGivenUp}
	case s.transport == httpAPI && s.restarted:
		may = []string{dispatched, inServer, notKept, unacknowledged}
	case s.transport == httpAPI:
		may = []string{dispatched}
	}
	for reason := range a.lostByEventMesh {
		if !slices.Contains(may, reason) {
			return true
		}
	}
	return false
}

// finishWhole ends a scenario in which EventMesh was interrupted, or the source.
func (s *stage) finishWhole() {
	s.t.Helper()
	s.release()
	s.wantOnlyUnreadLost(s.finish())
}

// finish waits for the rest, ends the replicas, and closes the account.
func (s *stage) finish() *account {
	s.t.Helper()
	s.settle()
	for _, r := range s.replicas {
		if r.last().running() {
			r.terminate()
		}
	}
	return s.close()
}

// close checks the account, and puts it into the table. No process runs any more.
func (s *stage) close() *account {
	s.t.Helper()
	a := s.account()
	report(s.setting, a)
	if n := len(a.lostBySource); n > 0 {
		s.t.Errorf("%d events were lost by the source, such as %s", n, strings.Join(a.lostBySource[:min(n, 20)], ", "))
		s.explain(a.lostBySource[:min(n, 3)])
	}
	if a.stale > 0 {
		s.t.Errorf("%d events are in the spool though the source has ended in order, and knew that they had been taken", a.stale)
	}
	if n := a.duplicates[forNoReason]; n > 0 {
		s.t.Errorf("%d events came more than once for no reason", n)
	}
	if n := len(a.disorder); n > 0 {
		s.t.Errorf("%d events came out of order: %s", n, strings.Join(a.disorder[:min(n, 10)], "; "))
	}
	return a
}

// wantNoneLostBySource checks the account in the middle of a scenario. No process runs.
func (s *stage) wantNoneLostBySource() {
	s.t.Helper()
	if lost := s.account().lostBySource; len(lost) > 0 {
		s.t.Errorf("%d events are nowhere that the source had when it ended, such as %s", len(lost), lost[0])
		s.explain(lost[:1])
	}
}

// explain prints what is known of events.
func (s *stage) explain(ids []string) {
	for _, d := range s.deliveries() {
		if slices.Contains(ids, d.ID) {
			s.t.Logf("%+v", d)
		}
	}
}

// wantNothingLost fails unless every confirmed event has come to rest, but for what a subscription costs that ends too late.
func (s *stage) wantNothingLost(a *account) {
	s.t.Helper()
	if a.lost() > a.lostByEventMesh[dispatched] {
		s.t.Errorf("EventMesh has lost %v, want nothing", a.lostByEventMesh)
	}
}

// wantOnlyUnreadLost fails when EventMesh has lost what it need not.
func (s *stage) wantOnlyUnreadLost(a *account) {
	s.t.Helper()
	if s.tooMuchLost(a) {
		s.t.Errorf("EventMesh has lost %v, want at most what it wrote to gRPC streams that nobody read, and over HTTP what a restart ended", a.lostByEventMesh)
	}
}

func (s *stage) awaitReady() {
	s.t.Helper()
	for _, r := range s.replicas {
		r.awaitReadiness(http.StatusOK)
	}
}

// recent keeps the last lines of a log.
type recent struct {
	mu    sync.Mutex
	lines []string
}

func (l *recent) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lines = append(l.lines, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...)); len(l.lines) > 40 {
		l.lines = l.lines[20:]
	}
}

func (l *recent) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}
