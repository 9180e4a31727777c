package faults

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

// spoolLane is the name by which a source keeps events for its sink.
const spoolLane = "sink"

// spooled returns the IDs of the events in a spool that no process writes at the moment. It delivers a copy: a source that starts meanwhile
// wants the directory for itself. A spool that is not there is empty.
func spooled(t *testing.T, dir string) map[string]bool {
	t.Helper()
	found := &collector{ids: map[string]bool{}}
	duplicate := t.TempDir()
	if err := os.CopyFS(duplicate, os.DirFS(dir)); errors.Is(err, os.ErrNotExist) {
		return found.ids
	} else if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(duplicate) }()
	disk, err := dispatch.OpenDisk(dispatch.DiskOptions{Dir: duplicate, Older: spoolLane})
	if err != nil {
		t.Fatalf("opening a copy of %s: %v", dir, err)
	}
	d := dispatch.New(dispatch.Options{Disk: disk, Undecodable: func(string, []byte) event.Event {
		t.Errorf("a record in a copy of %s cannot be read", dir)
		return event.New()
	}})
	d.Lane(dispatch.LaneOptions{Name: spoolLane, Destination: found, DeadLetter: found, Retries: -1})
	d.Start()
	eventually(t, func() string {
		if d.Status().Events > 0 {
			return "events are left in a copy of " + dir
		}
		return ""
	})
	d.Drain(t.Context())
	return found.ids
}

// collector is a destination that notes the IDs of events.
type collector struct {
	mu  sync.Mutex
	ids map[string]bool
}

func (c *collector) Send(_ context.Context, e event.Event) (dispatch.Answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ids[e.ID()] = true
	return dispatch.Answer{}, nil
}

func (*collector) String() string { return "collector" }

// spoolSize is how many bytes the files of a spool have.
func spoolSize(t *testing.T, dir string) (bytes int64) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.journal"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if info, err := os.Stat(file); err == nil { // it may have been removed since
			bytes += info.Size()
		}
	}
	return bytes
}
