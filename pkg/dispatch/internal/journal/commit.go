package journal

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"time"
)

// Entry is what is kept.
type Entry struct {
	Seq      uint64 // larger than Last and than those before it
	Received time.Time
	Size     int64    // what the entry counts with in Contents
	Readers  []Reader // at least one
	Record   []byte
}

// Done says that a reader is done with an entry.
type Done struct {
	Seq    uint64
	Reader Reader
}

// mostGroup is how many bytes of memory are kept for the next group.
const mostGroup = 4 << 20

// Commit writes entries, and that readers are done with others. When it returns nil, the entries are safe on disk, in a directory and a
// segment that are still in place. After an error the same call may be made again: nothing is counted or kept twice, whatever the disk
// did. It is one write, and one sync if there are entries: without, what has been done is only written, and after a crash of the machine
// those entries come again. So they do where a full disk has no room even for that: then it is not an error, and the room of what
// nobody needs is given back.
//
// It is not for two at a time. Errors are ErrMoved, and those of the disk.
func (j *Journal) Commit(add []Entry, done []Done) error {
	err := j.check(add)
	if err == nil {
		err = j.timed(func() error { return j.commit(add, append(j.owed, done...)) })
		j.doubtful = err != nil
	}
	switch {
	case err == nil:
		j.owed = nil
	case len(add) == 0 && isFull(err):
		j.owe(done)
		return nil
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", j.path, err)
	}
	return nil
}

// Drop lets a reader be done with all its entries. It is a Commit.
func (j *Journal) Drop(id Reader) error {
	var done []Done
	j.mu.RLock()
	if r := j.readers[id]; r != nil {
		r.entries.Scan(func(seq uint64) bool {
			done = append(done, Done{seq, id})
			return true
		})
	}
	j.mu.RUnlock()
	return j.Commit(nil, done)
}

func (j *Journal) check(add []Entry) error {
	last := j.last
	for _, e := range add {
		switch {
		case e.Seq <= last:
			return fmt.Errorf("entry %d comes after %d", e.Seq, last)
		case e.Size < 0 || len(e.Record) > mostSegment || len(e.Readers) > (mostMeta-entrySize)/readerSize || len(e.Readers) == 0:
			return fmt.Errorf("entry %d has %d bytes, counts with %d, and has %d readers", e.Seq, len(e.Record), e.Size, len(e.Readers))
		}
		last = e.Seq
	}
	return nil
}

func (j *Journal) commit(add []Entry, done []Done) error {
	if nothing := len(add)+len(done) == 0; nothing || j.doubtful {
		if err := j.inPlace(); err != nil || nothing {
			return err
		}
	}
	if err := j.begin(); err != nil {
		return err
	}
	s := j.current()
	moves := j.moves(add)
	j.encode(s, add, moves, done)
	if err := j.write(s, len(add)+len(moves) > 0); err != nil {
		return err
	}
	j.mu.Lock()
	j.replay(s, j.group, s.size) // so that RAM has what the disk has
	s.size += int64(len(j.group))
	j.mu.Unlock()
	if cap(j.group) > mostGroup {
		j.group = nil
	}
	j.release()
	return nil
}

// begin makes a new segment when there is none to write to.
func (j *Journal) begin() (err error) {
	if j.writing != nil {
		if j.current().size < j.segmentBytes {
			return nil
		}
		_ = j.writing.Close() // its entries have been synced
		j.writing = nil
	}
	var random [4]byte
	_, _ = rand.Read(random[:]) // it never fails
	s := &segment{number: j.number + 1, mark: binary.BigEndian.Uint32(random[:])}
	s.name = segmentName(s.number, s.mark)
	if j.writing, err = j.disk.open(s.name, os.O_RDWR|os.O_CREATE|os.O_EXCL); err != nil {
		return err
	}
	j.placed, j.number = false, s.number
	j.mu.Lock()
	j.segments = append(j.segments, s)
	j.mu.Unlock()
	if j.written, err = j.writing.Stat(); err != nil {
		j.abandon(s)
	}
	return err
}

// encode puts the frames of all there is to write into one group.
func (j *Journal) encode(s *segment, add []Entry, moves []move, done []Done) {
	room := 0
	for i := range add {
		room += len(add[i].Record) + len(add[i].Readers)*readerSize + frameSize + entrySize + 2*sumSize
	}
	b := slices.Grow(j.group[:0], room)
	if s.size == 0 {
		b = appendHead(b, s.mark)
	}
	for i := range add {
		b = appendEntry(b, s.mark, entryFrame, &add[i])
		from := len(b)
		b = appendSum(append(b, add[i].Record...), from)
	}
	for i := range moves {
		b = appendEntry(b, s.mark, moves[i].kind, &moves[i].Entry)
		b = append(append(b, moves[i].Record...), moves[i].sum...)
	}
	for part := range slices.Chunk(done, mostDone) {
		b = appendDone(b, s.mark, part)
	}
	j.group = b
}

// write writes the group at the end of the segment, and makes sure that it is safe there.
func (j *Journal) write(s *segment, sync bool) error {
	if s.size+int64(len(j.group)) > math.MaxUint32 {
		return fmt.Errorf("%d bytes are too many for one call", len(j.group))
	}
	_, err := j.writing.WriteAt(j.group, s.size)
	if err == nil && sync {
		err = j.writing.Sync()
	}
	if err == nil && sync && !j.placed {
		if err = j.disk.sync(); err == nil {
			j.placed, j.unplaced = true, false
		}
	}
	if err != nil {
		j.abandon(s)
		return err
	}
	if err = j.inPlace(); err == nil {
		return nil
	}
	// It goes on there once it is back in its place.
	if s.size == 0 || j.writing.Truncate(s.size) != nil {
		j.abandon(s)
	}
	return err
}

// abandon closes the segment for good after a call that failed, and leaves in it what was right before. After a sync that failed the
// kernel takes the pages that it could not write for clean: another sync of the same file would find nothing to do and succeed, with
// nothing on disk. So what is tried again goes to another file, whole.
func (j *Journal) abandon(s *segment) {
	_ = j.writing.Truncate(s.size) // what is there all the same comes before what replaces it
	_ = j.writing.Close()
	j.writing = nil
	if s.size == 0 && j.disk.remove(s.name) == nil {
		j.mu.Lock()
		j.segments = j.segments[:len(j.segments)-1]
		j.mu.Unlock()
	}
}

// mostRemoved is how many segments go at once, each of which may take a sync.
const mostRemoved = 16

// release removes segments that have no entries any more, from the front: what one says that readers are done with is in it or in
// those before it. So each has to be gone for good before the next goes, lest it came back alone.
func (j *Journal) release() {
	for range mostRemoved {
		if len(j.segments) == 0 || len(j.segments) == 1 && len(j.owed) == 0 || j.segments[0].live > 0 || j.unplaced && j.disk.sync() != nil {
			return
		}
		j.unplaced = false
		j.files.Lock()
		err := j.disk.remove(j.segments[0].name)
		j.files.Unlock()
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return
		}
		j.unplaced = true
		j.mu.Lock()
		j.segments = j.segments[1:]
		j.mu.Unlock()
	}
}
