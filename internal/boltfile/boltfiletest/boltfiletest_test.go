package boltfiletest_test

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/boltfile"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/boltfile/boltfiletest"
)

func TestSpool(t *testing.T) {
	tests := []struct {
		name           string
		records, aside map[uint64][]byte
		want           []string
	}{
		{"empty", nil, nil, nil},
		{"events", map[uint64][]byte{2: []byte("b"), 256: []byte("c")}, nil, []string{"events 2 b", "events 256 c"}},
		{"events and what was set aside", map[uint64][]byte{2: []byte("b")}, map[uint64][]byte{1: []byte("a")}, []string{"events 2 b", "unreadable 1 a"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "spool.db")
			boltfiletest.Spool(t, path, test.records, test.aside)
			var got []string
			format := ""
			if err := boltfile.Read(path, func(bucket, key, value []byte) error {
				if string(bucket) == "state" {
					format += fmt.Sprintf("%s: %s", key, value)
					return nil
				}
				got = append(got, fmt.Sprintf("%s %d %s", bucket, binary.BigEndian.Uint64(key), value))
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if format != "format: eventmesh-source 1" || !slices.Equal(got, test.want) {
				t.Errorf("got %q in the state %q, want %q", got, format, test.want)
			}
		})
	}
}

// These are bytes that versions of the source wrote.
func TestRecord(t *testing.T) {
	r := boltfiletest.Record{
		Undecodable: true, Received: time.Unix(1234, 5678), Key: 1 << 63, Topic: "orders",
		Attributes: `{"specversion":"1.0","id":"1","source":"/","type":"t"}`, Data: []byte("data"), Size: 1234,
	}
	const (
		received   = "0000011f5021ca2e"
		lengths    = "000600000036"
		attributes = "7b227370656376657273696f6e223a22312e30222c226964223a2231222c22736f75726365223a222f222c2274797065223a2274227d"
	)
	for version, want := range map[byte]string{
		1: "0101" + received + "8000000000000000" + lengths + "6f7264657273" + attributes + "64617461" + "a17fb33d",
		2: "0201" + received + "8000000000000000" + lengths + "00000000000004d2" + "6f7264657273" + attributes + "64617461" + "b93b3830",
	} {
		r.Version = version
		if got := hex.EncodeToString(r.Bytes()); got != want {
			t.Errorf("version %d: got %s, want %s", version, got, want)
		}
	}
}
