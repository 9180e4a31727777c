package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

// slow is the answer of a place that takes its time, and then refuses.
func slow(ctx context.Context, _ event.Event) (dispatch.Answer, error) {
	select {
	case <-ctx.Done():
	case <-time.After(50 * time.Millisecond):
	}
	return dispatch.Answer{}, answered(500)
}

// A lane that is closed keeps nothing, and others are as they were.
func TestCloseForgets(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(context.Context, event.Event) (dispatch.Answer, error){
		"away": says(errors.New("refused")), "refuses": says(answered(500)), "is slow": slow,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, ordering := range []dispatch.Ordering{dispatch.Unordered, dispatch.ByKey, dispatch.Strict} {
				t.Run(string(ordering), func(t *testing.T) {
					t.Parallel()
					stores(t, func(t *testing.T, open func() *dispatch.Disk) {
						var acknowledged acknowledgements
						d := dispatch.New(dispatch.Options{Disk: open(), Acknowledge: acknowledged.add, Undecodable: undecodable, Workers: 4})
						bad, good := &place{answer: answer}, &place{}
						closed := d.Lane(dispatch.LaneOptions{Name: "closed", Destination: bad, Retries: -1, Ordering: ordering, MaxInFlight: 2})
						open1 := d.Lane(dispatch.LaneOptions{Name: "open", Destination: good, Retries: -1, Ordering: ordering})
						d.Start()
						put(t, d, numbered("both", 50), closed, open1)
						put(t, d, numbered("one", 20), closed)
						eventually(t, "the other has its own", func() bool { return len(good.got()) == 50 && len(bad.asked()) > 0 })
						if left := closed.Close(); left != 70 {
							t.Errorf("Close says that it forgets %d events, want 70", left)
						}
						if left := closed.Close(); left != 0 {
							t.Errorf("and %d when it is called again", left)
						}
						put(t, d, numbered("later", 10), closed, open1)
						put(t, d, numbered("nobody", 10), closed)
						eventually(t, "all is acknowledged, and nothing kept", func() bool {
							return d.Status().Events == 0 && len(good.got()) == 60 && acknowledged.all() == 90
						})
						asked := len(bad.asked())
						abandon(d)
						if got := len(bad.asked()); got != asked {
							t.Errorf("the place of the closed lane was asked %d times more", got-asked)
						}
						if s := d.Status(); s.Events != 0 || s.Bytes != 0 {
							t.Errorf("at the end there are %+v", s)
						}
						wantOnDisk(t, open(), 0)
					})
				})
			}
		})
	}
}

// Whatever comes of a request that is under way when its lane is closed changes nothing.
func TestCloseDuringARequest(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]error{"accepted": nil, "refused": answered(400), "later": answered(503), "unsendable": &dispatch.UnsendableError{Reason: errors.New("id")}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stores(t, func(t *testing.T, open func() *dispatch.Disk) {
				var acknowledged acknowledgements
				asked, release := make(chan struct{}), make(chan struct{})
				sink := &place{answer: func(context.Context, event.Event) (dispatch.Answer, error) {
					asked <- struct{}{}
					<-release
					return dispatch.Answer{}, answer
				}}
				dead := &place{}
				d, lane := one(dispatch.Options{Disk: open(), Acknowledge: acknowledged.add}, dispatch.LaneOptions{Destination: sink, DeadLetter: dead, Retries: 3})
				put(t, d, numbered("a", 1), lane)
				<-asked
				if left := lane.Close(); left != 1 || d.Status().Events != 0 {
					t.Errorf("Close says that it forgets %d events, want 1; %d are kept", left, d.Status().Events)
				}
				close(release)
				drain(t, d)
				if s := d.Status(); s.Events != 0 || s.Bytes != 0 || s.Unsaved != 0 || acknowledged.count("a0") != 1 || len(dead.got()) > 0 {
					t.Errorf("at the end there are %+v, %d acknowledgements and %d dead letters", s, acknowledged.count("a0"), len(dead.got()))
				}
			})
		})
	}
}

// Where a lane has filled what there is room for, closing it makes room for others.
func TestCloseMakesRoom(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, open func() *dispatch.Disk) {
		d := dispatch.New(dispatch.Options{Disk: open(), MaxEvents: 10, Undecodable: undecodable})
		full := d.Lane(dispatch.LaneOptions{Name: "full", Destination: &place{answer: says(answered(503))}, Retries: -1})
		sink := &place{}
		other := d.Lane(dispatch.LaneOptions{Name: "other", Destination: sink})
		d.Start()
		put(t, d, numbered("full", 10), full)
		waited := make(chan error, 1)
		go func() {
			waited <- d.Put(t.Context(), &dispatch.Message{Event: newEvent("a"), Topic: "orders"}, full, other)
		}()
		eventually(t, "it waits for room", func() bool { return d.Status().Full })
		full.Close()
		if err := <-waited; err != nil {
			t.Error(err)
		}
		eventually(t, "it has arrived", func() bool { return len(sink.got()) == 1 && d.Status().Events == 0 })
		drain(t, d)
	})
}

// Lanes come and go while others work.
func TestManyLanesComeAndGo(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, open func() *dispatch.Disk) {
		const lanes, each = 300, 5
		var acknowledged acknowledgements
		d := dispatch.New(dispatch.Options{Disk: open(), Undecodable: undecodable, Acknowledge: acknowledged.add})
		sink := &place{}
		stays := d.Lane(dispatch.LaneOptions{Name: "stays", Destination: sink, Ordering: dispatch.Strict})
		d.Start()
		for i := range lanes {
			away := &place{answer: script(nil, answered(500))}
			l := d.Lane(dispatch.LaneOptions{Name: fmt.Sprint("goes", i), Destination: away, Retries: -1, Ordering: dispatch.ByKey})
			put(t, d, numbered(fmt.Sprint(i, "-"), each), l, stays)
			l.Close()
		}
		eventually(t, "all have arrived", func() bool {
			return len(sink.got()) == lanes*each && d.Status().Events == 0 && acknowledged.all() == lanes*each
		})
		drain(t, d)
		wantOnDisk(t, open(), 0)
	})
}

// A lane that is updated sends what waits to its new destination, at once though the old one was away.
func TestUpdate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		longer := func(failures int, _ time.Duration) time.Duration { return time.Duration(failures) * time.Hour }
		before, after, dead := &place{answer: says(errors.New("refused"))}, &place{answer: onlyGood(answered(400), 0)}, &place{}
		d, lane := one(dispatch.Options{Workers: 1}, dispatch.LaneOptions{Destination: before, Retries: -1, Backoff: longer})
		put(t, d, append(numbered("a", 100), numbered("bad", 1)...), lane)
		time.Sleep(24 * time.Hour)
		tried := len(before.asked())
		lane.Update(dispatch.LaneOptions{Destination: after, DeadLetter: dead, Backoff: longer})
		synctest.Wait()
		if got := len(after.got()); got < 100-tried || len(dead.got()) != 1 {
			t.Errorf("got %d events, and %d dead letters, at once; want the %d that had not been tried, and one", got, len(dead.got()), 100-tried)
		}
		time.Sleep(24 * time.Hour)
		if got := len(after.got()); got != 100 || len(before.asked()) != tried {
			t.Errorf("got %d events, want all; the old destination was asked %d times more", got, len(before.asked())-tried)
		}
		drain(t, d)
	})
}

func TestUpdateLeavesTheOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, lane := one(dispatch.Options{}, dispatch.LaneOptions{Destination: &place{}, Ordering: dispatch.Strict})
		sink := &place{answer: func(context.Context, event.Event) (dispatch.Answer, error) {
			time.Sleep(time.Second)
			return dispatch.Answer{}, nil
		}}
		lane.Update(dispatch.LaneOptions{Name: "other", Destination: sink, Ordering: dispatch.Unordered})
		put(t, d, numbered("a", 3), lane)
		time.Sleep(1500 * time.Millisecond)
		if got := sink.asked(); fmt.Sprint(got) != "[a0 a1]" {
			t.Errorf("got requests for %v, want one after the other", got)
		}
		drain(t, d)
	})
}

// Where a place for dead letters is taken away, what waits for it is dropped, and told of.
func TestUpdateTakesThePlaceOfDeadLettersAway(t *testing.T) {
	t.Parallel()
	var acknowledged acknowledgements
	o := dispatch.LaneOptions{Name: "toy", Destination: &place{answer: says(answered(400))}, DeadLetter: &place{answer: says(answered(503))}}
	d, lane := one(dispatch.Options{Acknowledge: acknowledged.add}, o)
	put(t, d, numbered("bad", 3), lane)
	eventually(t, "they wait", func() bool { return d.Status().Events == 3 && d.Status().InFlight == 0 })
	o.DeadLetter = nil
	lane.Update(o)
	eventually(t, "they are dropped", func() bool { return d.Status().Events == 0 && acknowledged.all() == 3 })
	drain(t, d)
}

// What is on disk for a lane that does not come back is forgotten, and nothing else.
func TestSweep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := dispatch.New(dispatch.Options{Disk: openDisk(t, dir)})
	away := &place{answer: says(answered(503))}
	gone := d.Lane(dispatch.LaneOptions{Name: "gone", Destination: away, Retries: -1})
	stays := d.Lane(dispatch.LaneOptions{Name: "stays", Destination: away, Retries: -1})
	d.Start()
	put(t, d, numbered("both", 10), gone, stays)
	put(t, d, numbered("gone", 5), gone)
	eventually(t, "all is on disk", func() bool { return d.Status().Unsaved == 0 })
	abandon(d)

	sink := &place{}
	d = dispatch.New(dispatch.Options{Disk: openDisk(t, dir), Undecodable: undecodable})
	d.Lane(dispatch.LaneOptions{Name: "stays", Destination: sink})
	if got := d.Sweep(); got != 15 {
		t.Errorf("got %d events forgotten, want 15", got)
	}
	if got := d.Sweep(); got != 0 {
		t.Errorf("got %d when it is called again", got)
	}
	d.Start()
	eventually(t, "the other's have arrived", func() bool { return len(sink.got()) == 10 && d.Status().Events == 0 })
	drain(t, d)
	wantOnDisk(t, openDisk(t, dir), 0)
	memory := dispatch.New(dispatch.Options{})
	if got := memory.Sweep(); got != 0 {
		t.Errorf("got %d events forgotten in memory", got)
	}
}

// Whether the place for dead letters comes or goes meanwhile, a record that cannot be read is on disk until it is a dead letter.
func TestUpdateLosesNoRecord(t *testing.T) {
	t.Parallel()
	const records = 300
	dir := t.TempDir()
	p := run(t, dir, dispatch.LaneOptions{Destination: &toy{refuse: away}})
	for i := range records {
		p.put(fmt.Sprint(i))
	}
	p.awaitSaved()
	p.end()
	replace(t, dir, "data of ", "dat* of ")
	dead := &recorder{}
	o := dispatch.LaneOptions{Destination: &toy{}, DeadLetter: dead}
	p = run(t, dir, o)
	o.Retries = -1
	for p.Status().Events > 0 {
		for _, o.DeadLetter = range []dispatch.Destination{nil, dead} {
			p.lane.Update(o)
		}
	}
	p.end()
	disk := openDisk(t, dir)
	letters := map[string]bool{}
	for _, e := range dead.all() {
		letters[string(e.Data())] = true
	}
	if left := disk.Events(); left+len(letters) < records {
		t.Errorf("%d records became dead letters, and %d are on disk: %d are lost", len(letters), left, records-left-len(letters))
	}
	if err := disk.Close(); err != nil {
		t.Error(err)
	}
}

// A lane may have the name of one that was closed: it has nothing of that one, and loses nothing of its own, whatever the disk has done
// meanwhile.
func TestNameOfAClosedLane(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, open func() *dispatch.Disk) {
		d := dispatch.New(dispatch.Options{Disk: open(), Undecodable: undecodable})
		away, beside := &place{answer: says(errors.New("refused"))}, &place{}
		o := dispatch.LaneOptions{Name: "lane", Destination: away, Retries: -1}
		other := d.Lane(dispatch.LaneOptions{Name: "other", Destination: beside})
		d.Start()
		for i := range 50 {
			old := d.Lane(o)
			put(t, d, numbered(fmt.Sprintf("old-%d", i), 5), old, other)
			old.Close()
		}
		good := &place{}
		o.Destination = good
		again := d.Lane(o)
		put(t, d, numbered("new", 20), again, other)
		eventually(t, "the new lane has its own", func() bool { return len(good.got()) == 20 })
		for _, id := range good.got() {
			if !strings.HasPrefix(id, "new") {
				t.Errorf("it got %s of a lane before", id)
			}
		}
		eventually(t, "nothing is kept", func() bool { return d.Status().Events == 0 })
		drain(t, d)
		wantOnDisk(t, open(), 0)
	})
}

// So it is after a restart.
func TestNameOfAClosedLaneAfterARestart(t *testing.T) {
	t.Parallel()
	for i := range 10 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			d := dispatch.New(dispatch.Options{Disk: openDisk(t, dir), Undecodable: undecodable})
			o := dispatch.LaneOptions{Name: "lane", Destination: &place{answer: says(errors.New("refused"))}, Retries: -1}
			old := d.Lane(o)
			d.Start()
			put(t, d, numbered("old", 5), old)
			old.Close()
			put(t, d, numbered("new", 5), d.Lane(o))
			eventually(t, "all is on disk", func() bool { return d.Status().Unsaved == 0 })
			abandon(d)
			good := &place{}
			o.Destination = good
			d = dispatch.New(dispatch.Options{Disk: openDisk(t, dir), Undecodable: undecodable})
			d.Lane(o)
			d.Start()
			eventually(t, "all is delivered", func() bool { return d.Status().Events == 0 })
			drain(t, d)
			if got := good.got(); len(got) != 5 || !strings.HasPrefix(got[0], "new") {
				t.Errorf("got %v, want what was put into the second lane", got)
			}
		})
	}
}

// What is on disk is sent though its lane is added to a dispatcher that has started, and waits.
func TestLaneOfADispatcherThatWaits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d, l := one(dispatch.Options{Disk: openDisk(t, dir), Undecodable: undecodable}, dispatch.LaneOptions{Name: "lane", Destination: &place{answer: says(errors.New("refused"))}, Retries: -1})
	put(t, d, numbered("a", 5), l)
	eventually(t, "all is on disk", func() bool { return d.Status().Unsaved == 0 })
	abandon(d)
	d = dispatch.New(dispatch.Options{Disk: openDisk(t, dir), Undecodable: undecodable})
	d.Start()
	first := &place{}
	put(t, d, numbered("first", 1), d.Lane(dispatch.LaneOptions{Name: "first", Destination: first}))
	eventually(t, "it waits for more", func() bool { return d.Status().Events == 0 })
	good := &place{}
	d.Lane(dispatch.LaneOptions{Name: "lane", Destination: good})
	eventually(t, "all is delivered", func() bool { return len(good.got()) == 5 })
	drain(t, d)
}

// A lane that is paused keeps what it has, on disk too, and sends all of it later.
func TestPausedLane(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, open func() *dispatch.Disk) {
		d := dispatch.New(dispatch.Options{Disk: open(), Undecodable: undecodable})
		p, beside := &place{}, &place{}
		o := dispatch.LaneOptions{Name: "paused", Destination: p, Paused: true}
		l, other := d.Lane(o), d.Lane(dispatch.LaneOptions{Name: "other", Destination: beside})
		d.Start()
		put(t, d, numbered("a", 100), l, other)
		eventually(t, "the other lane has its own", func() bool { return len(beside.got()) == 100 && d.Status().Events == 100 })
		if got := p.asked(); len(got) > 0 {
			t.Errorf("a paused lane sent %v", got)
		}
		o.Paused = false
		l.Update(o)
		eventually(t, "all is delivered", func() bool { return len(p.got()) == 100 && d.Status().Events == 0 })
		drain(t, d)
	})
}

// Nothing goes to where events of a lane go that is paused: also what was chosen before, and comes to be sent after.
func TestPausedLaneSendsNothing(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, open func() *dispatch.Disk) {
		const events = 1000
		var asked atomic.Int64
		p, unknown := &place{answer: func(context.Context, event.Event) (a dispatch.Answer, err error) {
			if asked.Add(1)%10 > 0 {
				err = answered(500)
			}
			return a, err
		}}, &place{}
		o := dispatch.LaneOptions{Destination: p, Retries: -1, Punctual: true, Backoff: func(failures int, _ time.Duration) time.Duration {
			if failures < 1 {
				t.Errorf("asked for the wait after %d failures", failures)
			}
			return 0
		}}
		d, l := one(dispatch.Options{Disk: open()}, o)
		put(t, d, numbered("a", events), l)
		paused := o
		paused.Paused, paused.Destination = true, unknown
		eventually(t, "all is delivered", func() bool {
			l.Update(paused)
			l.Update(o)
			return d.Status().Events == 0
		})
		if got := unknown.asked(); len(got) > 0 {
			t.Errorf("a paused lane sent %d events", len(got))
		}
		drain(t, d)
	})
}
