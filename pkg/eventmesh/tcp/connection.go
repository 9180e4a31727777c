package tcp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

// connection sends frames, and finds the answers to them. One goroutine reads, by next or exchange; any number write and call.
type connection struct {
	conn   net.Conn
	reader *bufio.Reader

	writer *writer

	mu    sync.Mutex
	calls []*call // that wait for their answers: few, as a session may have few publishes in flight

	early *frame.Frame // a delivery that exchange has read, for next

	done    chan struct{}
	closing sync.Once

	received atomic.Int64 // frames
}

func newConnection(conn net.Conn) *connection {
	return &connection{conn: conn, writer: &writer{conn: conn}, reader: bufio.NewReaderSize(conn, 64<<10), done: make(chan struct{})}
}

// sequence returns one that no other frame has, whichever client sent it: EventMesh can hand an answer to the wrong connection.
func sequence() string {
	return strconv.FormatUint(rand.Uint64(), 10) //nolint:gosec // not a secret
}

// send writes frames, at once. After an error the connection is of no further use, unless it is about one of the frames.
func (c *connection) send(frames ...frame.Frame) error {
	err := c.writer.write(frames)
	if errors.Is(err, eventmesh.ErrNotConnected) {
		_ = c.Close() // a frame may have been written in part
	}
	return err
}

// call sends a frame, and waits for the answer.
func (c *connection) call(ctx context.Context, f frame.Frame) (frame.Frame, error) {
	own, err := c.begin(f, identity{})
	if err != nil {
		return frame.Frame{}, err
	}
	defer c.forget(own)
	return c.await(ctx, own, nil)
}

// begin sends a frame under a sequence number of its own. The event is that of a publish. What is begun has to be forgotten.
func (c *connection) begin(f frame.Frame, event identity) (*call, error) {
	f.Header.Sequence = sequence()
	own := &call{command: f.Header.Command, sequence: f.Header.Sequence, event: event, answer: make(chan frame.Frame, 1)}
	c.expect(own)
	if err := c.send(f); err != nil {
		c.forget(own)
		return nil, err
	}
	return own, nil
}

// expect puts a call with those that wait for their answers.
func (c *connection) expect(own *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, own)
}

// await waits for the answer, which next finds, for no longer than until late. One that is there counts, whatever else has happened
// by the time that somebody looks.
func (c *connection) await(ctx context.Context, own *call, late <-chan time.Time) (frame.Frame, error) {
	var err error
	select {
	case f := <-own.answer:
		return f, failure(f)
	case <-c.done:
		err = fmt.Errorf("%w: the connection broke", eventmesh.ErrNotConnected)
	case <-late:
		err = eventmesh.ErrUnconfirmed
	case <-ctx.Done():
		err = fmt.Errorf("%w: %w", eventmesh.ErrUnconfirmed, ctx.Err())
	}
	select {
	case f := <-own.answer:
		return f, failure(f)
	default:
		return frame.Frame{}, err
	}
}

func (c *connection) forget(own *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = slices.DeleteFunc(c.calls, func(other *call) bool { return other == own })
}

func (c *connection) overtaken(own *call) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return own.overtaken
}

// answered removes the first call that a frame answers from those that wait, and returns it, or nil. A confirmation says that
// EventMesh has done with that publish, and had come to those before it; a refusal does not, since it does not wait for the storage.
func (c *connection) answered(f frame.Frame) *call {
	is := answeredBy(f)
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.calls, is)
	if i < 0 {
		return nil
	}
	own := c.calls[i]
	for _, earlier := range c.calls[:i] {
		if f.Header.Code == 0 && earlier.event.topic == own.event.topic {
			earlier.overtaken = true
		}
	}
	c.calls = slices.Delete(c.calls, i, i+1)
	return own
}

// next reads until a frame that is no answer to a call.
func (c *connection) next() (frame.Frame, error) {
	if early := c.early; early != nil {
		c.early = nil
		return *early, nil
	}
	for {
		f, err := c.read()
		if err != nil {
			return f, err
		}
		if isPush(f.Header.Command) {
			return f, nil
		}
		call := c.answered(f)
		if call == nil {
			return f, nil
		}
		call.answer <- f
	}
}

func (c *connection) read() (frame.Frame, error) {
	f, err := frame.Read(c.reader)
	switch {
	case err == nil:
		c.received.Add(1)
		return f, nil
	case errors.Is(err, io.EOF):
		return f, io.EOF
	default:
		return f, fmt.Errorf("%w: %w", eventmesh.ErrNotConnected, err)
	}
}

// exchange sends a request and reads its answer, before anybody else reads. Nothing else is due then but an end of the session, so
// that nothing has to be kept, with one exception: EventMesh delivers to a client that listens, and its answer may come behind that.
func (c *connection) exchange(ctx context.Context, command frame.Command, body any) error {
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	request := frame.Frame{Header: frame.Header{Command: command, Sequence: sequence()}}
	if body != nil {
		var err error
		if request.Body, err = json.Marshal(body); err != nil {
			return fmt.Errorf("encoding %s: %w", command, err)
		}
	}
	if err := c.send(request); err != nil {
		return err
	}
	f, err := c.read()
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %s: %w", eventmesh.ErrUnconfirmed, command, ctx.Err())
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%w: EventMesh closed the connection after %s", eventmesh.ErrRefused, command)
	case err != nil:
		return err
	case f.Header.Command == answers[command] && f.Header.Sequence == request.Header.Sequence:
		return failure(f)
	case command == frame.ListenRequest && isDelivery(f.Header.Command):
		c.early = &f
		return nil
	}
	if err := c.control(f); err != nil {
		return err
	}
	return fmt.Errorf("%w: EventMesh sent %.40q where %s was due", eventmesh.ErrNotConnected, f.Header.Command, answers[command])
}

// heartbeat fails when the server has sent nothing, the answer included, for as long as the context allows.
func (c *connection) heartbeat(ctx context.Context) error {
	received := c.received.Load()
	_, err := c.call(ctx, frame.Frame{Header: frame.Header{Command: frame.HeartbeatRequest}})
	if errors.Is(err, eventmesh.ErrUnconfirmed) && c.received.Load() > received {
		return nil
	}
	return err
}

// isPush tells frames that a server sends by itself, with sequence numbers of its own.
func isPush(command frame.Command) bool {
	return isDelivery(command) || command == frame.ServerGoodbyeRequest || command == frame.RedirectToClient
}

func isDelivery(command frame.Command) bool {
	switch command {
	case frame.AsyncMessageToClient, frame.BroadcastMessageToClient, frame.RequestToClient:
		return true
	default:
		return false
	}
}

// Close ends the connection and all calls. It may be called more than once.
func (c *connection) Close() error {
	var err error
	c.closing.Do(func() {
		close(c.done)
		err = c.conn.Close()
	})
	return err
}
