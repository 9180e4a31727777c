// Package boltfiletest writes spools as versions of the source did that kept their events in bbolt, for tests that read them.
package boltfiletest

import (
	"encoding/binary"
	"hash/crc32"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Spool writes a spool to path, where there must be no file. It has records by their sequence numbers, and those that were set aside as
// unreadable.
func Spool(tb testing.TB, path string, records, aside map[uint64][]byte) {
	tb.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{NoFreelistSync: true, FreelistType: bolt.FreelistMapType})
	if err != nil {
		tb.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	}()
	err = db.Update(func(tx *bolt.Tx) error {
		state, err := tx.CreateBucket([]byte("state"))
		if err != nil {
			return err
		}
		if err := state.Put([]byte("format"), []byte("eventmesh-source 1")); err != nil {
			return err
		}
		if err := fill(tx, "events", records); err != nil || len(aside) == 0 {
			return err
		}
		return fill(tx, "unreadable", aside)
	})
	if err != nil {
		tb.Fatal(err)
	}
}

func fill(tx *bolt.Tx, name string, records map[uint64][]byte) error {
	bucket, err := tx.CreateBucket([]byte(name))
	if err != nil {
		return err
	}
	for seq, record := range records {
		if err := bucket.Put(binary.BigEndian.AppendUint64(nil, seq), record); err != nil {
			return err
		}
	}
	return nil
}

// Record is an event as it stands in a spool.
type Record struct {
	// Version is 1 or 2. Version 1 had no Size: its events counted with their data and 1 KiB.
	Version     byte
	Undecodable bool // the event says what could not be decoded
	Received    time.Time
	Key         uint64 // of the events that stay in order
	Topic       string
	Attributes  string // CloudEvents JSON without data
	Data        []byte
	Size        int64 // what the event counts with, in bytes
}

// Bytes are what is written, with the checksum.
func (r Record) Bytes() []byte {
	b := []byte{r.Version, 0}
	if r.Undecodable {
		b[1] = 1
	}
	b = binary.BigEndian.AppendUint64(b, uint64(r.Received.UnixNano()))
	b = binary.BigEndian.AppendUint64(b, r.Key)
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.Topic)))      //nolint:gosec // of a test
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.Attributes))) //nolint:gosec // of a test
	if r.Version > 1 {
		b = binary.BigEndian.AppendUint64(b, uint64(r.Size)) //nolint:gosec // of a test
	}
	b = append(append(append(b, r.Topic...), r.Attributes...), r.Data...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}
