package dispatch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch/internal/journal"
)

const (
	// maxGroup is how many messages are written at once at most.
	maxGroup = 1024
	// linger is how long events that have been delivered may stay on disk, so that many are removed at once, and with the writing of
	// others. After a crash they are delivered again.
	linger = 100 * time.Millisecond
	// pause is the time between two groups while many messages come, so that more of them share a sync. After a group of few there is
	// none: they would wait for nobody.
	pause     = 500 * time.Microsecond
	pauseFrom = 8
	// rewrite is the wait after a failure to write.
	rewrite = time.Second
	// lookAfter is how often a directory that is not written is looked for in its place.
	lookAfter = time.Second
	// flushShare is which part of the time that is left a flush may take: a disk that hangs keeps no event from its destination.
	flushShare = 4
)

// probe tells whether a directory can be written.
func probe(dir string) error {
	path := filepath.Join(dir, "probe")
	err := os.WriteFile(path, make([]byte, 4<<10), 0o600)
	return errors.Join(err, os.Remove(path))
}

func (s *Disk) start(ctx context.Context) {
	ctx, s.stopCommitting = context.WithCancel(ctx)
	s.committing.Go(func() { s.run(ctx) })
}

// flush writes what has been put, and ends the writing, unless the disk takes too long for it.
func (s *Disk) flush(ctx context.Context) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/flushShare)
		defer cancel()
	}
	s.stopCommitting()
	written := make(chan struct{})
	go func() {
		defer close(written)
		s.committing.Wait()
	}()
	select {
	case <-written:
	case <-ctx.Done():
	}
}

// finish removes what has been delivered since.
func (s *Disk) finish(ctx context.Context) {
	s.committing.Wait()
	s.commit(ctx)
	if err := s.journal.Close(); err != nil {
		s.dispatcher.options.Logger.Warnw("closing the spool", zap.Error(err))
	}
}

// run writes until the context ends, and then what is left, once: all that has come while the disk was busy is one group, which takes
// one sync.
func (s *Disk) run(ctx context.Context) {
	look := time.NewTicker(lookAfter)
	defer look.Stop()
	for {
		select {
		case <-s.work:
		case <-look.C:
			s.look()
			continue
		case <-ctx.Done():
			s.commit(ctx)
			return
		}
		for !s.commit(ctx) {
			select {
			case <-time.After(rewrite):
			case <-ctx.Done():
				s.commit(ctx)
				return
			}
		}
	}
}

// look tells whether the directory is where it was, when nothing is written that would.
func (s *Disk) look() {
	if err := s.journal.Check(); err != nil {
		s.fail(err)
	} else if s.failed {
		s.wrote(nil, 0)
	}
}

func (s *Disk) fail(err error) {
	if !s.failed {
		s.dispatcher.options.Logger.Errorw("the spool cannot be written: nothing more is received until it can", zap.Error(err))
	}
	s.failed = true
	s.dispatcher.with(func() { s.writing = err })
}

// commit writes all there is, and tells whether it could.
func (s *Disk) commit(ctx context.Context) bool {
	for {
		if !s.drop() {
			return false
		}
		messages, entries, done := s.group()
		if len(entries)+len(done) == 0 {
			return true
		}
		began := time.Now()
		err := s.journal.Commit(entries, done)
		s.dispatcher.options.Telemetry.committed(len(messages), time.Since(began), err)
		if err != nil && len(entries) > 0 && len(done) > 0 && s.journal.Commit(nil, done) == nil {
			s.wrote(nil, len(done)) // which may have made room
			continue
		}
		if err != nil {
			s.fail(fmt.Errorf("writing %s: %w", s.dir, err))
			return false
		}
		if safe := s.safe(messages); len(safe) > 0 {
			s.dispatcher.options.Acknowledge(safe)
		}
		s.wrote(messages, len(done))
		if len(messages) >= pauseFrom {
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		}
	}
}

// group returns what has to be written: messages, and what is done with.
func (s *Disk) group() (messages []*Message, entries []journal.Entry, done []journal.Done) {
	s.dispatcher.mu.Lock()
	defer s.dispatcher.mu.Unlock()
	messages = slices.Clone(s.unsaved[:min(len(s.unsaved), maxGroup)])
	entries = make([]journal.Entry, len(messages))
	readers := make([]journal.Reader, 0, len(messages)) // of most there is one
	for i, m := range messages {
		from := len(readers)
		readers = m.readers(readers)
		entries[i] = journal.Entry{
			Seq: m.seq, Received: m.Received, Size: m.size, Readers: readers[from:len(readers):len(readers)], Record: m.record, Rest: m.Event.DataEncoded,
		}
	}
	return messages, entries, slices.Clone(s.done)
}

// safe notes that messages are on disk, and returns those to acknowledge: others were handed out since, and have been acknowledged.
func (s *Disk) safe(messages []*Message) []*Message {
	s.dispatcher.mu.Lock()
	defer s.dispatcher.mu.Unlock()
	for _, m := range messages {
		m.saved = true
	}
	return slices.DeleteFunc(slices.Clone(messages), func(m *Message) bool { return m.open == 0 })
}

// wrote says that messages are on disk, and that the first of what is done with has been removed.
func (s *Disk) wrote(messages []*Message, done int) {
	if s.failed {
		s.dispatcher.options.Logger.Infow("the spool can be written again")
	}
	s.failed = false
	d := s.dispatcher
	d.mu.Lock()
	defer d.mu.Unlock()
	s.done = slices.Delete(s.done, 0, done)
	s.unsaved = slices.DeleteFunc(s.unsaved, func(m *Message) bool { return m.saved })
	if len(messages) > 0 || len(s.unsaved) == 0 { // that events can be removed does not mean that others can be added
		s.writing = nil
	}
	for _, m := range messages {
		s.saved = m.seq
		if m.open > 0 { // else it has been left out since
			s.unsavedSum -= m.pending()
		}
		m.record = nil
		for i := range m.items {
			s.hasSaved(&m.items[i])
		}
	}
	d.room.Broadcast()
	if len(s.unsaved) > 0 {
		s.wake()
	}
}

// hasSaved adds an item that is on disk to those that may be sent, unless those before it are not in memory, or too many are.
func (s *Disk) hasSaved(it *item) {
	l := it.lane
	it.saved = true
	switch {
	case it.rested:
		s.forget(it)
		return
	case it.out: // who sends it needs the message
		return
	}
	it.message = nil
	switch {
	case l.stored.unread > 0, l.queue.bytes+it.size > s.share() && l.queue.fresh.len() > 0:
		it.unload()
		l.stored.unread++
		s.dispatcher.activate(l)
		s.dispatcher.changed.Signal()
	default:
		l.stored.cursor = it.seq
		s.dispatcher.ready(it)
	}
}
