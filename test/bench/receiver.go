//go:build linux

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// receiver is an HTTP server that answers 202 to everything, and does next to nothing besides. Its counters may be read at any time.
type receiver struct {
	listener net.Listener
	// delay is how long an answer takes.
	delay time.Duration

	taken       atomic.Int64
	connections atomic.Int64
	failure     atomic.Pointer[error]

	mu     sync.Mutex
	target int64
	hit    chan struct{}
	gate   chan struct{} // closed where answers are given
	stamps []time.Duration
	timed  atomic.Bool
}

func newReceiver(delay time.Duration) (*receiver, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // binding does not block
	if err != nil {
		return nil, err
	}
	r := &receiver{listener: l, delay: delay, gate: make(chan struct{})}
	close(r.gate)
	go r.accept()
	return r, nil
}

func (r *receiver) url() string { return "http://" + r.listener.Addr().String() + "/" }

func (r *receiver) close() { _ = r.listener.Close() }

func (r *receiver) accept() {
	for {
		conn, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.connections.Add(1)
		go func() {
			defer conn.Close()
			if err := r.serve(conn); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				r.failure.CompareAndSwap(nil, &err)
			}
		}()
	}
}

var (
	accepted      = []byte("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
	contentLength = []byte("content-length:")
)

// readHead reads the head of a request or an answer: lines up to an empty one. It returns the first one, appended to a buffer, and how many
// bytes follow.
func readHead(reader *bufio.Reader, first []byte) (line []byte, length int, err error) {
	for {
		next, err := reader.ReadSlice('\n')
		if err != nil {
			return first, 0, err
		}
		if len(next) <= 2 {
			return first, length, nil
		}
		if len(first) == 0 {
			first = append(first, next...)
		}
		if len(next) > len(contentLength) && bytes.EqualFold(next[:len(contentLength)], contentLength) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(next[len(contentLength):]))); err != nil {
				return first, 0, fmt.Errorf("reading how long a body is: %w", err)
			}
		}
	}
}

// serve answers the requests of a connection.
func (r *receiver) serve(conn net.Conn) error {
	reader := bufio.NewReaderSize(conn, 128<<10)
	var line []byte
	for {
		var length int
		var err error
		if line, length, err = readHead(reader, line[:0]); err != nil {
			return err
		}
		if length == 0 {
			return errors.New("reading a request: it has no length")
		}
		if r.timed.Load() {
			r.time(reader, length)
		}
		if _, err := reader.Discard(length); err != nil {
			return err
		}
		r.wait()
		if _, err := conn.Write(accepted); err != nil {
			return err
		}
		r.count()
	}
}

func (r *receiver) wait() {
	if r.delay > 0 {
		time.Sleep(r.delay)
	}
	r.mu.Lock()
	gate := r.gate
	r.mu.Unlock()
	<-gate
}

func (r *receiver) count() {
	n := r.taken.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hit != nil && n >= r.target {
		close(r.hit)
		r.hit = nil
	}
}

// time notes the age of an event that carries the time of its sending.
func (r *receiver) time(reader *bufio.Reader, length int) {
	start, err := reader.Peek(min(length, stampEnd))
	if err != nil || len(start) < stampEnd {
		return
	}
	sent, err := strconv.ParseInt(string(start[stampStart:stampEnd]), 10, 64)
	if err != nil || sent == 0 {
		return
	}
	age := time.Duration(time.Now().UnixNano() - sent)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stamps = append(r.stamps, age)
}

// hold keeps back all answers until release.
func (r *receiver) hold() (release func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	gate := make(chan struct{})
	r.gate = gate
	return func() { close(gate) }
}

// expect returns a function that waits until so many more requests have been answered. It fails when none is for a long time.
func (r *receiver) expect(n int) (wait func() error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	hit := make(chan struct{})
	r.target, r.hit = r.taken.Load()+int64(n), hit
	return func() error {
		for before := r.taken.Load(); ; before = r.taken.Load() {
			select {
			case <-hit:
				return nil
			case <-time.After(patience):
			}
			if failure := r.failure.Load(); failure != nil {
				return *failure
			}
			if r.taken.Load() == before {
				return fmt.Errorf("%w: the receiver waits for %d more events", errTimeout, r.target-before)
			}
		}
	}
}

// ages measures the ages of what arrives while f runs.
func (r *receiver) ages(f func() error) ([]time.Duration, error) {
	r.mu.Lock()
	r.stamps = nil
	r.mu.Unlock()
	r.timed.Store(true)
	defer r.timed.Store(false)
	if err := f(); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stamps, nil
}

// patience is the time without any progress after which a measurement is given up.
const patience = time.Minute
