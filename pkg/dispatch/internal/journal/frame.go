package journal

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// A segment starts with a head, and then has frames, all numbers big endian:
//
//	head:  magic (8) | version (4) | mark (4) | the largest Seq before (8) | 0 (4) | CRC-32C of all before (4)
//	frame: mark (4) | kind (1) | 0 (3) | length of meta (4) | length of record (4) | meta | CRC-32C of all before (4)
//	       and of an entry: record | CRC-32C of it (4)
//
// The mark is a random number of the segment's own, and a part of its name too: an event that has a frame in its data, of whatever
// origin, is not mistaken for one where frames have to be searched for.
const (
	magic      = "EMJournl"
	version    = 1
	headSize   = 32
	fixedSize  = 16
	sumSize    = 4
	entrySize  = 24      // of its meta, without readers
	placeSize  = 12      // of a damage's meta, before that of an entry
	doneSize   = 12      // of each
	readerSize = 4       // of each
	mostMeta   = 1 << 20 // what is larger is no frame
	mostDone   = 4096    // in one frame
)

const (
	entryFrame  byte = 1 + iota // Seq (8) | received, Unix ns (8) | size (8) | readers (4 each)
	doneFrame                   // Seq (8) | reader (4), each
	readerFrame                 // reader (4) | name
	dropFrame                   // readers (4 each)
	damageFrame                 // where it is: segment (4) | offset (4) | length (4); and then as an entry
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendSum(b []byte, from int) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[from:], castagnoli))
}

func appendHead(b []byte, mark uint32, last uint64) []byte {
	from := len(b)
	b = binary.BigEndian.AppendUint32(append(b, magic...), version)
	b = binary.BigEndian.AppendUint32(b, mark)
	b = binary.BigEndian.AppendUint64(b, last)
	return appendSum(append(b, 0, 0, 0, 0), from)
}

// parseHead returns what the head of a segment says, if it is one.
func parseHead(b []byte) (v, mark uint32, last uint64, ok bool) {
	if len(b) < headSize || string(b[:len(magic)]) != magic || !summed(b[:headSize]) {
		return 0, 0, 0, false
	}
	return binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[12:]), binary.BigEndian.Uint64(b[16:]), true
}

// summed tells whether b ends with the checksum of what is before it.
func summed(b []byte) bool {
	body := b[:len(b)-sumSize]
	return binary.BigEndian.Uint32(b[len(body):]) == crc32.Checksum(body, castagnoli)
}

// appendFrame appends a frame whose meta is what the function appends, without a record.
func appendFrame(b []byte, mark uint32, kind byte, record int, meta func(b []byte) []byte) []byte {
	from := len(b)
	b = binary.BigEndian.AppendUint32(b, mark)
	b = append(b, kind, 0, 0, 0, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(record)) //nolint:gosec // checked by Commit
	b = meta(b)
	binary.BigEndian.PutUint32(b[from+8:], uint32(len(b)-from-fixedSize)) //nolint:gosec // checked by Commit
	return appendSum(b, from)
}

func appendMeta(b []byte, seq uint64, received, size int64, readers []Reader) []byte {
	b = binary.BigEndian.AppendUint64(b, seq)
	b = binary.BigEndian.AppendUint64(b, uint64(received)) //nolint:gosec // read back as it was written
	b = binary.BigEndian.AppendUint64(b, uint64(size))     //nolint:gosec // not negative
	for _, r := range readers {
		b = binary.BigEndian.AppendUint32(b, uint32(r))
	}
	return b
}

func parseReaders(b []byte) []Reader {
	readers := make([]Reader, len(b)/readerSize)
	for i := range readers {
		readers[i] = Reader(binary.BigEndian.Uint32(b[i*readerSize:]))
	}
	return readers
}

// frame is one that has been found. Its meta is valid until the next is looked for.
type frame struct {
	kind        byte
	meta        []byte
	record, end int64 // where they start in the segment
	length      uint32
}

// parseFrame returns the frame at an offset, if there is one with a right header. It may end after the segment does.
func parseFrame(w *window, at int64, mark uint32) (f frame, ok bool) {
	fixed := w.at(at, fixedSize)
	if len(fixed) < fixedSize || binary.BigEndian.Uint32(fixed) != mark || fixed[5]|fixed[6]|fixed[7] != 0 {
		return f, false
	}
	f.kind = fixed[4]
	f.length = binary.BigEndian.Uint32(fixed[12:])
	length := int64(binary.BigEndian.Uint32(fixed[8:]))
	if length > mostMeta {
		return f, false
	}
	header := w.at(at, fixedSize+length+sumSize)
	if int64(len(header)) < fixedSize+length+sumSize || !summed(header) {
		return f, false
	}
	f.meta = header[fixedSize : fixedSize+length]
	f.record = at + int64(len(header))
	if f.end = f.record; f.kind == entryFrame {
		f.end += int64(f.length) + sumSize
	}
	switch n := int(length); f.kind {
	case entryFrame:
		ok = n > entrySize && (n-entrySize)%readerSize == 0
	case damageFrame:
		ok = n > placeSize+entrySize && (n-placeSize-entrySize)%readerSize == 0
	case doneFrame:
		ok = n%doneSize == 0
	case dropFrame:
		ok = n%readerSize == 0
	case readerFrame:
		ok = n >= readerSize
	}
	return f, ok
}

// findFrame returns where the next whole frame is at an offset or after it.
func findFrame(w *window, at int64, mark uint32) (int64, bool) {
	wanted := binary.BigEndian.AppendUint32(nil, mark)
	for at+fixedSize <= w.size {
		chunk := w.at(at, min(windowSize, w.size-at))
		i := bytes.Index(chunk, wanted)
		if i < 0 {
			at += int64(len(chunk) - len(wanted) + 1)
			continue
		}
		at += int64(i)
		if f, ok := parseFrame(w, at, mark); ok && f.end <= w.size {
			return at, true
		}
		at++
	}
	return 0, false
}
