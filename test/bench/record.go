//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"google.golang.org/protobuf/proto"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsontext"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/next"
)

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
	switch f.transport {
	case httpTransport:
		return recordHTTP(f)
	case grpcTransport:
		return recordFrom(f, (*eventmeshtest.Server).GRPCURL, receiveGRPC)
	default:
		return recordFrom(f, (*eventmeshtest.Server).TCPURL, receiveTCP)
	}
}

// recordFrom publishes an event, and returns what a subscriber receives.
func recordFrom(f recording, url func(*eventmeshtest.Server) string, subscribe func(url, topic string) (receive func() ([]byte, error), err error)) ([]byte, error) {
	server, err := eventmeshtest.Start(eventmeshtest.Options{Storage: eventmeshtest.RocketMQ, MaxDataCharacters: -1})
	if err != nil {
		return nil, err
	}
	defer server.Close()
	receive, err := subscribe(url(server), f.topic)
	if err != nil {
		return nil, err
	}
	if err := publishOnce(url(server), f.topic, sample(f.size)); err != nil {
		return nil, err
	}
	return receive()
}

// receiveGRPC, receiveTCP and recordHTTP end with the server's connections.
func receiveGRPC(url, topic string) (func() ([]byte, error), error) {
	r, err := readGRPC(url, topic, "recorder")
	if err != nil {
		return nil, err
	}
	return func() ([]byte, error) {
		defer r.conn.Close()
		e, err := r.next()
		if err != nil {
			return nil, err
		}
		return proto.Marshal(e)
	}, nil
}

func receiveTCP(url, topic string) (func() ([]byte, error), error) {
	c, err := readTCP(url, topic, "recorder")
	if err != nil {
		return nil, err
	}
	return func() ([]byte, error) {
		defer c.Close()
		var wire bytes.Buffer
		c.reader = bufio.NewReader(io.TeeReader(c.Conn, &wire))
		err := c.read()
		return wire.Bytes(), err
	}, nil
}

// recordHTTP records a delivery out of the answer to a poll.
func recordHTTP(f recording) (encoded []byte, err error) {
	server, err := next.Start(next.Options{PumpInterval: time.Millisecond})
	if err != nil {
		return nil, err
	}
	defer server.Close()
	r, err := readHTTP(server.URL(), f.topic, "recorder")
	if err != nil {
		return nil, err
	}
	if err := publishOnce(server.URL(), f.topic, sample(f.size)); err != nil {
		return nil, err
	}
	answer, err := r.poll()
	if err != nil {
		return nil, err
	}
	err = jsontext.Elements(answer, func(delivery []byte) error {
		encoded = delivery
		return nil
	})
	return encoded, err
}

func publishOnce(url, topic string, e event.Event) error {
	addresses, err := eventmesh.ParseAddresses(url, adapter.Transports...)
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
