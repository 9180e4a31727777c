//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/client"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/protocol"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	pb "github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

// reading is the role read.
type reading struct {
	Measured
	read func(n int) error
}

func newReading(url, topic string) (*reading, error) {
	switch transport, _, _ := strings.Cut(url, ":"); transport {
	case httpTransport:
		r, err := readHTTP(url, topic, topic)
		if err != nil {
			return nil, err
		}
		return &reading{read: r.read}, nil
	case grpcTransport:
		stream, err := readGRPC(url, topic, topic)
		if err != nil {
			return nil, err
		}
		return &reading{read: oneByOne(stream.read)}, nil
	default:
		conn, err := readTCP(url, topic, topic)
		if err != nil {
			return nil, err
		}
		return &reading{read: oneByOne(conn.read)}, nil
	}
}

// oneByOne calls a function so many times.
func oneByOne(f func() error) func(n int) error {
	return func(n int) error {
		for range n {
			if err := f(); err != nil {
				return err
			}
		}
		return nil
	}
}

// Work reads so many events.
func (r *reading) Work(n int, _ *Nothing) error { return r.read(n) }

// posting is the role post.
type posting struct {
	Measured
	client   *http.Client
	template *http.Request
	body     []byte
	inFlight int
}

func newPosting(url string, size, inFlight int) (*posting, error) {
	template, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, nil)
	if err != nil {
		return nil, err
	}
	e := sample(size)
	e.SetExtension("eventmeshtopic", "bench")
	if err := cehttp.WriteRequest(binding.WithForceBinary(context.Background()), (*binding.EventMessage)(&e), template); err != nil {
		return nil, err
	}
	return &posting{client: &http.Client{Transport: transportFor(inFlight)}, template: template, body: e.DataEncoded, inFlight: inFlight}, nil
}

func transportFor(inFlight int) *http.Transport {
	return &http.Transport{MaxConnsPerHost: inFlight, MaxIdleConns: inFlight, MaxIdleConnsPerHost: inFlight, DisableCompression: true}
}

// Work posts so many events.
func (p *posting) Work(n int, _ *Nothing) error { return share(n, p.inFlight, p.post) }

func (p *posting) post(int) error {
	request := p.template.WithContext(context.Background())
	request.Body = io.NopCloser(bytes.NewReader(p.body))
	request.ContentLength = int64(len(p.body))
	response, err := p.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusAccepted {
		return fmt.Errorf("posting: status %d", response.StatusCode)
	}
	return nil
}

// share calls f for 0 to n-1 from so many goroutines.
func share(n, goroutines int, f func(i int) error) error {
	var next atomic.Int64
	var failure atomic.Pointer[error]
	var all sync.WaitGroup
	for range min(goroutines, n) {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(n) && failure.Load() == nil; i = next.Add(1) - 1 {
				if err := f(int(i)); err != nil {
					failure.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	all.Wait()
	if err := failure.Load(); err != nil {
		return *err
	}
	return nil
}

// forwarding is the role forward. It works by itself.
type forwarding struct{ Measured }

func newForwarding(from, topic, to string, inFlight int) (*forwarding, error) {
	addresses, err := eventmesh.ParseAddresses(from, adapter.Transports...)
	if err != nil {
		return nil, err
	}
	subscriber, err := eventmesh.NewSubscriber(
		eventmesh.Config{Addresses: addresses, ClientID: topic, Group: topic}, eventmesh.Subscription{Topics: []string{topic}}, adapter.Transports...)
	if err != nil {
		return nil, err
	}
	receive, err := client.New(receiving{subscriber}, client.WithPollGoroutines(inFlight), client.WithBlockingCallback())
	if err != nil {
		return nil, err
	}
	over, err := cehttp.New(cehttp.WithTarget(to), cehttp.WithRoundTripper(transportFor(inFlight)))
	if err != nil {
		return nil, err
	}
	send, err := client.New(over)
	if err != nil {
		return nil, err
	}
	go func() {
		_ = receive.StartReceiver(context.Background(), func(ctx context.Context, e event.Event) protocol.Result {
			return send.Send(ctx, e)
		})
	}()
	return &forwarding{}, nil
}

// receiving is a subscriber for a client of the CloudEvents SDK.
type receiving struct{ subscriber *eventmesh.Subscriber }

// Receive returns the next event, which is acknowledged once the client has done with it.
func (r receiving) Receive(ctx context.Context) (binding.Message, error) {
	d, err := r.subscriber.Receive(ctx)
	if err != nil {
		return nil, io.EOF
	}
	if d.Err != nil {
		return nil, errors.Join(d.Err, d.Ack(ctx))
	}
	return binding.WithFinish((*binding.EventMessage)(&d.Event), func(err error) {
		if protocol.IsACK(err) {
			_ = d.Ack(ctx)
		}
	}), nil
}

// answering is the role answer, and relay.
type answering struct {
	Measured
	url string
}

// newAnswering returns one that does something with the request, once its body is read, and answers 202.
func newAnswering(do func() error) (*answering, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // binding does not block
	if err != nil {
		return nil, err
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		if err := do(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	})}
	go func() { _ = server.Serve(l) }()
	return &answering{url: "http://" + l.Addr().String()}, nil
}

// newRelaying is the role relay: for each request it publishes the same event, or as many as a batch has.
func newRelaying(url, topic string, size, events int) (*answering, error) {
	p, err := newPublishing(url, topic, size, 0)
	if err != nil {
		return nil, err
	}
	return newAnswering(func() error { return share(events, events, func(int) error { return p.publish() }) })
}

// URL tells where it listens.
func (a *answering) URL(_ Nothing, url *string) error {
	*url = a.url
	return nil
}

// publishing is the role publish.
type publishing struct {
	Measured
	publish     func() error
	concurrency int
}

func newPublishing(url, topic string, size, concurrency int) (*publishing, error) {
	p := &publishing{concurrency: concurrency}
	switch transport, _, _ := strings.Cut(url, ":"); transport {
	case httpTransport:
		publish := publishHTTP(url, topic)
		body, err := json.Marshal(sample(size)) // data that EventMesh does not change our publisher leaves as it is, too
		p.publish = func() error { return publish(body) }
		return p, err
	case grpcTransport:
		conn, err := dialGRPC(url)
		if err != nil {
			return nil, err
		}
		publisher := pb.NewPublisherServiceClient(conn)
		e, err := encodedForGRPC(topic, size)
		p.publish = func() error {
			answer, err := publisher.Publish(context.Background(), e)
			if err == nil && answer.GetAttributes()["statuscode"].GetCeString() != "0" {
				err = errors.New(answer.GetAttributes()["responsemessage"].GetCeString())
			}
			return err
		}
		return p, err
	default:
		conn, err := publishTCP(url)
		if err != nil {
			return nil, err
		}
		body, err := json.Marshal(encodedForTCP(topic, size))
		p.publish = func() error { return conn.publish(body) }
		return p, err
	}
}

// encodedForTCP returns an event as our publisher encodes it.
func encodedForTCP(topic string, size int) event.Event {
	e := sample(size)
	e.SetExtension("emxsubject", e.Subject())
	e.SetExtension("emxdatacontenttype", e.DataContentType())
	e.SetExtension("emxdata", "json")
	e.SetSubject(topic)
	e.SetDataContentType(event.ApplicationCloudEventsJSON)
	return e
}

// encodedForGRPC returns an event as our publisher encodes it, recorded at an EventMesh.
func encodedForGRPC(topic string, size int) (*pb.CloudEvent, error) {
	server, err := eventmeshtest.Start(eventmeshtest.Options{})
	if err != nil {
		return nil, err
	}
	defer server.Close()
	r, err := readGRPC(server.GRPCURL(), topic, "recorder")
	if err != nil {
		return nil, err
	}
	defer r.conn.Close()
	if err := publishOnce(server.GRPCURL(), topic, sample(size)); err != nil {
		return nil, err
	}
	return server.Published(topic)[0], nil
}

// Work publishes so many events.
func (p *publishing) Work(n int, _ *Nothing) error {
	return share(n, p.concurrency, func(int) error { return p.publish() })
}

// Paced says how much to do, and how fast.
type Paced struct {
	Events int
	// Rate in events per second.
	Rate float64
}

// Ages publishes at a rate, and returns how long each took.
func (p *publishing) Ages(how Paced, ages *[]time.Duration) (err error) {
	*ages, err = atRate(how, p.concurrency, func(int) error { return p.publish() })
	return err
}

// atRate calls f at a rate, from so many goroutines, each in even steps, and returns how long each call took since it was due; since
// its start, where the goroutine had been waiting for that.
func atRate(how Paced, goroutines int, f func(goroutine int) error) ([]time.Duration, error) {
	var mu sync.Mutex
	var all []time.Duration
	var failure error
	var group sync.WaitGroup
	goroutines = min(goroutines, how.Events)
	began := time.Now()
	for g := range goroutines {
		group.Go(func() {
			var own []time.Duration
			for i := g; i < how.Events; i += goroutines {
				due := began.Add(time.Duration(float64(i) / how.Rate * float64(time.Second)))
				if wait := time.Until(due); wait > 0 {
					time.Sleep(wait)
					due = time.Now()
				}
				if err := f(g); err != nil {
					mu.Lock()
					failure = err
					mu.Unlock()
					return
				}
				own = append(own, time.Since(due))
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, own...)
		})
	}
	group.Wait()
	return all, failure
}
