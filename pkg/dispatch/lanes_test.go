package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

// In memory an event is acknowledged once all of its destinations, or their places for dead letters, have it; on disk once it is there.
func TestEventOfManyLanesIsAcknowledgedOnce(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, open func() *dispatch.Disk) {
		var acknowledged acknowledgements
		disk := open()
		d := dispatch.New(dispatch.Options{Disk: disk, Acknowledge: acknowledged.add})
		release := make([]chan error, 3)
		sinks, dead := make([]*place, 3), &place{}
		lanes := make([]*dispatch.Lane, 3)
		for i := range lanes {
			release[i] = make(chan error)
			sinks[i] = &place{answer: func(context.Context, event.Event) (dispatch.Answer, error) { return dispatch.Answer{}, <-release[i] }}
			lanes[i] = d.Lane(dispatch.LaneOptions{Name: fmt.Sprint(i), Destination: sinks[i], DeadLetter: dead})
		}
		d.Start()
		put(t, d, []event.Event{newEvent("a")}, lanes...)
		if disk != nil {
			eventually(t, "it is acknowledged", func() bool { return acknowledged.count("a") > 0 })
		}
		for i, answer := range []error{nil, answered(400), nil} {
			if got := acknowledged.count("a"); disk == nil && got != 0 {
				t.Errorf("got %d acknowledgements after %d destinations", got, i)
			}
			release[i] <- answer
			eventually(t, "one copy less is kept", func() bool { return d.Status().Events == int64(2-i) })
		}
		eventually(t, "it is acknowledged", func() bool { return acknowledged.count("a") > 0 })
		drain(t, d)
		if got := acknowledged.count("a"); got != 1 || len(dead.got()) != 1 {
			t.Errorf("got %d acknowledgements and %d dead letters, want one each", got, len(dead.got()))
		}
		wantOnDisk(t, open(), 0)
	})
}

func TestEventOfNoLaneIsAcknowledgedAtOnce(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, open func() *dispatch.Disk) {
		var acknowledged acknowledgements
		d := dispatch.New(dispatch.Options{Disk: open(), Acknowledge: acknowledged.add})
		d.Start()
		put(t, d, []event.Event{newEvent("a")})
		if got := d.Status(); acknowledged.count("a") != 1 || got.Events != 0 || !got.Oldest.IsZero() || got.Unsaved != 0 {
			t.Errorf("got %d acknowledgements, %+v; want one, and nothing kept", acknowledged.count("a"), got)
		}
		drain(t, d)
	})
}

// On disk an event stays for the lanes alone whose destinations have not accepted it.
func TestEachLaneIsRestoredWithItsOwn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	accepts, refuses := &place{}, &place{answer: says(answered(500))}
	d := dispatch.New(dispatch.Options{Disk: openDisk(t, dir)})
	first := d.Lane(dispatch.LaneOptions{Name: "first", Destination: accepts, Retries: -1})
	second := d.Lane(dispatch.LaneOptions{Name: "second", Destination: refuses, Retries: -1})
	d.Start()
	put(t, d, numbered("both", 20), first, second)
	put(t, d, numbered("one", 20), first)
	put(t, d, numbered("two", 20), second)
	eventually(t, "the first has all", func() bool { return len(accepts.got()) == 40 && d.Status().Unsaved == 0 && d.Status().Events == 40 })
	drain(t, d)
	again := [2]*place{{}, {}}
	d = dispatch.New(dispatch.Options{Disk: openDisk(t, dir), Undecodable: undecodable})
	d.Lane(dispatch.LaneOptions{Name: "first", Destination: again[0]})
	d.Lane(dispatch.LaneOptions{Name: "second", Destination: again[1], Ordering: dispatch.Strict})
	if got := d.Status().Events; got != 40 {
		t.Errorf("got %d events kept, want the second's 40", got)
	}
	d.Start()
	eventually(t, "all have arrived", func() bool { return d.Status().Events == 0 })
	drain(t, d)
	want := append(ids(numbered("both", 20)), ids(numbered("two", 20))...)
	if got := again[1].got(); len(again[0].asked()) > 0 || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v for the first, and %v for the second, want nothing, and %v", again[0].asked(), got, want)
	}
}

// A destination that is away, or accepts nothing, slows no other, however many there are of them.
func TestLanesDelayNoOthers(t *testing.T) {
	t.Parallel()
	const workers = 16
	tests := []struct {
		name   string
		lanes  int
		answer func(context.Context, event.Event) (dispatch.Answer, error)
		dead   func(context.Context, event.Event) (dispatch.Answer, error)
		most   int           // in flight at once for a lane
		burst  int           // of events for each
		shown  time.Duration // until when it has shown that they are away
	}{
		{"no answer", 1, says(errors.New("refused")), nil, 0, 1000, 0},
		{"503", 20, says(answered(503)), nil, 0, 50, 0},
		{"all refused", 1, says(answered(500)), nil, 0, 1000, 0},
		{"all refused, by many", 20, says(answered(404)), nil, 0, 50, 0},
		{"refused for good, and no room for dead letters", 20, says(answered(400)), says(errors.New("no room")), 0, 50, 0},
		{"refused for good, and the dead letters hang", 20, says(answered(400)), hangs, 0, 50, 0},
		{"hangs", 1, hangs, nil, 0, 1000, time.Minute},
		{"hangs, with a bound", 1, hangs, nil, 4, 1000, 0},
		{"many hang", 3 * workers, hangs, nil, 0, 50, time.Hour},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var acknowledged acknowledgements
				d := dispatch.New(dispatch.Options{Workers: workers, Acknowledge: acknowledged.add})
				sink := &place{}
				good := d.Lane(dispatch.LaneOptions{Name: "good", Destination: sink, Retries: -1})
				d.Start()
				var bad []*dispatch.Lane
				for i := range test.lanes {
					o := dispatch.LaneOptions{Name: fmt.Sprint(i), Destination: &place{answer: test.answer}, Retries: -1, MaxInFlight: test.most}
					if test.dead != nil {
						o.DeadLetter = &place{answer: test.dead}
						if i%2 > 0 {
							o.MaxEvents, o.Overflow = int64(test.burst/2), true
						}
					}
					bad = append(bad, d.Lane(o))
				}
				put(t, d, numbered("bad", test.burst), bad...)
				time.Sleep(test.shown)
				waits := trickle(t, d, 200, 200*time.Millisecond, sink, good)
				if got := p99(waits); got > 100*time.Millisecond {
					t.Errorf("got a 99th percentile of %s, want hardly any wait", got)
				}
				abandon(d)
				if got := d.Status().Events; got != int64(test.lanes*test.burst) {
					t.Errorf("%d events are kept, want all %d that were not accepted", got, test.lanes*test.burst)
				}
			})
		})
	}
}

// All lanes together have so many workers, and half as many repeats; the budget of repeats is the same for one lane or many.
func TestLanesShare(t *testing.T) {
	t.Parallel()
	const workers, lanes = 8, 10
	several := func(d *dispatch.Dispatcher, sink *place) (all []*dispatch.Lane) {
		for i := range lanes {
			all = append(all, d.Lane(dispatch.LaneOptions{Name: fmt.Sprint(i), Destination: sink, Retries: -1}))
		}
		return all
	}
	t.Run("workers", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			d := dispatch.New(dispatch.Options{Workers: workers})
			sink := &place{answer: hangs}
			all := several(d, sink)
			d.Start()
			put(t, d, numbered("", 10), all...)
			synctest.Wait()
			if got := len(sink.asked()); got != workers || d.Status().InFlight != workers {
				t.Errorf("got %d requests at once, want %d", got, workers)
			}
			abandon(d)
		})
	})
	t.Run("budget", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			d := dispatch.New(dispatch.Options{Workers: workers})
			sink := &place{answer: says(answered(500))}
			all := several(d, sink)
			d.Start()
			put(t, d, numbered("", 10), all...)
			const perSecond, burst, minutes = 10, 20, 2
			time.Sleep(minutes * time.Minute)
			if got, most := len(sink.asked())-10*lanes, burst+perSecond*60*minutes; got > most || got < most/2 {
				t.Errorf("got %d repeats in %d minutes, want up to %d, as for one lane", got, minutes, most)
			}
			abandon(d)
		})
	})
}

// A lane of few workers leaves the others to others, and each lane has its turn.
func TestLanesTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const takes = time.Second
		d := dispatch.New(dispatch.Options{Workers: 1})
		sink := &place{answer: func(context.Context, event.Event) (dispatch.Answer, error) {
			time.Sleep(takes)
			return dispatch.Answer{}, nil
		}}
		var lanes []*dispatch.Lane
		for i := range 3 {
			lanes = append(lanes, d.Lane(dispatch.LaneOptions{Name: fmt.Sprint(i), Destination: sink}))
		}
		put(t, d, numbered("many", 100), lanes[0])
		put(t, d, numbered("few", 2), lanes[1])
		put(t, d, numbered("some", 2), lanes[2])
		d.Start()
		time.Sleep(6*takes - 1)
		if got := sink.asked(); fmt.Sprint(got) != "[many0 few0 some0 many1 few1 some1]" {
			t.Errorf("got %v, want each lane in turn", got)
		}
		d.Drain(t.Context())
		if got := len(sink.got()); got != 104 {
			t.Errorf("got %d events, want all", got)
		}
	})
}
