package dispatch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/attribute"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsonevent"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch/internal/journal"
)

// A record is an event on disk, all numbers big endian:
//
//	version (1) | flags (1) | ordering key (8) | length of topic (2) | length of attributes (4)
//	topic | attributes, as CloudEvents JSON without data | data
//
// The journal adds when it was received, what it counts with, and a checksum. Versions 1 and 2 were those of a file of bbolt, see takeover.go.
const (
	recordVersion = 3
	recordHeader  = 1 + 1 + 8 + 2 + 4

	flagUndecodable = 1
	// flagRaw says that the data is another record, which could not be read.
	flagRaw = 2
)

// encodeRecord returns the record of an event up to the data, which makes it whole. Of that decode makes an equal event, but for the types
// of extensions: those that JSON lacks come back as the strings that they are in HTTP. An event whose record nobody could read has none.
func encodeRecord(m *Message) ([]byte, error) {
	if len(m.Topic) > math.MaxUint16 {
		return nil, fmt.Errorf("encoding event: its topic has %d bytes", len(m.Topic))
	}
	var flags byte
	if m.Undecodable != nil {
		flags = flagUndecodable
	}
	const room = 512 // bytes for attributes, more than most events have
	record := make([]byte, 0, recordHeader+len(m.Topic)+room)
	record = append(record, recordVersion, flags)
	record = binary.BigEndian.AppendUint64(record, m.key)
	record = binary.BigEndian.AppendUint16(record, uint16(len(m.Topic))) //nolint:gosec // checked above
	record = append(record, 0, 0, 0, 0)                                  // the length of the attributes
	record = append(record, m.Topic...)
	attributes := len(record)
	record, err := jsonevent.Append(record, event.Event{Context: m.Event.Context})
	if c, ok := m.Event.Context.(*event.EventContextV1); ok && err == nil {
		err = jsonevent.Check(c)
	}
	if err == nil && !utf8.Valid(record[attributes:]) {
		err = attribute.ErrNoUTF8
	}
	if err != nil {
		return nil, fmt.Errorf("encoding event: %w", err)
	}
	binary.BigEndian.PutUint32(record[12:], uint32(len(record)-attributes)) //nolint:gosec // far below 4 GiB
	return record, nil
}

// rawRecord returns the record of what was one, and cannot be read.
func rawRecord(raw []byte) []byte {
	record := make([]byte, recordHeader, recordHeader+len(raw))
	record[0], record[1] = recordVersion, flagRaw
	return append(record, raw...)
}

// record is one that has been looked at.
type record struct {
	undecodable      bool
	key              uint64
	topic            string
	attributes, data []byte
}

// openRecord reads what is needed before the event itself is.
func openRecord(raw []byte) (r record, err error) {
	if len(raw) < recordHeader {
		return r, fmt.Errorf("it has %d bytes, which is too few", len(raw))
	}
	if raw[0] != recordVersion {
		return r, fmt.Errorf("its version is %d, and this program knows %d", raw[0], recordVersion)
	}
	topicEnd := recordHeader + int(binary.BigEndian.Uint16(raw[10:]))
	dataStart := topicEnd + int(binary.BigEndian.Uint32(raw[12:]))
	if dataStart > len(raw) {
		return r, errors.New("its lengths do not match")
	}
	if raw[1]&flagRaw != 0 {
		return record{data: raw[dataStart:]}, errors.New("it could not be read before")
	}
	return record{
		undecodable: raw[1]&flagUndecodable != 0, key: binary.BigEndian.Uint64(raw[2:]), topic: string(raw[recordHeader:topicEnd]),
		attributes: raw[topicEnd:dataStart], data: raw[dataStart:],
	}, nil
}

// decode returns the event of a record.
func (r record) decode() (event.Event, error) {
	e, err := jsonevent.Unmarshal(r.attributes, nil)
	if err != nil {
		return e, fmt.Errorf("decoding event: %w", err)
	}
	if len(r.data) > 0 {
		e.DataEncoded = r.data
		e.DataBase64 = !utf8.Valid(r.data)
	}
	return e, nil
}

// open notes of a record what is needed before the event itself is.
func (it *item) open(stored journal.Stored) {
	it.received, it.size, it.stored = stored.Received, stored.Size, stored.Record
	r, err := openRecord(stored.Record)
	if stored.Err != nil {
		r, err = record{}, stored.Err
	}
	it.key, it.topic, it.undecodable, it.unreadable = r.key, r.topic, r.undecodable, err
	if err != nil && r.data != nil {
		it.stored = r.data
	}
}
