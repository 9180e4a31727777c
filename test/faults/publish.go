package faults

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

const (
	topic = "orders"
	// keysPerPublisher is how many partition keys a publisher goes round; no two publishers share one.
	keysPerPublisher = 4
	// pace is the time between two events of a publisher.
	pace = 5 * time.Millisecond
	// repeatAfter is the time before a publish that failed is made again.
	repeatAfter = 20 * time.Millisecond
	// repeatsAfter is the least time after which a session over TCP publishes again by itself, which nothing else tells.
	repeatsAfter = 200 * time.Millisecond
)

// publication is what a publisher knows of one event.
type publication struct {
	key       string
	began     time.Time // to be published
	confirmed bool
	// attempts counts the publishes, the Publisher's own among them.
	attempts int
}

// ledger is the list of all that was published.
type ledger struct {
	mu     sync.Mutex
	events map[string]*publication
}

func newLedger() *ledger { return &ledger{events: map[string]*publication{}} }

func (l *ledger) publish(id, key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events[id] = &publication{key: key, began: time.Now()}
}

func (l *ledger) attempt(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events[id].attempts++
}

func (l *ledger) confirm(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events[id].confirmed = true
}

// confirmations counts the events that are confirmed.
func (l *ledger) confirmations() int {
	n := 0
	for _, p := range l.snapshot() {
		if p.confirmed {
			n++
		}
	}
	return n
}

// snapshot returns a copy.
func (l *ledger) snapshot() map[string]publication {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make(map[string]publication, len(l.events))
	for id, p := range l.events {
		all[id] = *p
	}
	return all
}

// traffic is a number of publishers at work. Each numbers its events, waits for the confirmation of each, and repeats an
// event until it is confirmed; so the events of one key are published in order.
type traffic struct {
	t *testing.T
	// prefix begins the IDs of its events.
	prefix    string
	cancel    context.CancelFunc
	done      sync.WaitGroup
	confirmed atomic.Int64
}

// load says how much is published.
type load struct {
	url        string
	publishers int
	// each is how many events a publisher publishes; 0 is no limit.
	each int
	pace time.Duration
	// data is how many bytes an event has besides its number.
	data int
}

// newTraffic starts publishers, whose names begin with a prefix of their own.
func newTraffic(t *testing.T, l *ledger, prefix string, with load) *traffic {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	tr := &traffic{t: t, prefix: prefix, cancel: cancel}
	t.Cleanup(tr.stop)
	for i := range with.publishers {
		name := fmt.Sprintf("%s%d", prefix, i+1)
		client := connect(t, l, with.url, name)
		tr.done.Go(func() {
			defer client.Close()
			tr.publish(ctx, l, client, name, with)
		})
	}
	return tr
}

// counted is a transport whose publishes are counted.
type counted struct {
	eventmesh.Transport
	ledger *ledger
}

func (c counted) OpenPublisher(ctx context.Context, a eventmesh.Address, as eventmesh.Client) (eventmesh.PublisherSession, error) {
	session, err := c.Transport.OpenPublisher(ctx, a, as)
	return countedSession{session, c.ledger}, err
}

type countedSession struct {
	eventmesh.PublisherSession
	ledger *ledger
}

func (c countedSession) Publish(ctx context.Context, topic string, e event.Event) error {
	c.ledger.attempt(e.ID())
	repeat := time.AfterFunc(repeatsAfter, func() { c.ledger.attempt(e.ID()) })
	defer repeat.Stop()
	return c.PublisherSession.Publish(ctx, topic, e)
}

func connect(t *testing.T, l *ledger, url, name string) *eventmesh.Publisher {
	t.Helper()
	addresses, err := eventmesh.ParseAddresses(url, adapter.Transports...)
	if err != nil {
		t.Fatal(err)
	}
	var transports []eventmesh.Transport
	for _, transport := range adapter.Transports {
		transports = append(transports, counted{transport, l})
	}
	client, err := eventmesh.NewPublisher(eventmesh.Config{Addresses: addresses, ClientID: name, Group: "publishers"}, transports...)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		if err := client.Ready(); err != nil {
			return err.Error()
		}
		return ""
	})
	return client
}

func (tr *traffic) publish(ctx context.Context, l *ledger, client *eventmesh.Publisher, name string, with load) {
	padding := make([]byte, with.data)
	for i := range padding {
		padding[i] = 'x'
	}
	for n := 1; with.each == 0 || n <= with.each; n++ {
		key := fmt.Sprintf("%s/%d", name, n%keysPerPublisher)
		e := event.New()
		e.SetID(fmt.Sprintf("%s-%07d", name, n))
		e.SetSource("/publishers/" + name)
		e.SetType("org.example.numbered")
		e.SetExtension("partitionkey", key)
		e.SetDataContentType("application/json")
		e.DataEncoded = fmt.Appendf(nil, `{"number":%d,"padding":"%s"}`, n, padding)
		l.publish(e.ID(), key)
		for {
			attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
			err := client.Publish(attempt, topic, e)
			cancel()
			if err == nil {
				break
			}
			if !eventmesh.Temporary(err) && !errors.Is(err, eventmesh.ErrClosed) {
				tr.t.Errorf("publishing: %v", err)
				return
			}
			if !wait(ctx, repeatAfter) {
				return
			}
		}
		l.confirm(e.ID())
		tr.confirmed.Add(1)
		if ctx.Err() != nil || with.pace > 0 && !wait(ctx, with.pace) {
			return
		}
	}
}

// more waits until so many more events have been confirmed.
func (tr *traffic) more(n int) {
	tr.t.Helper()
	want := tr.confirmed.Load() + int64(n)
	eventually(tr.t, func() string {
		if got := tr.confirmed.Load(); got < want {
			return fmt.Sprintf("%d confirmed events, want %d", got, want)
		}
		return ""
	})
}

// wait waits until every publisher has published all it was to.
func (tr *traffic) wait() { tr.done.Wait() }

// stop ends the publishers. It may be called more than once.
func (tr *traffic) stop() {
	tr.cancel()
	tr.done.Wait()
}
