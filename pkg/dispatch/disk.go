package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch/internal/journal"
)

const (
	// maxPending is how many bytes may wait for the disk.
	maxPending = 8 << 20
	// window is how many bytes of events that are on disk and wait for their first attempt are in memory too.
	window = 16 << 20
	// leastRead and mostRead are how many bytes of events are read at once: within the window, which lanes share.
	leastRead, mostRead = 64 << 10, 1 << 20
)

// Disk keeps messages in a directory until their destinations have accepted them. A message is acknowledged when it is there. One
// process at a time has a directory, and one dispatcher in it.
type Disk struct {
	journal        *journal.Journal
	dir            string
	dispatcher     *Dispatcher
	stopCommitting context.CancelFunc
	committing     sync.WaitGroup
	found          int
	work           chan struct{} // holds a value when there is something to write
	failed         bool          // of the one who writes: the last time

	// What follows is guarded by the dispatcher.
	saved      uint64     // the last message that is on disk
	unsaved    []*Message // put, and not yet on disk
	unsavedSum int64      // bytes
	done       []journal.Done
	dropped    []drop // of lanes that are closed
	writing    error  // the latest failure to write
}

// drop is what is to be removed: all of a reader up to a number.
type drop struct {
	reader journal.Reader
	upTo   uint64
}

// stored is what a lane has on disk, and not in memory.
type stored struct {
	reader  journal.Reader
	cursor  uint64 // the last event that has been in the queue
	unread  int64  // how many events come after the cursor
	aside   int64  // how many records have been set aside since they cannot be read
	reading bool
}

// begin tells whether there is something to read, and nobody does.
func (s *stored) begin() bool {
	if s.unread == 0 || s.reading {
		return false
	}
	s.reading = true
	return true
}

// DiskOptions say where messages are kept, and who is told of the disk.
type DiskOptions struct {
	// Dir is the directory. It is created where there is none.
	Dir string
	// Older is the lane that gets what an earlier version kept in the directory, for the one destination that it knew.
	Older string
	// Stalled is told when the disk has not answered for 5 seconds, and when it does again; nil: nobody is.
	Stalled func(hangs bool)
}

// StallAfter is how long the disk may take for one thing before it is said to hang.
const StallAfter = 5 * time.Second

// OpenDisk opens a directory, and reads what is in it. The error names the directory or file, and says what a person can do.
func OpenDisk(o DiskOptions) (*Disk, error) {
	j, err := journal.Open(o.Dir, journal.Options{StallAfter: StallAfter, Stalled: o.Stalled})
	if err != nil {
		return nil, err
	}
	if err := takeOver(o.Dir, j, o.Older); err != nil {
		return nil, errors.Join(err, j.Close())
	}
	if err := probe(o.Dir); errors.Is(err, syscall.EROFS) || err != nil && j.Len() == 0 { // a full disk may get room by delivering
		return nil, errors.Join(fmt.Errorf("writing %s: %w", o.Dir, err), j.Close())
	}
	return &Disk{journal: j, dir: o.Dir, work: make(chan struct{}, 1), found: j.Len(), saved: j.Last()}, nil
}

// ErrMoved says, of a disk that cannot be written, that its directory or file has been moved or deleted since it was opened.
var ErrMoved = journal.ErrMoved

// Dir returns the directory.
func (s *Disk) Dir() string { return s.dir }

// Events returns how many events it had when it was opened.
func (s *Disk) Events() int { return s.found }

// Close closes a disk that no dispatcher uses.
func (s *Disk) Close() error { return s.journal.Close() }

// use gives the disk to a dispatcher, and returns the number of the last message in it.
func (s *Disk) use(d *Dispatcher) uint64 {
	s.dispatcher = d
	if torn := s.journal.Torn(); torn > 0 {
		d.options.Logger.Warnw("the spool ends with what was being written when the process or the machine ended: it had not been acknowledged", "directory", s.dir, "files", torn)
	}
	return s.saved
}

func (s *Disk) attach(l *Lane) {
	l.stored.reader = journal.ReaderOf(l.options().Name)
	for _, dropped := range s.dropped {
		if dropped.reader == l.stored.reader {
			l.stored.cursor = dropped.upTo
		}
	}
	if l.stored.cursor > 0 { // what is still there is that of a lane before
		return
	}
	kept := s.journal.Contents(l.stored.reader)
	l.stored.unread = kept.Events
	l.events, l.bytes = kept.Events, kept.Bytes
	s.dispatcher.events, s.dispatcher.bytes = s.dispatcher.events+kept.Events, s.dispatcher.bytes+kept.Bytes
	if kept.Events > 0 {
		s.dispatcher.activate(l)
	}
}

func (*Disk) prepare(m *Message) (err error) {
	m.record, err = encodeRecord(m)
	return err
}

func (s *Disk) admits(m *Message) bool {
	return s.unsavedSum == 0 || s.unsavedSum+m.pending() <= maxPending
}

func (s *Disk) put(m *Message) {
	s.unsaved = append(s.unsaved, m)
	s.unsavedSum += m.pending()
	s.wake()
}

// wake tells the one who writes that there is something to write.
func (s *Disk) wake() {
	select {
	case s.work <- struct{}{}:
	default:
	}
}

// rested has an item removed from the disk, soon, together with others. A record that cannot be read stays there, where there is no
// other place for it: it is read again at the next start, by a program that may be able to, or has a place for dead letters.
func (s *Disk) rested(it *item) *Message {
	switch {
	case !it.saved: // it was handed out since the disk did not accept it
		return s.unneeded(it)
	case it.setAside:
		it.lane.stored.aside++
	default:
		s.forget(it)
	}
	return nil
}

// unneeded notes that an item has no need to be saved any more, and returns its message when that has none.
func (s *Disk) unneeded(it *item) *Message {
	m := it.message
	it.rested = true
	if m.open--; m.open > 0 {
		return nil
	}
	s.unsaved = slices.DeleteFunc(s.unsaved, func(other *Message) bool { return other == m })
	s.unsavedSum -= m.pending()
	if m.saved { // since, and so it is acknowledged
		return nil
	}
	return m
}

func (s *Disk) forget(it *item) {
	s.done = append(s.done, journal.Done{Seq: it.seq, Reader: it.lane.stored.reader})
	switch {
	case len(s.done) >= maxGroup:
		s.wake()
	case len(s.done) == 1:
		time.AfterFunc(linger, s.wake)
	}
}

// stop leaves of a lane's items those that are not on disk.
func (s *Disk) stop(l *Lane) {
	l.queue = newQueue(l.options().Ordering)
	for _, m := range s.unsaved {
		for i := range m.items {
			if it := &m.items[i]; it.lane == l {
				it.out = true
				l.queue.add(it)
				s.dispatcher.activate(l)
			}
		}
	}
}

// share is a lane's part of the window, in bytes.
func (s *Disk) share() int64 { return window / max(1, int64(len(s.dispatcher.lanes))) }

// refill brings more of a lane's events into its queue.
func (s *Disk) refill(l *Lane) {
	var upTo uint64
	var from stored
	var size int64
	s.dispatcher.with(func() { upTo, from, size = s.saved, l.stored, s.share() })
	found, err := s.journal.Load(from.reader, from.cursor, upTo, min(max(size, leastRead), mostRead))
	if err != nil {
		s.dispatcher.sampled.Errorw("the spool cannot be read for now", zap.Error(err))
		time.AfterFunc(reload, func() {
			s.dispatcher.with(func() {
				l.stored.reading = false
				s.dispatcher.changed.Broadcast()
			})
		})
		return
	}
	s.dispatcher.with(func() {
		l.stored.reading = false
		if s.dispatcher.stopped || l.isClosed() { // what is on disk stays there, or goes
			return
		}
		if len(found) == 0 { // what was there is none of this lane's any more
			l.stored.unread -= from.unread
		}
		for _, stored := range found {
			it := &item{lane: l, seq: stored.Seq, saved: true}
			it.open(stored)
			l.queue.add(it)
			l.stored.cursor = it.seq
		}
		l.stored.unread -= int64(len(found))
		s.dispatcher.changed.Broadcast()
	})
}

// load brings back an event that is on disk alone.
func (s *Disk) load(it *item) error {
	told := it.unreadable != nil && it.undecodable
	if it.stored == nil {
		stored, err := s.journal.Get(it.seq)
		if err != nil {
			s.dispatcher.sampled.Errorw("the spool cannot be read for now", zap.Error(err))
			return err
		}
		if it.lane.isClosed() { // so that it may be gone
			return nil
		}
		it.open(stored)
	}
	if it.unreadable == nil {
		r, _ := openRecord(it.stored)
		it.event, it.unreadable = r.decode()
	}
	if it.unreadable != nil {
		it.event, it.undecodable = s.dispatcher.options.Undecodable(it.topic, it.stored), true
		SetError(&it.event, "", it.unreadable)
		if !told {
			s.tell(it)
		}
	}
	it.stored = nil
	return nil
}

// tell tells of a record that cannot be read.
func (s *Disk) tell(it *item) {
	becomes := "is set aside in the directory"
	if it.lane.options().DeadLetter != nil {
		becomes = "becomes a dead letter"
	}
	s.dispatcher.options.Logger.Errorw(fmt.Sprintf("a record of the spool cannot be read; it %s", becomes), "directory", s.dir, "record", it.seq,
		"topic", it.topic, "bytes", len(it.stored), zap.Error(it.unreadable))
}
