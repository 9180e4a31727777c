package journal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"
)

// A segment starts with a head, and then has frames, all numbers big endian:
//
//	head:  magic (8) | version (4) | mark (4) | CRC-32C of all before (4)
//	frame: mark (4) | kind (4) | length of meta (4) | length of record (4) | meta | CRC-32C of all before (4)
//	       and of an entry: record | CRC-32C of it (4)
//
// The mark is a random number of the segment's own, and a part of its name too: an event that has a frame in its data, of whatever
// origin, is not mistaken for one where frames have to be searched for.
const (
	magic      = "EMJournl"
	version    = 1
	headSize   = 20
	frameSize  = 16 // without meta
	sumSize    = 4
	entrySize  = 24      // of its meta, without readers
	readerSize = 8       // of each
	doneSize   = 16      // of each
	mostMeta   = 1 << 20 // what is larger is no frame
	mostDone   = 4096    // in one frame
)

const (
	entryFrame = 1 + iota // Seq (8) | received, Unix ns (8) | size (8) | readers (8 each)
	movedFrame            // the same, of an entry that was there before, or of what lay between frames
	doneFrame             // Seq (8) | reader (8), each
)

const suffix = ".journal"

func segmentName(number, mark uint32) string { return fmt.Sprintf("%08x-%08x%s", number, mark, suffix) }

// parseName returns the segment of a file's name, and nil of another file's.
func parseName(name string) *segment {
	s := &segment{name: name}
	if _, err := fmt.Sscanf(name, "%08x-%08x"+suffix, &s.number, &s.mark); err != nil || s.number >= FirstSeq>>32 || name != segmentName(s.number, s.mark) {
		return nil
	}
	return s
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendSum(b []byte, from int) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[from:], castagnoli))
}

// summed tells whether b ends with the checksum of what is before it.
func summed(b []byte) bool {
	body := b[:len(b)-sumSize]
	return binary.BigEndian.Uint32(b[len(body):]) == crc32.Checksum(body, castagnoli)
}

func appendHead(b []byte, mark uint32) []byte {
	from := len(b)
	b = binary.BigEndian.AppendUint32(append(b, magic...), version)
	return appendSum(binary.BigEndian.AppendUint32(b, mark), from)
}

// parseHead returns the version in the head of a segment, if it has one.
func parseHead(b []byte) (v uint32, ok bool) {
	if len(b) < headSize || string(b[:len(magic)]) != magic || !summed(b[:headSize]) {
		return 0, false
	}
	return binary.BigEndian.Uint32(b[len(magic):]), true
}

func appendFrame(b []byte, mark, kind uint32, meta, record int) []byte {
	b = binary.BigEndian.AppendUint32(b, mark)
	b = binary.BigEndian.AppendUint32(b, kind)
	b = binary.BigEndian.AppendUint32(b, uint32(meta))      //nolint:gosec // checked by Commit
	return binary.BigEndian.AppendUint32(b, uint32(record)) //nolint:gosec // checked by Commit
}

// appendEntry appends the frame of an entry, up to the record.
func appendEntry(b []byte, mark, kind uint32, e *Entry) []byte {
	from := len(b)
	b = appendFrame(b, mark, kind, entrySize+len(e.Readers)*readerSize, e.length())
	b = binary.BigEndian.AppendUint64(b, e.Seq)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Received.UnixNano()))
	b = binary.BigEndian.AppendUint64(b, uint64(e.Size)) //nolint:gosec // not negative
	for _, r := range e.Readers {
		b = binary.BigEndian.AppendUint64(b, uint64(r))
	}
	return appendSum(b, from)
}

func appendDone(b []byte, mark uint32, done []Done) []byte {
	from := len(b)
	b = appendFrame(b, mark, doneFrame, len(done)*doneSize, 0)
	for _, d := range done {
		b = binary.BigEndian.AppendUint64(b, d.Seq)
		b = binary.BigEndian.AppendUint64(b, uint64(d.Reader))
	}
	return appendSum(b, from)
}

// frame is one that has been found.
type frame struct {
	kind        uint32
	meta        []byte
	record, end int // where they start in what has been read
	length      int
}

// parseFrame returns the frame at an offset, if there is one whose header is right. It may end after b does.
func parseFrame(b []byte, at int, mark uint32) (f frame, ok bool) {
	if b = b[:min(len(b), at+frameSize+mostMeta+sumSize)]; len(b) < at+frameSize+sumSize || binary.BigEndian.Uint32(b[at:]) != mark {
		return f, false
	}
	f.kind = binary.BigEndian.Uint32(b[at+4:])
	meta := int(binary.BigEndian.Uint32(b[at+8:]))
	f.length = int(binary.BigEndian.Uint32(b[at+12:]))
	f.record = at + frameSize + meta + sumSize
	if f.record > len(b) || !summed(b[at:f.record]) {
		return f, false
	}
	f.meta = b[at+frameSize:][:meta]
	switch f.end = f.record; f.kind {
	case entryFrame, movedFrame:
		f.end += f.length + sumSize
		whole := meta > entrySize && (meta-entrySize)%readerSize == 0
		return f, whole && (f.kind == movedFrame || binary.BigEndian.Uint64(f.meta) >= FirstSeq)
	case doneFrame:
		return f, meta%doneSize == 0
	default:
		return f, false
	}
}

// findFrame returns where the next whole frame is at an offset or after it.
func findFrame(b []byte, at int, mark uint32) (int, bool) {
	wanted := binary.BigEndian.AppendUint32(nil, mark)
	for {
		i := bytes.Index(b[at:], wanted)
		if i < 0 {
			return 0, false
		}
		at += i
		if f, ok := parseFrame(b, at, mark); ok && f.end <= len(b) {
			return at, true
		}
		at++
	}
}

func (f frame) parseEntry() (e entry, readers []Reader) {
	e.seq, e.received = widen(binary.BigEndian.Uint64(f.meta)), widen(binary.BigEndian.Uint64(f.meta[8:]))
	e.size = uint32(binary.BigEndian.Uint64(f.meta[16:]))   //nolint:gosec // checked by Commit
	e.offset, e.length = uint32(f.record), uint32(f.length) //nolint:gosec // within a segment
	readers = make([]Reader, 0, (len(f.meta)-entrySize)/readerSize)
	for b := f.meta[entrySize:]; len(b) > 0; b = b[readerSize:] {
		readers = append(readers, Reader(binary.BigEndian.Uint64(b)))
	}
	return e, readers
}

func (f frame) parseDone() (done []Done) {
	for b := f.meta; len(b) > 0; b = b[doneSize:] {
		done = append(done, Done{Seq: binary.BigEndian.Uint64(b), Reader: Reader(binary.BigEndian.Uint64(b[8:]))})
	}
	return done
}

// receivedAt is when an entry was received.
func (e *entry) receivedAt() time.Time { return time.Unix(0, int64(e.received.value())) } //nolint:gosec // as it was
