//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
)

const (
	grpcTransport = "grpc"
	tcpTransport  = "tcp"
	httpTransport = "http"
)

// transports are those that are measured.
var transports = []string{grpcTransport, tcpTransport, httpTransport}

// mesh stands in for an EventMesh: it sends its subscribers what was recorded from one, and confirms what is published.
type mesh struct {
	Measured
	urls Addresses

	delivered atomic.Int64 // over HTTP

	mu          sync.Mutex
	subscribers map[string]*subscriber // by transport and topic
	recorded    map[recording][]byte
	queues      map[string]httpQueue // by client
}

// subscriber is a stream of events.
type subscriber struct {
	send func([]byte) error
	// end ends it, as EventMesh does when its client leaves the group.
	end func()
}

// Feeding says what to send.
type Feeding struct {
	Transport string
	// Topics take turns.
	Topics []string
	// Size of an event's data in bytes.
	Size   int
	Events int
	// Rate in events per second; 0 is as fast as they are taken. With a rate each event carries the time of its sending.
	Rate float64
}

// recording is an encoded event, as a subscriber of a topic gets it.
type recording struct {
	transport, topic string
	size             int
}

// Addresses are the URLs of an EventMesh, by transport.
type Addresses map[string]string

func newMesh() (*mesh, error) {
	m := &mesh{subscribers: map[string]*subscriber{}, recorded: map[recording][]byte{}, queues: map[string]httpQueue{}, urls: Addresses{}}
	server := grpc.NewServer(grpc.ForceServerCodecV2(raw{}), grpc.UnknownServiceHandler(m.call))
	for transport, serve := range map[string]func(net.Listener){
		grpcTransport: func(l net.Listener) { _ = server.Serve(l) }, tcpTransport: accepting(m.serveTCP), httpTransport: accepting(m.serveHTTP),
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // binding does not block
		if err != nil {
			return nil, err
		}
		m.urls[transport] = transport + "://" + l.Addr().String()
		go serve(l)
	}
	return m, nil
}

// accepting returns what serves each connection of a listener.
func accepting(serve func(net.Conn) error) func(net.Listener) {
	return func(l net.Listener) {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_ = serve(conn) // its client has gone
			}()
		}
	}
}

// URLs tells where the mesh listens.
func (m *mesh) URLs(_ Nothing, a *Addresses) error {
	*a = m.urls
	return nil
}

// Subscribed waits until the topics have a subscriber.
func (m *mesh) Subscribed(f Feeding, _ *Nothing) error {
	for range 2000 {
		if _, err := m.streams(f); err == nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	_, err := m.streams(f)
	return err
}

func (m *mesh) streams(f Feeding) (all []*subscriber, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, topic := range f.Topics {
		s := m.subscribers[f.Transport+topic]
		if s == nil {
			return nil, fmt.Errorf("nobody subscribes to %s over %s", topic, f.Transport)
		}
		all = append(all, s)
	}
	return all, nil
}

// Feed sends events, and returns when they are written.
func (m *mesh) Feed(f Feeding, _ *Nothing) error {
	streams, err := m.streams(f)
	if err != nil {
		return err
	}
	events := make([][]byte, len(f.Topics))
	at := make([]int, len(f.Topics))
	for i, topic := range f.Topics {
		if events[i], err = m.encoded(recording{f.Transport, topic, f.Size}); err != nil {
			return err
		}
		if at[i], err = stampAt(events[i]); err != nil {
			return err
		}
	}
	if f.Rate > 0 {
		return pace(f.Rate, f.Events, func(i int) error {
			i %= len(events)
			stamped := bytes.Clone(events[i]) // gRPC may write the last one later
			stamp(stamped, at[i], time.Now())
			return streams[i].send(stamped)
		})
	}
	for i := range f.Events {
		if err := streams[i%len(streams)].send(events[i%len(events)]); err != nil {
			return err
		}
	}
	return nil
}

// pace calls f so often a second, n times. A call that comes late is made at once.
func pace(rate float64, n int, f func(i int) error) error {
	began := time.Now()
	for i := range n {
		due := began.Add(time.Duration(float64(i) / rate * float64(time.Second)))
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
		}
		if err := f(i); err != nil {
			return err
		}
	}
	return nil
}

func (m *mesh) subscribe(transport string, topics []string, s *subscriber) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, topic := range topics {
		m.subscribers[transport+topic] = s
	}
}

func (m *mesh) unsubscribe(transport string, topics []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, topic := range topics {
		if s := m.subscribers[transport+topic]; s != nil {
			s.end()
			delete(m.subscribers, transport+topic)
		}
	}
}

// topicsOf returns what a subscriber subscribes to.
func topicsOf(list []byte) (topics []string, err error) {
	var items []struct {
		Topic string `json:"topic"`
	}
	if err := json.Unmarshal(list, &items); err != nil {
		return nil, fmt.Errorf("reading a subscription: %w", err)
	}
	for _, item := range items {
		topics = append(topics, item.Topic)
	}
	return topics, nil
}
