//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"time"
)

// httpQueue is what a client can poll for. Who feeds it waits while it is full.
type httpQueue chan []byte

const httpQueued = 1024

// serveHTTP answers every request of a connection: a poll with what there is, and all others by their paths alone, but for subscriptions.
func (m *mesh) serveHTTP(conn net.Conn) error {
	reader := bufio.NewReaderSize(conn, 128<<10)
	var line, body, out []byte
	for {
		var length int
		var err error
		if line, length, err = readHead(reader, line[:0]); err != nil {
			return err
		}
		fields := bytes.Fields(line)
		if len(fields) < 2 {
			return fmt.Errorf("reading a request: it starts with %q", line)
		}
		path, query, _ := bytes.Cut(fields[1], []byte("?"))
		switch out = out[:0]; string(path) {
		case "/events/publish":
			_, err = reader.Discard(length)
			out = appendAnswer(out, "202 Accepted", []byte(`{"status":"accepted"}`))
		case "/events/ack":
			_, err = reader.Discard(length)
			out = appendAnswer(out, "200 OK", []byte(`{"status":"acked"}`))
		case "/events/poll":
			if body, err = m.pollHTTP(string(query), body[:0]); err == nil {
				_, err = reader.Discard(length)
			}
			out = appendAnswer(out, "200 OK", body)
		default:
			request := make([]byte, length)
			if _, err = io.ReadFull(reader, request); err == nil {
				err = m.subscriptionHTTP(string(path), request)
			}
			out = appendAnswer(out, "200 OK", []byte(`{"removed":false}`))
		}
		if err != nil {
			return err
		}
		if _, err := conn.Write(out); err != nil {
			return err
		}
	}
}

func appendAnswer(out []byte, status string, body []byte) []byte {
	out = append(append(append(out, "HTTP/1.1 "...), status...), "\r\nContent-Type: application/json\r\nContent-Length: "...)
	out = append(strconv.AppendInt(out, int64(len(body)), 10), "\r\n\r\n"...)
	return append(out, body...)
}

// subscriptionHTTP begins a subscription. None ends: a client whose receiver is slow begins another, and what comes meanwhile waits.
func (m *mesh) subscriptionHTTP(path string, request []byte) error {
	var s struct {
		Client string `json:"clientId"`
		Topic  string `json:"topic"`
	}
	if err := json.Unmarshal(request, &s); err != nil {
		return fmt.Errorf("reading a subscription: %w", err)
	}
	if path != "/events/subscribe" {
		return nil
	}
	queue := m.queueHTTP(s.Client)
	m.subscribe(httpTransport, []string{s.Topic}, &subscriber{end: func() {}, send: func(b []byte) error {
		queue <- b
		return nil
	}})
	return nil
}

func (m *mesh) queueHTTP(client string) httpQueue {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.queues[client] == nil {
		m.queues[client] = make(httpQueue, httpQueued)
	}
	return m.queues[client]
}

// pollHTTP appends the answer to a poll.
func (m *mesh) pollHTTP(query string, out []byte) ([]byte, error) {
	q, err := url.ParseQuery(query)
	if err != nil {
		return nil, err
	}
	most, err := strconv.Atoi(q.Get("max"))
	if err != nil {
		return nil, err
	}
	patience, err := strconv.Atoi(q.Get("timeoutMs"))
	if err != nil {
		return nil, err
	}
	queue, end := m.queueHTTP(q.Get("clientId")), time.After(time.Duration(patience)*time.Millisecond)
	out = append(out, '[')
	for n := range most {
		var b []byte
		if n == 0 {
			select {
			case b = <-queue:
			case <-end:
			}
		} else {
			select {
			case b = <-queue:
			default:
			}
		}
		if b == nil {
			break
		}
		if n > 0 {
			out = append(out, ',')
		}
		out = m.appendDelivery(out, b)
	}
	return append(out, ']'), nil
}

// appendDelivery appends a delivery that was recorded, with an ID of its own.
func (m *mesh) appendDelivery(out, delivery []byte) []byte {
	before, after, _ := bytes.Cut(delivery, deliveryID)
	_, after, _ = bytes.Cut(after, []byte(`"`))
	out = append(append(out, before...), deliveryID...)
	out = strconv.AppendInt(out, m.delivered.Add(1), 10)
	return append(append(out, '"'), after...)
}
