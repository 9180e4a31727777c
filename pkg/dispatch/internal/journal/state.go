package journal

import (
	"encoding/binary"
	"slices"
)

// segment is a file of the journal.
type segment struct {
	number, mark uint32
	name         string
	size         int64 // of what is right in it, for the last
	live         int   // entries that readers are not done with
}

// item is what is known of an entry that readers are not done with.
type item struct {
	received                int64
	segment, offset, length uint32 // where its record is
	size                    uint32
	readers                 uint32 // how many are not done with it
	damaged                 bool   // it is bytes that no frame was found for
}

// frameBytes is about what an entry has in a segment besides its record.
const frameBytes = fixedSize + entrySize + readerSize + 2*sumSize

type reader struct {
	name     string // empty when its declaration was damaged: the next that is declared anew is taken for it
	declared uint32 // in which segment it was last declared, or 0
	entries  list[struct{}]
	bytes    int64
}

// place is where something is in the segments.
type place struct{ segment, offset uint32 }

// state is what the frames of a journal say, in their order.
type state struct {
	segments []*segment
	items    list[item]
	readers  map[Reader]*reader
	names    map[string]Reader
	newest   Reader // the largest that has ever been mentioned
	last     uint64 // likewise
	live     int64  // bytes of the frames of all items
	damages  map[place]damage
}

// damage is what lies between frames, until there is a frame that gives it a Seq.
type damage struct {
	length   uint32
	after    uint64 // the Seq of the entry before it
	received int64  // and when that was received
	seq      uint64 // once it has one
}

func (s *state) segment(number uint32) *segment {
	i, found := slices.BinarySearchFunc(s.segments, number, func(s *segment, n uint32) int { return int(s.number) - int(n) })
	if !found {
		return nil
	}
	return s.segments[i]
}

func (s *state) reader(id Reader) *reader {
	s.newest = max(s.newest, id)
	r := s.readers[id]
	if r == nil {
		r = &reader{}
		s.readers[id] = r
	}
	return r
}

// declare gives a reader its name.
func (s *state) declare(id Reader, name string) *reader {
	if other, ok := s.names[name]; ok && other != id {
		s.drop(other) // or there were no need of a new one
	}
	r := s.reader(id)
	r.name, s.names[name] = name, id
	return r
}

// put keeps an entry for its readers, in place of what was there with its Seq.
func (s *state) put(seq uint64, it item, readers []Reader) {
	if seq >= removed || s.segment(it.segment) == nil {
		return
	}
	s.last = max(s.last, seq)
	if before, ok := s.items.get(seq); ok {
		for id, r := range s.readers {
			if !slices.Contains(readers, id) && r.entries.remove(seq) {
				r.bytes -= int64(before.size)
			} else if _, has := r.entries.get(seq); has {
				r.bytes += int64(it.size) - int64(before.size)
				it.readers++
			}
		}
		s.counted(before, -1)
	}
	for _, id := range readers {
		r := s.reader(id)
		if _, has := r.entries.get(seq); !has {
			r.entries.set(seq, struct{}{})
			r.bytes += int64(it.size)
			it.readers++
		}
	}
	s.items.set(seq, it)
	s.counted(it, 1)
}

func (s *state) counted(it item, n int) {
	s.live += int64(n) * (int64(it.length) + frameBytes)
	if segment := s.segment(it.segment); segment != nil {
		segment.live += n
	}
}

// done lets a reader be done with an entry.
func (s *state) done(seq uint64, id Reader) {
	s.last = max(s.last, seq&^removed)
	r := s.readers[id]
	if r == nil || !r.entries.remove(seq) {
		return
	}
	it, _ := s.items.get(seq)
	r.bytes -= int64(it.size)
	if it.readers--; it.readers > 0 {
		s.items.set(seq, it)
		return
	}
	s.items.remove(seq)
	s.counted(it, -1)
}

// drop lets a reader be done with all its entries, and forgets it.
func (s *state) drop(id Reader) {
	r := s.readers[id]
	if r == nil {
		return
	}
	for _, seq := range r.entries.snapshot() {
		s.done(seq, id)
	}
	delete(s.readers, id)
	if s.names[r.name] == id {
		delete(s.names, r.name)
	}
}

// remaining are the readers that are not done with an entry.
func (s *state) remaining(seq uint64) []Reader {
	var readers []Reader
	for id, r := range s.readers {
		if _, has := r.entries.get(seq); has {
			readers = append(readers, id)
		}
	}
	slices.Sort(readers)
	return readers
}

// replay does what the frames of a segment say from an offset on. It tells whether there are bytes at the end that are none: what was
// being written when the process or the machine came to its end.
func (s *state) replay(in *segment, w *window, at int64) (torn bool) {
	var before damage // what is known of one that follows
	for at < w.size {
		f, ok := parseFrame(w, at, in.mark)
		if ok && f.end > w.size {
			return true
		}
		if !ok {
			next, found := findFrame(w, at+1, in.mark)
			if !found {
				return true
			}
			before.length = uint32(next - at)                                 //nolint:gosec // within a segment
			s.damages[place{segment: in.number, offset: uint32(at)}] = before //nolint:gosec // within a segment
			at = next
			continue
		}
		s.apply(in, f)
		if f.kind == entryFrame {
			before.after = binary.BigEndian.Uint64(f.meta)
			before.received = int64(binary.BigEndian.Uint64(f.meta[8:])) //nolint:gosec // as it was written
		}
		at = f.end
	}
	return false
}

func (s *state) apply(in *segment, f frame) {
	switch meta := f.meta; f.kind {
	case entryFrame:
		s.putMeta(meta, item{segment: in.number, offset: uint32(f.record), length: f.length}) //nolint:gosec // within a segment
	case damageFrame:
		at := place{segment: binary.BigEndian.Uint32(meta), offset: binary.BigEndian.Uint32(meta[4:])}
		it := item{segment: at.segment, offset: at.offset, length: binary.BigEndian.Uint32(meta[8:]), damaged: true}
		if _, found := s.damages[at]; found {
			delete(s.damages, at)
			s.putMeta(meta[placeSize:], it)
		}
	case doneFrame:
		for ; len(meta) > 0; meta = meta[doneSize:] {
			s.done(binary.BigEndian.Uint64(meta), Reader(binary.BigEndian.Uint32(meta[8:])))
		}
	case dropFrame:
		for _, id := range parseReaders(meta) {
			s.newest = max(s.newest, id)
			s.drop(id)
		}
	case readerFrame:
		s.declare(Reader(binary.BigEndian.Uint32(meta)), string(meta[readerSize:])).declared = in.number
	}
}

func (s *state) putMeta(meta []byte, it item) {
	it.received = int64(binary.BigEndian.Uint64(meta[8:])) //nolint:gosec // as it was written
	it.size = uint32(binary.BigEndian.Uint64(meta[16:]))   //nolint:gosec // as it was written
	s.put(binary.BigEndian.Uint64(meta), it, parseReaders(meta[entrySize:]))
}

// number gives each damage a Seq, and keeps it for all readers: nobody knows whose it was.
func (s *state) number() {
	readers := make([]Reader, 0, len(s.readers))
	for id := range s.readers {
		readers = append(readers, id)
	}
	if len(readers) == 0 {
		readers = append(readers, s.newest+1)
	}
	places := make([]place, 0, len(s.damages))
	for at := range s.damages {
		places = append(places, at)
	}
	slices.SortFunc(places, func(a, b place) int {
		if a.segment != b.segment {
			return int(a.segment) - int(b.segment)
		}
		return int(a.offset) - int(b.offset)
	})
	for _, at := range places {
		d := s.damages[at]
		d.seq = d.after + 1
		for taken := true; taken; {
			if _, taken = s.items.get(d.seq); taken {
				d.seq++
			}
		}
		s.damages[at] = d
		s.put(d.seq, item{received: d.received, segment: at.segment, offset: at.offset, length: d.length, size: d.length, damaged: true}, readers)
	}
}
