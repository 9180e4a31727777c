package source

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

const (
	// spoolFile is the name of the spool in its directory.
	spoolFile = "spool.db"
	// lockTimeout is how long another process may take to let go of the file.
	lockTimeout = 2 * time.Second
	// stallAfter is how long the disk may take for one thing before the source says that it hangs.
	stallAfter = 5 * time.Second
	// metaPages is how many pages bbolt has by which it finds all others.
	metaPages = 2
)

var (
	eventsBucket = []byte("events") // records by sequence number, 8 bytes big endian
	stateBucket  = []byte("state")
	asideBucket  = []byte("unreadable") // records that are none, by the numbers that they had; there is none without one
	totalsKey    = []byte("totals")     // which an earlier version kept there
	formatKey    = []byte("format")
	spoolFormat  = []byte("eventmesh-source 1")
)

// spool is a file of records, in the order of their reception. One process at a time has its directory. It is read by several
// goroutines, and written by one.
type spool struct {
	path string
	// dir is locked, and file is the one that was opened, whatever the path leads to by now.
	dir, file *os.File
	found     contents // at the start

	mu sync.RWMutex // of those who use db, against the one who replaces it
	db *bolt.DB     // nil while it cannot be opened again
	// doubtful says that the last commit failed.
	doubtful bool

	first   atomic.Int64 // when the oldest event in the file was received, in nanoseconds, or 0
	stalls  atomic.Int64 // how much is under way that takes too long
	stalled func(bool)   // is told when there is such a thing, and when no more
}

// openSpool opens the spool of a directory, and creates both where there are none. The error names the file, which is left as it is.
func openSpool(dir string) (*spool, error) {
	s := &spool{path: filepath.Join(dir, spoolFile), stalled: func(bool) {}}
	if err := s.open(dir); err != nil {
		return nil, errors.Join(s.explain(err), s.close())
	}
	return s, nil
}

func (s *spool) open(dir string) error {
	err := makeDir(dir)
	if err != nil {
		return err
	}
	if s.dir, err = os.Open(dir); err != nil { //nolint:gosec // the directory is the operator's choice
		return err
	}
	// bbolt locks its file alone, which another process would not find once it has been moved away.
	if err := syscall.Flock(int(s.dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		return errInUse
	}
	if _, err := os.Stat(s.path); errors.Is(err, os.ErrNotExist) {
		if err := s.create(); err != nil {
			return fmt.Errorf("creating: %w", err)
		}
	}
	if err := s.dir.Sync(); err != nil { // whoever has created the file
		return err
	}
	if s.found, err = verifySpool(s.path); err != nil {
		return err
	}
	if s.file, err = os.OpenFile(s.path, os.O_RDWR, 0); err != nil {
		return err
	}
	s.first.Store(s.found.first)
	if s.db, err = openFile(s.path, 0); err != nil || s.found.aside == 0 {
		return err
	}
	if s.restore() == nil { // on a full disk they stay where they are
		s.found.totals.events, s.found.aside = s.found.totals.events+s.found.aside, 0
	}
	return nil
}

// restore puts back what was set aside: this program may be able to read it, or have a place for dead letters.
func (s *spool) restore() error {
	s.doubtful = true
	err := guard(func() error {
		return s.db.Update(func(tx *bolt.Tx) error {
			events := tx.Bucket(eventsBucket)
			if err := tx.Bucket(asideBucket).ForEach(events.Put); err != nil {
				return err
			}
			return tx.DeleteBucket(asideBucket)
		})
	})
	s.doubtful = err != nil
	return err
}

// makeDir makes a directory, and those above it, to stay.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil || !errors.Is(err, os.ErrNotExist) {
		return err
	}
	above := filepath.Dir(dir)
	if err := makeDir(above); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	parent, err := os.Open(above) //nolint:gosec // the directory is the operator's choice
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}

// openFile opens a file by bbolt, with the flags for a new one or without.
func openFile(path string, flags int) (db *bolt.DB, err error) {
	err = guard(func() error {
		db, err = bolt.Open(path, 0o600, &bolt.Options{
			Timeout:        lockTimeout,
			NoFreelistSync: true, // which a large file that has become empty would make every commit pay for
			FreelistType:   bolt.FreelistMapType,
			OpenFile: func(path string, flag int, mode os.FileMode) (*os.File, error) {
				return os.OpenFile(path, flag&^os.O_CREATE|flags, mode) //nolint:gosec // the directory is the operator's choice
			},
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
	db, err := openFile(path, os.O_CREATE)
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
		return state.Put(formatKey, spoolFormat)
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

// contents are what a file has when it is opened.
type contents struct {
	totals   totals
	last     uint64 // the largest sequence number
	first    int64  // when the oldest event was received, in nanoseconds, or 0
	aside    int64  // records
	pageSize uint64
}

// removal is an event to be removed, or to be set aside.
type removal struct {
	seq   uint64
	aside bool
}

// commit writes events and removes others, all or none of it, and returns when that is safe on disk. After a failure the same may be
// given again, whatever has become of it. What is written to a file that is not in its place any more is not safe.
func (s *spool) commit(add []*kept, remove []removal) error {
	err := s.timed(func() error {
		if err := s.write(add, remove); err != nil {
			return err
		}
		return s.inPlace()
	})
	if err != nil {
		return fmt.Errorf("writing %s: %w", s.path, err)
	}
	return nil
}

// timed does something with the disk, and tells when that takes too long.
func (s *spool) timed(f func() error) error {
	timer := time.AfterFunc(stallAfter, func() {
		if s.stalls.Add(1) == 1 {
			s.stalled(true)
		}
	})
	defer func() {
		if !timer.Stop() && s.stalls.Add(-1) == 0 {
			s.stalled(false)
		}
	}()
	return f()
}

// hangs is an error while something takes too long.
func (s *spool) hangs() error {
	if s.stalls.Load() <= 0 {
		return nil
	}
	return fmt.Errorf("the disk of %s hangs: it has not answered for %s", s.path, stallAfter)
}

var errMoved = errors.New("it has been moved or deleted since it was opened: move it back, or what is in it is not delivered after the end of this process")

// inPlace tells whether the path still leads to the file that is open, in the directory that is locked. Another process would find
// another file there, or none.
func (s *spool) inPlace() error {
	for path, file := range map[string]*os.File{filepath.Dir(s.path): s.dir, s.path: s.file} {
		opened, err := file.Stat()
		if err != nil {
			return err
		}
		found, err := os.Stat(path)
		if errors.Is(err, os.ErrNotExist) || err == nil && !os.SameFile(opened, found) {
			return errMoved
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *spool) write(add []*kept, remove []removal) error {
	if s.doubtful {
		if err := s.settle(); err != nil {
			return err
		}
	}
	s.doubtful = true
	var first int64
	err := guard(func() error {
		return s.db.Update(func(tx *bolt.Tx) error {
			events := tx.Bucket(eventsBucket)
			events.FillPercent = 1 // sequence numbers only grow
			for _, k := range add {
				if err := events.Put(sequenceKey(k.seq), k.record); err != nil {
					return err
				}
			}
			for _, r := range remove {
				if r.aside {
					if err := setAside(tx, r.seq); err != nil {
						return err
					}
				}
				if err := events.Delete(sequenceKey(r.seq)); err != nil {
					return err
				}
			}
			if key, record := events.Cursor().First(); key != nil {
				first = receivedAt(record)
			}
			return tx.Bucket(stateBucket).Delete(totalsKey)
		})
	})
	if s.doubtful = err != nil; !s.doubtful {
		s.first.Store(first)
	}
	return err
}

func setAside(tx *bolt.Tx, seq uint64) error {
	key := sequenceKey(seq)
	record := tx.Bucket(eventsBucket).Get(key)
	if record == nil {
		return nil
	}
	aside, err := tx.CreateBucketIfNotExists(asideBucket)
	if err != nil {
		return err
	}
	return aside.Put(key, slices.Clone(record))
}

// settle makes the disk hold what the file shows, after a commit that failed. The page of bbolt's that such a commit ends with can be
// seen though it is not on disk, and never will be: the kernel forgets what it could not write. The next commit would then write over
// pages that the disk still needs. The other pages of that commit are on disk before this one is written.
func (s *spool) settle() error {
	if err := s.inPlace(); err != nil {
		return err
	}
	if s.db != nil {
		meta := make([]byte, metaPages*s.found.pageSize)
		if _, err := s.file.ReadAt(meta, 0); err != nil {
			return err
		}
		if _, err := s.file.WriteAt(meta, 0); err != nil {
			return err
		}
		if err := s.file.Sync(); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db != nil { // what it knows of the file may be wrong
		err := s.db.Close()
		s.db = nil
		if err != nil {
			return err
		}
	}
	db, err := openFile(s.path, 0)
	if err != nil {
		return err
	}
	s.db = db
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
	if err != nil {
		return nil, err
	}
	if len(loaded) == 0 {
		return openRecord(seq, []byte{}), nil
	}
	return loaded[0], nil
}

// oldest returns when the first event was received, and the zero time where there is none, or none that can be read.
func (s *spool) oldest() time.Time {
	if at := s.first.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// errUnavailable says that the file cannot be read for now: a commit failed, and it has to be opened again.
var errUnavailable = errors.New("cannot be opened again for now")

func (s *spool) view(f func(*bolt.Tx) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return fmt.Errorf("%s %w", s.path, errUnavailable)
	}
	return s.explain(s.timed(func() error { return guard(func() error { return s.db.View(f) }) }))
}

func (s *spool) close() error {
	var errs []error
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	for _, file := range []*os.File{s.file, s.dir} {
		if file != nil {
			errs = append(errs, file.Close())
		}
	}
	return errors.Join(errs...)
}

func sequenceKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }
