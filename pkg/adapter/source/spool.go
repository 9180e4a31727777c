package source

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

const (
	// spoolFile is the name of the spool in its directory.
	spoolFile = "spool.db"
	// lockTimeout is how long another process may take to let go of the file.
	lockTimeout = 2 * time.Second
)

var (
	eventsBucket = []byte("events") // records by sequence number, 8 bytes big endian
	stateBucket  = []byte("state")
	totalsKey    = []byte("totals") // number and size of the events, 8 bytes each
	formatKey    = []byte("format")
	spoolFormat  = []byte("eventmesh-source 1")
)

// spool is a file of records, in the order of their reception. One process at a time has it open. Its methods may be called by
// several goroutines.
type spool struct {
	db   *bolt.DB
	path string
}

// openSpool opens the spool of a directory, and creates both where there are none. The error names the file, which is left as it is.
func openSpool(dir string) (*spool, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s := &spool{path: filepath.Join(dir, spoolFile)}
	if _, err := os.Stat(s.path); errors.Is(err, os.ErrNotExist) {
		if err := s.create(); err != nil {
			return nil, fmt.Errorf("creating %s: %w", s.path, err)
		}
	}
	if err := verifySpool(s.path); err != nil {
		return nil, s.explain(err)
	}
	var err error
	s.db, err = openFile(s.path)
	return s, s.explain(err)
}

func openFile(path string) (db *bolt.DB, err error) {
	err = guard(func() error {
		db, err = bolt.Open(path, 0o600, &bolt.Options{
			Timeout:        lockTimeout,
			NoFreelistSync: true, // which a large file that has become empty would make every commit pay for
			FreelistType:   bolt.FreelistMapType,
		})
		if errors.Is(err, berrors.ErrInvalid) || errors.Is(err, berrors.ErrChecksum) {
			err = fmt.Errorf("%w: %w", errDamaged, err)
		}
		return err
	})
	return db, err
}

// create makes an empty file under another name first, so that none that is half made is ever found.
func (s *spool) create() error {
	path := s.path + ".new"
	_ = os.Remove(path) // of a process that ended in the middle of this
	db, err := openFile(path)
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	err = db.Update(func(tx *bolt.Tx) error {
		if _, err := tx.CreateBucket(eventsBucket); err != nil {
			return err
		}
		state, err := tx.CreateBucket(stateBucket)
		if err != nil {
			return err
		}
		return errors.Join(state.Put(formatKey, spoolFormat), state.Put(totalsKey, make([]byte, 16)))
	})
	if err = errors.Join(err, db.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return os.Rename(path, s.path)
}

var (
	errForeign = errors.New("is not a spool of this program")
	errDamaged = errors.New("is damaged")
	errInUse   = errors.New("is in use by another process")
)

// explain says what a person can do.
func (s *spool) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errInUse), errors.Is(err, berrors.ErrTimeout):
		return fmt.Errorf("%s %w: each replica needs a directory of its own", s.path, errInUse)
	case errors.Is(err, errForeign), errors.Is(err, berrors.ErrVersionMismatch):
		return fmt.Errorf("%s %w: name another directory", s.path, errForeign)
	case errors.Is(err, errDamaged):
		return fmt.Errorf("%s %w: move it away to start without the events in it; nothing has been deleted", s.path, err)
	default:
		return fmt.Errorf("opening %s: %w", s.path, err)
	}
}

// guard turns the panics and faults by which bbolt meets a damaged file into errors.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%w: %v", errDamaged, cause)
		}
	}()
	return f()
}

// totals are the number of events and the sum of their sizes.
type totals struct{ events, bytes int64 }

func totalsOf(tx *bolt.Tx) totals {
	return decodeTotals(tx.Bucket(stateBucket).Get(totalsKey))
}

func decodeTotals(b []byte) totals {
	return totals{
		events: int64(binary.BigEndian.Uint64(b)), bytes: int64(binary.BigEndian.Uint64(b[8:])), //nolint:gosec // as written
	}
}

// left returns what there is, and the largest sequence number.
func (s *spool) left() (t totals, last uint64, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		t = totalsOf(tx)
		if key, _ := tx.Bucket(eventsBucket).Cursor().Last(); key != nil {
			last = binary.BigEndian.Uint64(key)
		}
		return nil
	})
	return t, last, err
}

// commit writes events and removes others, all or none of it, and returns when that is safe on disk.
func (s *spool) commit(add []*kept, remove []uint64) error {
	err := guard(func() error {
		return s.db.Update(func(tx *bolt.Tx) error {
			t, events := totalsOf(tx), tx.Bucket(eventsBucket)
			events.FillPercent = 1 // sequence numbers only grow
			for _, k := range add {
				if err := events.Put(sequenceKey(k.seq), k.record); err != nil {
					return err
				}
				t.events, t.bytes = t.events+1, t.bytes+k.size
			}
			cursor := events.Cursor()
			for _, seq := range remove {
				key := sequenceKey(seq)
				found, record := cursor.Seek(key)
				if !bytes.Equal(found, key) {
					continue
				}
				t.events, t.bytes = t.events-1, t.bytes-recordSize(record)
				if err := cursor.Delete(); err != nil {
					return err
				}
			}
			value := binary.BigEndian.AppendUint64(nil, uint64(t.events)) //nolint:gosec // undone by totalsOf
			value = binary.BigEndian.AppendUint64(value, uint64(t.bytes)) //nolint:gosec // undone by totalsOf
			return tx.Bucket(stateBucket).Put(totalsKey, value)
		})
	})
	if err != nil {
		return fmt.Errorf("writing %s: %w", s.path, err)
	}
	return nil
}

// load returns the events after one sequence number up to another, in order, the first of them whatever its size, and no more than
// fit into so many bytes.
func (s *spool) load(after, upTo uint64, most int64) (loaded []*kept, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		cursor := tx.Bucket(eventsBucket).Cursor()
		for key, record := cursor.Seek(sequenceKey(after + 1)); key != nil; key, record = cursor.Next() {
			seq := binary.BigEndian.Uint64(key)
			if seq > upTo {
				return nil
			}
			if err := checkRecord(record); err != nil {
				return fmt.Errorf("%w: record %x: %w", errDamaged, key, err)
			}
			k := openRecord(seq, slices.Clone(record))
			if most -= k.size; most < 0 && len(loaded) > 0 {
				return nil
			}
			loaded = append(loaded, k)
		}
		return nil
	})
	return loaded, err
}

// get returns one event.
func (s *spool) get(seq uint64) (*kept, error) {
	loaded, err := s.load(seq-1, seq, 0)
	if err == nil && len(loaded) != 1 {
		err = s.explain(fmt.Errorf("%w: record %x is missing", errDamaged, seq))
	}
	if err != nil {
		return nil, err
	}
	return loaded[0], nil
}

// oldest returns when the first event was received, and the zero time where there is none.
func (s *spool) oldest() (at time.Time) {
	_ = s.view(func(tx *bolt.Tx) error { // for a metric: a failure shows elsewhere
		if key, record := tx.Bucket(eventsBucket).Cursor().First(); key != nil && checkRecord(record) == nil {
			at = openRecord(0, record).received
		}
		return nil
	})
	return at
}

func (s *spool) view(f func(*bolt.Tx) error) error {
	return s.explain(guard(func() error { return s.db.View(f) }))
}

func (s *spool) close() error { return s.db.Close() }

func sequenceKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }
