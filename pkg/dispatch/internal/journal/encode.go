package journal

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
)

// encoder makes the frames of a group.
type encoder struct {
	state    *state
	segment  *segment
	b        []byte
	declared map[Reader]bool // in the group
}

// declare says who a reader is, once in each segment that has entries of it: the others will go before it does.
func (e *encoder) declare(id Reader) {
	r := e.state.readers[id]
	if r.name == "" || r.declared == e.segment.number || e.declared[id] {
		return
	}
	e.declared[id] = true
	e.b = appendFrame(e.b, e.segment.mark, readerFrame, 0, func(b []byte) []byte {
		return append(binary.BigEndian.AppendUint32(b, uint32(id)), r.name...)
	})
}

// known returns the readers that there are, and declares them.
func (e *encoder) known(readers []Reader) []Reader {
	unknown := func(id Reader) bool { return e.state.readers[id] == nil }
	if slices.ContainsFunc(readers, unknown) {
		readers = slices.DeleteFunc(slices.Clone(readers), unknown)
	}
	for _, id := range readers {
		e.declare(id)
	}
	return readers
}

func (e *encoder) entry(a *Entry) {
	if readers := e.known(a.Readers); len(readers) > 0 {
		e.append(a.Seq, a.Received.UnixNano(), a.Size, readers, a.Record, crc32.Checksum(a.Record, castagnoli))
	}
}

func (e *encoder) append(seq uint64, received, size int64, readers []Reader, record []byte, sum uint32) {
	e.b = appendFrame(e.b, e.segment.mark, entryFrame, len(record), func(b []byte) []byte {
		return appendMeta(b, seq, received, size, readers)
	})
	e.b = binary.BigEndian.AppendUint32(append(e.b, record...), sum)
}

// move is an entry that is written again.
type move struct {
	seq    uint64
	item   item
	record []byte
	sum    uint32 // as it was, right or not
}

func (e *encoder) move(m move) {
	readers := e.known(e.state.remaining(m.seq))
	e.append(m.seq, m.item.received, int64(m.item.size), readers, m.record, m.sum)
}

// damage gives what lies between frames its Seq, by which it is known from now on.
func (e *encoder) damage(at place, d damage) {
	readers := e.known(e.state.remaining(d.seq))
	e.b = appendFrame(e.b, e.segment.mark, damageFrame, 0, func(b []byte) []byte {
		b = binary.BigEndian.AppendUint32(b, at.segment)
		b = binary.BigEndian.AppendUint32(b, at.offset)
		b = binary.BigEndian.AppendUint32(b, d.length)
		return appendMeta(b, d.seq, d.received, int64(d.length), readers)
	})
}

func (e *encoder) done(done []Done) {
	for part := range slices.Chunk(done, mostDone) {
		e.b = appendFrame(e.b, e.segment.mark, doneFrame, 0, func(b []byte) []byte {
			for _, d := range part {
				b = binary.BigEndian.AppendUint64(b, d.Seq)
				b = binary.BigEndian.AppendUint32(b, uint32(d.Reader))
			}
			return b
		})
	}
}
