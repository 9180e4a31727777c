package dispatch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/boltfile"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch/internal/journal"
)

const (
	// boltFile is the file of bbolt in which earlier versions kept events. In the journal it is a reader, too: of what has been taken over
	// from a file that is still there. So a takeover that was cut off goes on where it was, and the file of an earlier version that has run
	// in between is another one, with its own numbers from 1 on.
	boltFile = "spool.db"
	// takeoverGroup is how many events are taken over at once at most, and no more than have maxPending bytes or little more.
	takeoverGroup = 1024
)

// Its buckets, in the order in which they are read: events, the format, and records that could not be read.
const (
	eventsBucket = "events"
	stateBucket  = "state"
	asideBucket  = "unreadable"
	formatKey    = "format"
	boltFormat   = "eventmesh-source 1"
)

var errForeign = errors.New("is not a spool of this program")

// takeOver moves what an earlier version has kept in the directory into the journal, for the lane of one name. It may be repeated after
// a failure: nothing is delivered before it has ended.
func takeOver(dir string, to *journal.Journal, lane string) error {
	path := filepath.Join(dir, boltFile)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return forgetFile(to)
	}
	ours := false
	err := boltfile.Read(path, func(bucket, key, value []byte) error {
		ours = ours || string(bucket) == stateBucket && string(key) == formatKey && string(value) == boltFormat
		return nil
	})
	if err == nil && !ours {
		err = errForeign
	}
	if err != nil {
		return explainOlder(path, err)
	}
	if err = copyOlder(path, to, []journal.Reader{journal.ReaderOf(lane), journal.ReaderOf(boltFile)}); err == nil {
		err = os.Remove(path)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err == nil {
		err = forgetFile(to)
	}
	if err != nil {
		return fmt.Errorf("taking over %s: %w", path, err)
	}
	return nil
}

// copyOlder copies events, in their order, and then what was set aside. The last of the readers has what has been copied before.
func copyOlder(path string, to *journal.Journal, readers []journal.Reader) error {
	before := to.Contents(readers[len(readers)-1]).Events
	var group []journal.Entry
	bytes := int64(0)
	flush := func() error {
		err := to.Commit(group, nil)
		group, bytes = group[:0], 0
		return err
	}
	err := boltfile.Read(path, func(bucket, key, value []byte) error {
		if len(key) != 8 || string(bucket) != eventsBucket && string(bucket) != asideBucket {
			return nil
		}
		if before--; before >= 0 {
			return nil
		}
		o := openOlder(value)
		group = append(group, journal.Entry{
			Seq: to.Last() + uint64(len(group)) + 1, Received: o.received, Size: o.size, Readers: readers, Record: o.record,
		})
		if bytes += int64(len(o.record)); bytes < maxPending && len(group) < takeoverGroup {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

// forgetFile forgets what was taken over from a file that is not there any more.
func forgetFile(to *journal.Journal) error {
	if to.Contents(journal.ReaderOf(boltFile)).Events == 0 {
		return nil
	}
	return to.Drop(journal.ReaderOf(boltFile), math.MaxUint64)
}

// syncDir makes sure that a file that has been removed does not come back.
func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the directory is the operator's choice
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// explainOlder says what a person can do.
func explainOlder(path string, err error) error {
	switch {
	case errors.Is(err, boltfile.ErrInUse):
		return fmt.Errorf("%s %w: each replica needs a directory of its own", path, err)
	case errors.Is(err, errForeign):
		return fmt.Errorf("%s %w: name another directory", path, err)
	case errors.Is(err, boltfile.ErrDamaged), errors.Is(err, boltfile.ErrNotBolt):
		return fmt.Errorf("%s %w: move it away to start without the events in it; nothing has been deleted", path, err)
	default:
		return fmt.Errorf("opening %s: %w", path, err)
	}
}

// older is a record of version 1 or 2, as a file of bbolt has it:
//
//	version (1) | flags (1) | received, Unix ns (8) | ordering key (8) | length of topic (2) | length of attributes (4) | size (8)
//	topic | attributes | data | CRC-32C of all before (4)
//
// Version 1 has no size, and counted with the data alone.
type older struct {
	received time.Time
	size     int64
	record   []byte // of today's version
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// openOlder makes a record of today's version of an older one, whatever that is.
func openOlder(raw []byte) older {
	const header1, header2, trailer = 24, 32, 4
	unreadable := older{received: time.Unix(0, 0), size: int64(len(raw)) + overhead, record: rawRecord(raw)}
	header := header2
	if len(raw) > 0 && raw[0] == 1 {
		header = header1
	}
	if len(raw) < header+trailer || raw[0] == 0 || raw[0] > 2 {
		return unreadable
	}
	body := raw[:len(raw)-trailer]
	topic, attributes := int(binary.BigEndian.Uint16(raw[18:])), int(binary.BigEndian.Uint32(raw[20:]))
	if header+topic+attributes > len(body) || binary.BigEndian.Uint32(raw[len(body):]) != crc32.Checksum(body, castagnoli) {
		return unreadable
	}
	o := older{received: time.Unix(0, int64(binary.BigEndian.Uint64(raw[2:])))} //nolint:gosec // as it was written
	if o.size = int64(len(body)-header-topic-attributes) + overhead; header == header2 {
		o.size = int64(binary.BigEndian.Uint64(raw[24:])) //nolint:gosec // as it was written
	}
	o.record = append(o.record, recordVersion, raw[1]&flagUndecodable)
	o.record = append(o.record, raw[10:24]...)
	o.record = append(o.record, body[header:]...)
	return o
}
