package boltfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	bolt "go.etcd.io/bbolt"
)

const kib = 1 << 10

// pageSize is what bbolt has for pages where it is not told one.
var pageSize = os.Getpagesize()

// entry is what each is called with.
type entry struct{ bucket, key, value string }

// collect returns a function for Read that keeps what it is called with.
func collect(all *[]entry) func(bucket, key, value []byte) error {
	return func(bucket, key, value []byte) error {
		*all = append(*all, entry{string(bucket), string(key), string(value)})
		return nil
	}
}

// byBolt is what bbolt finds in a file.
func byBolt(t *testing.T, path string) (all []entry) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.View(func(tx *bolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bolt.Bucket) error {
			return b.ForEach(func(key, value []byte) error { return collect(&all)(name, key, value) })
		})
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// write makes a file by bbolt, with pages of a size.
func write(tb testing.TB, size int, changes ...func(*bolt.Tx) error) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "spool.db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{PageSize: size, NoFreelistSync: true, NoSync: true})
	if err != nil {
		tb.Fatal(err)
	}
	for _, change := range changes {
		if err := db.Update(change); err != nil {
			tb.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		tb.Fatal(err)
	}
	return path
}

// put writes n values into a bucket, the sizes of which differ.
func put(name string, n, size int) func(*bolt.Tx) error {
	return func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists([]byte(name))
		if err != nil {
			return err
		}
		for i := range n {
			if err := b.Put(sequence(i), bytes.Repeat([]byte{byte(i)}, size+i%5*size/2)); err != nil {
				return err
			}
		}
		return nil
	}
}

// remove deletes the events from one number up to another.
func remove(from, to int) func(*bolt.Tx) error {
	return func(tx *bolt.Tx) error {
		for i := from; i < to; i++ {
			if err := tx.Bucket([]byte("events")).Delete(sequence(i)); err != nil {
				return err
			}
		}
		return nil
	}
}

// nest puts a bucket with n values into another one.
func nest(tx *bolt.Tx, name string, n int) error {
	outer, err := tx.CreateBucketIfNotExists([]byte("outer"))
	if err != nil {
		return err
	}
	inner, err := outer.CreateBucket([]byte(name))
	if err != nil {
		return err
	}
	for i := range n {
		if err := inner.Put(sequence(i), make([]byte, 100)); err != nil {
			return err
		}
	}
	return nil
}

func sequence(i int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(i)) }

func TestRead(t *testing.T) {
	tests := []struct {
		name    string
		changes []func(*bolt.Tx) error
	}{
		{"nothing", nil},
		{"buckets without a page of their own", []func(*bolt.Tx) error{put("a", 0, 0), put("b", 1, 10), put("c", 3, 0)}},
		{"one page", []func(*bolt.Tx) error{put("events", 20, 20)}},
		{"branches", []func(*bolt.Tx) error{put("events", 5000, 40), put("state", 1, 10), put("unreadable", 500, 100)}},
		{"values of many pages", []func(*bolt.Tx) error{put("events", 10, 300*kib)}},
		{"holes", []func(*bolt.Tx) error{
			put("events", 3000, 100), remove(0, 700), remove(1000, 2990), put("events", 40, 5*kib), put("state", 1, 10),
		}},
		{"emptied", []func(*bolt.Tx) error{put("events", 3000, 100), remove(0, 3000)}},
		{"buckets in a bucket", []func(*bolt.Tx) error{
			func(tx *bolt.Tx) error { return errors.Join(nest(tx, "small", 1), nest(tx, "large", 1000)) }, put("outer", 2, 10),
		}},
	}
	for _, test := range tests {
		for _, size := range []int{1024, 4096, 65536} {
			t.Run(fmt.Sprintf("%s in pages of %d", test.name, size), func(t *testing.T) {
				path := write(t, size, test.changes...)
				var got []entry
				if err := Read(path, collect(&got)); err != nil {
					t.Fatal(err)
				}
				if want := byBolt(t, path); !slices.Equal(got, want) {
					t.Errorf("got %d keys, want the %d that bbolt finds", len(got), len(want))
				}
			})
		}
	}
}

// An empty value is one, and a bucket is none.
func TestReadTellsABucketFromAValue(t *testing.T) {
	path := write(t, 0, func(tx *bolt.Tx) error { return nest(tx, "bucket", 3) }, func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("outer")).Put([]byte("value"), nil)
	})
	var got []string
	if err := Read(path, func(_, key, value []byte) error {
		got = append(got, fmt.Sprint(string(key), " ", value == nil))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"bucket true", "value false"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReadReturnsTheErrorOfEach(t *testing.T) {
	path := write(t, 0, put("events", 1000, 100))
	calls, wanted := 0, errors.New("no more")
	err := Read(path, func(_, _, _ []byte) error {
		if calls++; calls == 700 {
			return wanted
		}
		return nil
	})
	if err != wanted || calls != 700 { //nolint:errorlint // as it is
		t.Errorf("got %v after %d calls, want the error of the 700th", err, calls)
	}
}

// spool makes a file like those of the source, and returns what is in it by keys.
func spool(t *testing.T) (path string, values map[string]string) {
	t.Helper()
	path = write(t, pageSize, put("events", 60, kib), put("state", 1, 10), func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("events")).Put(sequence(60), make([]byte, 20*kib))
	}, remove(0, 3))
	values = map[string]string{}
	for _, e := range byBolt(t, path) {
		values[e.bucket+e.key] = e.value
	}
	return path, values
}

// leadsToPage tells whether a byte is of a page's number: in the page of the buckets, or in a branch. Nothing else tells a page from one
// that was there before it, and is still in the file.
func leadsToPage(content []byte, at int, root uint64) bool {
	page, in := content[at/pageSize*pageSize:], at%pageSize
	elements := pageHeader + int(binary.LittleEndian.Uint16(page[10:]))*elementHeader
	branch := binary.LittleEndian.Uint16(page[8:]) == branchPage
	return uint64(at/pageSize) == root || branch && in >= pageHeader && in < elements && (in-pageHeader)%elementHeader >= 8
}

// Any byte can be wrong: that is noticed, or costs one key, or the last commit as bbolt would have it, or leads to an older page.
func TestReadSurvivesDamage(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	path, values := spool(t)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	buckets := &file{r: bytes.NewReader(content)}
	if err := buckets.open(uint64(len(content))); err != nil {
		t.Fatal(err)
	}
	refused := 0
	for i := range 1500 {
		at := r.IntN(len(content))
		if i%2 == 0 {
			at = at/pageSize*pageSize + r.IntN(64) // where bbolt's own structure is
		}
		set := func(b byte) {
			if _, err := f.WriteAt([]byte{b}, int64(at)); err != nil {
				t.Fatal(err)
			}
		}
		set(content[at] ^ byte(1+r.IntN(255)))
		var got []entry
		err := Read(path, collect(&got))
		set(content[at])
		if err != nil {
			if refused++; !errors.Is(err, ErrDamaged) {
				t.Errorf("byte %d: got %v, want damage", at, err)
			}
			continue
		}
		others := 0
		for _, e := range got {
			if e.bucket != "events" && e.bucket != "state" { // which a reader of spools would notice
				continue
			}
			if value, ok := values[e.bucket+e.key]; e.value != value && (ok || at >= 2*pageSize) {
				others++
			}
		}
		older := leadsToPage(content, at, buckets.root)
		if others > 1 || len(got) != len(values) && !older && (at >= 2*pageSize || len(got) != len(values)+3) {
			t.Errorf("byte %d: got %d keys, of which %d are not what they were", at, len(got), others)
		}
	}
	if refused < 25 {
		t.Errorf("%d of 1,500 damaged files were refused, want more", refused)
	}
}

// Every part of the structure is checked.
func TestReadFindsDamage(t *testing.T) {
	const page = 1024
	path := write(t, page, put("events", 200, 20), put("state", 1, 10), put("outer", 100, 20), func(tx *bolt.Tx) error {
		return nest(tx, "inner", 1)
	})
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := read(bytes.NewReader(content), uint64(len(content)), collect(new([]entry))); err != nil {
		t.Fatal(err)
	}
	f := &file{r: bytes.NewReader(content)}
	if err := f.open(uint64(len(content))); err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	root := content[f.root*page:][:page]
	events, ok := elementAt(root, false, 0)
	if !ok || string(events.key) != "events" {
		t.Fatalf("got the bucket %q", events.key)
	}
	outer, _ := elementAt(root, false, 1)
	branchID := le.Uint64(events.value)
	branch := content[branchID*page:][:page]
	leafID := le.Uint64(branch[pageHeader+8:])
	stateAt := f.root*page + uint64(bytes.Index(root, []byte("state"))+len("state")) // where its value is
	tests := []struct {
		name   string
		at     uint64 // from where the bytes are other ones
		bytes  []byte
		reason string
	}{
		{"root is a meta page", 0, nil, "page 1 does not exist"},
		{"a bucket is left out", f.root*page + 10, []byte{2}, "out of place"},
		{"a key is no bucket", f.root*page + pageHeader, []byte{0}, "outside of all buckets"},
		{"a bucket is shorter than it was", f.root*page + pageHeader + 12, []byte{15}, "out of place"},
		{"the last bucket is too short", f.root*page + pageHeader + elementHeader*2 + 12, []byte{15}, "a bucket is too short"},
		{"a bucket's page is too short", f.root*page + pageHeader + elementHeader*2 + 12, []byte{31}, "a page is too short"},
		{"branch is beyond the end", branchID*page + pageHeader + 8, le.AppendUint64(nil, f.pages), "does not exist"},
		{"branch is used twice", branchID*page + pageHeader + 8, le.AppendUint64(nil, branchID), "is used twice"},
		{"leaf is used twice", branchID*page + pageHeader + elementHeader + 8, le.AppendUint64(nil, leafID), "is used twice"},
		{"leaf has another number", leafID * page, le.AppendUint64(nil, leafID+1), "is another one"},
		{"leaf overflows beyond the end", leafID*page + 12, le.AppendUint32(nil, uint32(f.pages)), "is another one"},
		{"leaf overflows into the next", leafID*page + 12, []byte{1}, "is used twice"},
		{"leaf is of the free pages", leafID*page + 8, []byte{0x10}, "has the flags 10"},
		{"branch is empty", branchID*page + 10, []byte{0, 0}, "0 elements"},
		{"more elements than have room", leafID*page + 10, []byte{100}, "is out of place"},
		{"key without bytes", f.root*page + pageHeader + 8, []byte{0}, "element 0 of a page is out of place"},
		{"value beyond the page", leafID*page + pageHeader + 12, []byte{0xff, 0xff}, "element 0 of a page is out of place"},
		{"key of an unknown kind", leafID*page + pageHeader, []byte{2}, "element 0 of a page is out of place"},
		{"value is called a bucket", leafID*page + pageHeader, []byte{1}, "a page"},
		{"bucket in a bucket without a page", stateAt + bucketHeader + pageHeader, []byte{1}, "a bucket is inside one"},
		{"bucket in a bucket", le.Uint64(outer.value) * page, le.AppendUint64(nil, 1), "is another one"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			damagedFile := bytes.Clone(content)
			copy(damagedFile[test.at:], test.bytes)
			if test.bytes == nil {
				setRoot(damagedFile, page, 1)
			}
			err := read(bytes.NewReader(damagedFile), uint64(len(content)), collect(new([]entry)))
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), test.reason) {
				t.Errorf("got %v, want %q", err, test.reason)
			}
		})
	}
	// Keys are in order in a leaf, and between those of the branch above.
	for _, key := range []struct {
		name      string
		at, value int
	}{{"lower than its branch says", 0, -1}, {"equal to the one before", 1, 0}, {"the next branch's", 1, 199}} {
		t.Run(key.name, func(t *testing.T) {
			damagedFile := bytes.Clone(content)
			leaf := damagedFile[le.Uint64(branch[pageHeader+elementHeader+8:])*page:][:page]
			base, _ := elementAt(leaf, false, 0)
			number := int(binary.BigEndian.Uint64(base.key)) + key.value
			e, _ := elementAt(leaf, false, key.at)
			copy(e.key, sequence(number))
			err := read(bytes.NewReader(damagedFile), uint64(len(content)), collect(new([]entry)))
			if want := fmt.Sprintf("element %d of a page is out of place", key.at); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
}

// setRoot makes both meta pages valid, and name a root page.
func setRoot(content []byte, size int, root uint64) {
	for _, at := range []int{pageHeader, size + pageHeader} {
		if len(content) < at+metaSize+8 {
			return
		}
		meta := content[at:]
		binary.LittleEndian.PutUint64(meta[16:], root)
		seal(meta)
	}
}

// seal writes the checksum of a meta page.
func seal(meta []byte) {
	sum := fnv.New64a()
	_, _ = sum.Write(meta[:metaSize])
	binary.LittleEndian.PutUint64(meta[metaSize:], sum.Sum64())
}

func TestReadOfNoFileOfBolt(t *testing.T) {
	valid, _ := spool(t)
	content, err := os.ReadFile(valid)
	if err != nil {
		t.Fatal(err)
	}
	both := bytes.Clone(content)
	both[pageHeader], both[pageSize+pageHeader] = 0, 0
	tests := []struct {
		name    string
		content []byte
		want    error
		reason  string
	}{
		{"empty", nil, ErrNotBolt, ""},
		{"short", []byte("x"), ErrNotBolt, ""},
		{"text", []byte(strings.Repeat("no spool ", 1000)), ErrNotBolt, ""},
		{"zeros", make([]byte, 1<<16), ErrNotBolt, ""},
		{"both meta pages damaged", both, ErrNotBolt, ""},
		{"cut in the first page", content[:50], ErrNotBolt, ""},
		{"cut after the first page", content[:pageSize], ErrDamaged, "it has been cut off"},
		{"cut in the middle", content[:len(content)/4], ErrDamaged, "it has been cut off"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "spool.db")
			if err := os.WriteFile(path, test.content, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := Read(path, collect(new([]entry))); !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.reason) {
				t.Errorf("got %v, want that it %v: %s", err, test.want, test.reason)
			}
		})
	}
}

// Each of the two meta pages is enough.
func TestReadWithOneMetaPage(t *testing.T) {
	path, _ := spool(t)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var counts []int
	for _, at := range []int{pageHeader, pageSize + pageHeader} {
		damagedFile := bytes.Clone(content)
		damagedFile[at+16]++ // of the root's number
		var got []entry
		if err := read(bytes.NewReader(damagedFile), uint64(len(content)), collect(&got)); err != nil {
			t.Fatal(err)
		}
		counts = append(counts, len(got))
	}
	slices.Sort(counts)
	if !slices.Equal(counts, []int{59, 62}) {
		t.Errorf("got %d keys, want 59 after the last commit and 62 before", counts)
	}
}

func TestReadOfAFileInUse(t *testing.T) {
	path := write(t, 0, put("events", 10, 10))
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := Read(path, collect(new([]entry))); !errors.Is(err, ErrInUse) || errors.Is(err, ErrDamaged) {
		t.Errorf("got %v, want that it is in use", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	err = Read(path, func(_, _, _ []byte) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); !errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("bbolt could open it meanwhile: %w", err)
		}
		return Read(path, collect(new([]entry)))
	})
	if err != nil {
		t.Error(err)
	}
}

// failing is a disk that cannot read one page.
type failing struct {
	*bytes.Reader
	at int64
}

func (f failing) ReadAt(b []byte, at int64) (int, error) {
	if at <= f.at && f.at < at+int64(len(b)) {
		return 0, &os.PathError{Op: "read", Path: "spool.db", Err: syscall.EIO}
	}
	return f.Reader.ReadAt(b, at)
}

// What cannot be read may be whole.
func TestReadErrorsAreNoDamage(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]error{dir: syscall.EISDIR, filepath.Join(dir, "none"): fs.ErrNotExist} {
		if err := Read(path, collect(new([]entry))); !errors.Is(err, want) || errors.Is(err, ErrDamaged) || errors.Is(err, ErrNotBolt) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	path, _ := spool(t)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for at := int64(pageHeader); at < int64(len(content)); at += int64(pageSize) {
		err := read(failing{bytes.NewReader(content), at}, uint64(len(content)), collect(new([]entry)))
		if err == nil { // a free page
			continue
		}
		if failed++; !errors.Is(err, syscall.EIO) || errors.Is(err, ErrDamaged) || errors.Is(err, ErrNotBolt) {
			t.Errorf("byte %d: got %v, want the disk's error", at, err)
		}
	}
	if failed < 10 {
		t.Errorf("got %d errors, want one for each page in use", failed)
	}
}

// FuzzRead reads what may stand in a file, with meta pages that seem valid.
func FuzzRead(f *testing.F) {
	for _, changes := range [][]func(*bolt.Tx) error{
		{put("events", 3, 10), put("state", 1, 10)},
		{put("events", 60, 20), remove(0, 5)},
		{put("events", 2, 3*kib), func(tx *bolt.Tx) error { return nest(tx, "inner", 30) }},
	} {
		content, err := os.ReadFile(write(f, 1024, changes...))
		if err != nil {
			f.Fatal(err)
		}
		whole := &file{r: bytes.NewReader(content)}
		if err := whole.open(uint64(len(content))); err != nil {
			f.Fatal(err)
		}
		f.Add(content[:whole.pages*whole.pageSize]) // small, as the rest is empty
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, content []byte) {
		for _, at := range []int{pageHeader, 1024 + pageHeader} {
			if len(content) >= at+metaSize+8 {
				seal(content[at:])
			}
		}
		last := entry{}
		err := read(bytes.NewReader(content), uint64(len(content)), func(bucket, key, _ []byte) error {
			next := entry{bucket: string(bucket), key: string(key)}
			if next.bucket < last.bucket || next.bucket == last.bucket && next.key <= last.key {
				t.Errorf("%q comes after %q", next, last)
			}
			last = next
			return nil
		})
		if err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNotBolt) {
			t.Errorf("got %v, want damage", err)
		}
	})
}
