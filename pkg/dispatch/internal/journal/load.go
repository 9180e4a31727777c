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
// than fit into most bytes by their sizes. Damages come first. Many may call it, beside Commit too.
func (j *Journal) Load(id Reader, after, upTo uint64, most int64) ([]Stored, error) {
	j.files.RLock()
	defer j.files.RUnlock()
	return j.load(j.pick(id, after, upTo, most))
}

func (j *Journal) pick(id Reader, after, upTo uint64, most int64) (picked []entry) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	r := j.readers[id]
	if r == nil || r.events == 0 || after >= upTo {
		return nil
	}
	for _, e := range j.from(max(after+1, r.first)) {
		if !j.has(r, &e) {
			continue
		}
		if most -= int64(e.size); e.seq.value() > upTo || most < 0 && len(picked) > 0 {
			break
		}
		if picked = append(picked, e); int64(len(picked)) == r.events {
			break
		}
	}
	return picked
}

// Get returns an entry. One that is gone has an Err.
func (j *Journal) Get(seq uint64) (Stored, error) {
	j.files.RLock()
	defer j.files.RUnlock()
	j.mu.RLock()
	e := j.find(seq)
	if e == nil || e.set == 0 {
		j.mu.RUnlock()
		return Stored{Seq: seq, Err: errGone}, nil
	}
	picked := []entry{*e}
	j.mu.RUnlock()
	loaded, err := j.load(picked)
	return append(loaded, Stored{})[0], err
}

func (j *Journal) load(picked []entry) (loaded []Stored, err error) {
	if len(picked) == 0 {
		return nil, nil
	}
	r := recordReader{journal: j}
	err = j.timed(func() error {
		defer r.close()
		for i := range picked {
			e := &picked[i]
			record, sum, err := r.read(e)
			if err != nil && !unreadable(err) {
				return fmt.Errorf("reading %s: %w", j.path, err)
			}
			s := Stored{Seq: e.seq.value(), Received: e.receivedAt(), Size: int64(e.size), Record: record, Err: err}
			switch {
			case e.damaged():
				s.Err = errDamaged
			case err == nil && binary.BigEndian.Uint32(sum) != crc32.Checksum(record, castagnoli):
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

// recordReader reads records, of which many in a row are in one segment. It belongs to one who holds the lock of the files, or writes.
type recordReader struct {
	journal *Journal
	segment *segment
	file    file
}

func (r *recordReader) close() {
	if r.file != nil {
		_ = r.file.Close()
	}
	r.file, r.segment = nil, nil
}

// read returns the record of an entry, and its checksum, which a damage does not have.
func (r *recordReader) read(e *entry) (record, sum []byte, err error) {
	j := r.journal
	j.mu.RLock()
	s := j.segment(e)
	written := s == j.current()
	j.mu.RUnlock()
	from := r.file
	if written && j.writing != nil {
		from = j.writing // which is open, and what is new is read most
	} else if r.segment != s {
		r.close()
		if r.file, err = j.disk.open(s.name, os.O_RDONLY); errors.Is(err, os.ErrNotExist) {
			err = fmt.Errorf("%s: %w", filepath.Join(j.path, s.name), ErrMoved)
		}
		if err != nil {
			return nil, nil, err
		}
		r.segment, from = s, r.file
	}
	b := make([]byte, e.length, int(e.length)+sumSize)
	if !e.damaged() {
		b = b[:cap(b)]
	}
	_, err = from.ReadAt(b, int64(e.offset))
	return b[:e.length:e.length], b[e.length:], err
}
