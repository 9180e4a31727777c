package source

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"time"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/attribute"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsonevent"
)

// A record is a kept event on disk, all numbers big endian:
//
//	version (1) | flags (1) | received, Unix ns (8) | ordering key (8) | length of topic (2) | length of attributes (4) | size (8)
//	topic | attributes, as CloudEvents JSON without data | data | CRC-32C of all before (4)
const (
	recordVersion = 2
	recordHeader  = 1 + 1 + 8 + 8 + 2 + 4 + 8
	recordTrailer = 4

	// version1 had no size, and counted with the data alone.
	version1, header1 = 1, recordHeader - 8

	flagUndecodable = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encodeRecord returns what decodeRecord makes an equal event of, but for the types of extensions: those that JSON lacks come back as
// the strings that they are in HTTP.
func encodeRecord(k *kept) ([]byte, error) {
	if len(k.topic) > math.MaxUint16 {
		return nil, fmt.Errorf("encoding event: its topic has %d bytes", len(k.topic))
	}
	var flags byte
	if k.undecodable {
		flags = flagUndecodable
	}
	const room = 512 // bytes for attributes, more than most events have
	record := make([]byte, 0, recordHeader+len(k.topic)+room+len(k.event.DataEncoded)+recordTrailer)
	record = append(record, recordVersion, flags)
	record = binary.BigEndian.AppendUint64(record, uint64(k.received.UnixNano()))
	record = binary.BigEndian.AppendUint64(record, k.key)
	record = binary.BigEndian.AppendUint16(record, uint16(len(k.topic))) //nolint:gosec // checked above
	record = append(record, 0, 0, 0, 0)                                  // the length of the attributes
	record = binary.BigEndian.AppendUint64(record, uint64(k.size))       //nolint:gosec // not negative
	record = append(record, k.topic...)
	attributes := len(record)
	record, err := jsonevent.Append(record, event.Event{Context: k.event.Context})
	if err != nil {
		return nil, fmt.Errorf("encoding event: %w", err)
	}
	binary.BigEndian.PutUint32(record[20:], uint32(len(record)-attributes)) //nolint:gosec // far below 4 GiB
	record = append(record, k.event.DataEncoded...)
	return binary.BigEndian.AppendUint32(record, crc32.Checksum(record, castagnoli)), nil
}

// checkRecord tells whether these are the bytes that were written.
func checkRecord(record []byte) error {
	if err := checkLengths(record); err != nil {
		return err
	}
	body := record[:len(record)-recordTrailer]
	if binary.BigEndian.Uint32(record[len(body):]) != crc32.Checksum(body, castagnoli) {
		return errors.New("its checksum does not match")
	}
	if record[0] != recordVersion && record[0] != version1 {
		return fmt.Errorf("its version is %d, and this program knows %d", record[0], recordVersion)
	}
	return nil
}

func checkLengths(record []byte) error {
	if len(record) < header1+recordTrailer || len(record) < headerOf(record)+recordTrailer {
		return fmt.Errorf("it has %d bytes, which is too few", len(record))
	}
	if recordDataStart(record) > len(record)-recordTrailer {
		return errors.New("its lengths do not match")
	}
	return nil
}

// receivedAt returns when the event of a record was received, in nanoseconds, and 0 of one that cannot be read.
func receivedAt(record []byte) int64 {
	if checkRecord(record) != nil {
		return 0
	}
	return int64(binary.BigEndian.Uint64(record[2:])) //nolint:gosec // as it was written
}

// openRecord reads what is needed before the event itself is: everything but the event.
func openRecord(seq uint64, record []byte) *kept {
	if err := checkRecord(record); err != nil {
		return &kept{seq: seq, record: record, size: int64(len(record)) + overhead, unreadable: err}
	}
	return &kept{
		seq: seq, record: record, undecodable: record[1]&flagUndecodable != 0, //nolint:gosec // its length has been checked
		received: time.Unix(0, int64(binary.BigEndian.Uint64(record[2:]))), //nolint:gosec // as it was written
		key:      binary.BigEndian.Uint64(record[10:]),                     //nolint:gosec // its length has been checked
		topic:    string(record[headerOf(record):recordTopicEnd(record)]),
		size:     writtenSize(record),
	}
}

// writeRecord returns the record of an event. An event whose record nobody could read has none.
func writeRecord(k *kept) ([]byte, error) {
	record, err := encodeRecord(k)
	if err != nil {
		return nil, err
	}
	if c, ok := k.event.Context.(*event.EventContextV1); ok {
		err = jsonevent.Check(c)
	}
	if err == nil && !utf8.Valid(record[recordTopicEnd(record):recordDataStart(record)]) {
		err = attribute.ErrNoUTF8
	}
	if err != nil {
		return nil, fmt.Errorf("encoding event: %w", err)
	}
	return record, nil
}

// decodeRecord returns the event of a record that has been checked.
func decodeRecord(record []byte) (event.Event, error) {
	dataStart := recordDataStart(record)
	e, err := jsonevent.Unmarshal(record[recordTopicEnd(record):dataStart], nil)
	if err != nil {
		return e, fmt.Errorf("decoding event: %w", err)
	}
	if data := record[dataStart : len(record)-recordTrailer]; len(data) > 0 {
		e.DataEncoded = data
		e.DataBase64 = !utf8.Valid(data)
	}
	return e, nil
}

// recordSize is what the event of a record counts with.
func recordSize(record []byte) int64 { return openRecord(0, record).size }

// writtenSize is what the event of a record that has been checked counts with.
func writtenSize(record []byte) int64 {
	if record[0] == version1 {
		return int64(len(record)-recordTrailer-recordDataStart(record)) + overhead
	}
	return int64(binary.BigEndian.Uint64(record[24:])) //nolint:gosec // as it was written
}

func headerOf(record []byte) int {
	if record[0] == version1 {
		return header1
	}
	return recordHeader
}

func recordDataStart(record []byte) int {
	return recordTopicEnd(record) + int(binary.BigEndian.Uint32(record[20:]))
}

func recordTopicEnd(record []byte) int {
	return headerOf(record) + int(binary.BigEndian.Uint16(record[18:]))
}
