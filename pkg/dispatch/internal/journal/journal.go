package journal

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	defaultSegment = 16 << 20
	mostSegment    = 1 << 30 // offsets have 32 bits
	defaultStall   = 5 * time.Second
	suffix         = ".journal"
)

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
type Reader uint32

// Journal is a directory that is open. See the package's documentation.
type Journal struct {
	watch
	path         string
	segmentBytes int64
	dir          *directory
	disk         disk

	mu sync.RWMutex // of the state, against those who read it while it is written
	state
	dropped []Reader // not yet on disk
	torn    int64

	// Of the one who writes.
	writing      file // the last of segments, or nil when there has to be a new one
	written      os.FileInfo
	placed       bool   // its name is safe on disk
	unplaced     bool   // the name of a segment has been removed, and that is not yet safe on disk
	doubtful     bool   // the last call failed
	group        []byte // what is being written
	cursor       uint64 // from where entries have been moved to the end
	unmovable    uint32 // the segment that cannot be moved
	nextSegment  uint32
	declarations bool // there are readers whose names are not on disk yet
}

// Open opens the journal of a directory, and creates both where there are none: the directory with those above it. It reads all
// segments. Errors are ErrInUse, ErrForeign, and those of the disk; what is in the directory is left as it is.
func Open(dir string, o Options) (*Journal, error) {
	return open(dir, o, func(d disk) disk { return d })
}

func open(dir string, o Options, through func(disk) disk) (_ *Journal, err error) {
	j := &Journal{
		path: dir, segmentBytes: min(o.SegmentBytes, mostSegment), nextSegment: 1,
		watch: watch{after: o.StallAfter, stalled: o.Stalled},
		state: state{readers: map[Reader]*reader{}, names: map[string]Reader{}, damages: map[place]damage{}},
	}
	if j.segmentBytes <= 0 {
		j.segmentBytes = defaultSegment
	}
	if j.after <= 0 {
		j.after = defaultStall
	}
	if j.stalled == nil {
		j.stalled = func(bool) {}
	}
	err = j.timed(func() error {
		if j.dir, err = openDirectory(dir); err != nil {
			return err
		}
		j.disk = through(j.dir)
		if err = j.disk.sync(); err == nil { // what a process before may not have synced
			err = j.readAll()
		}
		if err != nil {
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

func segmentName(number, mark uint32) string { return fmt.Sprintf("%08x-%08x%s", number, mark, suffix) }

// readAll reads all segments in their order.
func (j *Journal) readAll() error {
	entries, err := os.ReadDir(j.path)
	if err != nil {
		return err
	}
	for _, entry := range entries { // in the order of their names
		var number, mark uint64
		numberText, markText, ok := strings.Cut(strings.TrimSuffix(entry.Name(), suffix), "-")
		if ok {
			number, _ = strconv.ParseUint(numberText, 16, 32)
			mark, _ = strconv.ParseUint(markText, 16, 32)
		}
		s := &segment{number: uint32(number), mark: uint32(mark), name: entry.Name()}
		if s.name != segmentName(s.number, s.mark) || number == 0 || number == math.MaxUint32 || !entry.Type().IsRegular() || j.segment(s.number) != nil {
			continue
		}
		if err := j.readSegment(s); err != nil {
			return err
		}
		j.nextSegment = s.number + 1
	}
	j.items.settle()
	for _, r := range j.readers {
		r.entries.settle()
	}
	j.number()
	j.items.settle()
	for _, r := range j.readers {
		r.entries.settle()
	}
	return nil
}

func (j *Journal) readSegment(s *segment) error {
	f, err := j.disk.open(s.name, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	s.size = min(info.Size(), math.MaxUint32)
	w := &window{file: f, size: s.size}
	j.segments = append(j.segments, s)
	var start int64
	if v, _, last, ok := parseHead(w.at(0, headSize)); ok {
		if v > version {
			return fmt.Errorf("%w: %s has version %d", ErrForeign, s.name, v)
		}
		start, j.last = headSize, max(j.last, last&^removed)
	} else if _, ok := findFrame(w, 0, s.mark); ok && s.size > headSize {
		start = headSize // which is damaged, and has no event
	}
	if j.replay(s, w, start) {
		j.torn++
	}
	return nil
}

// Reader finds a reader by its name, which has at least one byte, or declares it.
func (j *Journal) Reader(name string) Reader {
	j.mu.Lock()
	defer j.mu.Unlock()
	if id, ok := j.names[name]; ok {
		return id
	}
	id := j.newest + 1
	for unnamed, r := range j.readers {
		if r.name == "" {
			id = unnamed
		}
	}
	j.declare(id, name)
	j.declarations = true
	return id
}

// Readers are the names of those that have entries, in order.
func (j *Journal) Readers() []string {
	j.mu.RLock()
	defer j.mu.RUnlock()
	var names []string
	for name, id := range j.names {
		if j.readers[id].entries.len() > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Drop lets a reader be done with all its entries, with the next Commit. Its name declares another from now on.
func (j *Journal) Drop(id Reader) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if r := j.readers[id]; r != nil && !slices.Contains(j.dropped, id) {
		delete(j.names, r.name)
		j.dropped = append(j.dropped, id)
	}
}

// Contents are a reader's entries: how many, the sum of their sizes, and when the first was received, or the zero time.
type Contents struct {
	Events, Bytes int64
	Oldest        time.Time
}

// Contents returns what a reader is not done with.
func (j *Journal) Contents(id Reader) Contents {
	j.mu.RLock()
	defer j.mu.RUnlock()
	r := j.readers[id]
	if r == nil {
		return Contents{}
	}
	c := Contents{Events: int64(r.entries.len()), Bytes: r.bytes}
	for seq := range r.entries.all(0) {
		if first, _ := j.items.get(seq); first.received != 0 {
			c.Oldest = time.Unix(0, first.received)
		}
		break
	}
	return c
}

// Last is the largest Seq that there has been.
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
func (j *Journal) Torn() int64 { return j.torn }

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
	return inPlace(filepath.Join(j.path, j.segments[len(j.segments)-1].name), j.written)
}

// Close lets go of the directory. What has been committed is safe.
func (j *Journal) Close() error {
	var err error
	if j.writing != nil {
		err = j.writing.Close()
	}
	return errors.Join(err, j.dir.close())
}
