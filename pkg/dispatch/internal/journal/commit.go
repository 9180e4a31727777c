package journal

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
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
	Rest     []byte // what the record goes on with, so that nobody has to copy it there
}

func (e *Entry) length() int { return len(e.Record) + len(e.Rest) }

// Done says that a reader is done with an entry.
type Done struct {
	Seq    uint64
	Reader Reader
}

// bufferSize is how many bytes are written at once; what has as many is written from where it is.
const bufferSize = 64 << 10

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

// Drop lets a reader be done with its entries up to a Seq. It is a Commit.
func (j *Journal) Drop(id Reader, upTo uint64) error {
	var done []Done
	j.mu.RLock()
	if r := j.readers[id]; r != nil {
		for _, e := range j.from(r.first) {
			if e.seq.value() <= upTo && j.has(r, &e) {
				done = append(done, Done{e.seq.value(), id})
			}
		}
	}
	j.mu.RUnlock()
	return j.Commit(nil, done)
}

func (j *Journal) check(add []Entry) error {
	last := j.last
	for i := range add {
		e := &add[i]
		switch {
		case e.Seq <= last:
			return fmt.Errorf("entry %d comes after %d", e.Seq, last)
		case e.Size < 0 || e.Size > math.MaxUint32 || e.length() > mostSegment || len(e.Readers) > (mostMeta-entrySize)/readerSize || len(e.Readers) == 0:
			return fmt.Errorf("entry %d has %d bytes, counts with %d, and has %d readers", e.Seq, e.length(), e.Size, len(e.Readers))
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
	frames := j.moves(add)
	for i := range add {
		frames = append(frames, writing{Entry: add[i]})
	}
	size, err := j.write(s, frames, done)
	if err != nil {
		return err
	}
	j.mu.Lock()
	for i := range frames { // so that RAM has what the disk has
		w := &frames[i]
		e := entry{seq: widen(w.Seq), received: widen(uint64(w.Received.UnixNano())), segment: j.newest(), offset: w.offset}
		e.length, e.size = uint32(w.length()), uint32(w.Size) //nolint:gosec // checked
		j.put(e, j.near(w.Readers))
	}
	for _, d := range done {
		j.done(d.Seq, d.Reader)
	}
	j.tidy()
	s.size = size
	j.mu.Unlock()
	j.release()
	return nil
}

// begin makes a new segment when there is none to write to.
func (j *Journal) begin() (err error) {
	if j.writing != nil {
		if j.current().size < j.segmentBytes {
			return nil
		}
		_ = j.writeTo(nil) // its entries have been synced
	}
	var random [4]byte
	_, _ = rand.Read(random[:]) // it never fails
	s := &segment{number: j.number + 1, mark: binary.BigEndian.Uint32(random[:])}
	s.name = segmentName(s.number, s.mark)
	f, err := j.disk.open(s.name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	j.placed, j.number = false, s.number
	j.mu.Lock()
	j.segments = append(j.segments, s)
	j.mu.Unlock()
	_ = j.writeTo(f) // from here on the last of segments is read from it
	if j.written, err = j.writing.Stat(); err != nil {
		j.abandon(s)
	}
	return err
}

// writeTo closes the file that is written, and has another one instead.
func (j *Journal) writeTo(f file) (err error) {
	j.files.Lock()
	defer j.files.Unlock()
	if j.writing != nil {
		err = j.writing.Close()
	}
	j.writing = f
	return err
}

// writing is an entry that is written.
type writing struct {
	Entry
	sum    []byte // that was there before, and stays as it is, right or not
	offset uint32 // of the record
}

// write writes all there is at the end of the segment, and makes sure that it is safe there. It returns the size that the segment has then.
func (j *Journal) write(s *segment, frames []writing, done []Done) (int64, error) {
	size, err := j.encode(s, frames, done)
	sync := len(frames) > 0
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
		return 0, err
	}
	if err = j.inPlace(); err == nil {
		return size, nil
	}
	// It goes on there once it is back in its place.
	if s.size == 0 || j.writing.Truncate(s.size) != nil {
		j.abandon(s)
	}
	return 0, err
}

// encode writes the frames of all there is to write.
func (j *Journal) encode(s *segment, frames []writing, done []Done) (size int64, err error) {
	size = s.size
	j.buffer.Reset(io.NewOffsetWriter(j.writing, size))
	write := func(b []byte) {
		if len(b) >= bufferSize {
			_ = j.buffer.Flush() // b is not copied then
		}
		_, _ = j.buffer.Write(b) // Flush returns its error
		size += int64(len(b))
	}
	if size == 0 {
		write(appendHead(nil, s.mark))
	}
	for i := range frames {
		w := &frames[i]
		kind := uint32(entryFrame)
		if w.sum != nil {
			kind = movedFrame
		}
		write(appendEntry(j.buffer.AvailableBuffer(), s.mark, kind, &w.Entry))
		w.offset = uint32(size) //nolint:gosec // checked at the end
		write(w.Record)
		write(w.Rest)
		if w.sum == nil {
			sum := crc32.Update(crc32.Checksum(w.Record, castagnoli), castagnoli, w.Rest)
			w.sum = binary.BigEndian.AppendUint32(j.buffer.AvailableBuffer(), sum)
		}
		write(w.sum)
	}
	for part := range slices.Chunk(done, mostDone) {
		write(appendDone(nil, s.mark, part))
	}
	if err = j.buffer.Flush(); err == nil && size > math.MaxUint32 {
		err = fmt.Errorf("%d bytes are too many for one call", size-s.size)
	}
	return size, err
}

// abandon closes the segment for good after a call that failed, and leaves in it what was right before. After a sync that failed the
// kernel counts the pages that it could not write as clean: another sync of the same file would find nothing to do and succeed, with
// nothing on disk. So what is tried again goes to another file, whole.
func (j *Journal) abandon(s *segment) {
	_ = j.writing.Truncate(s.size) // what is there all the same comes before what replaces it
	_ = j.writeTo(nil)
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
		if len(j.segments) == 0 || len(j.segments) == 1 && len(j.owed) == 0 || j.segments[0].live+len(j.damages) > 0 || j.unplaced && j.disk.sync() != nil {
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
		j.gone++
		j.mu.Unlock()
	}
}
