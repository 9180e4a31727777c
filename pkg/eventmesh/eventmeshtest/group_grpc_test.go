package eventmeshtest_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

// logged collects what a server says.
type logged struct {
	mu    sync.Mutex
	lines []string
}

func (l *logged) logf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func (l *logged) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, line := range l.lines {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

func as(pid string, e *eventmeshpb.CloudEvent) *eventmeshpb.CloudEvent { return set(e, "pid", pid) }

func (s *rawStream) drain(n int) (ids map[string]bool) {
	s.t.Helper()
	ids = map[string]bool{}
	for range n {
		ids[s.next().event.GetId()] = true
	}
	return ids
}

// published publishes n events with the IDs 0 to n-1.
func (c *grpcClient) published(topic string, n int) {
	c.t.Helper()
	for i := range n {
		c.mustPublish(publication(topic, fmt.Sprint(i)))
	}
}

func TestClusteringSharesAndBroadcastingCopies(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	c := dialGRPC(t, s)
	const n = 100
	mode := func(mode, pid string) *eventmeshpb.CloudEvent {
		return as(pid, withData(subscriptionTo(mode), fmt.Sprintf(`[{"topic":%q,"mode":%q,"type":"ASYNC"}]`, mode, mode)))
	}
	a, b := c.mustOpen(mode("CLUSTERING", "1")), c.mustOpen(mode("CLUSTERING", "2"))
	c.published("CLUSTERING", n)
	eventually(t, func() (string, bool) {
		return fmt.Sprintf("got %d and %d events, want %d in all", len(a.events), len(b.events), n), len(a.events)+len(b.events) == n
	})
	if len(a.events) < n/5 || len(b.events) < n/5 {
		t.Errorf("got %d and %d events, want about equal shares", len(a.events), len(b.events))
	}
	a, b = c.mustOpen(mode("BROADCASTING", "1")), c.mustOpen(mode("BROADCASTING", "2"))
	c.published("BROADCASTING", n)
	if got := len(a.drain(n)) + len(b.drain(n)); got != 2*n {
		t.Errorf("got %d events, want %d", got, 2*n)
	}
}

func TestSeveralTopicsFromTheStart(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	c := dialGRPC(t, s)
	st := c.subscribe("g", "T1", "T2")
	c.mustPublish(publication("T1", "1"))
	st.want("1")
	c.mustPublish(publication("T2", "2"))
	st.want("2")
}

func TestDeadStreamSwallowsItsShare(t *testing.T) {
	var log logged
	s := eventmeshtest.New(t, eventmeshtest.Options{Logf: log.logf})
	c := dialGRPC(t, s)
	ghost, alive := c.mustOpen(as("1", subscriptionTo("g", "T"))), c.mustOpen(as("2", subscriptionTo("g", "T")))
	ghost.die(s, 1)
	const n = 100
	c.published("T", n)
	lost := log.count("written to the dead stream of client 10.0.0.1:1")
	if lost < n/5 || lost > 4*n/5 {
		t.Errorf("lost %d of %d events, want about half", lost, n)
	}
	if got := len(alive.drain(n - lost)); got != n-lost {
		t.Errorf("got %d events, want %d", got, n-lost)
	}

	successor := c.mustOpen(as("1", subscriptionTo("g", "T")))
	c.published("T", n)
	eventually(t, func() (string, bool) {
		got := len(successor.events) + len(alive.events)
		return fmt.Sprintf("with the ghost's successor got %d events, want %d", got, n), got == n
	})
}

func TestNewestStreamOfAClientTakesEverything(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	c := dialGRPC(t, s)
	older, newer := c.subscribe("g", "T"), c.subscribe("g", "T")
	c.published("T", 20)
	newer.drain(20)
	older.wantNone()
	waitSubscribers(t, s, "T", 1)
}

func TestUnsubscribeEndsEveryStreamOfTheGroup(t *testing.T) {
	var log logged
	s := eventmeshtest.New(t, eventmeshtest.Options{Logf: log.logf})
	c := dialGRPC(t, s)
	first, second := c.mustOpen(as("1", subscriptionTo("g", "T"))), c.mustOpen(as("2", subscriptionTo("g", "T")))
	a, err := c.consumer.Unsubscribe(t.Context(), as("1", subscriptionTo("g", "T")))
	if err != nil || statusOf(a) != "0" {
		t.Fatalf("unsubscribing: got code %s, error %v", statusOf(a), err)
	}
	first.wantEnd()
	second.wantEnd()
	c.mustPublish(publication("T", "1"))
	if log.count("lost event \"1\"") != 1 {
		t.Error("an event for a group whose streams were ended is not lost")
	}
	a, err = c.heartbeats.Heartbeat(t.Context(), heartbeat("g", "T", "pid", "2"))
	if err != nil || statusOf(a) != "30" {
		t.Errorf("heartbeat of the other client: got code %s, error %v, want 30", statusOf(a), err)
	}
	again := c.mustOpen(as("2", subscriptionTo("g", "T")))
	c.mustPublish(publication("T", "2"))
	again.want("2")
}

func TestExpiryOfOneClientEndsTheStreamsOfTheOthers(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{SessionExpiry: ample})
	c := dialGRPC(t, s)
	c.mustOpen(as("1", subscriptionTo("g", "T")))
	second := c.mustOpen(as("2", subscriptionTo("g", "T")))
	for ended := false; !ended; {
		if _, err := c.heartbeats.Heartbeat(t.Context(), heartbeat("g", "T", "pid", "2")); err != nil {
			t.Fatal(err)
		}
		select {
		case r := <-second.events:
			ended = r.err != nil
		case <-time.After(10 * time.Millisecond):
		}
	}
	again := c.mustOpen(as("2", subscriptionTo("g", "T")))
	c.mustPublish(publication("T", "1"))
	again.want("1")
}

func TestClientsOfTheServersDataCentreComeFirst(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{IDC: "FT"})
	c := dialGRPC(t, s)
	far := c.mustOpen(set(subscriptionTo("g", "T"), "pid", "1", "idc", "XX"))
	c.mustPublish(publication("T", "1"))
	far.want("1")
	near := c.mustOpen(set(subscriptionTo("g", "T"), "pid", "2", "idc", "FT"))
	c.published("T", 20)
	near.drain(20)
	far.wantNone()
}
