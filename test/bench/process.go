//go:build linux

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// cores are the processors that this process may use, before it has bound itself to some.
type cores struct{ drivers, subjects unix.CPUSet }

// splitCores gives the subjects the last core, and everything else the others. With one core they share it.
func splitCores() (cores, error) {
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return cores{}, fmt.Errorf("reading the affinity: %w", err)
	}
	last := -1
	for cpu := range len(all) * 64 {
		if all.IsSet(cpu) {
			last = cpu
		}
	}
	c := cores{drivers: all}
	c.subjects.Set(last)
	if all.Count() > 1 {
		c.drivers.Clear(last)
	}
	return c, nil
}

// bind keeps every thread of this process on some cores.
func bind(set *unix.CPUSet) error {
	threads, err := filepath.Glob("/proc/self/task/*")
	if err != nil {
		return err
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(filepath.Base(thread))
		if err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(id, set); err != nil {
			return fmt.Errorf("binding to cores: %w", err)
		}
	}
	runtime.GOMAXPROCS(set.Count())
	return nil
}

// process is a running program.
type process struct {
	command *exec.Cmd
	log     log
	began   time.Time
}

// log is what a program prints; it can be read meanwhile.
type log struct {
	mu      sync.Mutex
	printed bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.printed.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.printed.String()
}

// start starts a program on some cores, with nothing in its environment but what is given.
func start(on launcher, program string, environment []string, arguments ...string) (*process, io.ReadWriteCloser, error) {
	p := &process{command: exec.Command(program, arguments...)} //nolint:gosec,noctx // one of the project's own; stop ends it
	p.command.Env = environment
	p.command.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	p.command.Stderr = &p.log
	in, err := p.command.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	out, err := p.command.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	p.began = time.Now()
	if err := on.do(p.command.Start); err != nil {
		return nil, nil, fmt.Errorf("starting %s: %w", program, err)
	}
	return p, struct {
		io.Reader
		io.WriteCloser
	}{out, in}, nil
}

// launcher is a thread that starts processes on some cores. It lives as long as this process, whose end ends them.
type launcher chan func()

func newLauncher(set unix.CPUSet) (launcher, error) {
	calls, bound := make(launcher), make(chan error)
	go func() {
		runtime.LockOSThread()
		bound <- unix.SchedSetaffinity(0, &set)
		for call := range calls {
			call()
		}
	}()
	return calls, <-bound
}

// do calls f on the launcher's thread.
func (l launcher) do(f func() error) error {
	done := make(chan error, 1)
	l <- func() { done <- f() }
	return <-done
}

// stop asks the program to end, and waits until it has.
func (p *process) stop() error {
	_ = p.command.Process.Signal(unix.SIGTERM)
	kill := time.AfterFunc(30*time.Second, func() { _ = p.command.Process.Kill() })
	defer kill.Stop()
	return p.command.Wait()
}

// cpuOf reads the CPU clock of a process, which is exact to the nanosecond, where the files below /proc count ticks.
func cpuOf(pid int) (time.Duration, error) {
	const processClock = 2 // CPUCLOCK_SCHED of the whole process, as clock_getcpuclockid makes it
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|processClock), &t); err != nil { //nolint:gosec // a process ID is small
		return 0, fmt.Errorf("reading the CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// memory is what a process has in RAM, in bytes: now, and at most since its start or the last call of forgetPeak.
type memory struct{ now, peak, anonymous int64 }

func (p *process) memory() (m memory, err error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	if err != nil {
		return m, err
	}
	fields := map[string]*int64{"VmRSS": &m.now, "VmHWM": &m.peak, "RssAnon": &m.anonymous}
	for line := range strings.Lines(string(content)) {
		name, value, _ := strings.Cut(line, ":")
		if field, ok := fields[name]; ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			if err != nil {
				return m, err
			}
			*field = kib << 10
		}
	}
	return m, nil
}

// forgetPeak makes the peak what is in RAM now.
func (p *process) forgetPeak() error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.command.Process.Pid), []byte("5"), 0)
}

// role is this program in one of its roles, which is called over its standard input and output.
type role struct {
	*process
	client *rpc.Client
}

// startRole starts this program in a role.
func startRole(on launcher, name string, arguments ...string) (*role, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p, pipe, err := start(on, self, os.Environ(), append([]string{name}, arguments...)...)
	if err != nil {
		return nil, err
	}
	return &role{process: p, client: rpc.NewClient(pipe)}, nil
}

// call calls a method of the role, and tells what the role had to say where that fails.
func (r *role) call(method string, arguments, reply any) error {
	if err := r.client.Call("Role."+method, arguments, reply); err != nil {
		return fmt.Errorf("%s: %w\n%s", method, err, r.log.String())
	}
	return nil
}

// stop kills the role: there is nothing that it could lose.
func (r *role) stop() error {
	if err := r.command.Process.Kill(); err != nil {
		return err
	}
	_ = r.command.Wait() // says that it was killed
	return nil
}

// serveRole answers the calls of the process that has started this one, until that closes the pipe.
func serveRole(service any) error {
	server := rpc.NewServer()
	if err := server.RegisterName("Role", service); err != nil {
		return err
	}
	server.ServeConn(struct {
		io.Reader
		io.WriteCloser
	}{bufio.NewReader(os.Stdin), os.Stdout})
	return nil
}

// Nothing is an argument or reply that says nothing.
type Nothing struct{}

// Heap counts what a process has allocated since its start.
type Heap struct{ Objects, Bytes uint64 }

// heap tells what the role has allocated.
func (r *role) heap() (h Heap, err error) {
	err = r.call("Heap", Nothing{}, &h)
	return h, err
}

// Measured is embedded in roles that are measured.
type Measured struct{}

// Heap tells what the role has allocated.
func (Measured) Heap(_ Nothing, h *Heap) error {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	*h = Heap{Objects: stats.Mallocs, Bytes: stats.TotalAlloc}
	return nil
}

var errTimeout = errors.New("nothing moves any more")
