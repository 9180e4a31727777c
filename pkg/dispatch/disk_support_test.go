package dispatch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

var errAway = errors.New("connection refused")

// away refuses everything, as a destination does that is not there.
func away(event.Event) error { return errAway }

// recorder is a destination that remembers events.
type recorder struct {
	toy
	mu     sync.Mutex
	events []event.Event
}

func (r *recorder) Send(ctx context.Context, e event.Event) (dispatch.Answer, error) {
	answer, err := r.toy.Send(ctx, e)
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.events = append(r.events, e)
	}
	return answer, err
}

func (r *recorder) all() []event.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]event.Event(nil), r.events...)
}

// process is what has a directory: a dispatcher with one lane.
type process struct {
	*dispatch.Dispatcher
	t     *testing.T
	dir   string
	lane  *dispatch.Lane
	logs  *observer.ObservedLogs
	found dispatch.Status // at the start
	end   func()          // drains it, once

	mu           sync.Mutex
	acknowledged map[string]int
	stalls       []bool
}

// run starts a process with a directory that sends to a destination.
func run(t *testing.T, dir string, o dispatch.LaneOptions) *process {
	t.Helper()
	p := &process{t: t, dir: dir, acknowledged: map[string]int{}}
	disk, err := dispatch.OpenDisk(dispatch.DiskOptions{Dir: dir, Older: "toy", Stalled: func(hangs bool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.stalls = append(p.stalls, hangs)
	}})
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.DebugLevel)
	p.logs = logs
	p.Dispatcher = dispatch.New(dispatch.Options{
		Disk: disk, Undecodable: undecodable, Logger: zap.New(core).Sugar(), Workers: 4,
		Acknowledge: func(all []*dispatch.Message) {
			p.mu.Lock()
			defer p.mu.Unlock()
			for _, m := range all {
				p.acknowledged[m.Event.ID()]++
			}
		},
	})
	o.Name, o.Retries, o.Backoff = "toy", -1, dispatch.Exponential(time.Millisecond, time.Millisecond)
	p.lane = p.Lane(o)
	p.found = p.Status()
	p.Start()
	p.end = sync.OnceFunc(func() { drain(t, p.Dispatcher) })
	t.Cleanup(func() {
		if t.Failed() {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			go p.Drain(ctx) // the disk may still fail
		}
	})
	return p
}

// put puts events with such IDs.
func (p *process) put(ids ...string) {
	p.t.Helper()
	for _, id := range ids {
		if err := p.Put(p.t.Context(), &dispatch.Message{Event: newEvent(id), Topic: "orders"}, p.lane); err != nil {
			p.t.Fatal(err)
		}
	}
}

// await waits until the status is as the function wants it.
func (p *process) await(what string, is func(dispatch.Status) bool) {
	p.t.Helper()
	eventually(p.t, what, func() bool { return is(p.Status()) })
}

// awaitSaved waits until all that has been put is on disk.
func (p *process) awaitSaved() {
	p.t.Helper()
	p.await("all on disk", func(s dispatch.Status) bool { return s.Unsaved == 0 })
}

// wantAcknowledged fails unless these events have been acknowledged, once each, and no others.
func (p *process) wantAcknowledged(ids ...string) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	want := map[string]int{}
	for _, id := range ids {
		want[id] = 1
	}
	if fmt.Sprint(p.acknowledged) != fmt.Sprint(want) {
		p.t.Errorf("acknowledged %v, want %v", p.acknowledged, want)
	}
}

func (p *process) acknowledgements() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.acknowledged)
}

// wantLines fails unless there are so many lines with a message in the log.
func (p *process) wantLines(n int, message string) {
	p.t.Helper()
	if got := p.logs.FilterMessage(message).Len(); got != n {
		p.t.Errorf("got %d lines %q, want %d", got, message, n)
	}
}

// copied returns a copy of a directory as it is now: what the next process finds when this one is killed.
func copied(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// delivered returns the IDs of all that a directory has, in their order, and leaves nothing there.
func delivered(t *testing.T, dir string) []string {
	t.Helper()
	to := &toy{}
	p := run(t, dir, dispatch.LaneOptions{Destination: to, Ordering: dispatch.Strict})
	p.await("all delivered", func(s dispatch.Status) bool { return s.Events == 0 })
	p.end()
	return to.ids()
}

// replace puts other bytes in the place of some, wherever the files of a directory have them.
func replace(t *testing.T, dir, from, to string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		found += bytes.Count(content, []byte(from))
		if err := os.WriteFile(path, bytes.ReplaceAll(content, []byte(from), []byte(to)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if found == 0 {
		t.Fatalf("%q is not in %s", from, dir)
	}
}
