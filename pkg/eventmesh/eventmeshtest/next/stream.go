package next

import (
	"fmt"
	"net/http"
	"time"
)

// streamInterval is how often a stream looks for events.
const streamInterval = 20 * time.Millisecond

// stream sends a client's events as they come, and takes them out of its buffer until a write fails: it may go on long after its client
// has gone. Even the headers go with the first event.
func (x *exchange) stream() {
	client, ok := x.parameter("clientId")
	if !ok {
		x.refuse(http.StatusBadRequest, "missing clientId")
		return
	}
	x.w.Header().Set("Content-Type", "text/event-stream")
	x.w.Header().Set("Cache-Control", "no-cache")
	defer x.s.broker.stay(client)()
	ticker := time.NewTicker(streamInterval)
	defer ticker.Stop()
	for x.pump(client) {
		select {
		case <-ticker.C:
		case <-x.running.Done():
			return
		}
	}
}

// pump writes what is in the buffer, and reports false where that fails; what was taken out and not written, but for the first, is late.
func (x *exchange) pump(client string) bool {
	const most = 100
	taken, err := x.s.broker.poll(x.running, client, 0, most, x.session(client))
	if err != nil {
		return false
	}
	for _, f := range taken {
		text, err := f.message.event.render()
		if err == nil {
			_, err = fmt.Fprintf(x.w, "data: {\"deliveryId\":%q,\"event\":%s}\n\n", f.id, text)
		}
		if err == nil {
			err = http.NewResponseController(x.w).Flush()
		}
		if err != nil {
			x.s.broker.negative(f)
			return false
		}
	}
	return true
}
