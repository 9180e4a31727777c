package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Stored is an entry as it is on disk. With Err it cannot be read, and Record has the bytes that are there.
type Stored struct {
	Seq      uint64
	Received time.Time
	Size     int64
	Record   []byte
	Err      error
}

var (
	errSum     = errors.New("its checksum does not match")
	errDamaged = errors.New("it is damaged: these bytes are no entry")
	errGone    = errors.New("it is not in the journal any more")
)

// Load returns a reader's entries after one Seq up to another, in the order of Seq, the first of them whatever its size, and no more
// than fit into most bytes by their sizes. Those that the reader gets done with meanwhile may be left out. Many may call it.
func (j *Journal) Load(id Reader, after, upTo uint64, most int64) ([]Stored, error) {
	j.mu.RLock()
	var picked []move
	if r := j.readers[id]; r != nil && after < removed-1 {
		for seq := range r.entries.all(after + 1) {
			it, _ := j.items.get(seq)
			if most -= int64(it.size); seq > upTo || most < 0 && len(picked) > 0 {
				break
			}
			picked = append(picked, move{seq: seq, item: it})
		}
	}
	j.mu.RUnlock()
	return j.load(picked)
}

// Get returns an entry. One that is gone has an Err.
func (j *Journal) Get(seq uint64) (Stored, error) {
	it, ok := j.item(seq)
	if ok {
		loaded, err := j.load([]move{{seq: seq, item: it}})
		if err != nil || len(loaded) > 0 {
			return append(loaded, Stored{})[0], err
		}
	}
	return Stored{Seq: seq, Err: errGone}, nil
}

func (j *Journal) item(seq uint64) (item, bool) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.items.get(seq)
}

func (j *Journal) load(picked []move) (loaded []Stored, err error) {
	if len(picked) == 0 {
		return nil, nil
	}
	r := recordReader{journal: j}
	err = j.timed(func() error {
		defer r.close()
		for _, m := range picked {
			found, err := r.read(&m)
			if err != nil && !unreadable(err) {
				return fmt.Errorf("reading %s: %w", j.path, err)
			}
			if !found {
				continue
			}
			s := Stored{Seq: m.seq, Received: time.Unix(0, m.item.received), Size: int64(m.item.size), Record: m.record, Err: err}
			switch {
			case m.item.damaged:
				s.Err = errDamaged
			case err == nil && m.sum != crc32.Checksum(m.record, castagnoli):
				s.Err = errSum
			}
			loaded = append(loaded, s)
		}
		return nil
	})
	return loaded, err
}

// unreadable tells whether an error is of the blocks that an entry is in, so that it concerns no other.
func unreadable(err error) bool { return errors.Is(err, syscall.EIO) || errors.Is(err, io.EOF) }

// recordReader reads records, of which many in a row are in one segment.
type recordReader struct {
	journal *Journal
	number  uint32
	file    file
}

func (r *recordReader) close() {
	if r.file != nil {
		_ = r.file.Close()
	}
	r.file = nil
}

// read reads what an entry has, wherever it has been moved to meanwhile. It tells whether the entry is there.
func (r *recordReader) read(m *move) (found bool, err error) {
	for {
		err := r.open(m.item.segment)
		if err == nil {
			break
		}
		it, ok := r.journal.item(m.seq)
		if !ok || it.segment == m.item.segment || !errors.Is(err, ErrMoved) {
			return ok, err
		}
		m.item = it
	}
	length := int(m.item.length)
	b := make([]byte, length+sumSize)
	if m.item.damaged {
		b = b[:length]
	}
	_, err = r.file.ReadAt(b, int64(m.item.offset))
	m.record = b[:length:length]
	if m.item.damaged {
		m.sum = ^crc32.Checksum(m.record, castagnoli) // so that it is never taken for a right one
	} else {
		m.sum = binary.BigEndian.Uint32(b[length:])
	}
	return true, err
}

func (r *recordReader) open(number uint32) (err error) {
	if r.file != nil && r.number == number {
		return nil
	}
	r.close()
	r.journal.mu.RLock()
	s := r.journal.segment(number)
	r.journal.mu.RUnlock()
	if s == nil {
		return ErrMoved
	}
	r.file, err = r.journal.disk.open(s.name, os.O_RDONLY)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s: %w", filepath.Join(r.journal.path, s.name), ErrMoved)
	}
	r.number = number
	return err
}

// leastMoved is how many bytes are moved at once at least, when some have to be.
const leastMoved = 1 << 20

// moves returns entries of the first segment to be written again at the end, when the segments have much more than their entries
// need: so one that is never done does not keep all that come after it on disk. It is a part of them, so that no call takes long.
func (j *Journal) moves(most int64) (moves []move) {
	front := j.segments[0]
	total, live := j.DiskBytes(), 2*j.live
	wanted := total > live+2*j.segmentBytes || int64(len(j.segments)) > live/j.segmentBytes+4
	if !wanted || j.doubtful || len(j.segments) == 1 || front.live == 0 || front.number == j.unmovable {
		return nil
	}
	r := recordReader{journal: j}
	defer r.close()
	visit := func(seq uint64, it item) bool {
		if it.segment != front.number {
			return true
		}
		m := move{seq: seq, item: it}
		if _, err := r.read(&m); err != nil {
			j.unmovable = front.number // it stays as it is
			return false
		}
		moves = append(moves, m)
		most -= int64(it.length)
		j.cursor = seq + 1
		return most > 0 && len(moves) < front.live
	}
	from := j.cursor // as entries of a segment mostly follow those of the one before
	for seq, it := range j.items.all(from) {
		if !visit(seq, it) {
			return moves
		}
	}
	for seq, it := range j.items.all(0) {
		if seq >= from || !visit(seq, it) {
			return moves
		}
	}
	return moves
}
