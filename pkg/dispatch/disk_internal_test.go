package dispatch

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/await"
)

// hanging is a destination that answers nothing.
type hanging struct{}

func (hanging) Send(ctx context.Context, _ event.Event) (Answer, error) {
	<-ctx.Done()
	return Answer{}, ctx.Err()
}

func (hanging) String() string { return "" }

// accepting is one that accepts all.
type accepting struct{}

func (accepting) Send(context.Context, event.Event) (Answer, error) { return Answer{}, nil }

func (accepting) String() string { return "" }

// What waits on disk for a destination that hangs does not come into memory, however often others have their turn.
func TestWindowOfADestinationThatHangs(t *testing.T) {
	t.Parallel()
	disk, err := OpenDisk(DiskOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	d := New(Options{Disk: disk})
	hangs, good := d.Lane(LaneOptions{Name: "hangs", Destination: hanging{}, MaxInFlight: 1}), d.Lane(LaneOptions{Name: "good", Destination: accepting{}})
	d.Start()
	const events, size = 40, 1 << 20
	put := func(l *Lane, id string, data string) {
		e := event.New()
		e.SetID(id)
		e.SetSource("/test")
		e.SetType("test")
		_ = e.SetData(event.TextPlain, data)
		if err := d.Put(t.Context(), &Message{Event: e}, l); err != nil {
			t.Fatal(err)
		}
	}
	kept := func(want int64) {
		await.Until(t, await.Patience, func() string {
			if s := d.Status(); s.Unsaved > 0 || s.Events != want {
				return fmt.Sprintf("got %+v, want %d events kept", s, want)
			}
			return ""
		})
	}
	for i := range events {
		put(hangs, fmt.Sprint(i), strings.Repeat("x", size))
	}
	kept(events)
	for i := range 2 * events {
		put(good, fmt.Sprint("good", i), "")
	}
	kept(events)
	d.with(func() {
		if got, most := hangs.queue.bytes, disk.share()+2*size; got > most {
			t.Errorf("%d bytes are in memory, want %d at most", got, most)
		}
	})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	d.Drain(ended)
}
