// Package journal keeps entries on disk, each until all of its readers are done with it: in a log that is only ever appended to, in
// segments that are deleted from the front.
//
// An entry is written once, with one sync, however many readers it has. That a reader is done with it is one more frame in the log, without
// a sync of its own. What is in the segments, in their order, is the state; in RAM there is an index of it. Where an entry stays long,
// and keeps all behind it on disk, it is written again at the end: see move.go. What is damaged costs itself alone: every frame has
// checksums, and the next one is found behind any damage.
package journal

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	defaultSegment = 16 << 20
	mostSegment    = 1 << 30 // offsets have 32 bits
	defaultStall   = 5 * time.Second
)

// FirstSeq is below the Seq of every entry that is committed. A Seq below it is of a damage, and says where that is.
const FirstSeq = 1 << 63

// Options are those of Open.
type Options struct {
	// SegmentBytes is when a segment is closed, and another begun: when it has so many bytes, 16 MiB by default, and 1 GiB at most.
	SegmentBytes int64
	// StallAfter is how long the disk may take for one call, 5 seconds by default, before it counts as hanging.
	StallAfter time.Duration
	// Stalled is told when the disk hangs, and when it does no more. It is not called by two at the same time, and may be nil.
	Stalled func(hangs bool)
}

// Reader is one of those who have to be done with an entry.
type Reader uint64

// ReaderOf returns the reader of a name: a hash of it.
func ReaderOf(name string) Reader {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	return Reader(h.Sum64())
}

// Journal is a directory that is open. See the package's documentation.
type Journal struct {
	watch
	path         string
	segmentBytes int64
	dir          *directory
	disk         disk

	// files is held to read segments, and to close or delete them.
	files sync.RWMutex
	// mu guards the state, which is read while a segment is written.
	mu sync.RWMutex
	state

	// What follows is of the one who writes.
	writing   file // the last of segments, or nil when there has to be a new one
	written   os.FileInfo
	placed    bool   // its name is safe on disk
	unplaced  bool   // the name of a segment has been removed, and that is not yet safe on disk
	doubtful  bool   // the last call failed
	number    uint32 // of the last segment that there has been
	owed      []Done // what there was no room to write
	buffer    *bufio.Writer
	cursor    uint64 // up to which entries have been moved to the end
	unmovable *segment
}

// Open opens the journal of a directory, and creates both where there are none: the directory with those above it. It reads all
// segments. Errors are ErrInUse, ErrForeign, and those of the disk; what is in the directory is left as it is.
func Open(dir string, o Options) (*Journal, error) {
	return open(dir, o, func(d disk) disk { return d })
}

func open(dir string, o Options, through func(disk) disk) (_ *Journal, err error) {
	j := &Journal{
		path: dir, segmentBytes: min(cmp.Or(o.SegmentBytes, defaultSegment), mostSegment), state: newState(),
		watch:    watch{after: cmp.Or(o.StallAfter, defaultStall), stalled: o.Stalled},
		unplaced: true, // for all that is known of the process before
		buffer:   bufio.NewWriterSize(nil, bufferSize),
	}
	if j.stalled == nil {
		j.stalled = func(bool) {}
	}
	err = j.timed(func() error {
		if j.dir, err = openDirectory(dir); err != nil {
			return err
		}
		j.disk = through(j.dir)
		if err = j.readAll(); err != nil {
			err = errors.Join(err, j.dir.close())
		}
		return err
	})
	switch {
	case err == nil:
		return j, nil
	case errors.Is(err, ErrInUse), errors.Is(err, ErrForeign):
		return nil, fmt.Errorf("%s %w", dir, err)
	default:
		return nil, fmt.Errorf("opening %s: %w", dir, err)
	}
}

// readAll reads all segments in their order.
func (j *Journal) readAll() error {
	entries, err := os.ReadDir(j.path)
	if err != nil {
		return err
	}
	for _, entry := range entries { // in the order of their names
		s := parseName(entry.Name())
		if s == nil || !entry.Type().IsRegular() {
			continue
		}
		content, err := j.readSegment(s)
		if err != nil {
			return err
		}
		if v, ok := parseHead(content); ok && v > version {
			return fmt.Errorf("%w: %s has version %d", ErrForeign, s.name, v)
		}
		s.size, j.number = int64(len(content)), s.number
		j.segments = append(j.segments, s)
		j.replay(content)
	}
	j.rebuild()
	return nil
}

// blockSize is what is read at once where not all can be.
const blockSize = 4 << 10

// readSegment returns what a segment has. What the disk cannot read is zero, and so a damage.
func (j *Journal) readSegment(s *segment) ([]byte, error) {
	f, err := j.disk.open(s.name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	content := make([]byte, min(info.Size(), math.MaxUint32))
	if _, err := f.ReadAt(content, 0); err == nil {
		return content, nil
	}
	for from := 0; from < len(content); from += blockSize {
		block := content[from:min(len(content), from+blockSize)]
		if _, err := f.ReadAt(block, int64(from)); err != nil {
			clear(block)
		}
	}
	return content, nil
}

// Contents are the entries of a reader, or of all: how many, the sum of their sizes, and when the first was received, or the zero time.
type Contents struct {
	Events, Bytes int64
	Oldest        time.Time
}

// Contents returns what a reader is not done with.
func (j *Journal) Contents(id Reader) (c Contents) {
	j.mu.Lock()
	defer j.mu.Unlock()
	r := j.readers[id]
	if r == nil || r.events == 0 {
		return c
	}
	c.Events, c.Bytes = r.events, r.bytes
	for _, e := range j.from(r.first) {
		if j.has(r, &e) {
			r.first = e.seq.value()
			if e.received != (wide{}) {
				c.Oldest = e.receivedAt()
			}
			break
		}
	}
	return c
}

// Readers are those who are not done with something, in no order.
func (j *Journal) Readers() (all []Reader) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	for id, r := range j.readers {
		if r.events > 0 {
			all = append(all, id)
		}
	}
	return all
}

// Len is how many entries there are.
func (j *Journal) Len() int {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.len
}

// Last is the largest Seq that there has been, and at least FirstSeq.
func (j *Journal) Last() uint64 {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.last
}

// DiskBytes is what the segments have, in bytes.
func (j *Journal) DiskBytes() (sum int64) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	for _, s := range j.segments {
		sum += s.size
	}
	return sum
}

// Torn is how many segments had bytes at their end that were being written when the process or the machine came to its end.
func (j *Journal) Torn() int { return j.torn }

// Hangs is an error while the disk takes longer than Options.StallAfter.
func (j *Journal) Hangs() error {
	if j.stalls.Load() <= 0 {
		return nil
	}
	return fmt.Errorf("the disk of %s hangs: it has not answered for %s", j.path, j.after)
}

// Check returns nil when the directory and the segment that is written are in their places, and nothing hangs. Otherwise the error is
// ErrMoved or one of the disk. It writes nothing, and is not for two at a time, nor beside Commit.
func (j *Journal) Check() error {
	if err := j.timed(j.inPlace); err != nil {
		return fmt.Errorf("looking at %s: %w", j.path, err)
	}
	return j.Hangs()
}

func (j *Journal) inPlace() error {
	if err := inPlace(j.path, j.dir.info); err != nil || j.writing == nil {
		return err
	}
	return inPlace(filepath.Join(j.path, j.current().name), j.written)
}

// Close lets go of the directory. What has been committed is safe.
func (j *Journal) Close() error {
	if len(j.owed) > 0 {
		_ = j.Commit(nil, nil) // or those entries come again
	}
	return errors.Join(j.writeTo(nil), j.dir.close())
}
