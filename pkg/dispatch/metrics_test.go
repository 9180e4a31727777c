package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/embedded"
	"go.opentelemetry.io/otel/metric/noop"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

// metered returns telemetry, and a function that collects it by name.
func metered(t *testing.T, topics ...string) (*dispatch.Telemetry, func() map[string]metricdata.Metrics) {
	t.Helper()
	reader := sdk.NewManualReader()
	telemetry, err := dispatch.NewTelemetry(dispatch.TelemetryOptions{
		Provider: sdk.NewMeterProvider(sdk.WithReader(reader)), Scope: "shop", Prefix: "eventmesh.source",
		Attributes: []attribute.KeyValue{attribute.String("messaging.consumer.group.name", "billing")}, Topics: topics,
	})
	if err != nil {
		t.Fatal(err)
	}
	return telemetry, func() map[string]metricdata.Metrics {
		t.Helper()
		return collected(t, reader)
	}
}

// collected returns the metrics of the scope shop by their names.
func collected(t *testing.T, reader sdk.Reader) map[string]metricdata.Metrics {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &all); err != nil {
		t.Fatal(err)
	}
	byName := map[string]metricdata.Metrics{}
	for _, scope := range all.ScopeMetrics {
		if scope.Scope.Name != "shop" {
			t.Errorf("got scope %q, want shop", scope.Scope.Name)
		}
		for _, one := range scope.Metrics {
			byName[one.Name] = one
		}
	}
	return byName
}

const (
	kindCounter   = "counter"
	kindLevel     = "up-down counter"
	kindGauge     = "gauge"
	kindHistogram = "histogram"
)

// describeMetric returns the kind of a metric and its points, by their attributes: the value, or how many were measured and
// their sum. Points at 0 are left out for counters.
func describeMetric(t *testing.T, one metricdata.Metrics) (kind string, points map[string]string) {
	t.Helper()
	points = map[string]string{}
	key := func(set attribute.Set) string { return set.Encoded(attribute.DefaultEncoder()) }
	switch data := one.Data.(type) {
	case metricdata.Sum[int64]:
		kind = kindLevel
		if data.IsMonotonic {
			kind = kindCounter
		}
		for _, p := range data.DataPoints {
			if p.Value != 0 || kind == kindLevel {
				points[key(p.Attributes)] = fmt.Sprint(p.Value)
			}
		}
	case metricdata.Gauge[int64]:
		kind = kindGauge
		for _, p := range data.DataPoints {
			points[key(p.Attributes)] = fmt.Sprint(p.Value)
		}
	case metricdata.Gauge[float64]:
		kind = kindGauge
		for _, p := range data.DataPoints {
			points[key(p.Attributes)] = fmt.Sprint(p.Value)
		}
	case metricdata.Histogram[int64]:
		kind = kindHistogram
		for _, p := range data.DataPoints {
			points[key(p.Attributes)] = fmt.Sprintf("%d, sum %d", p.Count, p.Sum)
		}
	case metricdata.Histogram[float64]:
		kind = kindHistogram
		for _, p := range data.DataPoints {
			points[key(p.Attributes)] = fmt.Sprintf("%d, sum %g", p.Count, p.Sum)
		}
	default:
		t.Fatalf("%s has data of type %T", one.Name, one.Data)
	}
	return kind, points
}

const (
	billing = "messaging.consumer.group.name=billing"
	orders  = billing + ",messaging.destination.name=orders"
	unknown = billing + ",messaging.destination.name="
)

// wantMetric is a metric with its points.
type wantMetric struct {
	name, kind, unit string
	points           map[string]string
}

func (want wantMetric) check(t *testing.T, all map[string]metricdata.Metrics) {
	t.Helper()
	got, ok := all[want.name]
	if !ok {
		t.Errorf("%s does not exist", want.name)
		return
	}
	if got.Unit != want.unit || got.Description == "" {
		t.Errorf("%s: got unit %q and description %q, want unit %q and a description", want.name, got.Unit, got.Description, want.unit)
	}
	kind, points := describeMetric(t, got)
	if kind != want.kind || !maps.Equal(points, want.points) {
		t.Errorf("%s: got %s %v\nwant %s %v", want.name, kind, points, want.kind, want.points)
	}
}

// outcome is an answer after a while.
type outcome struct {
	status int
	after  time.Duration
}

// scripted is a destination that gives each event its outcomes, one after the other.
type scripted struct {
	mu       sync.Mutex
	outcomes map[string][]outcome
}

func (s *scripted) Send(ctx context.Context, e event.Event) (dispatch.Answer, error) {
	s.mu.Lock()
	next := s.outcomes[e.ID()][0]
	s.outcomes[e.ID()] = s.outcomes[e.ID()][1:]
	s.mu.Unlock()
	select {
	case <-time.After(next.after):
	case <-ctx.Done():
		return dispatch.Answer{}, ctx.Err()
	}
	switch {
	case next.status == 0:
		return dispatch.Answer{}, errors.New("connection refused")
	case next.status < 200 || next.status > 299:
		return dispatch.Answer{Status: next.status}, &dispatch.Rejection{Status: next.status}
	default:
		return dispatch.Answer{Status: next.status}, nil
	}
}

func (*scripted) String() string { return "script" }

// ofScript returns a dispatcher in memory that is measured, and has put the events of a script, with their topics.
func ofScript(t *testing.T, telemetry *dispatch.Telemetry, o dispatch.LaneOptions, s *scripted, topics map[string]string) *dispatch.Dispatcher {
	t.Helper()
	o.Destination = s
	d := dispatch.New(dispatch.Options{Telemetry: telemetry, MaxEvents: 2000, MaxBytes: 1 << 20})
	lane := d.Lane(o)
	d.Start()
	for _, id := range slices.Sorted(maps.Keys(s.outcomes)) {
		m := &dispatch.Message{Event: newEvent(id), Topic: topics[id]}
		if id == "undecodable" {
			m.Undecodable = errors.New("no JSON")
		}
		if err := d.Put(t.Context(), m, lane); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func TestWhatBecomesOfEventsIsCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // whose time goes on when all wait
		telemetry, collect := metered(t)
		topics := map[string]string{}
		outcomes := map[string][]outcome{
			"accepted": {{202, 500 * time.Millisecond}}, "late": {{503, 2 * time.Second}, {202, 250 * time.Millisecond}},
			"away": {{0, 30 * time.Second}, {999, time.Second}}, "no status": {{-1, time.Second}},
			"refused": {{302, time.Second}}, "undecodable": {},
		}
		for id := range outcomes {
			topics[id] = "orders"
		}
		topics["refused"] = "" // not known
		s := &scripted{outcomes: outcomes}
		d := ofScript(t, telemetry, dispatch.LaneOptions{Retries: 1, DeadLetter: &toy{}}, s, topics)
		drain(t, d)
		telemetry.Dropped("orders", dispatch.ReasonUndecodable)
		all := collect()
		status := func(errorType, code string) string {
			return "error.type=" + errorType + ",http.response.status_code=" + code + "," + billing
		}
		for _, want := range []wantMetric{
			{"eventmesh.source.delivered", kindCounter, "{event}", map[string]string{orders: "2"}},
			{"eventmesh.source.redelivered", kindCounter, "{request}", map[string]string{orders: "2"}},
			{"eventmesh.source.dead_lettered", kindCounter, "{event}", map[string]string{
				"eventmesh.reason=rejected," + unknown: "1", "eventmesh.reason=rejected," + orders: "1", "eventmesh.reason=retries," + orders: "1", "eventmesh.reason=undecodable," + orders: "1",
			}},
			{"eventmesh.source.dropped", kindCounter, "{event}", map[string]string{"eventmesh.reason=undecodable," + orders: "1"}},
			{"kn.eventing.dispatch.duration", kindHistogram, "s", map[string]string{
				"http.response.status_code=202," + billing: "2, sum 0.75",
				status("302", "302"):                       "1, sum 1", status("503", "503"): "1, sum 2", "error.type=no_answer," + billing: "3, sum 32",
			}},
		} {
			want.check(t, all)
		}
	})
}

// ofLanes returns a dispatcher that tells lanes apart, in memory or on a disk, and its metrics.
func ofLanes(t *testing.T, disk *dispatch.Disk) (*dispatch.Dispatcher, func() map[string]metricdata.Metrics) {
	t.Helper()
	reader := sdk.NewManualReader()
	telemetry, err := dispatch.NewTelemetry(dispatch.TelemetryOptions{
		Provider: sdk.NewMeterProvider(sdk.WithReader(reader)), Scope: "shop", Prefix: "test",
		Lane: func(label string) []attribute.KeyValue { return []attribute.KeyValue{attribute.String("lane", label)} },
	})
	if err != nil {
		t.Fatal(err)
	}
	return dispatch.New(dispatch.Options{Disk: disk, Undecodable: undecodable, Telemetry: telemetry}), func() map[string]metricdata.Metrics {
		t.Helper()
		return collected(t, reader)
	}
}

// Where lanes are told apart, each has counters that start at 0, and its own events that are kept.
func TestLanesAreToldApart(t *testing.T) {
	t.Parallel()
	d, collect := ofLanes(t, nil)
	good := d.Lane(dispatch.LaneOptions{Name: "1", Label: "good", Destination: &place{}})
	paused := d.Lane(dispatch.LaneOptions{Name: "2", Label: "paused", Paused: true})
	d.Start()
	collect() // which shows the lanes, before there is anything to count
	put(t, d, numbered("a", 3), good, paused)
	eventually(t, "one has its events", func() bool { return d.Status().Events == 3 })
	all := collect()
	dropped := all["test.dropped"].Data.(metricdata.Sum[int64]).DataPoints
	if !slices.ContainsFunc(dropped, func(p metricdata.DataPoint[int64]) bool {
		lane, _ := p.Attributes.Value("lane")
		return p.Value == 0 && lane.AsString() == "good"
	}) {
		t.Errorf("the counters of a lane do not start at 0: %v", dropped)
	}
	for _, want := range []wantMetric{
		{"test.delivered", kindCounter, "{event}", map[string]string{"lane=good,messaging.destination.name=orders": "3"}},
		{"test.destination.events", kindLevel, "{event}", map[string]string{"lane=good": "0", "lane=paused": "3"}},
	} {
		want.check(t, all)
	}
	abandon(d)
}

// However many lanes there are, metrics show the events of all.
func TestManyLanesAreShown(t *testing.T) {
	t.Parallel()
	d, collect := ofLanes(t, nil)
	d.Start()
	const lanes = 1200
	for i := range lanes {
		name := fmt.Sprint(i)
		put(t, d, numbered("a", 1), d.Lane(dispatch.LaneOptions{Name: name, Label: name, Paused: true}))
	}
	points := collect()["test.destination.events"].Data.(metricdata.Sum[int64]).DataPoints
	sum := int64(0)
	for _, p := range points {
		sum += p.Value
	}
	if sum != lanes || len(points) >= lanes {
		t.Errorf("got %d events in %d series, want %d in fewer", sum, len(points), lanes)
	}
	abandon(d)
}

// Each lane shows its own state: how much is kept, since when, and whether its destination answers.
func TestStateOfLanesIsShown(t *testing.T) {
	t.Parallel()
	away := &toy{refuse: func(event.Event) error { return &dispatch.Rejection{Status: 503} }}
	lanes := map[string]struct { // which get two events, of 1 KiB and a little more
		dispatch.LaneOptions
		events, filled, age, available string
	}{
		"good":       {dispatch.LaneOptions{MaxEvents: 4}, "0", "0", "0", "1"},
		"away":       {dispatch.LaneOptions{Destination: away, Retries: -1}, "2", "0", "100", "0"},
		"some":       {dispatch.LaneOptions{Paused: true, MaxEvents: 4, MaxBytes: 1 << 20}, "2", "0.5", "100", "1"},
		"full":       {dispatch.LaneOptions{Paused: true, MaxEvents: 2}, "2", "1", "100", "1"},
		"large":      {dispatch.LaneOptions{Paused: true, MaxEvents: 100, MaxBytes: 2500}, "2", "1", "100", "1"},
		"overflows":  {dispatch.LaneOptions{Paused: true, MaxEvents: 2, DeadLetter: away, Overflow: true}, "2", "0.5", "100", "1"},
		"overflowed": {dispatch.LaneOptions{Paused: true, MaxEvents: 1, DeadLetter: away, Overflow: true}, "2", "1", "100", "1"},
		"cannot":     {dispatch.LaneOptions{Paused: true, MaxEvents: 2, Overflow: true}, "2", "1", "100", "1"},
	}
	stores(t, func(t *testing.T, open func() *dispatch.Disk) {
		synctest.Test(t, func(t *testing.T) {
			d, collect := ofLanes(t, open())
			var all []*dispatch.Lane
			events, filled, ages, available := map[string]string{}, map[string]string{}, map[string]string{}, map[string]string{}
			for name, lane := range lanes {
				lane.Name, lane.Label = name, name
				if lane.Destination == nil {
					lane.Destination = &toy{}
				}
				all = append(all, d.Lane(lane.LaneOptions))
				key := "lane=" + name
				events[key], filled[key], ages[key], available[key] = lane.events, lane.filled, lane.age, lane.available
			}
			twin := d.Lane(dispatch.LaneOptions{Name: "some more", Label: "some", Destination: &toy{}, Paused: true, MaxEvents: 4})
			events["lane=some"] = "3"
			d.Start()
			put(t, d, numbered("a", 2), all...)
			time.Sleep(90 * time.Second)
			put(t, d, numbered("b", 1), twin)
			time.Sleep(10 * time.Second)
			synctest.Wait()
			got := collect()
			for _, want := range []wantMetric{
				{"test.destination.events", kindLevel, "{event}", events},
				{"test.destination.filled", kindGauge, "1", filled},
				{"test.destination.oldest.age", kindGauge, "s", ages},
				{"test.sink.available", kindGauge, "{sink}", available},
			} {
				want.check(t, got)
			}
			for _, name := range []string{"test.buffer.limit.events", "test.buffer.limit.bytes"} {
				if _, shown := got[name]; shown {
					t.Errorf("%s is shown where there is no bound", name)
				}
			}
			abandon(d)
		})
	})
}

func TestStateIsShown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		telemetry, collect := metered(t)
		const long = time.Hour
		s := &scripted{outcomes: map[string][]outcome{"a": {{503, time.Second}, {503, long}}, "b": {{202, long}}, "c": {{202, long}}}}
		d := ofScript(t, telemetry, dispatch.LaneOptions{Retries: -1, Backoff: dispatch.Exponential(time.Second, time.Second)}, s, nil)
		time.Sleep(90 * time.Second)
		synctest.Wait()
		all := collect()
		for _, want := range []wantMetric{
			{"eventmesh.source.buffer.events", kindLevel, "{event}", map[string]string{billing: "3"}},
			{"eventmesh.source.buffer.bytes", kindLevel, "By", map[string]string{billing: fmt.Sprint(d.Status().Bytes)}},
			{"eventmesh.source.buffer.limit.events", kindLevel, "{event}", map[string]string{billing: "2000"}},
			{"eventmesh.source.buffer.limit.bytes", kindLevel, "By", map[string]string{billing: "1048576"}},
			{"eventmesh.source.buffer.oldest.age", kindGauge, "s", map[string]string{billing: "90"}},
			{"eventmesh.source.in_flight", kindLevel, "{request}", map[string]string{billing: "3"}},
			{"eventmesh.source.sink.available", kindGauge, "{sink}", map[string]string{billing: "0"}},
			{"eventmesh.source.spool.writable", kindGauge, "{spool}", map[string]string{billing: "1"}},
			{"eventmesh.source.spool.unreadable", kindLevel, "{record}", map[string]string{billing: "0"}},
		} {
			want.check(t, all)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		d.Drain(ctx)
	})
}

// TestSpoolIsMeasured has a directory that is moved away, so that the third commit fails.
func TestSpoolIsMeasured(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "spool")
	telemetry, collect := metered(t)
	sink := &toy{refuse: func(event.Event) error { return &dispatch.Rejection{Status: 503} }}
	safe := make(chan int)
	acknowledge := func(all []*dispatch.Message) { safe <- len(all) }
	d := dispatch.New(dispatch.Options{Disk: openDisk(t, dir), Undecodable: undecodable, Telemetry: telemetry, Acknowledge: acknowledge})
	lane := d.Lane(dispatch.LaneOptions{Name: "toy", Destination: sink, Retries: -1})
	d.Start()
	put := func(ids ...string) {
		for _, id := range ids {
			if err := d.Put(t.Context(), &dispatch.Message{Event: newEvent(id)}, lane); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, id := range []string{"a", "b"} {
		put(id)
		if got := <-safe; got != 1 {
			t.Errorf("%d events are safe, want one", got)
		}
	}
	if err := os.Rename(dir, dir+" elsewhere"); err != nil {
		t.Fatal(err)
	}
	put("c")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d.Drain(ctx)
	all := collect()
	for _, want := range []wantMetric{
		{"eventmesh.source.spool.commit.events", kindHistogram, "{event}", map[string]string{billing: "2, sum 2"}},
		{"eventmesh.source.spool.writable", kindGauge, "{spool}", map[string]string{billing: "0"}},
		{"eventmesh.source.buffer.events", kindLevel, "{event}", map[string]string{billing: "3"}},
	} {
		want.check(t, all)
	}
	counts := map[string]uint64{}
	for _, p := range all["eventmesh.source.spool.commit.duration"].Data.(metricdata.Histogram[float64]).DataPoints {
		counts[p.Attributes.Encoded(attribute.DefaultEncoder())] = p.Count
	}
	if counts[billing] != 2 || counts["error.type=_OTHER,"+billing] == 0 || all["eventmesh.source.spool.commit.duration"].Unit != "s" {
		t.Errorf("got %v commits, want two, and others that failed", counts)
	}
}

func TestHistogramsHaveTheBucketsOfKnative(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		telemetry, collect := metered(t)
		drain(t, ofScript(t, telemetry, dispatch.LaneOptions{}, &scripted{outcomes: map[string][]outcome{"a": {{202, time.Second}}}}, nil))
		data, ok := collect()["kn.eventing.dispatch.duration"].Data.(metricdata.Histogram[float64])
		if !ok || len(data.DataPoints) != 1 {
			t.Fatalf("got %+v, want a histogram with one point", data)
		}
		want := []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
		if got := data.DataPoints[0].Bounds; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestAgeOfTheOldestEvent(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		received time.Duration // before now
		want     string
	}{{"old", time.Minute, "60"}, {"of a clock set back", -time.Minute, "0"}, {"kept by another process", time.Hour, "3600"}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) { // time stands still
				o := dispatch.Options{Undecodable: undecodable}
				var collect func() map[string]metricdata.Metrics
				o.Telemetry, collect = metered(t)
				age := wantMetric{"eventmesh.source.buffer.oldest.age", kindGauge, "s", map[string]string{billing: test.want}}
				hanging := dispatch.LaneOptions{Name: "toy", Destination: &scripted{outcomes: map[string][]outcome{"a": {{202, time.Hour}}}}}
				if test.name == "kept by another process" {
					o.Disk = openDisk(t, dir)
				}
				d := dispatch.New(o)
				lane := d.Lane(hanging)
				d.Start()
				if err := d.Put(t.Context(), &dispatch.Message{Event: newEvent("a"), Received: time.Now().Add(-test.received)}, lane); err != nil {
					t.Fatal(err)
				}
				if o.Disk == nil {
					age.check(t, collect())
				}
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				d.Drain(ctx)
				if o.Disk == nil {
					return
				}
				o.Disk, o.Telemetry = openDisk(t, dir), nil
				o.Telemetry, collect = metered(t)
				d = dispatch.New(o)
				d.Lane(hanging)
				age.check(t, collect())
				d.Start()
				d.Drain(ctx)
			})
		})
	}
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		telemetry, collect := metered(t)
		dispatch.New(dispatch.Options{Telemetry: telemetry})
		wantMetric{"eventmesh.source.buffer.oldest.age", kindGauge, "s", map[string]string{billing: "0"}}.check(t, collect())
	})
}

// A counter that appears with its first event has no increase that an alert could see.
func TestExpectedCountersStartAtZero(t *testing.T) {
	t.Parallel()
	telemetry, collect := metered(t)
	telemetry.Expect("", "orders")
	data, ok := collect()["eventmesh.source.dropped"].Data.(metricdata.Sum[int64])
	if !ok || !slices.ContainsFunc(data.DataPoints, func(p metricdata.DataPoint[int64]) bool {
		topic, _ := p.Attributes.Value("messaging.destination.name")
		return topic.AsString() == "orders" && p.Value == 0
	}) {
		t.Errorf("got %+v, want counters of the topic", data.DataPoints)
	}
}

func TestCountersOfATopicStartAtZero(t *testing.T) {
	t.Parallel()
	_, collect := metered(t, "orders", "payments")
	got := collect()
	for name, want := range map[string]int{
		"eventmesh.source.delivered": 1, "eventmesh.source.redelivered": 1, "eventmesh.source.dead_lettered": 3, "eventmesh.source.dropped": 3,
	} {
		data, ok := got[name].Data.(metricdata.Sum[int64])
		if !ok {
			t.Errorf("%s: got %T, want a sum", name, got[name].Data)
			continue
		}
		of := map[string]int{}
		for _, p := range data.DataPoints {
			if p.Value != 0 {
				t.Errorf("%s: got %d for %v, want 0", name, p.Value, p.Attributes)
			}
			topic, _ := p.Attributes.Value("messaging.destination.name")
			of[topic.AsString()]++
		}
		for _, topic := range []string{"orders", "payments"} {
			if of[topic] != want {
				t.Errorf("%s: got %d for topic %s, want %d", name, of[topic], topic, want)
			}
		}
	}
}

func TestTopicsAreBounded(t *testing.T) {
	t.Parallel()
	const most = 1000
	telemetry, collect := metered(t)
	s, topics := &scripted{outcomes: map[string][]outcome{}}, map[string]string{}
	for i := range most + 5 {
		id := fmt.Sprint(i)
		s.outcomes[id], topics[id] = []outcome{{status: 202}}, "topic-"+id
	}
	drain(t, ofScript(t, telemetry, dispatch.LaneOptions{}, s, topics))
	_, points := describeMetric(t, collect()["eventmesh.source.delivered"])
	if got := len(points); got != most {
		t.Errorf("got %d topics, want %d", got, most)
	}
	if got, want := points[unknown], "6"; got != want {
		t.Errorf("got %s of no topic, want %s", got, want)
	}
}

func TestTelemetryConcurrently(t *testing.T) {
	t.Parallel()
	telemetry, collect := metered(t)
	const goroutines, events = 8, 200
	var all sync.WaitGroup
	for range goroutines {
		all.Go(func() {
			for i := range events {
				telemetry.Dropped(fmt.Sprintf("topic-%d", i%20), dispatch.ReasonUndecodable)
				if i%50 == 0 {
					collect()
				}
			}
		})
	}
	all.Wait()
	var got int64
	for _, p := range collect()["eventmesh.source.dropped"].Data.(metricdata.Sum[int64]).DataPoints {
		got += p.Value
	}
	if want := int64(goroutines * events); got != want {
		t.Errorf("got %d events, want %d", got, want)
	}
}

func TestClosedTelemetryAsksForNoState(t *testing.T) {
	t.Parallel()
	telemetry, collect := metered(t)
	dispatch.New(dispatch.Options{Telemetry: telemetry})
	if _, ok := collect()["eventmesh.source.buffer.events"]; !ok {
		t.Error("got nothing before it is closed")
	}
	if err := telemetry.Close(); err != nil {
		t.Fatal(err)
	}
	if got, ok := collect()["eventmesh.source.buffer.events"]; ok {
		t.Errorf("got %+v after close, want nothing", got)
	}
	if err := telemetry.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

// refusingMeter is a meter that refuses one instrument.
type refusingMeter struct {
	noop.Meter
	name string
}

// oneMeter provides one meter.
type oneMeter struct {
	embedded.MeterProvider
	meter metric.Meter
}

func (p oneMeter) Meter(string, ...metric.MeterOption) metric.Meter { return p.meter }

var errNoInstrument = errors.New("refused")

func (r refusingMeter) refuse(name string) error {
	if name == r.name {
		return errNoInstrument
	}
	return nil
}

func (r refusingMeter) Int64Counter(name string, _ ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	return noop.Int64Counter{}, r.refuse(name)
}

func (r refusingMeter) Float64ObservableGauge(name string, _ ...metric.Float64ObservableGaugeOption) (metric.Float64ObservableGauge, error) {
	return noop.Float64ObservableGauge{}, r.refuse(name)
}

func TestMetricThatCannotBeCreated(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"shop.dropped", "shop.buffer.oldest.age"} {
		telemetry, err := dispatch.NewTelemetry(dispatch.TelemetryOptions{Provider: oneMeter{meter: refusingMeter{name: name}}, Prefix: "shop"})
		if !errors.Is(err, errNoInstrument) || !strings.Contains(fmt.Sprint(err), name) || telemetry != nil {
			t.Errorf("%s: got %v and %v, want no telemetry and an error that names it", name, telemetry, err)
		}
	}
}
