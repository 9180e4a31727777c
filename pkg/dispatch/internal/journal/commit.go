package journal

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"time"
)

// Entry is what is kept.
type Entry struct {
	Seq      uint64 // larger than Last and than those before it, and below 1<<63
	Received time.Time
	Size     int64    // what the entry counts with in Contents, below 4 GiB
	Readers  []Reader // at least one
	Record   []byte
}

// Done says that a reader is done with an entry.
type Done struct {
	Seq    uint64
	Reader Reader
}

// Commit writes entries, that readers are done with others, and what Reader and Drop have been called for. When it returns nil, the
// entries are safe on disk, in a directory and a segment that are still in place. After an error the same call may be made again:
// nothing is counted or kept twice, whatever the disk did. It is one write, and one sync if there are entries: without, what has been
// done is only written, and after a crash of the machine those entries come again. Readers that have been dropped are left out.
//
// It is not for two at a time. Errors are ErrMoved, and those of the disk.
func (j *Journal) Commit(add []Entry, done []Done) error {
	err := j.check(add)
	if err == nil {
		err = j.timed(func() error { return j.commit(add, done) })
		j.doubtful = err != nil
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", j.path, err)
	}
	return nil
}

func (j *Journal) check(add []Entry) error {
	last := j.last
	for _, e := range add {
		switch {
		case e.Seq <= last || e.Seq >= removed:
			return fmt.Errorf("entry %d comes after %d", e.Seq, last)
		case e.Size < 0 || e.Size > math.MaxUint32 || len(e.Record) > mostSegment || len(e.Readers) > mostMeta/8 || len(e.Readers) == 0:
			return fmt.Errorf("entry %d has %d bytes, counts with %d, and has %d readers", e.Seq, len(e.Record), e.Size, len(e.Readers))
		}
		last = e.Seq
	}
	return nil
}

func (j *Journal) commit(add []Entry, done []Done) error {
	nothing := len(add)+len(done)+len(j.damages) == 0
	j.mu.RLock()
	dropped := j.dropped
	nothing = nothing && len(dropped) == 0 && !j.declarations
	j.mu.RUnlock()
	if nothing || j.doubtful {
		if err := j.inPlace(); err != nil || nothing {
			return err
		}
	}
	if err := j.begin(); err != nil {
		return err
	}
	current := j.segments[len(j.segments)-1]
	var most int64
	for _, e := range add {
		most += 2 * int64(len(e.Record))
	}
	moves := j.moves(most + leastMoved)
	j.encode(current, add, moves, done, dropped)
	if err := j.write(current, len(add)+len(moves)+len(j.damages) > 0); err != nil {
		return err
	}
	j.mu.Lock()
	at := current.size
	current.size += int64(len(j.group))
	w := &window{size: current.size, start: at, buf: j.group}
	if at == 0 {
		at = headSize
	}
	j.replay(current, w, at) // so that RAM has what the disk has
	j.dropped = j.dropped[len(dropped):]
	if j.declarations {
		j.declarations = false
		for _, r := range j.readers {
			j.declarations = j.declarations || r.name != "" && r.declared == 0
		}
	}
	j.mu.Unlock()
	if cap(j.group) > mostGroup {
		j.group = nil
	}
	j.release()
	return nil
}

// mostGroup is how many bytes of memory are kept for the next group.
const mostGroup = 4 << 20

// begin makes a new segment when there is none to write to.
func (j *Journal) begin() error {
	if j.writing != nil {
		if j.segments[len(j.segments)-1].size < j.segmentBytes {
			return nil
		}
		_ = j.writing.Close() // its entries have been synced
		j.writing = nil
	}
	var random [4]byte
	_, _ = rand.Read(random[:]) // it never fails
	s := &segment{number: j.nextSegment, mark: binary.BigEndian.Uint32(random[:])}
	s.name = segmentName(s.number, s.mark)
	f, err := j.disk.open(s.name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	j.nextSegment++
	j.writing, j.placed = f, false
	j.mu.Lock()
	j.segments = append(j.segments, s)
	j.mu.Unlock()
	if j.written, err = f.Stat(); err != nil {
		j.abandon(s)
	}
	return err
}

// encode puts the frames of all there is to write into one group.
func (j *Journal) encode(s *segment, add []Entry, moves []move, done []Done, dropped []Reader) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	e := encoder{state: &j.state, segment: s, b: j.group[:0], declared: map[Reader]bool{}}
	if s.size == 0 {
		e.b = appendHead(e.b, s.mark, j.last)
	}
	if j.declarations {
		for id, r := range j.readers {
			if r.declared == 0 {
				e.declare(id)
			}
		}
	}
	for at, d := range j.damages {
		e.damage(at, d)
	}
	for i := range add {
		e.entry(&add[i])
	}
	for _, m := range moves {
		e.move(m)
	}
	e.done(done)
	if len(dropped) > 0 {
		e.b = appendFrame(e.b, s.mark, dropFrame, 0, func(b []byte) []byte {
			for _, id := range dropped {
				b = binary.BigEndian.AppendUint32(b, uint32(id))
			}
			return b
		})
	}
	j.group = e.b
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
		if len(j.segments) == 1 || j.segments[0].live > 0 {
			return
		}
		if j.unplaced && j.disk.sync() != nil {
			return
		}
		j.unplaced = false
		if err := j.disk.remove(j.segments[0].name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return
		}
		j.unplaced = true
		j.mu.Lock()
		j.segments = j.segments[1:]
		j.mu.Unlock()
	}
}
