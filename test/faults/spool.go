package faults

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
)

const (
	// spoolFile is the name of a spool in its folder.
	spoolFile = "spool.db"
	// recordStart is how many bytes of a record come before the topic and the attributes.
	recordStart = 32
)

// spooled returns the IDs of the events in a spool that no process writes at the moment. It reads a copy: a source that
// starts meanwhile wants the file for itself. A spool that is not there is empty.
func spooled(t *testing.T, path string) map[string]bool {
	t.Helper()
	ids := map[string]bool{}
	content, err := os.ReadFile(path) //nolint:gosec // a folder of the test's
	if errors.Is(err, os.ErrNotExist) {
		return ids
	}
	if err != nil {
		t.Fatal(err)
	}
	duplicate := filepath.Join(t.TempDir(), spoolFile)
	if err := os.WriteFile(duplicate, content, 0o600); err != nil { //nolint:gosec // a folder of the test's
		t.Fatal(err)
	}
	db, err := bolt.Open(duplicate, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatalf("opening a copy of %s: %v", path, err)
	}
	defer db.Close()
	err = db.View(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("events")).ForEach(func(_, record []byte) error {
			id, err := recordID(record)
			ids[id] = true
			return err
		})
	})
	if err != nil {
		t.Fatalf("reading a copy of %s: %v", path, err)
	}
	return ids
}

// recordID finds the ID of the event in a record of the spool.
func recordID(record []byte) (string, error) {
	if len(record) < recordStart {
		return "", fmt.Errorf("a record has %d bytes", len(record))
	}
	start := recordStart + int(binary.BigEndian.Uint16(record[18:]))
	end := start + int(binary.BigEndian.Uint32(record[20:]))
	if end > len(record) {
		return "", fmt.Errorf("a record of %d bytes ends before its attributes at %d", len(record), end)
	}
	var attributes struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(record[start:end], &attributes); err != nil {
		return "", fmt.Errorf("reading the attributes of a record: %w", err)
	}
	return attributes.ID, nil
}
