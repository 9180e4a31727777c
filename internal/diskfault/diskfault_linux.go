// Package diskfault lets tests stand between their process and its disk: a call to the kernel by which a file is written, synced or
// removed can fail, or wait.
package diskfault

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Call is one that a thread of the process waits for.
type Call struct {
	// Kind is what the call does.
	Kind Kind
	// Path is that of the file or directory.
	Path string
	// Bytes is how many are to be written.
	Bytes int64
}

// Kind is what a call does.
type Kind int

// The kinds of calls.
const (
	Write Kind = iota
	Sync
	Truncate
	Remove
)

var kinds = map[int32]Kind{
	unix.SYS_PWRITE64: Write, unix.SYS_FDATASYNC: Sync, unix.SYS_FSYNC: Sync, unix.SYS_FTRUNCATE: Truncate, unix.SYS_UNLINKAT: Remove,
}

// Answer says what comes of a call: 0 lets the kernel make it, and anything else is the error that it ends with. It may wait, and is
// called by many goroutines.
type Answer func(Call) unix.Errno

var (
	mu      sync.Mutex
	answers = map[string]Answer{}
	install = sync.OnceValue(func() error { return Watch(answer) })
)

// Disturb answers calls about files in a directory, and about the directory, until the test ends. It skips the test where the kernel does
// not let it.
func Disturb(tb testing.TB, dir string, a Answer) {
	tb.Helper()
	if err := install(); err != nil {
		tb.Skipf("the kernel lets nobody stand between a program and its disk: %v", err)
	}
	mu.Lock()
	defer mu.Unlock()
	answers[dir] = a
	tb.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		delete(answers, dir)
	})
}

func answer(c Call) unix.Errno {
	mu.Lock()
	a := answers[c.Path]
	if a == nil {
		a = answers[filepath.Dir(c.Path)]
	}
	mu.Unlock()
	if a == nil {
		return 0
	}
	return a(c)
}

// Watch answers all such calls of the process, and of those that it starts, until it ends. It can be called once.
func Watch(a Answer) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}} // the number of the call
	for number := range kinds {
		filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(number), Jt: uint8(len(kinds) + 1 - len(filter))})
	}
	filter = append(filter,
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF})
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	const flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH
	listener, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return os.NewSyscallError("seccomp", errno)
	}
	go attend(int(listener), a)
	return nil
}

// question is struct seccomp_notif of the kernel.
type question struct {
	id         uint64
	pid, flags uint32
	number     int32
	arch       uint32
	pointer    uint64
	args       [6]uint64
}

// attend passes on what the kernel asks.
func attend(listener int, a Answer) {
	for {
		var asked question
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&asked)))
		switch errno {
		case 0:
			go reply(listener, asked, a)
		case unix.EINTR, unix.ENOENT: // the one who asked has gone
		default:
			panic(errno)
		}
	}
}

func reply(listener int, asked question, a Answer) {
	response := struct { // struct seccomp_notif_resp
		id    uint64
		value int64
		errno int32
		flags uint32
	}{id: asked.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	if errno := a(asked.call()); errno != 0 {
		response.errno, response.flags = -int32(errno), 0
	}
	_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&response)))
}

func (q question) call() Call {
	c := Call{Kind: kinds[q.number]}
	if int32(q.args[0]) != unix.AT_FDCWD {
		path, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", q.pid, int32(q.args[0])))
		c.Path = strings.TrimSuffix(path, " (deleted)")
	}
	switch c.Kind {
	case Write:
		c.Bytes = int64(q.args[2])
	case Remove:
		name := q.text(q.args[1])
		if filepath.IsAbs(name) {
			c.Path = name
		} else {
			c.Path = filepath.Join(c.Path, name)
		}
	case Sync, Truncate:
	}
	return c
}

// text returns what a C string holds in the memory of the one who asked.
func (q question) text(at uint64) string {
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", q.pid))
	if err != nil {
		return ""
	}
	defer func() { _ = memory.Close() }()
	b := make([]byte, unix.PathMax)
	n, _ := memory.ReadAt(b, int64(at)) // of which the text may be the last
	text, _, _ := bytes.Cut(b[:n], []byte{0})
	return string(text)
}
