package source

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

// systemCall is one of those by which a spool writes: pwrite, fdatasync, fsync, ftruncate or rename.
type systemCall struct {
	number int32
	fd     uintptr
	args   [6]uint64
}

func (c systemCall) writes() bool { return c.number == unix.SYS_PWRITE64 }

func (c systemCall) syncs() bool {
	return c.number == unix.SYS_FDATASYNC || c.number == unix.SYS_FSYNC
}

// perform makes the call in the name of the one who asked for it, with no more than so many bytes.
func (c systemCall) perform(most uint64) (int64, unix.Errno) {
	args := c.args
	if c.writes() {
		args[2] = min(args[2], most)
	}
	n, _, errno := unix.Syscall6(uintptr(c.number), uintptr(args[0]), uintptr(args[1]), uintptr(args[2]), uintptr(args[3]), uintptr(args[4]), uintptr(args[5]))
	return int64(n), errno
}

// proceed lets the kernel make a call as if nobody had asked.
const proceed = unix.Errno(4095)

// all is a number of bytes that no call exceeds.
const all = 1 << 40

// disturb calls f on a thread of its own, where answer makes each such call in the kernel's place, and says what came of it. It
// skips the test where the kernel does not let it.
func disturb(t *testing.T, answer func(systemCall) (int64, unix.Errno), f func()) {
	t.Helper()
	installed, ended := make(chan error), make(chan struct{})
	var listener int
	go func() {
		defer close(ended)
		runtime.LockOSThread() // for ever: the thread, and what watches it, end with the goroutine
		var err error
		listener, err = watchThread(0)
		installed <- err
		if err == nil {
			f()
		}
	}()
	if err := <-installed; err != nil {
		t.Skipf("the kernel lets nobody stand between a program and its disk: %v", err)
	}
	var mu sync.Mutex
	attend(listener, func(c systemCall) (int64, unix.Errno) {
		mu.Lock()
		defer mu.Unlock()
		return answer(c)
	}, ended)
	mu.Lock() // what answer has done is over
	defer mu.Unlock()
}

// hangingDisk names a file to a process of this test: once that is there, no sync of a spool returns.
const hangingDisk = "EVENTMESH_TEST_HANGING_DISK"

// The program of the tests is the source, too, with a disk that can hang.
func init() {
	file := os.Getenv(hangingDisk)
	if file == "" {
		return
	}
	runtime.LockOSThread()
	listener, err := watchThread(unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go attend(listener, func(c systemCall) (int64, unix.Errno) {
		name, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", c.fd))
		if _, err := os.Stat(file); err == nil && c.syncs() && filepath.Base(name) == spoolFile {
			select {}
		}
		return 0, proceed
	}, nil)
	runtime.UnlockOSThread()
	adapter.Main("eventmesh-source", "is tested.", NewConfig(), NewAdapter)
}

// TestProcessEndsThoughItsDiskHangs ends a source that has an event in memory, for which it waits in a sync: the sink gets it.
func TestProcessEndsThoughItsDiskHangs(t *testing.T) {
	t.Parallel()
	disturb(t, func(c systemCall) (int64, unix.Errno) { return c.perform(all) }, func() {}) // or skip
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	url, dir := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ}).TCPURL(), t.TempDir()
	sink, hangs := newSink(t), filepath.Join(t.TempDir(), "hangs")
	s := runProgram(t, program, "EVENTMESH_URL="+url, "K_SINK="+sink.url, "EVENTMESH_SPOOL_DIR="+dir, "EVENTMESH_DRAIN_TIMEOUT=4s", hangingDisk+"="+hangs)
	s.awaitReadiness(t, http.StatusOK)
	p := connect(t, url, eventmesh.Credentials{})
	publish(t, p, sample("before"))
	sink.await(t, "before")
	if err := os.WriteFile(hangs, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	publish(t, p, sample("after"))
	if says := s.awaitReadiness(t, http.StatusServiceUnavailable); !strings.Contains(says, "hangs") {
		t.Errorf("readiness says %q", says)
	}
	s.awaitLine(t, "the disk of the spool hangs: nothing more is received until it answers")
	if missing := sink.missing("after"); missing == "" {
		t.Error("an event was sent that is not on disk")
	}
	s.terminate(t)
	sink.await(t, "after")
	s.awaitEnd(t)
	s.wantLastWord(t)
}

// watchThread makes the kernel ask at the returned descriptor what comes of each such call.
func watchThread(flags uintptr) (int, error) {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, err
	}
	watched := []uint32{
		unix.SYS_PWRITE64, unix.SYS_FDATASYNC, unix.SYS_FSYNC, unix.SYS_FTRUNCATE, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2,
	}
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}} // the number of the call
	for i, number := range watched {
		filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: number, Jt: uint8(len(watched) - i)})
	}
	filter = append(filter,
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF})
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|flags, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return 0, os.NewSyscallError("seccomp", errno)
	}
	return int(fd), nil
}

// attend answers the kernel until ended is closed.
func attend(listener int, answer func(systemCall) (int64, unix.Errno), ended <-chan struct{}) {
	defer unix.Close(listener)
	for {
		select {
		case <-ended:
			return
		default:
		}
		ready := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		if n, err := unix.Poll(ready, 20); n == 0 || err != nil || ready[0].Revents&unix.POLLIN == 0 {
			continue
		}
		var asked struct { // struct seccomp_notif
			id         uint64
			pid, flags uint32
			number     int32
			arch       uint32
			pointer    uint64
			args       [6]uint64
		}
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&asked))); errno != 0 {
			if errors.Is(errno, unix.EINTR) || errors.Is(errno, unix.ENOENT) {
				continue
			}
			panic(errno)
		}
		go reply(listener, asked.id, systemCall{number: asked.number, fd: uintptr(asked.args[0]), args: asked.args}, answer)
	}
}

// reply answers one question of the kernel's.
func reply(listener int, id uint64, c systemCall, answer func(systemCall) (int64, unix.Errno)) {
	value, errno := answer(c)
	if errno != 0 {
		value = 0
	}
	response := struct { // struct seccomp_notif_resp
		id    uint64
		value int64
		errno int32
		flags uint32
	}{id: id, value: value, errno: -int32(errno)}
	if errno == proceed {
		response.errno, response.flags = 0, unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE
	}
	_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&response)))
}
