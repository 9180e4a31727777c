package eventmesh_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/goleak"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/await"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const timeout = await.Patience

var transports = []eventmesh.Transport{grpc.Transport{}, tcp.Transport{}}

// urls are those of a server, by transport.
var urls = map[string]func(*eventmeshtest.Server) string{
	"grpc": (*eventmeshtest.Server).GRPCURL,
	"tcp":  (*eventmeshtest.Server).TCPURL,
}

// eachTransport runs a test for each, with a server of its own.
func eachTransport(t *testing.T, o eventmeshtest.Options, test func(t *testing.T, server *eventmeshtest.Server, url string)) {
	t.Helper()
	for name, url := range urls {
		t.Run(name, func(t *testing.T) {
			server := eventmeshtest.New(t, o)
			test(t, server, url(server))
		})
	}
}

// statuses records what a client tells of its connection.
type statuses chan eventmesh.Status

func (s statuses) await(t *testing.T, connected bool) eventmesh.Status {
	t.Helper()
	for deadline := time.After(timeout); ; {
		select {
		case status := <-s:
			if status.Connected == connected {
				return status
			}
		case <-deadline:
			t.Fatalf("waited %s in vain to be told of connected=%t", timeout, connected)
		}
	}
}

func config(t *testing.T, url string) (eventmesh.Config, statuses) {
	t.Helper()
	addresses, err := eventmesh.ParseAddresses(url, transports...)
	if err != nil {
		t.Fatal(err)
	}
	told := make(statuses, 100)
	return eventmesh.Config{
		Addresses: addresses, ClientID: t.Name(), Group: "group", Timeout: timeout,
		Notify: func(s eventmesh.Status) { told <- s },
	}, told
}

func newPublisher(t *testing.T, cfg eventmesh.Config) *eventmesh.Publisher {
	t.Helper()
	p, err := eventmesh.NewPublisher(cfg, transports...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func newSubscriber(t *testing.T, cfg eventmesh.Config, s eventmesh.Subscription) *eventmesh.Subscriber {
	t.Helper()
	subscriber, err := eventmesh.NewSubscriber(cfg, s, transports...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = subscriber.Close() })
	return subscriber
}

// pair returns a connected publisher and subscriber of topic orders.
func pair(t *testing.T, url string) (p *eventmesh.Publisher, s *eventmesh.Subscriber, publishing, subscribing statuses) {
	t.Helper()
	cfg, subscribing := config(t, url)
	s = newSubscriber(t, cfg, eventmesh.Subscription{Topics: []string{"orders"}})
	subscribing.await(t, true)
	cfg, publishing = config(t, url)
	p = newPublisher(t, cfg)
	publishing.await(t, true)
	return p, s, publishing, subscribing
}

func newEvent(id string) event.Event {
	e := event.New()
	e.SetID(id)
	e.SetSource("test")
	e.SetType("test")
	e.SetDataContentType("text/plain")
	e.DataEncoded = []byte("data " + id)
	return e
}

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	t.Cleanup(cancel)
	return ctx
}

// expectFirst returns the delivery of event 1, which has to be the next.
func expectFirst(t *testing.T, s *eventmesh.Subscriber) *eventmesh.Delivery {
	t.Helper()
	d := expectAny(t, s)
	if d.Err != nil || d.Event.ID() != "1" {
		t.Fatalf("got event %q (%v), want 1", d.Event.ID(), d.Err)
	}
	return d
}

func TestReconnects(t *testing.T) {
	for name, interrupt := range map[string]func(*testing.T, *eventmeshtest.Server){
		"after a restart": func(t *testing.T, s *eventmeshtest.Server) {
			t.Helper()
			s.Stop()
			s.MustRestart(t, false)
		},
		"after its connection was cut": func(_ *testing.T, s *eventmeshtest.Server) { s.DropConnections() },
	} {
		t.Run(name, func(t *testing.T) {
			eachTransport(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ}, func(t *testing.T, server *eventmeshtest.Server, url string) {
				t.Helper()
				p, s, publishing, subscribing := pair(t, url)
				if err := p.Publish(bounded(t), "orders", newEvent("1")); err != nil {
					t.Fatal(err)
				}
				if err := expectFirst(t, s).Ack(t.Context()); err != nil {
					t.Fatal(err)
				}
				interrupt(t, server)
				for _, told := range []statuses{publishing, subscribing} {
					if lost := told.await(t, false); lost.Err == nil || !strings.Contains(lost.Err.Error(), lost.Address.Host) {
						t.Errorf("told of %v, want an error that names %s", lost.Err, lost.Address)
					}
					told.await(t, true)
				}
				if err := p.Publish(bounded(t), "orders", newEvent("2")); err != nil {
					t.Fatal(err)
				}
				for d := expectAny(t, s); d.Event.ID() == "1"; d = expectAny(t, s) {
					_ = d.Ack(t.Context())
				}
			})
		})
	}
}

// TestPublishesOutliveTheirConnection cuts connections while events are published, of which each has to get a confirmation.
func TestPublishesOutliveTheirConnection(t *testing.T) {
	eachTransport(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ, RateLimit: -1, InboundLimit: -1}, func(t *testing.T, server *eventmeshtest.Server, url string) {
		t.Helper()
		cfg, told := config(t, url)
		p := newPublisher(t, cfg)
		told.await(t, true)
		stop, published := make(chan struct{}), make(chan string, 1000)
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					id := fmt.Sprintf("%d-%d", i, n)
					if err := p.Publish(bounded(t), "orders", newEvent(id)); err != nil {
						t.Errorf("event %s: %v", id, err)
					}
					published <- id
				}
			})
		}
		confirmed := map[string]bool{}
		for range 3 {
			for range 100 {
				confirmed[<-published] = true
			}
			server.DropConnections()
			told.await(t, false)
			told.await(t, true)
		}
		close(stop)
		go func() { all.Wait(); close(published) }()
		for id := range published {
			confirmed[id] = true
		}
		for _, e := range server.Published("orders") {
			delete(confirmed, e.GetId())
		}
		if len(confirmed) > 0 {
			t.Errorf("EventMesh does not have %d events that were confirmed", len(confirmed))
		}
	})
}

func expectAny(t *testing.T, s *eventmesh.Subscriber) *eventmesh.Delivery {
	t.Helper()
	d, err := s.Receive(bounded(t))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestOtherSubscribersNeedNotKnowTheMapping: what gRPC carries as it is stands as it is in EventMesh, although it came over TCP.
func TestOtherSubscribersNeedNotKnowTheMapping(t *testing.T) {
	server := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ})
	cfg, told := config(t, server.TCPURL())
	cfg.Subscribers = "grpc"
	p := newPublisher(t, cfg)
	told.await(t, true)
	e := newEvent("1")
	e.SetDataContentType("application/json")
	e.DataEncoded = []byte(`{"price": 2.50}`)
	if err := p.Publish(bounded(t), "orders", e); err != nil {
		t.Fatal(err)
	}
	got := server.Published("orders")[0]
	contentType := got.GetAttributes()["datacontenttype"].GetCeString()
	if contentType != "application/json" || got.GetTextData() != `{"price": 2.50}` {
		t.Errorf("got %s of type %s, want it unchanged", got.GetTextData(), contentType)
	}
	for name := range got.GetAttributes() {
		if strings.HasPrefix(name, wire.Prefix) {
			t.Errorf("got extension %s, want none of the mapping's", name)
		}
	}
}

func TestNotConnected(t *testing.T) {
	eachTransport(t, eventmeshtest.Options{}, func(t *testing.T, server *eventmeshtest.Server, url string) {
		t.Helper()
		server.Stop()
		cfg, told := config(t, url)
		p := newPublisher(t, cfg)
		told.await(t, false)
		for _, err := range []error{p.Publish(t.Context(), "orders", newEvent("1")), p.Ready()} {
			if !errors.Is(err, eventmesh.ErrNotConnected) || !eventmesh.Temporary(err) {
				t.Errorf("got %v, want %v for now", err, eventmesh.ErrNotConnected)
			}
		}
		server.MustRestart(t, false)
		told.await(t, true)
		if err := p.Ready(); err != nil {
			t.Errorf("ready: got %v, want nil", err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if err := p.Publish(t.Context(), "orders", newEvent("1")); !errors.Is(err, eventmesh.ErrClosed) {
			t.Errorf("after Close: got %v, want %v", err, eventmesh.ErrClosed)
		}
	})
}

func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		faults    eventmeshtest.Faults
		want      error
		temporary bool
	}{
		"rate limit over gRPC": {eventmeshtest.Faults{Refuse: "21", RefuseDescription: "Tps overload, global flow control"}, eventmesh.ErrRateLimited, true},
		"overload":             {eventmeshtest.Faults{Refuse: "1", RefuseDescription: "overload"}, eventmesh.ErrRateLimited, true},
		"no subscriber":        {eventmeshtest.Faults{Refuse: "14", RefuseDescription: "Send message error, topic: orders"}, eventmesh.ErrNoSubscriber, true},
		"source is no URI":     {eventmeshtest.Faults{Refuse: "14", RefuseDescription: `Invalid attribute/extension value for "source": a b`}, eventmesh.ErrInvalidEvent, false},
		"attribute is invalid": {eventmeshtest.Faults{Refuse: "14", RefuseDescription: "invalid dataschema attribute: <>"}, eventmesh.ErrInvalidEvent, false},
		"too many properties": {eventmeshtest.Faults{
			Refuse: "14", RefuseDescription: "CODE: 13  DESC: the message is illegal, maybe msg body or properties length not matched.",
		}, eventmesh.ErrTooLarge, false},
		"storage failed":          {eventmeshtest.Faults{Refuse: "14", RefuseDescription: "disk full"}, eventmesh.ErrRefused, true},
		"not allowed":             {eventmeshtest.Faults{Refuse: "20", RefuseDescription: "org.apache.eventmesh.api.exception.AclException: no auth"}, eventmesh.ErrUnauthorized, false},
		"something else entirely": {eventmeshtest.Faults{Refuse: "99", RefuseDescription: "odd\nsecond line"}, eventmesh.ErrRefused, true},
	} {
		t.Run(name, func(t *testing.T) {
			eachTransport(t, eventmeshtest.Options{}, func(t *testing.T, server *eventmeshtest.Server, url string) {
				t.Helper()
				p, _, _, _ := pair(t, url)
				server.SetFaults(c.faults)
				err := p.Publish(bounded(t), "orders", newEvent("1"))
				if !errors.Is(err, c.want) || eventmesh.Temporary(err) != c.temporary {
					t.Errorf("got %v (temporary %t), want %v (%t)", err, eventmesh.Temporary(err), c.want, c.temporary)
				}
				var refusal *eventmesh.RefusalError
				if !errors.As(err, &refusal) || refusal.Code == "" || strings.Contains(err.Error(), "second line") {
					t.Errorf("got %v, want a refusal with a code, in one line", err)
				}
			})
		})
	}
}

func TestRateLimitOfTheServer(t *testing.T) {
	eachTransport(t, eventmeshtest.Options{RateLimit: 1}, func(t *testing.T, _ *eventmeshtest.Server, url string) {
		t.Helper()
		p, _, _, _ := pair(t, url)
		var err error
		for i := 0; i < 100 && err == nil; i++ {
			err = p.Publish(bounded(t), "orders", newEvent(fmt.Sprint(i)))
		}
		if !errors.Is(err, eventmesh.ErrRateLimited) {
			t.Errorf("got %v, want %v", err, eventmesh.ErrRateLimited)
		}
	})
}

func TestUnconfirmed(t *testing.T) {
	eachTransport(t, eventmeshtest.Options{}, func(t *testing.T, server *eventmeshtest.Server, url string) {
		t.Helper()
		p, s, _, _ := pair(t, url)
		server.SetFaults(eventmeshtest.Faults{LoseAnswers: 1})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		err := p.Publish(ctx, "orders", newEvent("1"))
		if !errors.Is(err, eventmesh.ErrUnconfirmed) || !eventmesh.Temporary(err) {
			t.Errorf("got %v, want %v for now", err, eventmesh.ErrUnconfirmed)
		}
		expectFirst(t, s) // it is there all the same
	})
}

// TestTCPHasNewPermitsInANewSession publishes when EventMesh has returned a session's permit to another one.
// TestTCPFindsAServerOfFewPermits publishes more at once than the server takes of a session.
func TestCredentials(t *testing.T) {
	eachTransport(t, eventmeshtest.Options{Credentials: map[string]string{"user": "secret"}}, func(t *testing.T, _ *eventmeshtest.Server, url string) {
		t.Helper()
		cfg, told := config(t, url)
		password := "wrong-password"
		cfg.Credentials = func() (eventmesh.Credentials, error) {
			return eventmesh.Credentials{Username: "user", Password: password}, nil
		}
		s := newSubscriber(t, cfg, eventmesh.Subscription{Topics: []string{"orders"}})
		refused := told.await(t, false)
		if refused.Err == nil || strings.Contains(refused.Err.Error(), password) {
			t.Errorf("told of %v, want a refusal without the password", refused.Err)
		}
		_ = s.Close()

		password = "secret"
		s = newSubscriber(t, cfg, eventmesh.Subscription{Topics: []string{"orders"}})
		told.await(t, true)
		_ = s.Close()
	})
}

func TestUnreadableCredentials(t *testing.T) {
	server := eventmeshtest.New(t, eventmeshtest.Options{})
	cfg, told := config(t, server.GRPCURL())
	cfg.Credentials = func() (eventmesh.Credentials, error) { return eventmesh.Credentials{}, errors.New("no such file") }
	p := newPublisher(t, cfg)
	if status := told.await(t, false); !strings.Contains(status.Err.Error(), "no such file") {
		t.Errorf("told of %v, want the reason", status.Err)
	}
	if err := p.Ready(); !errors.Is(err, eventmesh.ErrNotConnected) {
		t.Errorf("got %v, want %v", err, eventmesh.ErrNotConnected)
	}
}

func TestASubscriberThatNobodyAsksStaysInItsGroup(t *testing.T) {
	eachTransport(t, eventmeshtest.Options{MaxDataCharacters: -1}, func(t *testing.T, server *eventmeshtest.Server, url string) {
		t.Helper()
		p, s, _, _ := pair(t, url)
		const n = 200
		for i := range n {
			e := newEvent(fmt.Sprint(i))
			e.DataEncoded = []byte(strings.Repeat("x", 10_000)) // more together than the connection holds
			if err := p.Publish(bounded(t), "orders", e); err != nil {
				t.Fatal(err)
			}
		}
		if got := server.Subscribers("orders"); got != 1 || s.Ready() != nil {
			t.Errorf("%d subscribers, ready: %v", got, s.Ready())
		}
		got := map[string]bool{}
		for len(got) < n {
			d := expectAny(t, s)
			got[d.Event.ID()] = true
			_ = d.Ack(t.Context())
		}
	})
}

func TestReceiveEndsWithItsContextAndWithClose(t *testing.T) {
	eachTransport(t, eventmeshtest.Options{}, func(t *testing.T, _ *eventmeshtest.Server, url string) {
		t.Helper()
		p, s, _, _ := pair(t, url)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Receive(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		if err := p.Publish(bounded(t), "orders", newEvent("1")); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil { // with a delivery that nobody has received
			t.Error(err)
		}
		if _, err := s.Receive(bounded(t)); !errors.Is(err, eventmesh.ErrClosed) {
			t.Errorf("got %v, want %v", err, eventmesh.ErrClosed)
		}
	})
}

func TestLeaveWithoutASession(t *testing.T) {
	eachTransport(t, eventmeshtest.Options{}, func(t *testing.T, server *eventmeshtest.Server, url string) {
		t.Helper()
		server.Stop()
		cfg, told := config(t, url)
		s := newSubscriber(t, cfg, eventmesh.Subscription{Topics: []string{"orders"}})
		told.await(t, false)
		if err := s.Leave(bounded(t)); err != nil {
			t.Errorf("got %v, want nil", err)
		}
		if _, err := s.Receive(bounded(t)); !errors.Is(err, eventmesh.ErrClosed) {
			t.Errorf("got %v, want %v", err, eventmesh.ErrClosed)
		}
	})
}

func TestLeaveThatIsNotAnswered(t *testing.T) {
	eachTransport(t, eventmeshtest.Options{}, func(t *testing.T, server *eventmeshtest.Server, url string) {
		t.Helper()
		_, s, _, _ := pair(t, url)
		server.SetFaults(eventmeshtest.Faults{StallUnsubscribe: true})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := s.Leave(ctx); !errors.Is(err, eventmesh.ErrUnconfirmed) {
			t.Errorf("got %v, want %v", err, eventmesh.ErrUnconfirmed)
		}
	})
}

func TestServerSaysGoodbyeAndRedirects(t *testing.T) {
	server, other := eventmeshtest.New(t, eventmeshtest.Options{}), eventmeshtest.New(t, eventmeshtest.Options{})
	cfg, told := config(t, server.TCPURL())
	newPublisher(t, cfg)
	told.await(t, true)
	server.SayGoodbye()
	told.await(t, false)
	told.await(t, true)

	addresses, err := eventmesh.ParseAddresses(other.TCPURL(), transports...)
	if err != nil {
		t.Fatal(err)
	}
	ip, port, _ := strings.Cut(addresses[0].Host, ":")
	var number int
	if _, err := fmt.Sscan(port, &number); err != nil {
		t.Fatal(err)
	}
	server.Redirect(ip, number)
	told.await(t, false)
	if status := told.await(t, true); status.Address != addresses[0] {
		t.Errorf("connected to %s, want %s", status.Address, addresses[0])
	}
}

func TestFramesWithoutAnEvent(t *testing.T) {
	server := eventmeshtest.New(t, eventmeshtest.Options{})
	_, s, _, _ := pair(t, server.TCPURL())
	cfg, told := config(t, server.GRPCURL())
	p := newPublisher(t, cfg)
	told.await(t, true)
	// What is published over gRPC reaches a TCP subscriber as a frame with a stack trace.
	if err := p.Publish(bounded(t), "orders", newEvent("1")); err != nil && !errors.Is(err, eventmesh.ErrNoSubscriber) {
		t.Fatal(err)
	}
	d := expectAny(t, s)
	if d.Err == nil {
		t.Fatalf("got %s, want no event", d.Event)
	}
	if err := d.Ack(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestTimeoutOfAClientWithoutADeadline(t *testing.T) {
	eachTransport(t, eventmeshtest.Options{}, func(t *testing.T, server *eventmeshtest.Server, url string) {
		t.Helper()
		cfg, told := config(t, url)
		cfg.Timeout = 100 * time.Millisecond
		p := newPublisher(t, cfg)
		told.await(t, true)
		server.SetFaults(eventmeshtest.Faults{Delay: time.Hour})
		t.Cleanup(func() { server.SetFaults(eventmeshtest.Faults{}) })
		if err := p.Publish(context.WithoutCancel(t.Context()), "orders", newEvent("1")); !errors.Is(err, eventmesh.ErrUnconfirmed) {
			t.Errorf("got %v, want %v", err, eventmesh.ErrUnconfirmed)
		}
	})
}

func TestReplyToAnAsynchronousEvent(t *testing.T) {
	eachTransport(t, eventmeshtest.Options{}, func(t *testing.T, _ *eventmeshtest.Server, url string) {
		t.Helper()
		p, s, _, _ := pair(t, url)
		if err := p.Publish(bounded(t), "orders", newEvent("1")); err != nil {
			t.Fatal(err)
		}
		if err := expectFirst(t, s).Reply(t.Context(), newEvent("2")); err == nil {
			t.Error("got no error")
		}
	})
}

// Who makes its topics gets the first events at once, and nobody gets any other.
func TestMakeTopics(t *testing.T) {
	for _, storage := range []eventmeshtest.Storage{eventmeshtest.Standalone, eventmeshtest.RocketMQ} {
		t.Run(storage.String(), func(t *testing.T) {
			eachTransport(t, eventmeshtest.Options{Storage: storage, UnknownTopics: true, DiscoverAfter: time.Hour}, func(t *testing.T, server *eventmeshtest.Server, url string) {
				t.Helper()
				cfg, told := config(t, url)
				subscription := eventmesh.Subscription{Topics: []string{"orders", "bills"}, MakeTopics: true}
				first := newSubscriber(t, cfg, subscription)
				told.await(t, true)
				p := newPublisher(t, cfg)
				told.await(t, true)
				for i, topic := range subscription.Topics {
					if err := p.Publish(bounded(t), topic, newEvent(fmt.Sprint(i+1))); err != nil {
						t.Fatal(err)
					}
					if d := expectAny(t, first); d.Event.ID() != fmt.Sprint(i+1) || d.Ack(t.Context()) != nil {
						t.Errorf("got event %s of topic %s, want %d", d.Event.ID(), d.Topic, i+1)
					}
				}
				cfg.ClientID = "another"
				newSubscriber(t, cfg, subscription)
				told.await(t, true)
				for _, topic := range subscription.Topics {
					if got := len(server.Published(topic)); got != 1 {
						t.Errorf("topic %s has %d events, want 1", topic, got)
					}
				}
			})
		})
	}
}
