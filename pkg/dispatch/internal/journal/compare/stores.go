package main

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/cockroachdb/pebble/v2"
	bolt "go.etcd.io/bbolt"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch/internal/journal"
)

// event is what is kept for all destinations of a run.
type event struct {
	seq    uint64
	record []byte
}

// store keeps events until all destinations are done with them. Commit is called by one goroutine at a time.
type store interface {
	// commit returns when the events are safe on disk. Each of done is done with by all its destinations.
	commit(add []event, done []uint64) error
	get(seq uint64) ([]byte, error)
	// count returns how many events the first destination has, and when the oldest was received, as a start needs to know it.
	count() (int, error)
	close() error
}

// opener opens a store for so many destinations.
type opener func(dir string, destinations int) (store, error)

var stores = []struct {
	name string
	open opener
}{{"journal", openJournal}, {"bbolt", openBolt}, {"pebble", openPebble}}

type journalStore struct {
	journal *journal.Journal
	readers []journal.Reader
}

func openJournal(dir string, destinations int) (store, error) {
	j, err := journal.Open(dir, journal.Options{})
	if err != nil {
		return nil, err
	}
	s := &journalStore{journal: j}
	for i := range destinations {
		s.readers = append(s.readers, journal.ReaderOf(strconv.Itoa(i)))
	}
	return s, nil
}

func (s *journalStore) commit(add []event, done []uint64) error {
	entries := make([]journal.Entry, len(add))
	for i, e := range add {
		entries[i] = journal.Entry{Seq: journal.FirstSeq + e.seq, Received: time.Now(), Size: int64(len(e.record)), Readers: s.readers, Record: e.record}
	}
	dones := make([]journal.Done, 0, len(done)*len(s.readers))
	for _, seq := range done {
		for _, r := range s.readers {
			dones = append(dones, journal.Done{Seq: journal.FirstSeq + seq, Reader: r})
		}
	}
	return s.journal.Commit(entries, dones)
}

func (s *journalStore) get(seq uint64) ([]byte, error) {
	stored, err := s.journal.Get(journal.FirstSeq + seq)
	return stored.Record, errors.Join(err, stored.Err)
}

func (s *journalStore) count() (int, error) {
	return int(s.journal.Contents(s.readers[0]).Events), nil
}

func (s *journalStore) close() error { return s.journal.Close() }

// boltStore is one file for all destinations: a bucket of events, and one with a key for each destination that an event is for.
type boltStore struct {
	db           *bolt.DB
	destinations int
}

var eventsBucket, todoBucket = []byte("events"), []byte("todo")

func openBolt(dir string, destinations int) (store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	db, err := bolt.Open(filepath.Join(dir, "events.db"), 0o600, &bolt.Options{NoFreelistSync: true, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return nil, err
	}
	return &boltStore{db: db, destinations: destinations}, db.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(eventsBucket)
		_, err2 := tx.CreateBucketIfNotExists(todoBucket)
		return errors.Join(err, err2)
	})
}

func sequenceKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

func todoKey(destination int, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(nil, uint32(destination)), seq) //nolint:gosec // there are a hundred at most
}

func (s *boltStore) commit(add []event, done []uint64) error {
	return s.db.Update(func(tx *bolt.Tx) error {
		events, todo := tx.Bucket(eventsBucket), tx.Bucket(todoBucket)
		events.FillPercent, todo.FillPercent = 1, 1 // sequence numbers only grow
		for d := range s.destinations {
			for _, e := range add {
				if err := todo.Put(todoKey(d, e.seq), nil); err != nil {
					return err
				}
			}
			for _, seq := range done {
				if err := todo.Delete(todoKey(d, seq)); err != nil {
					return err
				}
			}
		}
		for _, e := range add {
			if err := events.Put(sequenceKey(e.seq), e.record); err != nil {
				return err
			}
		}
		for _, seq := range done {
			if err := events.Delete(sequenceKey(seq)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *boltStore) get(seq uint64) (record []byte, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		record = append([]byte(nil), tx.Bucket(eventsBucket).Get(sequenceKey(seq))...)
		return nil
	})
	return record, err
}

func (s *boltStore) count() (n int, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(eventsBucket).ForEach(func(_, record []byte) error {
			n += len(record[:1])
			return nil
		})
	})
	return n, err
}

func (s *boltStore) close() error { return s.db.Close() }

// pebbleStore has the same keys as boltStore, with a letter before each.
type pebbleStore struct {
	db           *pebble.DB
	destinations int
}

type quiet struct{ pebble.Logger }

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}

func openPebble(dir string, destinations int) (store, error) {
	db, err := pebble.Open(dir, &pebble.Options{MemTableSize: 16 << 20, Logger: quiet{pebble.DefaultLogger}})
	return &pebbleStore{db: db, destinations: destinations}, err
}

func (s *pebbleStore) commit(add []event, done []uint64) error {
	b := s.db.NewBatch()
	for d := range s.destinations {
		for _, e := range add {
			if err := b.Set(append([]byte{'t'}, todoKey(d, e.seq)...), nil, nil); err != nil {
				return err
			}
		}
		for _, seq := range done {
			if err := b.Delete(append([]byte{'t'}, todoKey(d, seq)...), nil); err != nil {
				return err
			}
		}
	}
	for _, e := range add {
		if err := b.Set(append([]byte{'e'}, sequenceKey(e.seq)...), e.record, nil); err != nil {
			return err
		}
	}
	for _, seq := range done {
		if err := b.Delete(append([]byte{'e'}, sequenceKey(seq)...), nil); err != nil {
			return err
		}
	}
	if len(add) == 0 {
		return b.Commit(pebble.NoSync)
	}
	return b.Commit(pebble.Sync)
}

func (s *pebbleStore) get(seq uint64) ([]byte, error) {
	value, closer, err := s.db.Get(append([]byte{'e'}, sequenceKey(seq)...))
	if err != nil {
		return nil, err
	}
	return append([]byte(nil), value...), closer.Close()
}

func (s *pebbleStore) count() (n int, err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{'e'}, UpperBound: []byte{'f'}})
	if err != nil {
		return 0, err
	}
	for ok := it.First(); ok; ok = it.Next() {
		n++
	}
	return n, it.Close()
}

func (s *pebbleStore) close() error { return s.db.Close() }
