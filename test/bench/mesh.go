//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	pb "github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

const (
	grpcTransport = "grpc"
	tcpTransport  = "tcp"
)

// mesh stands in for an EventMesh: it sends its subscribers what was recorded from one, and confirms what is published.
type mesh struct {
	Measured
	grpcURL, tcpURL string

	mu          sync.Mutex
	subscribers map[string]*subscriber // by transport and topic
	recorded    map[recording][]byte
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

// Addresses are the URLs of an EventMesh.
type Addresses struct{ GRPC, TCP string }

func newMesh() (*mesh, error) {
	m := &mesh{subscribers: map[string]*subscriber{}, recorded: map[recording][]byte{}}
	overGRPC, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // binding does not block
	if err != nil {
		return nil, err
	}
	overTCP, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // the same
	if err != nil {
		return nil, err
	}
	m.grpcURL, m.tcpURL = "grpc://"+overGRPC.Addr().String(), "tcp://"+overTCP.Addr().String()
	server := grpc.NewServer(grpc.ForceServerCodecV2(raw{}), grpc.UnknownServiceHandler(m.call))
	go func() { _ = server.Serve(overGRPC) }()
	go m.acceptTCP(overTCP)
	return m, nil
}

// URLs tells where the mesh listens.
func (m *mesh) URLs(_ Nothing, a *Addresses) error {
	*a = Addresses{GRPC: m.grpcURL, TCP: m.tcpURL}
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

// encoded returns an event as EventMesh sends it, recorded from the one in memory.
func (m *mesh) encoded(f recording) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if b := m.recorded[f]; b != nil {
		return b, nil
	}
	b, err := record(f)
	if err != nil {
		return nil, fmt.Errorf("recording an event: %w", err)
	}
	m.recorded[f] = b
	return b, nil
}

func record(f recording) (encoded []byte, err error) {
	server, err := eventmeshtest.Start(eventmeshtest.Options{Storage: eventmeshtest.RocketMQ, MaxDataCharacters: -1})
	if err != nil {
		return nil, err
	}
	defer server.Close()
	url := server.GRPCURL()
	var next func() ([]byte, error)
	if f.transport == grpcTransport {
		r, err := readGRPC(url, f.topic, "recorder")
		if err != nil {
			return nil, err
		}
		defer r.conn.Close()
		next = func() ([]byte, error) {
			e, err := r.next()
			if err != nil {
				return nil, err
			}
			return proto.Marshal(e)
		}
	} else {
		url = server.TCPURL()
		c, err := readTCP(url, f.topic, "recorder")
		if err != nil {
			return nil, err
		}
		defer c.Close()
		var wire bytes.Buffer
		c.reader = bufio.NewReader(io.TeeReader(c.Conn, &wire))
		next = func() ([]byte, error) {
			err := c.read()
			return wire.Bytes(), err
		}
	}
	if err := publishOnce(url, f.topic, sample(f.size)); err != nil {
		return nil, err
	}
	return next()
}

func publishOnce(url, topic string, e event.Event) error {
	addresses, err := eventmesh.ParseAddresses(url)
	if err != nil {
		return err
	}
	p, err := eventmesh.NewPublisher(eventmesh.Config{Addresses: addresses, ClientID: "bench", Group: "bench"}, adapter.Transports...)
	if err != nil {
		return err
	}
	defer p.Close()
	for range 1000 {
		if err = p.Publish(context.Background(), topic, e); !errors.Is(err, eventmesh.ErrNotConnected) {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return err
}

// raw is gRPC's codec for messages that are encoded already.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil //nolint:forcetypeassert // all that is sent
}

func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize() //nolint:forcetypeassert // all that is received
	return nil
}

var confirmed, _ = proto.Marshal(success())

// call serves every method: a stream is a subscriber's, and everything else is confirmed unread, but for its end.
func (m *mesh) call(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	var request []byte
	if err := stream.RecvMsg(&request); err != nil {
		return err
	}
	switch method {
	case pb.ConsumerService_SubscribeStream_FullMethodName:
		return m.stream(request, stream)
	case pb.ConsumerService_Unsubscribe_FullMethodName:
		topics, err := subscription(request)
		if err != nil {
			return err
		}
		m.unsubscribe(grpcTransport, topics)
	}
	return stream.SendMsg(&confirmed)
}

func (m *mesh) stream(request []byte, stream grpc.ServerStream) error {
	topics, err := subscription(request)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(&confirmed); err != nil {
		return err
	}
	ctx, end := context.WithCancel(stream.Context())
	defer end()
	m.subscribe(grpcTransport, topics, &subscriber{send: func(b []byte) error { return stream.SendMsg(&b) }, end: end})
	<-ctx.Done()
	return nil
}

// subscription reads which topics a message to subscribe to, or to unsubscribe from, is about.
func subscription(request []byte) ([]string, error) {
	var e pb.CloudEvent
	if err := proto.Unmarshal(request, &e); err != nil {
		return nil, err
	}
	return topicsOf([]byte(e.GetTextData()))
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

func (m *mesh) acceptTCP(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			_ = m.serveTCP(conn) // its client has gone
		}()
	}
}

// serveTCP answers every request of a connection, and reads no acknowledgement.
func (m *mesh) serveTCP(conn net.Conn) error {
	reader := bufio.NewReaderSize(conn, 64<<10)
	var topics []string
	defer func() { m.unsubscribe(tcpTransport, topics) }()
	var out []byte
	for {
		command, f, err := readCommand(reader)
		if err != nil {
			return err
		}
		switch command {
		case frame.AsyncMessageToClientAck:
			continue
		case frame.SubscribeRequest:
			var list struct {
				Topics json.RawMessage `json:"topicList"`
			}
			if err := json.Unmarshal(f.Body, &list); err != nil {
				return err
			}
			if topics, err = topicsOf(list.Topics); err != nil {
				return err
			}
		case frame.ListenRequest:
			send := func(b []byte) error {
				_, err := conn.Write(b)
				return err
			}
			m.subscribe(tcpTransport, topics, &subscriber{send: send, end: func() {}})
		}
		answer := frame.Header{Command: answers[command], Sequence: f.Header.Sequence, Desc: "success"}
		if out, err = frame.Append(out[:0], frame.Frame{Header: answer}); err != nil {
			return err
		}
		if _, err := conn.Write(out); err != nil {
			return err
		}
	}
}

// readCommand reads a frame, of an acknowledgement no more than that it is one.
func readCommand(r *bufio.Reader) (frame.Command, frame.Frame, error) {
	const lengths = 13 // what stands before them
	start, err := r.Peek(lengths + 8)
	if err != nil {
		return "", frame.Frame{}, err
	}
	size := lengths + 8 + int(binary.BigEndian.Uint32(start[lengths:])) - lengths
	if all, err := r.Peek(min(size, 256)); err == nil && bytes.Contains(all, []byte(frame.AsyncMessageToClientAck)) {
		_, err := r.Discard(size)
		return frame.AsyncMessageToClientAck, frame.Frame{}, err
	}
	f, err := frame.Read(r)
	return f.Header.Command, f, err
}

var answers = map[frame.Command]frame.Command{
	frame.HelloRequest: frame.HelloResponse, frame.SubscribeRequest: frame.SubscribeResponse, frame.ListenRequest: frame.ListenResponse,
	frame.UnsubscribeRequest: frame.UnsubscribeResponse, frame.HeartbeatRequest: frame.HeartbeatResponse,
	frame.ClientGoodbyeRequest: frame.ClientGoodbyeResponse, frame.AsyncMessageToServer: frame.AsyncMessageToServerAck,
}
