package next

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// flight is the delivery of an event to a client that has not acknowledged it. It has one deliveryId, however often it is put into the
// client's buffer.
type flight struct {
	id       string
	client   string
	channel  *channel // nil is the client's buffer
	message  *message
	attempts int
	due      time.Time
	handed   *delivery // when it was last given to a poll
}

// deliver begins the delivery of an event to a client. The broker is locked.
func (b *broker) deliver(m *message, client string, now time.Time) {
	b.number++
	f := &flight{id: fmt.Sprintf("d-%s-%d", b.boot, b.number), client: client, channel: b.channels[client], message: m}
	b.flights[f.id] = f
	b.attempt(f, now)
}

// attempt puts a delivery into its client's buffer, behind what is there, or on its stream. The broker is locked.
func (b *broker) attempt(f *flight, now time.Time) {
	f.attempts++
	f.due = now.Add(b.options.AcknowledgeWithin)
	put := b.offer
	if f.channel != nil {
		put = b.send
	}
	if !put(f) {
		b.giveBack(f, now)
	}
}

// giveBack lets a delivery that has failed be tried again, and later each time. The broker is locked.
func (b *broker) giveBack(f *flight, now time.Time) {
	const doublings = 4
	spread := 0.8 + 0.4*rand.Float64() //nolint:gosec // not a secret
	f.due = now.Add(time.Duration(float64(b.options.RetryDelay<<min(f.attempts-1, doublings)) * spread))
}

// negative ends the delivery to a stream that could not be written to.
func (b *broker) negative(f *flight) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.acknowledgeable[f.id] != nil {
		delete(b.acknowledgeable, f.id)
		b.giveBack(f, time.Now())
	}
}

// inFlight returns the deliveries that are not acknowledged, in the order in which they are looked at: that of their ids as texts, in which
// 10 is before 9. The broker is locked.
func (b *broker) inFlight() []*flight {
	return slices.SortedFunc(maps.Values(b.flights), func(f, g *flight) int { return strings.Compare(f.id, g.id) })
}

// redeliver puts into their clients' buffers again what has not been acknowledged in time.
func (b *broker) redeliver(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stuck {
		return
	}
	var due []*flight
	for _, f := range b.inFlight() {
		if strings.Contains(f.message.topic+f.client, "|") && !b.options.TolerateBars {
			b.options.Logf("no event is delivered again until the server restarts: topic %q or client %q has a bar in its name", f.message.topic, f.client)
			b.stuck = true
			return
		}
		if !f.due.After(now) {
			due = append(due, f)
		}
	}
	for _, f := range due {
		if f.attempts >= b.options.MaxDeliveries {
			b.bury(f)
			continue
		}
		b.attempt(f, now)
	}
}

// bury moves an event to its topic's topic of dead letters, in whose name all but ASCII is lost. The broker is locked.
func (b *broker) bury(f *flight) {
	delete(b.flights, f.id)
	topic := strings.Map(func(r rune) rune {
		if r > unicode.MaxASCII {
			return '?'
		}
		return r
	}, f.message.topic) + "_DLQ"
	b.options.Logf("event %q of topic %q has gone to topic %q: client %q has not acknowledged it in %d deliveries",
		f.message.event.attributes["id"], f.message.topic, topic, f.client, f.attempts)
	b.store(topic, f.message.event)
}

// acknowledge ends a delivery, and reports false where it is not known. The error says that the delivery has ended, and that the attributes
// which should tell its place are no numbers.
func (b *broker) acknowledge(id string) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.acknowledgeable[id]
	if f == nil {
		return false, nil
	}
	delete(b.acknowledgeable, id)
	if b.flights[id] == nil { // a dead letter
		return true, nil
	}
	delete(b.flights, id)
	f.handed.acknowledge()
	if b.options.Storage == Holding {
		b.topic(f.message.topic).acknowledge(f.message.offset)
	}
	for name, bits := range map[string]int{"emmqoffset": 64, "emmqpartition": 32} {
		if place, ok := f.message.event.attributes[name]; ok {
			if _, err := strconv.ParseInt(place, 10, bits); err != nil {
				return true, fmt.Errorf("reading %s: %w", name, err)
			}
		}
	}
	return true, nil
}
