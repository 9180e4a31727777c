package tcp

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

const (
	// writeTimeout bounds a write: a server that reads nothing for so long is as good as away.
	writeTimeout = 5 * time.Second
	// fullGroup is how many bytes a group has at least that nobody joins any more.
	fullGroup = 64 << 10
)

// writer writes frames. What several goroutines send at about the same time becomes one write: acknowledgements and publishes are small,
// and the system call costs more than all else of them.
type writer struct {
	conn net.Conn

	mu            sync.Mutex
	next, current *group // the one that can be joined, and the one that is written; nil: none
	spare         []byte // of a group before
}

// group is what is written at once.
type group struct {
	frames  []byte
	before  *group        // the one that is written before
	written chan struct{} // closed when it is, or cannot be
	err     error
}

// write returns when the frames are written, in their order. After an error of the connection it is of no further use.
func (w *writer) write(frames []frame.Frame) error {
	g, first, err := w.join(frames)
	if err != nil {
		return err
	}
	if first {
		w.lead(g)
	}
	<-g.written
	return g.err
}

// join adds frames to the group that is written next, or begins one, which has to be led.
func (w *writer) join(frames []frame.Frame) (g *group, first bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.next != nil && len(w.next.frames) >= fullGroup {
		full := w.next.written
		w.mu.Unlock()
		<-full
		w.mu.Lock()
	}
	if g = w.next; g == nil {
		g, first, w.spare = &group{frames: w.spare[:0], before: w.current, written: make(chan struct{})}, true, nil
	}
	encoded := g.frames
	for _, f := range frames {
		if encoded, err = frame.Append(encoded, f); err != nil {
			if errors.Is(err, frame.ErrTooLarge) {
				err = fmt.Errorf("%w: %w", eventmesh.ErrTooLarge, err)
			}
			return nil, false, err
		}
	}
	g.frames, w.next = encoded, g
	return g, first, nil
}

// lead writes a group once those that are about to send something have joined.
func (w *writer) lead(g *group) {
	runtime.Gosched()
	if g.before != nil {
		<-g.before.written
	}
	w.mu.Lock()
	w.next, w.current = nil, g
	w.mu.Unlock()
	g.err = w.flush(g.frames)
	w.mu.Lock()
	w.current, w.spare = nil, g.frames
	w.mu.Unlock()
	close(g.written)
}

func (w *writer) flush(b []byte) error {
	err := w.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err == nil {
		_, err = w.conn.Write(b)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", eventmesh.ErrNotConnected, err)
	}
	return nil
}
