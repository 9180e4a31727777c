package broker

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/await"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

// sender sends numbered events until it is told to stop: each again until it is accepted.
type sender struct {
	stop     chan struct{}
	ended    sync.WaitGroup
	mu       sync.Mutex
	accepted []string
}

func (s *stage) startSender(t *testing.T) *sender {
	t.Helper()
	all := &sender{stop: make(chan struct{})}
	for worker := range 4 {
		all.ended.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%05d", worker, i)
				for {
					if status, _ := s.send(t, "default", newEvent(id, "order")); status == http.StatusAccepted {
						break
					}
					select { // as senders wait before they repeat
					case <-all.stop:
						return
					case <-time.After(5 * time.Millisecond):
					}
				}
				all.mu.Lock()
				all.accepted = append(all.accepted, id)
				all.mu.Unlock()
				select {
				case <-all.stop:
					return
				default:
				}
			}
		})
	}
	return all
}

func (a *sender) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.accepted)
}

// awaitMore waits until so many events more have been accepted.
func (a *sender) awaitMore(t *testing.T, more int) {
	t.Helper()
	from := a.count()
	await.Until(t, await.Patience, func() string {
		if got := a.count() - from; got < more {
			return fmt.Sprintf("%d events were accepted, want %d", got, more)
		}
		return ""
	})
}

// end stops sending, and returns what was accepted.
func (a *sender) end() []string {
	close(a.stop)
	a.ended.Wait()
	return a.accepted
}

// awaitsAll waits until all of these have come, perhaps among others that were sent again, whose first answer did not arrive.
func (s *subscriber) awaitsAll(t *testing.T, who string, ids []string) {
	t.Helper()
	await.Until(t, await.Patience, func() string {
		got := map[string]bool{}
		for _, id := range s.ids() {
			got[id] = true
		}
		var missing []string
		for _, id := range ids {
			if !got[id] {
				missing = append(missing, id)
			}
		}
		if len(missing) > 0 {
			return fmt.Sprintf("%s misses %d of %d events, such as %s", who, len(missing), len(ids), missing[0])
		}
		return ""
	})
}

// flaky refuses every third request for now.
func flaky() func(http.ResponseWriter, event.Event) {
	var mu sync.Mutex
	n := 0
	return func(w http.ResponseWriter, _ event.Event) {
		mu.Lock()
		defer mu.Unlock()
		if n++; n%3 == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	}
}

// faults are what a test does to the parts of a stage under load.
var faults = map[string]func(t *testing.T, s *stage, signal syscall.Signal){
	"dispatcher": func(t *testing.T, s *stage, signal syscall.Signal) {
		t.Helper()
		s.dispatcher.end(t, signal)
		s.startDispatcher(t)
		s.dispatcher.awaitReady(t) // before that a signal just ends it
	},
	"ingress": func(t *testing.T, s *stage, signal syscall.Signal) {
		t.Helper()
		s.ingress.end(t, signal)
		s.restartIngress(t)
	},
	"EventMesh": func(t *testing.T, s *stage, _ syscall.Signal) {
		t.Helper()
		s.mesh.MustRestart(t, true)
	},
}

// An EventMesh that confirms nothing costs Brokers of another one nothing, however many events come for it.
func TestEventMeshThatStalls(t *testing.T) {
	t.Parallel()
	s := newStage(t, "gRPC")
	stalled := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ})
	s.more = []any{&corev1.ConfigMap{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "stalled"},
		Data: map[string]string{"eventmesh.url": stalled.GRPCURL()},
	}}
	other := newBroker("stalled")
	other.Spec.Config = &duckv1.KReference{APIVersion: "v1", Kind: "ConfigMap", Name: "stalled"}
	s.brokers = append(s.brokers, other)
	s.write(t)
	s.startIngress(t, "0", "EVENTMESH_MAX_IN_FLIGHT=8")
	s.play(t)
	stalled.SetFaults(eventmeshtest.Faults{LoseAnswers: 1})
	var sending sync.WaitGroup
	for i := range 20 {
		sending.Go(func() {
			if status, said := s.send(t, "stalled", newEvent(fmt.Sprint(i), "order")); status != http.StatusServiceUnavailable && status != http.StatusTooManyRequests {
				t.Errorf("the Broker whose EventMesh stalls: got %d %s", status, said)
			}
		})
	}
	await.Until(t, await.Patience, func() string {
		if got := len(stalled.Published("knative-shop-stalled-" + string(other.UID[:8]))); got < 4 {
			return fmt.Sprintf("%d events are on their way to the EventMesh that stalls", got)
		}
		return ""
	})
	for i := range 20 {
		if status, said := s.send(t, "default", newEvent(fmt.Sprint(i), "order")); status != http.StatusAccepted {
			t.Errorf("the other Broker: got %d %s", status, said)
		}
	}
	sending.Wait()
}

// Whatever is killed or replaced under load, each Trigger gets every event that was accepted. Over gRPC EventMesh itself loses what it has
// written to a dispatcher that is killed, or has in hand when it ends: there the parts are told to end, and it stays. Over HTTP it loses
// what it has in hand when it ends.
func TestNothingIsLost(t *testing.T) {
	t.Parallel()
	for transport, test := range map[string]struct {
		signal syscall.Signal
		parts  []string
		real   []string // parts beside a real EventMesh, which loses what comes for a TCP group while it has no session
	}{
		"gRPC": {syscall.SIGTERM, []string{"dispatcher", "ingress"}, []string{"dispatcher", "ingress"}},
		"TCP":  {syscall.SIGKILL, []string{"dispatcher", "ingress", "EventMesh"}, []string{"ingress"}},
		"HTTP": {syscall.SIGKILL, []string{"dispatcher", "ingress"}, []string{"dispatcher", "ingress"}},
	} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			dice := rand.New(rand.NewPCG(seed, 0))
			s := newStage(t, transport)
			s.needsStorage(t)
			parts := test.parts
			if s.mesh == nil {
				parts = test.real
			}
			good, fails, nobody := newSubscriber(t, nil), newSubscriber(t, flaky()), newSubscriber(t, nil)
			s.triggers = []*eventingv1.Trigger{trigger("good", good), retrying(trigger("fails", fails), 1_000_000, nil), wanting(trigger("nobody", nobody), "other")}
			s.play(t)
			load := s.startSender(t)
			load.awaitMore(t, 50)
			for range 5 {
				part := parts[dice.IntN(len(parts))]
				t.Logf("%s after %d events", part, load.count())
				faults[part](t, s, test.signal)
				load.awaitMore(t, 50+dice.IntN(300))
			}
			accepted := load.end()
			t.Logf("%d events were accepted", len(accepted))
			good.awaitsAll(t, "the Trigger whose subscriber is there", accepted)
			fails.awaitsAll(t, "the Trigger whose subscriber fails", accepted)
			nobody.awaits(t, "the Trigger of other events")
		})
	}
}
