package source

import (
	"errors"
	"slices"
	"time"
)

// This is the part of a buffer that is about its spool: what has to be written, and what has to be read back.

const (
	// window is how many bytes of events that are on disk and wait for their first attempt are in memory too.
	window = 16 << 20
	// readSize is how many bytes of events are read at once.
	readSize = 1 << 20
)

// group returns what the spool has to write: events, and those to remove.
func (b *buffer) group() ([]*kept, []removal) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.unsaved[:min(len(b.unsaved), maxGroup)]), slices.Clone(b.forgotten)
}

// saved says that a group is on disk.
func (b *buffer) saved(group []*kept, forgotten int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forgotten = slices.Delete(b.forgotten, 0, forgotten)
	for _, k := range group {
		k.spooled = true
	}
	b.unsaved = slices.DeleteFunc(b.unsaved, func(k *kept) bool { return k.spooled })
	if len(group) > 0 || len(b.unsaved) == 0 { // that events can be removed does not mean that others can be added
		b.writing = nil
	}
	for _, k := range group {
		b.last = k.seq
		if k.released {
			b.forget(k)
			continue
		}
		b.unsavedSum -= k.pending
		if k.out {
			continue
		}
		k.delivery, k.record = nil, nil
		if b.unread > 0 || b.queue.bytes+k.size > window && b.queue.fresh.len() > 0 {
			b.unread++
			continue
		}
		b.cursor = k.seq
		b.queue.add(k)
		b.changed.Signal()
	}
	b.room.Signal()
	if b.unread > 0 {
		b.changed.Signal()
	}
	if len(b.unsaved) > 0 {
		b.wake()
	}
}

// unwritten says that a group could not be written.
func (b *buffer) unwritten(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.writing = err
}

// forget has an event removed from the spool, soon, together with others. A record that cannot be read is kept, out of the way, where
// there is no other place for it.
func (b *buffer) forget(k *kept) {
	r := removal{seq: k.seq, aside: b.setsAside(k)}
	if r.aside {
		b.aside++
	}
	b.forgotten = append(b.forgotten, r)
	switch {
	case len(b.forgotten) >= maxGroup:
		b.wake()
	case len(b.forgotten) == 1:
		time.AfterFunc(linger, b.wake)
	}
}

// wake tells the writer that there is something to write.
func (b *buffer) wake() {
	select {
	case b.work <- struct{}{}:
	default:
	}
}

// setsAside tells whether the record of an event stays in the spool though it cannot be read.
func (b *buffer) setsAside(k *kept) bool { return k.unreadable != nil && !b.buries }

// load brings back an event that is on disk alone.
func (b *buffer) load(k *kept) error {
	told := k.unreadable != nil && k.undecodable
	if k.record == nil {
		stored, err := b.spool.get(k.seq)
		if err != nil {
			return err
		}
		k.record, k.topic, k.size, k.received = stored.record, stored.topic, stored.size, stored.received
		k.undecodable, k.unreadable = stored.undecodable, stored.unreadable
	}
	if k.unreadable == nil {
		k.event, k.unreadable = decodeRecord(k.record)
	}
	if k.unreadable != nil {
		k.event, k.undecodable = noEvent(k.topic, k.record, k.unreadable), true
		if !told {
			b.tell(k)
		}
	}
	k.record = nil
	return nil
}

// read brings more of what is on disk into the queue. The lock is free meanwhile.
func (b *buffer) read() {
	b.reading = true
	after, upTo := b.cursor, b.last
	b.mu.Unlock()
	loaded, err := b.spool.load(after, upTo, readSize)
	b.mu.Lock()
	if errors.Is(err, errUnavailable) {
		time.AfterFunc(rewrite, b.readAgain)
		return
	}
	b.reading = false
	if err != nil {
		b.failLocked(err)
		return
	}
	for _, k := range loaded {
		k.spooled = true
		b.queue.add(k)
		b.cursor = k.seq
	}
	b.unread -= int64(len(loaded))
	b.changed.Broadcast()
}

func (b *buffer) readAgain() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading = false
	b.changed.Broadcast()
}
