// Package boltfile reads files of bbolt (file format 2) without bbolt.
//
// It exists because bbolt ends the process over damage. A file without a list of its free pages (bbolt's option NoFreelistSync) is
// searched for them when bbolt opens it, in a goroutine of bbolt's own, where no caller can recover from a panic. Of 1,500 files with
// one damaged byte, bbolt ended the process over 49, and none did when this code had checked them before. Some damage bbolt does not
// find at all.
package boltfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"syscall"
)

// The format, all numbers little endian, as go.etcd.io/bbolt/internal/common has it.
const (
	magic   = 0xED0CDAED
	version = 2

	branchPage = 0x01
	leafPage   = 0x02
	bucketFlag = 0x01

	pageHeader    = 16 // id (8) | flags (2) | count (2) | overflow (4): how many pages follow that belong to it
	elementHeader = 16 // of a branch: pos (4) | key size (4) | page (8); of a leaf: flags (4) | pos (4) | key size (4) | value size (4)
	bucketHeader  = 16 // root page (8), 0 for a bucket whose only page follows | sequence (8)
	metaSize      = 56 // page size at 8 (4), root page at 16 (8), number of pages at 40 (8), transaction at 48 (8); its checksum follows (8)
)

// What Read finds, to be tested with errors.Is.
var (
	ErrDamaged = errors.New("is damaged")
	ErrInUse   = errors.New("is in use by another process")
	// ErrNotBolt says that no page tells where the others are. Damage to both of those pages looks the same.
	ErrNotBolt = errors.New("is damaged, or is not a file of bbolt")
)

// Read checks a whole file of bbolt, and calls each for every key of every bucket at the top, in the order of buckets and keys. A bucket
// inside such a bucket is checked too, but each gets only its name, as a key with the value nil. Each may keep what it gets. What a
// value consists of is not checked: bbolt has no checksums for that.
//
// Reading ends with the first error. It matches ErrDamaged, ErrInUse or ErrNotBolt, or it is an *os.PathError when the file could not be
// read, which says nothing about what is in it. An error of each is returned as it is. Damage may be found after each has been called:
// whoever has to know first calls Read twice.
//
// While it reads, Read holds a shared lock on the file (flock), which keeps bbolt from opening it for writing. It does not wait for a
// lock. It may be called by several goroutines at once.
func Read(path string, each func(bucket, key, value []byte) error) error {
	f, err := os.Open(path) //nolint:gosec // which file is for the caller to say
	if err != nil {
		return err
	}
	defer f.Close()
	// What bbolt is writing must not pass for damage.
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrInUse
	} else if err != nil {
		return &os.PathError{Op: "flock", Path: path, Err: err}
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return read(f, uint64(info.Size()), each) //nolint:gosec // not negative
}

func read(r io.ReaderAt, size uint64, each func(bucket, key, value []byte) error) error {
	f := &file{r: r}
	if err := f.open(size); err != nil {
		return err
	}
	return f.tree(f.root, nil, nil, func(top element) error {
		if top.flags != bucketFlag {
			return damaged("a key is outside of all buckets")
		}
		return f.bucket(top.value, func(key, value []byte) error { return each(top.key, key, value) })
	})
}

// file is a file that is being read.
type file struct {
	r        io.ReaderAt
	pageSize uint64
	pages    uint64 // beyond which there is nothing
	root     uint64
	seen     []bool
}

// element is a part of a page.
type element struct {
	flags      uint32
	child      uint64 // a page, in a branch
	start      uint64 // of the key, in its page
	key, value []byte // the value in a leaf
}

// open reads the newer of the two meta pages that is valid.
func (f *file) open(size uint64) error {
	var newest uint64
	for _, page := range []uint64{0, 1} {
		pageSize := f.pageSize
		if pageSize == 0 { // bbolt uses the machine's
			pageSize = uint64(os.Getpagesize()) //nolint:gosec // not negative
		}
		meta := make([]byte, metaSize+8)
		if err := f.read(meta, page*pageSize+pageHeader); errors.Is(err, ErrDamaged) {
			continue // a file as short as this may be no file of bbolt
		} else if err != nil {
			return err
		}
		sum := fnv.New64a()
		_, _ = sum.Write(meta[:metaSize])
		if u32(meta) != magic || u32(meta[4:]) != version || u64(meta[metaSize:]) != sum.Sum64() {
			continue
		}
		if transaction := u64(meta[48:]); f.pageSize == 0 || transaction > newest {
			newest = transaction
			f.pageSize, f.root, f.pages = u32(meta[8:]), u64(meta[16:]), u64(meta[40:])
		}
	}
	switch {
	case f.pageSize < pageHeader+metaSize:
		return ErrNotBolt
	case f.pages > size/f.pageSize:
		return damaged("it has been cut off")
	}
	f.seen = make([]bool, f.pages)
	return nil
}

// bucket calls each for the keys of a bucket, with nil for a bucket inside it.
func (f *file) bucket(value []byte, each func(key, value []byte) error) error {
	if len(value) < bucketHeader {
		return damaged("a bucket is too short")
	}
	root := u64(value)
	visit := func(e element) error {
		switch {
		case e.flags != bucketFlag:
			return each(e.key, e.value)
		case root == 0: // so that there is an end to buckets in buckets
			return damaged("a bucket is inside one that has no page of its own")
		}
		if err := f.bucket(e.value, func(_, _ []byte) error { return nil }); err != nil {
			return err
		}
		return each(e.key, nil)
	}
	if root == 0 {
		return f.page(value[bucketHeader:], nil, nil, visit)
	}
	return f.tree(root, nil, nil, visit)
}

// tree visits the leaves' elements below a page. Their keys have to be at least first, and below end where that is not nil.
func (f *file) tree(id uint64, first, end []byte, visit func(element) error) error {
	if id < 2 || id >= f.pages {
		return damaged("page %d does not exist", id)
	}
	header := make([]byte, pageHeader)
	if err := f.read(header, id*f.pageSize); err != nil {
		return err
	}
	last := id + u32(header[12:])
	if u64(header) != id || last >= f.pages {
		return damaged("page %d is another one", id)
	}
	for i := id; i <= last; i++ {
		if f.seen[i] {
			return damaged("page %d is used twice", i)
		}
		f.seen[i] = true
	}
	content := make([]byte, (last+1-id)*f.pageSize)
	if err := f.read(content, id*f.pageSize); err != nil {
		return err
	}
	return f.page(content, first, end, visit)
}

// page is tree for a page that has been read.
func (f *file) page(content, first, end []byte, visit func(element) error) error {
	if len(content) < pageHeader {
		return damaged("a page is too short")
	}
	flags, count := binary.LittleEndian.Uint16(content[8:]), int(binary.LittleEndian.Uint16(content[10:]))
	if flags != branchPage && flags != leafPage || flags == branchPage && count == 0 {
		return damaged("a page has the flags %x and %d elements", flags, count)
	}
	elements := make([]element, count, count+1)
	last, free := first, uint64(pageHeader+count*elementHeader)
	for i := range elements {
		e, ok := elementAt(content, flags == branchPage, i)
		order := bytes.Compare(last, e.key)
		// What bbolt writes has no gaps: so a count that is too small is noticed.
		if !ok || e.start != free || len(e.key) == 0 || order > 0 || order == 0 && i > 0 || end != nil && bytes.Compare(e.key, end) >= 0 {
			return damaged("element %d of a page is out of place", i)
		}
		elements[i], last, free = e, e.key, e.start+uint64(len(e.key)+len(e.value))
	}
	elements = append(elements, element{key: end})
	for i, e := range elements[:count] {
		var err error
		if flags == branchPage {
			err = f.tree(e.child, e.key, elements[i+1].key, visit)
		} else {
			err = visit(e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// elementAt returns an element of a page, and whether it is inside the page and of a kind that there is.
func elementAt(content []byte, branch bool, i int) (e element, ok bool) {
	at := pageHeader + i*elementHeader
	if at+elementHeader > len(content) {
		return e, false
	}
	header := content[at : at+elementHeader]
	var pos, keySize, valueSize uint64
	if branch {
		pos, keySize, e.child = u32(header), u32(header[4:]), u64(header[8:])
	} else {
		e.flags = binary.LittleEndian.Uint32(header)
		pos, keySize, valueSize = u32(header[4:]), u32(header[8:]), u32(header[12:])
	}
	e.start = uint64(at) + pos //nolint:gosec // not negative
	if e.flags > bucketFlag || e.start+keySize+valueSize > uint64(len(content)) {
		return e, false
	}
	value := e.start + keySize
	e.key, e.value = content[e.start:value], content[value:value+valueSize]
	return e, true
}

// read fills b. That the file ends before is damage.
func (f *file) read(b []byte, at uint64) error {
	_, err := f.r.ReadAt(b, int64(at)) //nolint:gosec // within the file, or two pages at most
	if errors.Is(err, io.EOF) {
		return damaged("it ends early")
	}
	return err
}

func u32(b []byte) uint64 { return uint64(binary.LittleEndian.Uint32(b)) }
func u64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}
