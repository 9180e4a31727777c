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

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
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
