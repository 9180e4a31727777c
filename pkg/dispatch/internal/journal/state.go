package journal

import (
	"slices"

	"github.com/tidwall/btree"
)

// segment is a file of the journal.
type segment struct {
	number, mark uint32
	name         string
	size         int64 // of what is right in it, for the last
	live         int   // entries that readers are not done with
}

// entry is what is known of an entry that readers are not done with.
type entry struct {
	segment        *segment
	received       int64
	size           int64
	offset, length uint32 // where its record is
	readers        int32  // how many are not done with it
	damaged        bool   // it is what lies between frames
}

// bytes is about what the entry has in its segment.
func (e *entry) bytes() int64 {
	return int64(e.length) + frameSize + entrySize + readerSize + 2*sumSize
}

// reader is what a reader is not done with.
type reader struct {
	entries btree.Set[uint64]
	bytes   int64
}

// state is what the frames of a journal say, in their order.
type state struct {
	segments []*segment // from the oldest to the one that is written
	entries  btree.Map[uint64, entry]
	readers  map[Reader]*reader
	last     uint64 // the largest Seq that has ever been mentioned
	live     int64  // bytes of all entries in the segments
	torn     int

	// What follows is known while segments are read: what has been found between frames, and for whom the entry before was.
	damages []damage
	latest  []Reader
}

// damage is what lies between frames, until it is known for whom it was.
type damage struct {
	seq   uint64
	entry entry
}

func newDamage(in *segment, offset, length int) damage {
	e := entry{segment: in, offset: uint32(offset), length: uint32(length), size: int64(length), damaged: true} //nolint:gosec // within a segment
	return damage{seq: uint64(in.number)<<32 | uint64(e.offset), entry: e}
}

func newState() state { return state{readers: map[Reader]*reader{}, last: FirstSeq} }

func (s *state) current() *segment { return s.segments[len(s.segments)-1] }

// put keeps an entry for its readers, in place of what was there with its Seq.
func (s *state) put(seq uint64, e entry, readers []Reader) {
	s.last = max(s.last, seq)
	if _, moved := s.entries.Get(seq); moved {
		for id := range s.readers {
			s.done(seq, id)
		}
	}
	for _, id := range readers {
		r := s.readers[id]
		if r == nil {
			r = &reader{}
			s.readers[id] = r
		}
		if !r.entries.Contains(seq) {
			r.entries.Insert(seq)
			r.bytes += e.size
			e.readers++
		}
	}
	s.entries.Set(seq, e)
	s.live += e.bytes()
	e.segment.live++
}

// done lets a reader be done with an entry.
func (s *state) done(seq uint64, id Reader) {
	r := s.readers[id]
	if r == nil || !r.entries.Contains(seq) {
		return
	}
	r.entries.Delete(seq)
	e, _ := s.entries.Get(seq)
	r.bytes -= e.size
	if e.readers--; e.readers > 0 {
		s.entries.Set(seq, e)
		return
	}
	s.entries.Delete(seq)
	s.live -= e.bytes()
	e.segment.live--
}

// remaining are the readers that are not done with an entry.
func (s *state) remaining(seq uint64) []Reader {
	var readers []Reader
	for id, r := range s.readers {
		if r.entries.Contains(seq) {
			readers = append(readers, id)
		}
	}
	slices.Sort(readers)
	return readers
}

// replay does what the frames of a segment say, of which content is what starts at an offset.
func (s *state) replay(in *segment, content []byte, offset int64) {
	at := 0
	if _, ok := parseHead(content); ok && offset == 0 {
		at = headSize
	}
	for at < len(content) {
		f, ok := parseFrame(content, at, in.mark)
		if ok && f.end > len(content) {
			break
		}
		if ok {
			s.apply(in, f, offset)
			at = f.end
			continue
		}
		next, found := findFrame(content, at+1, in.mark)
		if !found {
			break
		}
		if at > 0 || next > headSize { // else it is the head, which has no entry
			s.damages = append(s.damages, newDamage(in, at, next-at))
		}
		at = next
	}
	if at < len(content) {
		s.torn++
	}
	s.assign(s.latest)
}

// assign keeps damages for those whom they may have been for: the readers of the entries before and after.
func (s *state) assign(readers []Reader) {
	if len(readers) == 0 {
		return
	}
	for _, d := range s.damages {
		s.put(d.seq, d.entry, readers)
	}
	s.damages = nil
}

func (s *state) apply(in *segment, f frame, offset int64) {
	switch f.kind {
	case doneFrame:
		for _, d := range f.parseDone() {
			s.last = max(s.last, d.Seq)
			s.done(d.Seq, d.Reader)
		}
	case entryFrame, damageFrame:
		seq, e, readers := f.parseEntry()
		e.segment, e.offset, e.length = in, uint32(offset)+uint32(f.record), uint32(f.length) //nolint:gosec // within a segment
		if len(s.damages) > 0 {
			s.assign(slices.Compact(slices.Sorted(slices.Values(append(readers, s.latest...)))))
		}
		s.put(seq, e, readers)
		s.latest = readers
	}
}
