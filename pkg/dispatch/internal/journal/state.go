package journal

import (
	"cmp"
	"math/big"
	"slices"
)

// segment is a file of the journal.
type segment struct {
	number, mark uint32
	name         string
	size         int64 // of what is right in it, for the last
	live         int   // entries that readers are not done with
}

// entry is what is known of an entry in 36 bytes: no field has 64 bits, which would make it 40, and none is a pointer, so that the
// garbage collector does not look at what may be millions.
type entry struct {
	seq, received  wide   // of the latter Unix ns
	set            uint32 // of readers that are not done with it: a place in state.sets
	segment        uint32 // how many segments were before its own since the start
	offset, length uint32 // where its record is
	size           uint32
}

type wide [2]uint32

func widen(v uint64) wide { return wide{uint32(v >> 32), uint32(v)} } //nolint:gosec // both halves

func (w wide) value() uint64 { return uint64(w[0])<<32 | uint64(w[1]) }

// damaged tells whether it is what lies between frames.
func (e *entry) damaged() bool { return e.seq.value() < FirstSeq }

// bytes is about what the entry has in its segment.
func (e *entry) bytes() int64 {
	return int64(e.length) + frameSize + entrySize + readerSize + 2*sumSize
}

// reader is what a reader is not done with.
type reader struct {
	id            Reader
	number        int
	events, bytes int64
	first         uint64 // none of its entries comes before
}

// state is what the frames of a journal say, in their order.
type state struct {
	segments []*segment        // from the oldest to the one that is written
	gone     uint32            // how many segments were before them since the start
	entries  []entry           // in the order of their Seq; those of the empty set are done
	late     map[uint64]*entry // those that came out of order
	len      int               // how many of both are not done
	sets     []*big.Int        // sets of readers, with a bit for each by its number; most entries share few. The first is empty
	places   map[string]uint32 // of sets
	readers  map[Reader]*reader
	numbered []*reader
	last     uint64 // the largest Seq that has ever been mentioned
	live     int64  // bytes of all entries in the segments
	torn     int

	// What follows is known while segments are read: what has been found between frames, and for whom the entry before was.
	damages []entry
	broken  map[uint64]bool // entries whose records are damaged
	latest  []Reader
	set     *big.Int // latest
	changed big.Int  // a set that is made
}

func newState() state {
	s := state{readers: map[Reader]*reader{}, last: FirstSeq, late: map[uint64]*entry{}, broken: map[uint64]bool{}}
	s.rebuild()
	return s
}

func (s *state) current() *segment { return s.segments[len(s.segments)-1] }

// newest is the segment of entries in the current one.
func (s *state) newest() uint32 { return s.gone + uint32(len(s.segments)) - 1 } //nolint:gosec // far fewer

func (s *state) segment(e *entry) *segment { return s.segments[e.segment-s.gone] }

// setOf returns the set of some readers.
func (s *state) setOf(of []Reader) *big.Int {
	set := new(big.Int)
	for _, id := range of {
		r := s.readers[id]
		if r == nil {
			r = &reader{id: id, number: len(s.numbered)}
			s.readers[id], s.numbered = r, append(s.numbered, r)
		}
		set.SetBit(set, r.number, 1)
	}
	return set
}

// place returns where a set is in sets.
func (s *state) place(set *big.Int) uint32 {
	key := set.Bytes()
	at, ok := s.places[string(key)]
	if !ok {
		at = uint32(len(s.sets)) //nolint:gosec // about as many as entries
		s.sets, s.places[string(key)] = append(s.sets, new(big.Int).Set(set)), at
	}
	return at
}

// of are the readers that are not done with an entry.
func (s *state) of(e *entry) (of []*reader) {
	set := s.sets[e.set]
	for number := range set.BitLen() {
		if set.Bit(number) == 1 {
			of = append(of, s.numbered[number])
		}
	}
	return of
}

func (s *state) has(r *reader, e *entry) bool { return s.sets[e.set].Bit(r.number) == 1 }

func bySeq(e entry, seq uint64) int { return cmp.Compare(e.seq.value(), seq) }

// from are the entries from a Seq on, with some that are done.
func (s *state) from(seq uint64) []entry {
	if n := len(s.entries); n == 0 || bySeq(s.entries[n-1], seq) < 0 { // as most that are added
		return nil
	}
	at, _ := slices.BinarySearchFunc(s.entries, seq, bySeq)
	return s.entries[at:]
}

// find returns an entry, or nil if there is none. It may be done.
func (s *state) find(seq uint64) *entry {
	if from := s.from(seq); len(from) > 0 && bySeq(from[0], seq) == 0 {
		return &from[0]
	}
	return s.late[seq]
}

// tidy drops what is done, and sets that no entry has, when they may be the larger part.
func (s *state) tidy() {
	if most := 2*s.len + 1024; len(s.entries) > most || len(s.sets) > most {
		s.rebuild()
	}
}

// rebuild drops them, and puts in order what came out of order.
func (s *state) rebuild() {
	for _, e := range s.late {
		s.entries = append(s.entries, *e)
	}
	clear(s.late)
	slices.SortFunc(s.entries, func(a, b entry) int { return bySeq(a, b.seq.value()) })
	kept, sets, places := make([]entry, 0, s.len), s.sets, make([]uint32, len(s.sets))
	s.sets, s.places = []*big.Int{{}}, map[string]uint32{"": 0}
	for _, e := range s.entries {
		if e.set == 0 {
			continue
		}
		if places[e.set] == 0 {
			places[e.set] = s.place(sets[e.set])
		}
		e.set = places[e.set]
		kept = append(kept, e)
	}
	s.entries = kept
}

// near returns the set of an entry's readers, for whom what lay before it may have been too.
func (s *state) near(readers []Reader) *big.Int {
	if len(s.damages) > 0 {
		s.assign(slices.Concat(readers, s.latest))
	}
	if !slices.Equal(readers, s.latest) {
		s.latest, s.set = slices.Clone(readers), s.setOf(readers)
	}
	return s.set
}

// assign keeps damages for those whom they may have been for: the readers of the entries before and after.
func (s *state) assign(readers []Reader) {
	if len(readers) == 0 {
		return
	}
	for _, d := range s.damages {
		s.put(d, s.setOf(readers))
	}
	s.damages = nil
}

// put keeps an entry for a set of readers, in place of what was there with its Seq.
func (s *state) put(e entry, set *big.Int) {
	seq := e.seq.value()
	old := s.find(seq)
	if old != nil {
		for _, r := range s.of(old) {
			s.done(seq, r.id)
		}
	}
	e.set = s.place(set)
	switch {
	case old != nil:
		*old = e
	case len(s.from(seq)) == 0:
		s.entries = append(s.entries, e)
	default:
		s.late[seq] = &e
	}
	for _, r := range s.of(&e) {
		if r.events == 0 || seq < r.first {
			r.first = seq
		}
		r.events++
		r.bytes += int64(e.size)
	}
	s.last = max(s.last, seq)
	s.len++
	s.live += e.bytes()
	s.segment(&e).live++
}

// done lets a reader be done with an entry.
func (s *state) done(seq uint64, id Reader) {
	s.last = max(s.last, seq)
	e, r := s.find(seq), s.readers[id]
	if e == nil || r == nil || !s.has(r, e) {
		return
	}
	r.events--
	r.bytes -= int64(e.size)
	if e.set = s.place(s.changed.SetBit(s.sets[e.set], r.number, 0)); e.set == 0 {
		s.len--
		s.live -= e.bytes()
		s.segment(e).live--
	}
}

// replay does what the frames of the current segment say, of which content is all.
func (s *state) replay(content []byte) {
	in, at := s.current(), 0
	if _, ok := parseHead(content); ok {
		at = headSize
	}
	for at < len(content) {
		f, ok := parseFrame(content, at, in.mark)
		if ok && f.end > len(content) {
			break
		}
		if ok {
			s.apply(content, f)
			at = f.end
			continue
		}
		next, found := findFrame(content, at+1, in.mark)
		if !found {
			break
		}
		if at > 0 || next > headSize { // else it is the head, which has no entry
			seq, length := uint64(in.number)<<32|uint64(at), uint32(next-at) //nolint:gosec // within a segment
			s.damages = append(s.damages, entry{seq: widen(seq), segment: s.newest(), offset: uint32(at), length: length, size: length})
		}
		at = next
	}
	if at < len(content) {
		s.torn++
	}
	s.assign(s.latest)
	s.tidy()
}

func (s *state) apply(content []byte, f frame) {
	if f.kind == doneFrame {
		for _, d := range f.parseDone() {
			s.done(d.Seq, d.Reader)
		}
		return
	}
	e, readers := f.parseEntry()
	seq, whole := e.seq.value(), summed(content[f.record:f.end])
	set, old := s.near(readers), s.find(seq)
	if old != nil && old.set > 0 && !s.broken[seq] && (f.kind == movedFrame || !whole) {
		return // it is safe there, and where it has been moved to perhaps not
	}
	if s.broken[seq] = !whole; whole {
		delete(s.broken, seq)
	}
	e.segment = s.newest()
	s.put(e, set)
}
