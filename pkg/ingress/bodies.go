package ingress

import (
	"container/list"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	// bodyGrace is how long a body may take to arrive without giving way to others.
	bodyGrace = time.Second
	// bodyStart is the most that is held for a body which has only been announced.
	bodyStart = 4 << 10
)

var (
	errBodiesFull = errors.New("as many bytes of bodies are held as EVENTMESH_BUFFER_BYTES allows")
	errGaveWay    = errors.New("the body arrived slowly, and gave way to others: EVENTMESH_BUFFER_BYTES was reached")
)

// bodies bounds the memory of the bodies of requests, whether they arrive or are being published. A body counts by what has
// come of it, not by what was announced. When there is no room, bodies that have been arriving for longest give way, so that
// slow senders cannot use up the room of others.
type bodies struct {
	limit int64
	grace time.Duration // bodyGrace

	mu       sync.Mutex
	held     int64
	arriving list.List // of *body, the oldest first
}

// body is what a request holds of the room for bodies. All but content is guarded by the mutex of bodies.
type body struct {
	content []byte
	room    *bodies
	began   time.Time
	place   *list.Element
	held    int64
	gaveWay bool
	sender  http.ResponseWriter // not used after arrived
}

func newBodies(limit int64) *bodies { return &bodies{limit: limit, grace: bodyGrace} }

// read returns the body of a request, of at most the given size, which is to be released.
func (b *bodies) read(w http.ResponseWriter, r *http.Request, most int64) (*body, error) {
	if r.ContentLength > most {
		return nil, Refusef(http.StatusRequestEntityTooLarge, "the body has %d bytes, EVENTMESH_MAX_EVENT_BYTES allows %d", r.ContentLength, most)
	}
	one := b.begin(w)
	from := r.Body
	if r.ContentLength < 0 {
		from = http.MaxBytesReader(w, from, most)
	}
	err := one.readAll(from, r.ContentLength, most)
	gaveWay := one.arrived()
	if err == nil {
		return one, nil
	}
	one.release()
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, Refusef(http.StatusRequestEntityTooLarge, "the body has more than the %d bytes that EVENTMESH_MAX_EVENT_BYTES allows", most)
	case gaveWay:
		return nil, Refusef(http.StatusTooManyRequests, "%w", errGaveWay)
	case errors.Is(err, errBodiesFull):
		return nil, Refusef(http.StatusTooManyRequests, "%w", err)
	default:
		return nil, Refusef(http.StatusRequestTimeout, "reading the body: %w", err)
	}
}

func (b *bodies) begin(w http.ResponseWriter) *body {
	b.mu.Lock()
	defer b.mu.Unlock()
	one := &body{room: b, began: time.Now(), sender: w}
	one.place = b.arriving.PushBack(one)
	return one
}

// readAll reads to the end. Its buffer grows with what comes, up to the length, which is negative where it is not known, or
// to the most that is allowed; one byte more is room to see the end.
func (o *body) readAll(from io.Reader, length, most int64) error {
	if length < 0 {
		length = most
	}
	var content []byte
	for {
		if len(content) == cap(content) {
			size := min(max(bodyStart, 2*int64(cap(content))), length+1)
			if err := o.reserve(size - int64(cap(content))); err != nil {
				return err
			}
			content = append(make([]byte, 0, size), content...)
		}
		n, err := from.Read(content[len(content):cap(content)])
		content = content[:len(content)+n]
		switch {
		case errors.Is(err, io.EOF):
			o.content = content
			return nil
		case err != nil:
			return err
		case int64(len(content)) > length: // which net/http allows neither
			return io.ErrUnexpectedEOF
		}
	}
}

// reserve finds room, that of other bodies where there is none left.
func (o *body) reserve(size int64) error {
	b := o.room
	b.mu.Lock()
	defer b.mu.Unlock()
	if o.gaveWay {
		return errGaveWay
	}
	for b.held+size > b.limit {
		front := b.arriving.Front()
		if front == nil {
			return errBodiesFull
		}
		oldest, ok := front.Value.(*body)
		if !ok || oldest == o || time.Since(oldest.began) < b.grace {
			return errBodiesFull
		}
		b.arriving.Remove(front)
		oldest.place, oldest.gaveWay = nil, true
		b.held -= oldest.held // a moment before it lets go
		oldest.held = 0
		_ = http.NewResponseController(oldest.sender).SetReadDeadline(time.Unix(1, 0)) // which ends a Read that waits
	}
	b.held += size
	o.held += size
	return nil
}

// arrived keeps the room, and gives way no more. It returns whether the body gave way before.
func (o *body) arrived() bool {
	o.room.mu.Lock()
	defer o.room.mu.Unlock()
	if o.place != nil {
		o.room.arriving.Remove(o.place)
		o.place = nil
	}
	return o.gaveWay
}

func (o *body) release() {
	o.room.mu.Lock()
	defer o.room.mu.Unlock()
	o.room.held -= o.held
	o.held = 0
}
