package dispatch_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

// toy is a destination that refuses what its function refuses, and remembers the rest.
type toy struct {
	refuse func(event.Event) error

	mu  sync.Mutex
	got []string
}

func (t *toy) Send(_ context.Context, e event.Event) (dispatch.Answer, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refuse != nil {
		if err := t.refuse(e); err != nil {
			return dispatch.Answer{}, err
		}
	}
	t.got = append(t.got, e.ID())
	return dispatch.Answer{Status: 200}, nil
}

func (*toy) String() string { return "toy" }

func (t *toy) ids() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.got...)
}

func newEvent(id string) event.Event {
	e := event.New()
	e.SetID(id)
	e.SetSource("/test")
	e.SetType("test")
	_ = e.SetData("text/plain", []byte("data of "+id))
	return e
}

func undecodable(topic string, raw []byte) event.Event {
	e := newEvent("undecodable")
	e.SetSubject(topic)
	e.DataEncoded = raw
	return e
}

// stores runs a test with each kind of store.
func stores(t *testing.T, run func(t *testing.T, open func() *dispatch.Disk)) {
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		run(t, func() *dispatch.Disk { return nil })
	})
	t.Run("disk", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		run(t, func() *dispatch.Disk { return openDisk(t, dir) })
	})
}

func openDisk(t *testing.T, dir string) *dispatch.Disk {
	t.Helper()
	disk, err := dispatch.OpenDisk(dispatch.DiskOptions{Dir: dir, Older: "toy"})
	if err != nil {
		t.Fatal(err)
	}
	return disk
}

// wantOnDisk fails unless there are so many events on a disk that nobody has, if it is one, and closes it.
func wantOnDisk(t *testing.T, disk *dispatch.Disk, want int) {
	t.Helper()
	if disk == nil {
		return
	}
	if got := disk.Events(); got != want {
		t.Errorf("%d events are on disk, want %d", got, want)
	}
	if err := disk.Close(); err != nil {
		t.Error(err)
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func drain(t *testing.T, d *dispatch.Dispatcher) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	d.Drain(ctx)
}
