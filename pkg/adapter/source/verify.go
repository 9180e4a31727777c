package source

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"slices"
	"syscall"
)

// bbolt's file format, version 2, as go.etcd.io/bbolt/internal/common has it. A file is checked before bbolt opens it, since bbolt ends
// the process over damage that it finds in the goroutine that looks for free pages, and some it does not find at all.
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2

	branchPage = 0x01
	leafPage   = 0x02
	bucketFlag = 0x01

	pageHeader    = 16 // id (8) | flags (2) | count (2) | overflow (4)
	elementHeader = 16 // of a branch: pos (4) | ksize (4) | pgid (8); of a leaf: flags (4) | pos (4) | ksize (4) | vsize (4)
	bucketHeader  = 16 // root pgid (8), 0 for a bucket whose only page follows | sequence (8)
	metaChecked   = 56 // bytes of the meta that its checksum covers
)

// boltFile is a file of bbolt that is being checked.
type boltFile struct {
	file     io.ReaderAt
	pageSize uint64
	pages    uint64 // beyond which there is nothing
	root     uint64
	seen     []bool
}

// visit is called for each key and value of a bucket, in order.
type visit func(key, value []byte) error

var errNotBolt = errors.New("it is no file of bbolt")

// verifySpool reads a whole spool, and tells what it has. It returns errDamaged, errForeign or errInUse, with the reason.
func verifySpool(path string) (found contents, err error) {
	file, err := os.Open(path) //nolint:gosec // the directory is the operator's choice
	if err != nil {
		return found, err
	}
	defer file.Close()
	// bbolt holds an exclusive lock, and what it is writing must not be taken for damage.
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err != nil {
		return found, fmt.Errorf("%w: %w", errInUse, err)
	}
	info, err := file.Stat()
	if err != nil {
		return found, err
	}
	b := &boltFile{file: file}
	if err := b.open(uint64(info.Size())); err != nil { //nolint:gosec // not negative
		return found, damaged(err)
	}
	var state, events, aside []byte
	err = b.walk(b.root, bucketFlag, nil, nil, func(name, bucket []byte) error {
		switch {
		case bytes.Equal(name, stateBucket):
			state = slices.Clone(bucket)
		case bytes.Equal(name, eventsBucket):
			events = slices.Clone(bucket)
		case bytes.Equal(name, asideBucket):
			aside = slices.Clone(bucket)
		}
		return nil
	})
	if err != nil {
		return found, damaged(err)
	}
	if state == nil || events == nil {
		return found, errForeign
	}
	return b.verify(state, events, aside)
}

// damaged is the error for what is in a file, where it could be read.
func damaged(err error) error {
	if _, unread := errors.AsType[*os.PathError](err); unread {
		return err
	}
	return fmt.Errorf("%w: %w", errDamaged, err)
}

// verify reads all events, but not what is in them: a record that cannot be read is one event's loss.
func (b *boltFile) verify(state, events, aside []byte) (found contents, err error) {
	var format []byte
	err = b.bucket(state, func(key, value []byte) error {
		if bytes.Equal(key, formatKey) {
			format = slices.Clone(value)
		}
		return nil
	})
	if err != nil {
		return found, damaged(err)
	}
	if !bytes.Equal(format, spoolFormat) {
		return found, errForeign
	}
	found.pageSize = b.pageSize
	count := func(key, record []byte) error {
		if len(key) != 8 {
			return fmt.Errorf("record %x is out of place", key)
		}
		found.totals.bytes += recordSize(record)
		found.last = max(found.last, binary.BigEndian.Uint64(key))
		return nil
	}
	err = b.bucket(events, func(key, record []byte) error {
		if found.totals.events++; found.totals.events == 1 {
			found.first = receivedAt(record)
		}
		return count(key, record)
	})
	if err == nil && aside != nil {
		err = b.bucket(aside, func(key, record []byte) error {
			found.aside++
			return count(key, record)
		})
	}
	if err != nil {
		return found, damaged(err)
	}
	return found, nil
}

// open reads the newer of the two meta pages that is valid.
func (b *boltFile) open(size uint64) error {
	var newest uint64
	for i, pageSize := range []uint64{0, uint64(os.Getpagesize())} { //nolint:gosec // not negative
		if i == 1 && b.pageSize != 0 {
			pageSize = b.pageSize
		}
		meta := make([]byte, metaChecked+8)
		if _, err := b.file.ReadAt(meta, int64(uint64(i)*pageSize+pageHeader)); err != nil { //nolint:gosec // small
			continue
		}
		sum := fnv.New64a()
		_, _ = sum.Write(meta[:metaChecked])
		if binary.LittleEndian.Uint32(meta) != boltMagic || binary.LittleEndian.Uint32(meta[4:]) != boltVersion ||
			binary.LittleEndian.Uint64(meta[metaChecked:]) != sum.Sum64() {
			continue
		}
		if txid := binary.LittleEndian.Uint64(meta[48:]); b.pageSize == 0 || txid > newest {
			newest = txid
			b.pageSize = uint64(binary.LittleEndian.Uint32(meta[8:]))
			b.root, b.pages = binary.LittleEndian.Uint64(meta[16:]), binary.LittleEndian.Uint64(meta[40:])
		}
	}
	switch {
	case b.pageSize < pageHeader+metaChecked:
		return errNotBolt
	case b.pages > size/b.pageSize:
		return errors.New("it has been cut off")
	}
	b.seen = make([]bool, b.pages)
	return nil
}

// bucket visits the keys of a bucket.
func (b *boltFile) bucket(value []byte, each visit) error {
	if len(value) < bucketHeader {
		return errors.New("a bucket is too short")
	}
	root := binary.LittleEndian.Uint64(value)
	if root != 0 {
		return b.walk(root, 0, nil, nil, each)
	}
	return b.page(value[bucketHeader:], 0, nil, nil, each)
}

// walk visits the keys of the tree below a page. They have to have the flags, to be at least first, and below end where that is not
// nil.
func (b *boltFile) walk(id uint64, keyFlags uint32, first, end []byte, each visit) error {
	header := make([]byte, pageHeader)
	if id < 2 || id >= b.pages {
		return fmt.Errorf("page %d does not exist", id)
	}
	if _, err := b.file.ReadAt(header, int64(id*b.pageSize)); err != nil { //nolint:gosec // within the file
		return err
	}
	overflow := uint64(binary.LittleEndian.Uint32(header[12:]))
	if binary.LittleEndian.Uint64(header) != id || id+overflow >= b.pages {
		return fmt.Errorf("page %d is another one", id)
	}
	for i := id; i <= id+overflow; i++ {
		if b.seen[i] {
			return fmt.Errorf("page %d is used twice", i)
		}
		b.seen[i] = true
	}
	content := make([]byte, (overflow+1)*b.pageSize)
	if _, err := b.file.ReadAt(content, int64(id*b.pageSize)); err != nil { //nolint:gosec // within the file
		return err
	}
	return b.page(content, keyFlags, first, end, each)
}

// page visits the keys of one page, and of those below it.
func (b *boltFile) page(content []byte, keyFlags uint32, first, end []byte, each visit) error {
	if len(content) < pageHeader {
		return errors.New("a page is too short")
	}
	flags, count := binary.LittleEndian.Uint16(content[8:]), int(binary.LittleEndian.Uint16(content[10:]))
	if flags != branchPage && flags != leafPage || flags == branchPage && count == 0 {
		return fmt.Errorf("a page has the flags %x and %d keys", flags, count)
	}
	keys := make([][]byte, count, count+1)
	values := make([][]byte, count)
	children := make([]uint64, count)
	last := first
	for i := range count {
		key, value, child, ok := element(content, flags, keyFlags, i)
		if !ok || len(key) == 0 || i > 0 && bytes.Compare(last, key) >= 0 || i == 0 && bytes.Compare(first, key) > 0 || end != nil && bytes.Compare(key, end) >= 0 {
			return fmt.Errorf("key %x is out of place", key)
		}
		keys[i], values[i], children[i], last = key, value, child, key
	}
	keys = append(keys, end)
	for i := range count {
		var err error
		if flags == branchPage {
			err = b.walk(children[i], keyFlags, keys[i], keys[i+1], each)
		} else {
			err = each(keys[i], values[i])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// element returns a page's key, and with it a value, or the page below.
func element(content []byte, flags uint16, keyFlags uint32, i int) (key, value []byte, child uint64, ok bool) {
	at := pageHeader + i*elementHeader
	if at+elementHeader > len(content) {
		return nil, nil, 0, false
	}
	header := content[at : at+elementHeader]
	var pos, keySize, valueSize int
	if flags == branchPage {
		pos, keySize = int(binary.LittleEndian.Uint32(header)), int(binary.LittleEndian.Uint32(header[4:]))
		child = binary.LittleEndian.Uint64(header[8:])
	} else {
		pos, keySize = int(binary.LittleEndian.Uint32(header[4:])), int(binary.LittleEndian.Uint32(header[8:]))
		valueSize = int(binary.LittleEndian.Uint32(header[12:]))
	}
	start := at + pos
	if flags == leafPage && binary.LittleEndian.Uint32(header) != keyFlags || start+keySize+valueSize > len(content) {
		return nil, nil, 0, false
	}
	return content[start : start+keySize], content[start+keySize : start+keySize+valueSize], child, true
}
