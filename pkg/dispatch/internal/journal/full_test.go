package journal

import (
	"os"
	"sync/atomic"
	"syscall"
	"testing"
)

// tight is a disk that may have no room: neither for files nor for what is written to them.
type tight struct {
	disk
	full *atomic.Bool
}

type tightFile struct {
	file
	full *atomic.Bool
}

func (d tight) open(name string, flags int) (file, error) {
	if d.full.Load() && flags&os.O_CREATE != 0 {
		return nil, syscall.ENOSPC
	}
	f, err := d.disk.open(name, flags)
	if err != nil {
		return nil, err
	}
	return tightFile{f, d.full}, nil
}

func (f tightFile) WriteAt(b []byte, at int64) (int, error) {
	if f.full.Load() {
		return 0, syscall.ENOSPC
	}
	return f.file.WriteAt(b, at)
}

func openTight(t *testing.T) (*Journal, *atomic.Bool) {
	t.Helper()
	full := &atomic.Bool{}
	j, err := open(t.TempDir(), Options{}, func(d disk) disk { return tight{d, full} })
	if err != nil {
		t.Fatal(err)
	}
	return j, full
}

func TestFullDiskForgetsWhatIsDone(t *testing.T) {
	j, full := openTight(t)
	r := ReaderOf("r")
	mustCommit(t, j, []Entry{newEntry(1, 0, r), newEntry(2, 0, r), newEntry(3, 0, r)})
	full.Store(true)
	if err := j.Commit([]Entry{newEntry(4, 0, r)}, nil); !isFull(err) {
		t.Fatalf("got %v, want no room", err)
	}
	mustCommit(t, j, nil, Done{FirstSeq + 2, r})
	wantSeqs(t, j, r, 1, 3)
	full.Store(false)
	mustCommit(t, j, []Entry{newEntry(4, 0, r)})
	wantSeqs(t, j, r, 1, 3, 4)
	j = reopen(t, j, Options{})
	wantSeqs(t, j, r, 1, 3, 4)
}

func TestFullDiskOfTheJournalGetsRoom(t *testing.T) {
	j, full := openTight(t)
	r := ReaderOf("r")
	mustCommit(t, j, []Entry{newEntry(1, 0, r), newEntry(2, 0, r)})
	full.Store(true)
	mustCommit(t, j, nil, Done{FirstSeq + 2, r})
	if j.DiskBytes() == 0 {
		t.Fatal("the segment of an entry is gone")
	}
	mustCommit(t, j, nil, Done{FirstSeq + 1, r})
	if files, err := os.ReadDir(j.path); err != nil || len(files) > 0 {
		t.Errorf("got %d files, error %v, want no more", len(files), err)
	}
	full.Store(false)
	mustCommit(t, j, []Entry{newEntry(3, 0, r)})
	j = reopen(t, j, Options{})
	wantSeqs(t, j, r, 3)
}

func TestCloseSaysWhatTheDiskHadNoRoomFor(t *testing.T) {
	j, full := openTight(t)
	r := ReaderOf("r")
	mustCommit(t, j, []Entry{newEntry(1, 0, r), newEntry(2, 0, r)})
	full.Store(true)
	if err := j.Commit([]Entry{newEntry(3, 0, r)}, nil); !isFull(err) {
		t.Fatalf("got %v, want no room", err)
	}
	mustCommit(t, j, nil, Done{FirstSeq + 2, r})
	full.Store(false)
	j = reopen(t, j, Options{})
	wantSeqs(t, j, r, 1)
}
