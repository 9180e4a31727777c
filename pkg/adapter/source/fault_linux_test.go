package source

import (
	"errors"
	"os"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
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
	attend(listener, answer, ended)
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
		value, errno := answer(systemCall{number: asked.number, fd: uintptr(asked.args[0]), args: asked.args})
		reply := struct { // struct seccomp_notif_resp
			id    uint64
			value int64
			errno int32
			flags uint32
		}{id: asked.id, value: value, errno: -int32(errno)}
		if errno != 0 {
			reply.value = 0
		}
		_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&reply)))
	}
}
