package eventmesh_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/await"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc"
)

// member is one of a group that subscribes to topics a and b over gRPC.
func member(t *testing.T, server *eventmeshtest.Server, name string, mode eventmesh.Mode) *eventmesh.Subscriber {
	t.Helper()
	cfg, told := config(t, server.GRPCURL())
	cfg.ClientID = name
	s := newSubscriber(t, cfg, eventmesh.Subscription{Topics: []string{"a", "b"}, Mode: mode})
	told.await(t, true)
	return s
}

// die ends a member's session as a process does that is killed, and waits until EventMesh has seen it.
func die(t *testing.T, server *eventmeshtest.Server, s *eventmesh.Subscriber, left int) {
	t.Helper()
	_ = s.Close()
	await.Until(t, timeout, func() string {
		if got := server.Subscribers("a"); got != left {
			return fmt.Sprintf("%d subscribers, want %d", got, left)
		}
		return ""
	})
}

// publishTo publishes n events to topics a and b in turn.
func publishTo(t *testing.T, server *eventmeshtest.Server, n int) {
	t.Helper()
	cfg, told := config(t, server.GRPCURL())
	p := newPublisher(t, cfg)
	told.await(t, true)
	for i := range n {
		if err := p.Publish(bounded(t), []string{"a", "b"}[i%2], newEvent(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
}

// receiveAll receives until all of n events have come, and returns how many came again.
func receiveAll(t *testing.T, n int, members ...*eventmesh.Subscriber) (again int) {
	t.Helper()
	came, ctx := make(chan string), bounded(t)
	for _, s := range members {
		go func() {
			for {
				d, err := s.Receive(ctx)
				if err != nil {
					return
				}
				select {
				case came <- d.Event.ID():
				case <-ctx.Done():
					return
				}
			}
		}()
	}
	seen := map[string]bool{}
	for len(seen) < n {
		select {
		case id := <-came:
			if seen[id] {
				again++
			}
			seen[id] = true
		case <-time.After(timeout):
			t.Fatalf("got %d of %d events", len(seen), n)
		}
	}
	return again
}

// TestWhatCouldNotBeWrittenToADeadStreamComes: EventMesh does not try again, and RocketMQ has the events for a new consumer.
func TestWhatCouldNotBeWrittenToADeadStreamComes(t *testing.T) {
	const n = 100
	for _, mode := range []eventmesh.Mode{eventmesh.Clustering, eventmesh.Broadcasting} {
		t.Run(string(mode), func(t *testing.T) {
			server := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ})
			die(t, server, member(t, server, "0", mode), 0)
			publishTo(t, server, n)
			if again := receiveAll(t, n, member(t, server, "0", mode)); again > 0 {
				t.Errorf("%d events came twice", again)
			}
		})
	}
}

func TestWhatCouldNotBeWrittenToTheDeadStreamOfOneOfTwoComes(t *testing.T) {
	const n = 100
	server := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ})
	dies, stays := member(t, server, "0", eventmesh.Clustering), member(t, server, "1", eventmesh.Clustering)
	die(t, server, dies, 1)
	publishTo(t, server, n)
	receiveAll(t, n, stays, member(t, server, "0", eventmesh.Clustering))
}

// TestWhatCouldNotBeWrittenToAStreamThatEventMeshEndedComes: of a group that somebody leaves EventMesh ends all streams.
func TestWhatCouldNotBeWrittenToAStreamThatEventMeshEndedComes(t *testing.T) {
	const n, rounds = 100, 3
	server := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ})
	stays := member(t, server, "1", eventmesh.Clustering)
	var publishing sync.WaitGroup
	publishing.Go(func() { publishTo(t, server, n*rounds) })
	defer publishing.Wait()
	var leaving []*eventmesh.Subscriber
	for range rounds {
		leaves := member(t, server, "0", eventmesh.Clustering)
		if err := leaves.Leave(bounded(t)); err != nil {
			t.Fatal(err)
		}
		leaving = append(leaving, leaves)
	}
	receiveAll(t, n*rounds, append(leaving, stays)...)
}

// TestReturningToStandaloneStorage: a topic dies with the storage's consumer, which has to stay.
func TestReturningToStandaloneStorage(t *testing.T) {
	const n = 100
	server := eventmeshtest.New(t, eventmeshtest.Options{})
	die(t, server, member(t, server, "0", eventmesh.Clustering), 0)
	s := member(t, server, "0", eventmesh.Clustering)
	publishTo(t, server, n)
	receiveAll(t, n, s)
}

// TestDeadSessionIsSubscribedAfterItsSuccessor: EventMesh handles subscriptions in no order. The next heartbeat mends it.
func TestDeadSessionIsSubscribedAfterItsSuccessor(t *testing.T) {
	server := eventmeshtest.New(t, eventmeshtest.Options{})
	cfg, told := config(t, server.GRPCURL())
	client := eventmesh.Client{
		IP: "10.0.0.1", PID: 1, Group: "group", Env: "PRD", IDC: "DEFAULT", Subsystem: "0000", Credentials: eventmesh.Credentials{Username: "u", Password: "p"},
	}
	open := func() eventmesh.SubscriberSession {
		t.Helper()
		subscription := eventmesh.Subscription{Topics: []string{"a"}, Mode: eventmesh.Clustering, Type: eventmesh.Async}
		s, err := grpc.Transport{}.OpenSubscriber(bounded(t), cfg.Addresses[0], client, subscription)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	lives, dead := open(), open()
	_ = dead.Close()
	await.Until(t, timeout, func() string {
		if got := server.Subscribers("a"); got != 0 {
			return fmt.Sprintf("%d live subscribers, want the dead one alone", got)
		}
		return ""
	})
	if err := lives.Heartbeat(bounded(t)); err != nil {
		t.Fatal(err)
	}
	came := make(chan string, 1)
	go func() {
		d, err := lives.Receive()
		if err != nil {
			came <- err.Error()
			return
		}
		came <- d.Event.ID()
	}()
	await.Until(t, timeout, func() string {
		if got := server.Subscribers("a"); got != 1 {
			return fmt.Sprintf("%d live subscribers, want 1", got)
		}
		return ""
	})
	p := newPublisher(t, cfg)
	told.await(t, true)
	if err := p.Publish(bounded(t), "a", newEvent("1")); err != nil {
		t.Fatal(err)
	}
	if got := <-came; got != "1" {
		t.Errorf("got %s, want event 1", got)
	}
}
