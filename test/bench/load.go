//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

// The modes in which events come over HTTP.
const (
	binaryMode     = "binary"
	structuredMode = "structured"
	batchMode      = "batch"
	// batchEvents is how many events a batch has.
	batchEvents = 10
)

// eventsOf is how many events a request has.
func eventsOf(mode string) int {
	if mode == batchMode {
		return batchEvents
	}
	return 1
}

// encodeRequest returns the bytes of a request.
func encodeRequest(target, mode string, size int) ([]byte, error) {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, target, nil)
	if err != nil {
		return nil, err
	}
	e := sample(size)
	switch mode {
	case binaryMode:
		err = cehttp.WriteRequest(binding.WithForceBinary(context.Background()), (*binding.EventMessage)(&e), request)
	case structuredMode:
		err = cehttp.WriteRequest(binding.WithForceStructured(context.Background()), (*binding.EventMessage)(&e), request)
	case batchMode:
		var body []byte
		if body, err = json.Marshal(repeat(e, batchEvents)); err == nil {
			request, err = http.NewRequestWithContext(context.Background(), http.MethodPost, target, bytes.NewReader(body))
			request.Header.Set("Content-Type", event.ApplicationCloudEventsBatchJSON)
		}
	}
	if err != nil {
		return nil, err
	}
	var wire bytes.Buffer
	err = request.Write(&wire)
	return wire.Bytes(), err
}

func repeat(e event.Event, n int) []event.Event {
	all := make([]event.Event, n)
	for i := range all {
		all[i] = e.Clone()
		all[i].SetID(base64.RawURLEncoding.EncodeToString([]byte{byte(i)}))
	}
	return all
}

// load posts the same request over many connections.
type load struct {
	request []byte
	status  string
	conns   []*loadConn
}

type loadConn struct {
	net.Conn
	reader *bufio.Reader
	status []byte // the last one
}

// newLoad connects, and posts once over each connection. Every answer has to have the status.
func newLoad(target, mode string, size, connections, status int) (*load, error) {
	at, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	l := &load{status: "HTTP/1.1 " + strconv.Itoa(status)}
	if l.request, err = encodeRequest(target, mode, size); err != nil {
		return nil, err
	}
	for range connections {
		conn, err := net.Dial("tcp", at.Host) //nolint:noctx // on loopback
		if err != nil {
			return nil, err
		}
		c := &loadConn{Conn: conn, reader: bufio.NewReader(conn)}
		l.conns = append(l.conns, c)
		if err := l.exchange(c); err != nil { // a server closes a connection on which no request ever comes
			return nil, err
		}
	}
	return l, nil
}

func (l *load) close() {
	for _, c := range l.conns {
		_ = c.Close()
	}
}

// post posts so many requests as fast as they are answered.
func (l *load) post(requests int) error {
	idle := make(chan *loadConn, len(l.conns))
	for _, c := range l.conns {
		idle <- c
	}
	return share(requests, len(l.conns), func(int) error {
		c := <-idle
		defer func() { idle <- c }()
		return l.exchange(c)
	})
}

// ages posts at a rate of requests per second, and returns how long each took.
func (l *load) ages(how Paced) ([]time.Duration, error) {
	return atRate(how, len(l.conns), func(goroutine int) error { return l.exchange(l.conns[goroutine]) })
}

// exchange sends the request, and reads the answer, whose body has a length, if any.
func (l *load) exchange(c *loadConn) error {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := c.Write(l.request); err != nil {
		return err
	}
	status, length, err := readHead(c.reader, c.status[:0])
	if err != nil {
		return err
	}
	c.status = status
	if !bytes.HasPrefix(status, []byte(l.status)) {
		return fmt.Errorf("the answer to a request is %q, want %s", status, l.status)
	}
	_, err = c.reader.Discard(length)
	return err
}
