package dispatch_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

// gate is the answer of a place that accepts nothing until it is opened.
type gate struct{ open atomic.Bool }

func (g *gate) answer(context.Context, event.Event) (a dispatch.Answer, err error) {
	if !g.open.Load() {
		err = errors.New("away")
	}
	return a, err
}

// overflowing are the options of a lane of three events, which tries again soon.
func overflowing(to, dead dispatch.Destination) dispatch.LaneOptions {
	return dispatch.LaneOptions{
		Name: "full", Label: "full", Destination: to, DeadLetter: dead, Retries: 1_000_000, MaxEvents: 3, Punctual: true, Overflow: true,
		Backoff: func(int, time.Duration) time.Duration { return time.Millisecond },
	}
}

// sorted returns the events that a place has accepted, each once.
func sorted(p *place) []string {
	ids := p.got()
	slices.Sort(ids)
	return slices.Compact(ids)
}

// What finds a lane full goes to the place for dead letters, which is told why, and no other lane waits.
func TestOverflow(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, open func() *dispatch.Disk) {
		var acknowledged acknowledgements
		core, logs := observer.New(zap.WarnLevel)
		d := dispatch.New(dispatch.Options{Disk: open(), Acknowledge: acknowledged.add, Undecodable: undecodable, Logger: zap.New(core).Sugar()})
		back := &gate{}
		sink, dead, beside := &place{answer: back.answer}, &place{}, &place{}
		full, other := d.Lane(overflowing(sink, dead)), d.Lane(dispatch.LaneOptions{Name: "other", Destination: beside})
		d.Start()
		put(t, d, numbered("kept", 3), full, other)
		put(t, d, numbered("more", 5), full, other)
		bad := &dispatch.Message{Event: newEvent("bad"), Undecodable: errors.New("no event")}
		if err := d.Put(t.Context(), bad, full); err != nil {
			t.Fatal(err)
		}
		eventually(t, "each has its own", func() bool { return len(beside.got()) == 8 && len(dead.got()) == 6 && d.Status().Events == 3 })
		wantFull(t, full, true, false)
		for reason, want := range map[string]int{"full": 5, "undecodable": 1} {
			if got := logs.FilterField(zap.String("reason", reason)).Len(); got != want {
				t.Errorf("the log has %d dead letters by reason %q, want %d", got, reason, want)
			}
		}
		for _, e := range dead.accepted {
			want, from := "as many events wait for the sink as may be kept", any("http://place/path")
			if e.ID() == "bad" {
				want, from = "no event", nil
			}
			got := e.Extensions()
			if data, _ := base64.StdEncoding.DecodeString(fmt.Sprint(got[dispatch.ErrorData])); got[dispatch.ErrorDestination] != from || got[dispatch.ErrorCode] != "-1" || string(data) != want {
				t.Errorf("dead letter %s has %v with %q, want %q", e.ID(), got, data, want)
			}
		}
		back.open.Store(true)
		eventually(t, "the sink has its own", func() bool { return d.Status().Events == 0 })
		put(t, d, numbered("last", 1), full)
		eventually(t, "and what comes then", func() bool { return d.Status().Events == 0 && acknowledged.all() == 10 })
		drain(t, d)
		if got := fmt.Sprint(sorted(sink)); got != "[kept0 kept1 kept2 last0]" {
			t.Errorf("the sink got %s", got)
		}
		wantOnDisk(t, open(), 0)
	})
}

// What has gone to the place for dead letters, and has not been accepted there, is bounded too: what comes then waits.
func TestOverflowIsBounded(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		end        func(l *dispatch.Lane, o dispatch.LaneOptions, sink, dead *gate)
		sent, dead int // of 7 events
	}{
		"the sink is back":    {func(_ *dispatch.Lane, _ dispatch.LaneOptions, sink, _ *gate) { sink.open.Store(true) }, 4, 0},
		"the dead letters go": {func(_ *dispatch.Lane, _ dispatch.LaneOptions, _, dead *gate) { dead.open.Store(true) }, 0, 4},
		"more may be kept":    {func(l *dispatch.Lane, o dispatch.LaneOptions, _, _ *gate) { o.MaxEvents = 4; l.Update(o) }, 0, 0},
		"it has no bound":     {func(l *dispatch.Lane, o dispatch.LaneOptions, _, _ *gate) { o.MaxEvents = 0; l.Update(o) }, 0, 0},
		"the lane is closed":  {func(l *dispatch.Lane, _ dispatch.LaneOptions, _, _ *gate) { l.Close() }, 0, 0},
		"both are back together": {func(_ *dispatch.Lane, _ dispatch.LaneOptions, sink, dead *gate) {
			dead.open.Store(true)
			sink.open.Store(true)
		}, 3, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stores(t, func(t *testing.T, open func() *dispatch.Disk) {
				d := dispatch.New(dispatch.Options{Disk: open(), Undecodable: undecodable})
				back, room := &gate{}, &gate{}
				sink, dead, beside := &place{answer: back.answer}, &place{answer: room.answer}, &place{}
				o := overflowing(sink, dead)
				full, other := d.Lane(o), d.Lane(dispatch.LaneOptions{Name: "other", Destination: beside})
				d.Start()
				put(t, d, numbered("a", 6), full, other)
				wantFull(t, full, true, true)
				waits := putSoon(t.Context(), d, newEvent("waits"), full, other)
				eventually(t, "one waits", func() bool { return d.Status().Full })
				test.end(full, o, back, room)
				if err := <-waits; err != nil {
					t.Errorf("the event that waited: got %v", err)
				}
				eventually(t, "all have come where they may", func() bool {
					return len(beside.got()) == 7 && len(sink.got()) >= test.sent && len(dead.got()) >= test.dead
				})
				left := full.Close()
				abandon(d)
				if name != "the lane is closed" && int(left)+len(sink.got())+len(dead.got()) < 7 {
					t.Errorf("%d were kept, %d sent, and %d became dead letters, want 7 in all", left, len(sink.got()), len(dead.got()))
				}
				if s := d.Status(); s.Events != 0 || s.Bytes != 0 {
					t.Errorf("at the end there are %+v", s)
				}
				wantOnDisk(t, open(), 0)
			})
		})
	}
}

// Without a place for dead letters events wait, until there is one; while it is gone again, what it has not had is kept for it.
func TestOverflowWithoutAPlaceForDeadLetters(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, open func() *dispatch.Disk) {
		away := &gate{}
		o := overflowing(&place{answer: away.answer}, nil)
		o.Overflow = false
		d, l := one(dispatch.Options{Disk: open()}, o)
		put(t, d, numbered("a", 3), l)
		o.Overflow = true
		l.Update(o)
		waits := putSoon(t.Context(), d, newEvent("waits"), l)
		eventually(t, "one waits", func() bool { return d.Status().Full })
		wantFull(t, l, true, true)
		room := &gate{}
		dead := &place{answer: room.answer}
		o.DeadLetter = dead
		l.Update(o)
		if err := <-waits; err != nil {
			t.Error(err)
		}
		eventually(t, "it has been tried, over and over", func() bool {
			for _, o.DeadLetter = range []dispatch.Destination{nil, dead} {
				l.Update(o)
			}
			return len(dead.asked()) > 50
		})
		o.DeadLetter = nil
		l.Update(o)
		later := &place{answer: script(errors.New("later"), nil)}
		put(t, d, numbered("later", 1), d.Lane(dispatch.LaneOptions{Name: "later", Destination: later, Retries: 1, Punctual: true, Backoff: func(int, time.Duration) time.Duration { return 50 * time.Millisecond }}))
		eventually(t, "its time would have come", func() bool { return len(later.got()) == 1 })
		wantFull(t, l, true, true)
		room.open.Store(true)
		o.DeadLetter, o.Overflow = dead, false
		l.Update(o)
		eventually(t, "it is a dead letter", func() bool { return fmt.Sprint(dead.got()) == "[waits]" && d.Status().Events == 3 })
		wantFull(t, l, true, true)
		abandon(d)
	})
}

// After a restart each of both has its own, whatever the lane says of its overflow by then.
func TestOverflowAfterARestart(t *testing.T) {
	t.Parallel()
	for _, overflow := range []bool{true, false} {
		t.Run(fmt.Sprint(overflow), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			away := &place{answer: (&gate{}).answer}
			d, l := one(dispatch.Options{Disk: openDisk(t, dir)}, overflowing(away, away))
			put(t, d, numbered("a", 6), l)
			eventually(t, "all is on disk", func() bool { return d.Status().Unsaved == 0 })
			abandon(d)
			sink, dead := &place{}, &place{}
			o := overflowing(sink, dead)
			o.Overflow, o.Ordering = overflow, dispatch.Strict
			d = dispatch.New(dispatch.Options{Disk: openDisk(t, dir), Undecodable: undecodable})
			l = d.Lane(o)
			wantFull(t, l, true, true)
			if left := d.Sweep(); left != 0 || d.Status().Events != 6 {
				t.Errorf("%d events are forgotten, and %d kept, want all 6", left, d.Status().Events)
			}
			d.Start()
			eventually(t, "all is done", func() bool { return d.Status().Events == 0 })
			drain(t, d)
			if fmt.Sprint(sink.got()) != "[a0 a1 a2]" || fmt.Sprint(sorted(dead)) != "[a3 a4 a5]" {
				t.Errorf("the sink got %v, and the place for dead letters %v", sink.got(), dead.got())
			}
			wantOnDisk(t, openDisk(t, dir), 0)
		})
	}
}

// What is delivered is in order, though events in between are dead letters.
func TestOverflowKeepsTheOrder(t *testing.T) {
	t.Parallel()
	for _, ordering := range []dispatch.Ordering{dispatch.ByKey, dispatch.Strict} {
		t.Run(string(ordering), func(t *testing.T) {
			t.Parallel()
			stores(t, func(t *testing.T, open func() *dispatch.Disk) {
				const events = 300
				back := &gate{}
				sink, dead := &place{answer: func(ctx context.Context, e event.Event) (dispatch.Answer, error) {
					time.Sleep(100 * time.Microsecond) // so that it is full now and then
					return back.answer(ctx, e)
				}}, &place{}
				o := overflowing(sink, dead)
				o.Ordering = ordering
				d, l := one(dispatch.Options{Disk: open()}, o)
				for i := range events {
					back.open.Store(i > 10)
					put(t, d, []event.Event{newEvent(fmt.Sprintf("%03d", i))}, l)
				}
				eventually(t, "all is done", func() bool { return d.Status().Events == 0 })
				drain(t, d)
				if got := sink.got(); !slices.IsSorted(got) || len(got)+len(dead.got()) != events || len(dead.got()) == 0 {
					t.Errorf("%d events came in order: %t, and %d are dead letters, want %d in all", len(got), slices.IsSorted(got), len(dead.got()), events)
				}
			})
		})
	}
}

// A place for dead letters that is away is asked with one event at a time, whatever has gone there; what it refuses for good is given up
// as any dead letter is. Both are counted.
func TestOverflowToAPlaceThatIsAway(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer      func(context.Context, event.Event) (dispatch.Answer, error)
		least, most int // requests to it
		kept        int64
		counted     string // where all are counted
	}{
		"no answer":        {says(errors.New("refused")), 20, 600, 1000, ""},
		"hangs":            {hangs, 5, 40, 1000, ""},
		"refused for good": {says(answered(400)), 1000, 1000, 0, "test.dropped"},
		"accepted":         {nil, 1000, 1000, 0, "test.dead_lettered"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d, collect := ofLanes(t, nil)
				dead := &place{answer: test.answer}
				o := overflowing(&place{answer: hangs}, dead)
				o.MaxEvents, o.Backoff, o.MaxInFlight = 1000, dispatch.Exponential(100*time.Millisecond, 30*time.Second), 4
				l := d.Lane(o)
				d.Start()
				put(t, d, numbered("a", 2000), l)
				time.Sleep(10 * time.Minute)
				if got := len(dead.asked()); got < test.least || got > test.most {
					t.Errorf("got %d requests in ten minutes, want %d to %d", got, test.least, test.most)
				}
				if got := d.Status().Events; got != 1000+test.kept {
					t.Errorf("%d events are kept, want %d", got, 1000+test.kept)
				}
				all := collect()
				if test.counted != "" {
					want := map[string]string{"eventmesh.reason=full,lane=full,messaging.destination.name=orders": "1000"}
					wantMetric{test.counted, kindCounter, "{event}", want}.check(t, all)
				}
				wantMetric{"test.destination.events", kindLevel, "{event}", map[string]string{"lane=full": fmt.Sprint(1000 + test.kept)}}.check(t, all)
				abandon(d)
			})
		})
	}
}
