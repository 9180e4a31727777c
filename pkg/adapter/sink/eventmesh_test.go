package sink

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/ingresstest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/releases"
)

// eventMesh returns a server, and its address for the transport.
func eventMesh(t *testing.T, transport string, o eventmeshtest.Options) (server releases.Server, url string) {
	t.Helper()
	server = releases.New(t, transport, o)
	return server, server.URL()
}

// subscribe returns a subscriber to the topic orders that has subscribed.
func subscribe(t *testing.T, url string, kind eventmesh.Type) *eventmesh.Subscriber {
	t.Helper()
	addresses, err := eventmesh.ParseAddresses(url, adapter.Transports...)
	if err != nil {
		t.Fatal(err)
	}
	s, err := eventmesh.NewSubscriber(
		eventmesh.Config{Addresses: addresses, ClientID: "receiver-0", Group: "receiver"},
		eventmesh.Subscription{Topics: []string{"orders"}, Type: kind}, adapter.Transports...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	eventually(t, func() string {
		if err := s.Ready(); err != nil {
			return err.Error()
		}
		return ""
	})
	return s
}

// receive returns the next delivery, which is acknowledged.
func receive(t *testing.T, s *eventmesh.Subscriber) *eventmesh.Delivery {
	t.Helper()
	d, err := s.Receive(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d.Err != nil {
		t.Fatal(d.Err)
	}
	if err := d.Ack(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

// sample is an event of the kind that EventMesh itself would change.
func sample() event.Event {
	e := event.New()
	e.SetID("A/1")
	e.SetSource("https://shop.example/orders?x=1")
	e.SetType("order.placed")
	e.SetSubject("order/1")
	e.SetTime(time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC))
	e.SetDataSchema("https://shop.example/schema")
	e.SetExtension("region", "eu")
	e.SetExtension("username", "somebody")
	e.SetDataContentType("application/json; charset=utf-8")
	e.DataEncoded = []byte(`{"price": 2.50}`)
	return e
}

// postEvent posts an event in one of the modes.
func postEvent(t *testing.T, url string, e event.Event, structured bool) ingresstest.Answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := binding.WithForceBinary(t.Context())
	if structured {
		ctx = binding.WithForceStructured(t.Context())
	}
	if err := cehttp.WriteRequest(ctx, binding.ToMessage(&e), r); err != nil {
		t.Fatal(err)
	}
	return ingresstest.Send(t, http.DefaultClient, r.Method, url, r.Header, r.Body)
}

func TestEventsArriveWhole(t *testing.T) {
	noData := sample()
	noData.DataEncoded = nil
	image := sample()
	image.SetDataContentType("image/png")
	image.DataEncoded = []byte{0, 1, 254, 255}
	image.DataBase64 = true
	text := sample()
	text.SetDataContentType("text/plain")
	text.DataEncoded = []byte("Zürich\n")
	events := map[string]event.Event{"JSON": sample(), "no data": noData, "binary data": image, "text": text}
	for _, transport := range releases.Transports {
		t.Run(transport, func(t *testing.T) {
			_, url := eventMesh(t, transport, eventmeshtest.Options{})
			receiver := subscribe(t, url, eventmesh.Async)
			s := start(t, "EVENTMESH_URL="+url, "EVENTMESH_TOPICS=orders")
			s.awaitReadiness(t, http.StatusOK)
			for name, e := range events {
				for mode, structured := range map[string]bool{"binary": false, "structured": true} {
					t.Run(name+", "+mode, func(t *testing.T) {
						if got := postEvent(t, s.url+"/topics/orders", e, structured); got.Status != http.StatusAccepted {
							t.Fatalf("got %d %q, want 202", got.Status, got.Body)
						}
						d := receive(t, receiver)
						want := e
						if structured && name == "JSON" { // the SDK compacts JSON in structured mode
							var compact bytes.Buffer
							if err := json.Compact(&compact, e.DataEncoded); err != nil {
								t.Fatal(err)
							}
							want.DataEncoded = compact.Bytes()
						}
						if diff := ingresstest.Same(d.Event, want); diff != "" {
							t.Error(diff)
						}
						if d.Topic != "orders" {
							t.Errorf("got topic %q, want orders", d.Topic)
						}
					})
				}
			}
		})
	}
}

func TestEventsForSubscribersOfTheOtherTransport(t *testing.T) {
	for _, other := range []string{"tcp", "grpc"} {
		t.Run(other, func(t *testing.T) {
			server := eventmeshtest.New(t, eventmeshtest.Options{})
			own, others := server.GRPCURL(), server.TCPURL()
			if other == "grpc" {
				own, others = others, own
			}
			receiver := subscribe(t, others, eventmesh.Async)
			s := start(t, "EVENTMESH_URL="+own, "EVENTMESH_TOPICS=orders", "EVENTMESH_SUBSCRIBER_TRANSPORT="+other)
			s.awaitReadiness(t, http.StatusOK)
			if got := postEvent(t, s.url+"/topics/orders", sample(), false); got.Status != http.StatusAccepted {
				t.Fatalf("got %d %q, want 202", got.Status, got.Body)
			}
			if diff := ingresstest.Same(receive(t, receiver).Event, sample()); diff != "" {
				t.Error(diff)
			}
			if got := postEvent(t, s.url+"/requests/orders", sample(), false); got.Status != http.StatusForbidden || !strings.Contains(got.Body, "another transport") {
				t.Errorf("request: got %d %q, want 403", got.Status, got.Body)
			}
		})
	}
}

func TestRequestsGetReplies(t *testing.T) {
	for _, transport := range releases.Transports {
		t.Run(transport, func(t *testing.T) {
			_, url := eventMesh(t, transport, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ})
			receiver := subscribe(t, url, eventmesh.Sync)
			s := start(t, "EVENTMESH_URL="+url, "EVENTMESH_TOPICS=orders")
			s.awaitReadiness(t, http.StatusOK)
			want := sample()
			want.SetID("reply")
			want.SetType("order.priced")
			answered := make(chan error, 1)
			go func() {
				d, err := receiver.Receive(t.Context())
				if err == nil {
					err = d.Reply(t.Context(), want)
				}
				answered <- err
			}()
			got := postEvent(t, s.url+"/requests/orders", sample(), false)
			if err := <-answered; err != nil {
				t.Fatal(err)
			}
			if got.Status != http.StatusOK {
				t.Fatalf("got %d %q, want 200", got.Status, got.Body)
			}
			reply, err := binding.ToEvent(t.Context(), cehttp.NewMessage(got.Header, http.NoBody))
			if err != nil {
				t.Fatal(err)
			}
			reply.DataEncoded = []byte(got.Body)
			if diff := ingresstest.Same(*reply, want); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRequestWithoutReply(t *testing.T) {
	o := eventmeshtest.Options{Storage: eventmeshtest.RocketMQ, ReplyTimeout: 100 * time.Millisecond}
	for _, transport := range releases.Transports {
		t.Run(transport, func(t *testing.T) {
			_, url := eventMesh(t, transport, o)
			s := start(t, "EVENTMESH_URL="+url, "EVENTMESH_TOPICS=orders", "EVENTMESH_REQUEST_TIMEOUT=1s")
			s.awaitReadiness(t, http.StatusOK)
			if got := ingresstest.Post(t, s.url+"/requests/orders"); got.Status != http.StatusGatewayTimeout {
				t.Errorf("got %d %q, want 504", got.Status, got.Body)
			}
		})
	}
}

func TestRefusalsOfEventMesh(t *testing.T) {
	for _, transport := range releases.Transports {
		t.Run(transport, func(t *testing.T) {
			server, url := eventMesh(t, transport, eventmeshtest.Options{})
			s := start(t, "EVENTMESH_URL="+url, "EVENTMESH_TOPICS=*")
			s.awaitReadiness(t, http.StatusOK)
			got := ingresstest.Post(t, s.url+"/topics/deserted")
			if transport == releases.HTTP { // over which EventMesh keeps what nobody subscribes to
				if got.Status != http.StatusAccepted {
					t.Errorf("topic without a subscriber: got %d %q, want 202", got.Status, got.Body)
				}
			} else if got.Status != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" || !strings.Contains(got.Body, "no subscriber") {
				t.Errorf("topic without a subscriber: got %d %q, want 503", got.Status, got.Body)
			}
			description := "Tps overload, global flow control"
			server.SetFaults(eventmeshtest.Faults{Refuse: "21", RefuseDescription: description})
			got = ingresstest.Post(t, s.url+"/topics/orders")
			if got.Status != http.StatusTooManyRequests || got.Header.Get("Retry-After") == "" || !strings.Contains(got.Body, description) {
				t.Errorf("rate limit: got %d %q, want 429", got.Status, got.Body)
			}
		})
	}
}

func TestConfirmationThatGetsLost(t *testing.T) {
	for _, transport := range releases.Transports {
		t.Run(transport, func(t *testing.T) {
			server, url := eventMesh(t, transport, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ})
			s := start(t, "EVENTMESH_URL="+url, "EVENTMESH_TOPIC=orders", "EVENTMESH_PUBLISH_TIMEOUT=100ms")
			s.awaitReadiness(t, http.StatusOK)
			server.SetFaults(eventmeshtest.Faults{LoseAnswers: 1})
			if got := ingresstest.Post(t, s.url); got.Status != http.StatusServiceUnavailable {
				t.Errorf("got %d %q, want 503 for an event that nobody has confirmed", got.Status, got.Body)
			}
		})
	}
}

func TestEventMeshAway(t *testing.T) {
	for _, transport := range releases.Transports {
		t.Run(transport, func(t *testing.T) {
			server, url := eventMesh(t, transport, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ})
			s := start(t, "EVENTMESH_URL="+url, "EVENTMESH_TOPIC=orders", "EVENTMESH_PUBLISH_TIMEOUT=1h")
			s.awaitReadiness(t, http.StatusOK)
			server.Stop()
			if says := s.awaitReadiness(t, http.StatusServiceUnavailable); !strings.Contains(says, "not connected") {
				t.Errorf("readiness says %q", says)
			}
			got := ingresstest.Post(t, s.url) // which is answered at once, not when its time is up
			if got.Status != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" || !strings.Contains(got.Body, "not connected") {
				t.Errorf("got %d %q, want 503", got.Status, got.Body)
			}
			server.MustRestart(t, true)
			eventually(t, func() string {
				if got := ingresstest.Post(t, s.url); got.Status != http.StatusAccepted {
					return got.Body
				}
				return ""
			})
			if got := len(server.Published("orders")); got != 1 {
				t.Errorf("got %d events in EventMesh, want 1", got)
			}
		})
	}
}
