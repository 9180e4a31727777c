package dispatch_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

func TestEventsReachEachDestinationInOrder(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, open func() *dispatch.Disk) {
		const n = 500
		var mu sync.Mutex
		acknowledged := map[string]int{}
		d := dispatch.New(dispatch.Options{Disk: open(), Undecodable: undecodable, Acknowledge: func(all []*dispatch.Message) {
			mu.Lock()
			defer mu.Unlock()
			for _, m := range all {
				acknowledged[m.Event.ID()]++
			}
		}})
		one, failedOnce := &toy{}, map[string]bool{}
		two := &toy{refuse: func(e event.Event) error {
			if failedOnce[e.ID()] || len(e.ID())%2 == 0 {
				return nil
			}
			failedOnce[e.ID()] = true
			return &dispatch.Rejection{Status: 500}
		}}
		fast := dispatch.Exponential(time.Millisecond, time.Millisecond)
		first := d.Lane(dispatch.LaneOptions{Name: "one", Destination: one, Retries: -1, Ordering: dispatch.Strict, Backoff: fast})
		second := d.Lane(dispatch.LaneOptions{Name: "two", Destination: two, Retries: 3, Ordering: dispatch.Strict, Backoff: fast})
		d.Start()
		var want []string
		for i := range n {
			id := fmt.Sprint(i)
			want = append(want, id)
			if err := d.Put(t.Context(), &dispatch.Message{Event: newEvent(id), Topic: "orders"}, first, second); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "all delivered", func() bool { return len(one.ids()) >= n && len(two.ids()) >= n && d.Status().Events == 0 })
		drain(t, d)
		for _, destination := range []*toy{one, two} {
			if got := destination.ids(); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("got %d events in another order, want %d in theirs", len(got), n)
			}
		}
		for _, id := range want {
			if acknowledged[id] != 1 {
				t.Errorf("event %s was acknowledged %d times, want once", id, acknowledged[id])
			}
		}
	})
}

func TestWhatIsOnDiskIsSentAfterARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const n = 3000
	away := &toy{refuse: func(event.Event) error { return errors.New("connection refused") }}
	d := dispatch.New(dispatch.Options{Disk: openDisk(t, dir), Undecodable: undecodable})
	lane := d.Lane(dispatch.LaneOptions{Name: "toy", Destination: away, Retries: -1})
	d.Start()
	for i := range n {
		if err := d.Put(t.Context(), &dispatch.Message{Event: newEvent(fmt.Sprint(i))}, lane); err != nil {
			t.Fatal(err)
		}
	}
	drain(t, d)
	if s := d.Status(); s.Events != n || s.Unsaved != 0 {
		t.Fatalf("kept %+v, want %d events", s, n)
	}
	back := &toy{}
	d = dispatch.New(dispatch.Options{Disk: openDisk(t, dir), Undecodable: undecodable})
	d.Lane(dispatch.LaneOptions{Name: "toy", Destination: back, Ordering: dispatch.Strict})
	if s := d.Status(); s.Events != n {
		t.Fatalf("found %+v, want %d events", s, n)
	}
	d.Start()
	eventually(t, "all delivered", func() bool { return d.Status().Events == 0 })
	drain(t, d)
	for i, id := range back.ids() {
		if id != fmt.Sprint(i) {
			t.Fatalf("event %d is %s", i, id)
		}
	}
	wantOnDisk(t, openDisk(t, dir), 0)
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, open func() *dispatch.Disk) {
		refusing := &toy{refuse: func(e event.Event) error {
			if e.ID() == "final" {
				return &dispatch.Rejection{Status: 400, Body: "no"}
			}
			return &dispatch.Rejection{Status: 500}
		}}
		dead := &toy{}
		d := dispatch.New(dispatch.Options{Disk: open(), Undecodable: undecodable})
		lane := d.Lane(dispatch.LaneOptions{Name: "toy", Destination: refusing, DeadLetter: dead, Retries: 2, Backoff: dispatch.Exponential(1, 1)})
		d.Start()
		for _, id := range []string{"final", "retried"} {
			if err := d.Put(t.Context(), &dispatch.Message{Event: newEvent(id)}, lane); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "two dead letters", func() bool { return len(dead.ids()) == 2 && d.Status().Events == 0 })
		drain(t, d)
	})
}
