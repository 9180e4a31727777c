// Command compare measures what could keep events on disk: the journal, bbolt in one file, and pebble. All are used alike: one goroutine
// commits all that has come while the disk was busy, and what has been delivered is removed with a later commit, after 100 ms at most.
//
//	go run . [-dir DIR] [-for 2s] [-events 1000000]
//
// It prints tables, takes some four minutes, and wants to be alone on the machine.
package main

import (
	"crypto/rand"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var (
	parent = flag.String("dir", "", "where the stores are made; a directory for temporary files by default")
	during = flag.Duration("for", 2*time.Second, "how long each case takes")
	many   = flag.Int("events", 1_000_000, "how many are on disk when a store is opened")
	only   = flag.String("only", "", "the one store to measure")
)

const (
	linger = 100 * time.Millisecond
	group  = 1024
)

func main() {
	flag.Parse()
	log.SetFlags(0)
	chosen := slices.DeleteFunc(slices.Clone(stores), func(s struct {
		name string
		open opener
	}) bool {
		return *only != "" && *only != s.name
	})
	half := map[string]float64{}
	fmt.Println("| in flight | size | destinations | store | events/s | CPU µs/event | KiB written/event | KiB on disk after |\n|---|---|---|---|---|---|---|---|")
	for _, destinations := range []int{1, 100} {
		for _, size := range []int{1 << 10, 64 << 10} {
			for _, inFlight := range []int{1, 16, 256} {
				for _, s := range chosen {
					r := measure(s.open, size, destinations, inFlight, 0)
					fmt.Printf("| %d | %d KiB | %d | %s | %.0f | %.1f | %.1f | %d |\n", inFlight, size>>10, destinations, s.name, r.rate, r.cpu, r.written, r.left)
					if size == 1<<10 && destinations == 1 && inFlight == 256 {
						half[s.name] = r.rate / 2
					}
				}
			}
		}
	}
	fmt.Println("\n| half of its load, 1 KiB | events/s | p50 ms | p99 ms |\n|---|---|---|---|")
	for _, s := range chosen {
		r := measure(s.open, 1<<10, 1, 256, half[s.name])
		fmt.Printf("| %s | %.0f | %.2f | %.2f |\n", s.name, r.rate, r.p50, r.p99)
	}
	fmt.Printf("\n| opening with %d events of 1 KiB | s | MiB of Go's heap | MiB on disk | MiB on disk after all is done |\n|---|---|---|---|---|\n", *many)
	for _, s := range chosen {
		fmt.Printf("| %s %s\n", s.name, opening(s.open))
	}
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// committer commits what comes, as the source does.
type committer struct {
	store store
	mu    sync.Mutex
	add   []event
	done  []uint64
	since time.Time // the first of done
	wait  []chan struct{}
	seq   uint64
	work  chan struct{}
}

func (c *committer) put(record []byte) uint64 {
	committed := make(chan struct{})
	c.mu.Lock()
	c.seq++
	seq := c.seq
	c.add = append(c.add, event{seq, record})
	c.wait = append(c.wait, committed)
	c.mu.Unlock()
	c.wake()
	<-committed
	return seq
}

func (c *committer) wake() {
	select {
	case c.work <- struct{}{}:
	default:
	}
}

func (c *committer) forget(seq uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done = append(c.done, seq); len(c.done) == 1 {
		c.since = time.Now()
	}
}

func (c *committer) run(stop chan struct{}) {
	tick := time.NewTicker(linger / 4)
	defer tick.Stop()
	for {
		stopped := false
		select {
		case <-c.work:
		case <-tick.C:
		case <-stop:
			stopped = true
		}
		for {
			c.mu.Lock()
			n := min(group, len(c.add))
			add, wait := c.add[:n:n], c.wait[:n:n]
			c.add, c.wait = c.add[n:], c.wait[n:]
			var done []uint64
			if n > 0 || stopped || time.Since(c.since) > linger {
				done, c.done = c.done, nil
			}
			c.mu.Unlock()
			if len(add)+len(done) == 0 {
				break
			}
			must(c.store.commit(add, done))
			for _, w := range wait {
				close(w)
			}
		}
		if stopped {
			return
		}
	}
}

// records returns what makes records of a size, neighbours of which have nothing in common that could be compressed.
func records(size int) func(i int64) []byte {
	pool := make([]byte, 4<<20)
	_, _ = rand.Read(pool)
	return func(i int64) []byte {
		at := int(i) % (len(pool) / size) * size
		return pool[at : at+size]
	}
}

type result struct {
	rate, cpu, written, p50, p99 float64
	left                         int64
}

// measure keeps so many events in flight, or with a rate has as many come in a second.
func measure(open opener, size, destinations, inFlight int, rate float64) (r result) {
	dir, err := os.MkdirTemp(*parent, "compare")
	must(err)
	defer func() { must(os.RemoveAll(dir)) }()
	s, err := open(filepath.Join(dir, "store"), destinations)
	must(err)
	c := &committer{store: s, work: make(chan struct{}, 1)}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		c.run(stop)
	}()
	record := records(size)
	syscall.Sync()
	runtime.GC()
	var count atomic.Int64
	var mu sync.Mutex
	var took []time.Duration
	once := func(began time.Time) {
		seq := c.put(record(count.Load()))
		mu.Lock()
		took = append(took, time.Since(began))
		mu.Unlock()
		if _, err := s.get(seq); err != nil {
			log.Fatal(err)
		}
		c.forget(seq)
		count.Add(1)
	}
	cpu, written, began := processor(), writtenBytes(), time.Now()
	var all sync.WaitGroup
	if rate > 0 {
		for i := 0; time.Since(began) < *during; i++ {
			due := began.Add(time.Duration(float64(i) / rate * float64(time.Second)))
			time.Sleep(time.Until(due))
			all.Go(func() { once(due) })
		}
	} else {
		for range inFlight {
			all.Go(func() {
				for time.Since(began) < *during {
					once(time.Now())
				}
			})
		}
	}
	all.Wait()
	close(stop)
	<-stopped
	n := float64(count.Load())
	r.rate = n / time.Since(began).Seconds()
	r.cpu = (processor() - cpu) * 1e6 / n
	must(s.close())
	r.written = float64(writtenBytes()-written) / 1024 / n
	r.left = usage(dir) / 1024
	slices.Sort(took)
	r.p50, r.p99 = took[len(took)/2].Seconds()*1e3, took[len(took)*99/100].Seconds()*1e3
	return r
}

// opening fills a store, opens it, and empties it.
func opening(open opener) string {
	dir, err := os.MkdirTemp(*parent, "compare")
	must(err)
	defer func() { must(os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "store")
	record := records(1 << 10)
	fill(open, path, record)
	size := usage(dir)
	before := heap()
	began := time.Now()
	s, err := open(path, 1)
	must(err)
	n, err := s.count()
	took := time.Since(began)
	must(err)
	if n != *many {
		must(fmt.Errorf("%d events, want %d", n, *many))
	}
	ram := float64(heap()) - float64(before)
	runtime.KeepAlive(s)
	runtime.KeepAlive(record)
	for from := 1; from <= *many; from += group {
		var done []uint64
		for seq := from; seq < from+group && seq <= *many; seq++ {
			done = append(done, uint64(seq))
		}
		must(s.commit(nil, done))
	}
	must(s.close())
	return fmt.Sprintf("| %.2f | %.0f | %d | %d |", took.Seconds(), ram/(1<<20), size>>20, usage(dir)>>20)
}

// fill puts events in a new store, and closes it.
func fill(open opener, path string, record func(i int64) []byte) {
	s, err := open(path, 1)
	must(err)
	for from := 1; from <= *many; from += group {
		var add []event
		for seq := from; seq < from+group && seq <= *many; seq++ {
			add = append(add, event{uint64(seq), record(int64(seq))})
		}
		must(s.commit(add, nil))
	}
	must(s.close())
}

func heap() uint64 {
	runtime.GC() // so that the other one frees what had finalizers
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// processor is the time that this process has had, in seconds.
func processor() float64 {
	var u syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// writtenBytes is what this process has given to the disk.
func writtenBytes() (n int64) {
	content, err := os.ReadFile("/proc/self/io")
	must(err)
	for line := range strings.Lines(string(content)) {
		if value, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			_, _ = fmt.Sscan(value, &n)
		}
	}
	return n
}

// usage is what the files of a directory have on disk, in bytes.
func usage(dir string) (n int64) {
	must(filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var s syscall.Stat_t
		if err := syscall.Stat(path, &s); err != nil {
			return err
		}
		n += s.Blocks * 512
		return nil
	}))
	return n
}
