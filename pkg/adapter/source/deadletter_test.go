package source

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsonevent"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/delivery"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

// keeping returns a source that is no member of a group, and keeps what it is given for a sink.
func keeping(t *testing.T, sink *fakeSink, c *Config, disk *dispatch.Disk) *source {
	t.Helper()
	c.SinkTimeout, c.MaxInFlight = 30, 1
	for url, to := range map[string]*SinkURL{sink.url: &c.SinkURL, sink.url + "/dead": &c.DeadLetterSink} {
		if err := to.Decode(url); err != nil {
			t.Fatal(err)
		}
	}
	s := &source{config: c, logger: zap.NewNop().Sugar(), onDisk: disk != nil}
	var err error
	if s.telemetry, s.metrics, err = newTelemetry(noop.NewMeterProvider(), c, func() bool { return false }); err != nil {
		t.Fatal(err)
	}
	s.dispatcher = dispatch.New(dispatch.Options{Disk: disk, Acknowledge: s.acknowledge, Undecodable: delivery.NoEvent, Telemetry: s.telemetry})
	place, err := s.deadLetter()
	if err != nil {
		t.Fatal(err)
	}
	s.lane = s.dispatcher.Lane(dispatch.LaneOptions{
		Name: laneName, Destination: s.overHTTP(c.SinkURL, c.ContentMode, true), DeadLetter: place, Retries: -1, Ordering: dispatch.Strict,
	})
	return s
}

// finish delivers what the source keeps.
func (s *source) finish(t *testing.T) {
	t.Helper()
	s.dispatcher.Start()
	eventually(t, func() string {
		if n := s.dispatcher.Status().Events; n > 0 {
			return fmt.Sprintf("%d events are left", n)
		}
		return ""
	})
	s.dispatcher.Drain(t.Context())
	if err := s.close(); err != nil {
		t.Error(err)
	}
}

func TestUndecodableIsWrapped(t *testing.T) {
	t.Parallel()
	raw := []byte{0, 255, '{'}
	for _, topic := range []string{"orders", ""} {
		var acknowledged atomic.Int32
		sink := newSink(t)
		s := keeping(t, sink, &Config{Overrides: Overrides{"tenant": "one"}}, nil)
		for range 2 {
			d := &eventmesh.Delivery{Topic: topic, Raw: raw, Err: errors.New("no JSON"), Acknowledger: &acknowledger{count: &acknowledged}}
			if err := s.keep(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
		if acknowledged.Load() != 0 {
			t.Error("it is acknowledged before it is safe")
		}
		s.finish(t)
		if n := len(sink.taken); n != 1 || sink.requests() != 2 || acknowledged.Load() != 2 {
			t.Errorf("got %d dead letters in %d requests, and %d acknowledgements; want the same twice", n, sink.requests(), acknowledged.Load())
		}
		for id, e := range sink.taken {
			if err := e.Validate(); err != nil || string(e.Data()) != string(raw) || e.Type() != delivery.UndecodableType || e.Source() != "eventmesh:"+topic || id == "" {
				t.Errorf("got %v, %v; want what came, as an event", e, err)
			}
			if reason, _ := base64.StdEncoding.DecodeString(fmt.Sprint(e.Extensions()["knativeerrordata"])); string(reason) != "no JSON" {
				t.Errorf("got the reason %s", reason)
			}
		}
	}
}

// What a record cannot hold is no event, and goes to the dead letters as it came.
func TestEventThatNoRecordHoldsBecomesADeadLetter(t *testing.T) {
	t.Parallel()
	beyond := sample("beyond")
	beyond.SetTime(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC))
	before := sample("before")
	before.SetTime(time.Date(0, 1, 1, 0, 0, 0, 0, time.FixedZone("", 3600)))
	data := sample("data")
	data.Context.(*event.EventContextV1).Extensions["data"] = int32(5)
	unknown := sample("unknown")
	unknown.Context.(*event.EventContextV1).Extensions["unknown"] = struct{}{}
	disk, err := dispatch.OpenDisk(dispatch.DiskOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	sink := newSink(t)
	var got []event.Event
	sink.onTaken(func(e event.Event) { got = append(got, e) })
	s := keeping(t, sink, &Config{}, disk)
	for _, e := range []event.Event{beyond, before, data, unknown, sample("good")} {
		if err := s.keep(t.Context(), &eventmesh.Delivery{Event: e, Topic: "orders"}); err != nil {
			t.Fatal(err)
		}
	}
	s.finish(t)
	if len(got) != 5 {
		t.Fatalf("got %d events, want all five", len(got))
	}
	for i, id := range []string{"beyond", "before", "data", "price"} {
		if e := got[i]; e.Type() != delivery.UndecodableType || !strings.Contains(string(e.Data()), id) {
			t.Errorf("got %s, want a dead letter that holds event %s", e, id)
		}
	}
	if got[4].ID() != "good" {
		t.Errorf("got %s, want the event that is one", got[4])
	}
}

// A dead letter that EventMesh cannot carry travels as data.
func TestDeadLetterTopicTakesWhatEventMeshRefuses(t *testing.T) {
	t.Parallel()
	server := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ})
	p := connect(t, server.GRPCURL(), eventmesh.Credentials{})
	place := deadLetterTopic{publisher: p, topic: "dead", timeout: patience}
	letter := sample("a")
	letter.SetExtension("note", "line 1\nline 2")
	letter.SetExtension(delivery.TopicExtension, "orders")
	dispatch.SetError(&letter, "http://sink", &dispatch.Rejection{Status: 400, Body: "bad"})
	if _, err := place.Send(t.Context(), letter); err != nil {
		t.Fatal(err)
	}
	published := server.Published("dead")
	if len(published) != 1 || published[0].GetType() != delivery.UndecodableType || published[0].GetSource() != "eventmesh:orders" {
		t.Fatalf("got %v, want the event enclosed in one", published)
	}
	if code := published[0].GetAttributes()["knativeerrorcode"].GetCeString(); code != "400" {
		t.Errorf("got the code %s, want 400", code)
	}
	inner, err := jsonevent.Unmarshal([]byte(published[0].GetTextData()), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := same(inner, letter); diff != "" {
		t.Error(diff)
	}
}

// What a mode cannot carry has to find its rest all the same.
func TestDeadLetterSinkTakesWhatTheModeCannotCarry(t *testing.T) {
	t.Parallel()
	e := sample("a")
	e.SetExtension("note", "line 1\nline 2")
	for mode, want := range map[dispatch.ContentMode][]bool{ // whether each of both is structured
		dispatch.Auto: {false, true}, dispatch.Binary: {false, true}, dispatch.Structured: {true, true},
	} {
		var structured []bool
		c := &Config{SinkTimeout: 30, MaxInFlight: 1, ContentMode: mode}
		if err := c.DeadLetterSink.Decode(answering(t, func(_ http.ResponseWriter, r *http.Request) {
			structured = append(structured, r.Header.Get("Content-Type") == event.ApplicationCloudEventsJSON)
		})); err != nil {
			t.Fatal(err)
		}
		s := &source{config: c}
		place, err := s.deadLetter()
		if err != nil {
			t.Fatal(err)
		}
		for _, letter := range []event.Event{sample("plain"), e} {
			if _, err := place.Send(t.Context(), letter); err != nil {
				t.Errorf("%s, %s: %v", mode, letter.ID(), err)
			}
		}
		if !slices.Equal(structured, want) {
			t.Errorf("%s: got structured %v, want %v", mode, structured, want)
		}
		_ = s.close()
	}
}
