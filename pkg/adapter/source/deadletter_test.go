package source

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/httpevent"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsonevent"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

func TestDeadLetterSaysWhy(t *testing.T) {
	sink, err := url.Parse("https://me:" + secret + "@sink:8443/path?token=" + secret)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		failure error
		code    string
		data    string
	}{
		{"answer", &rejection{status: 400, body: "bad\nevent"}, "400", "bad\nevent"},
		{"answer without a body", &rejection{status: 503}, "503", ""},
		{"long answer", &rejection{status: 422, body: strings.Repeat("x", 1024)}, "422", strings.Repeat("x", 768)},
		{"no text", &rejection{status: 400, body: "\xff\x00"}, "400", "\xff\x00"},
		{"no answer", errors.New("connection refused"), "-1", "connection refused"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			original := sample("a")
			e := deadLetter(original, sink, test.failure)
			got := e.Extensions()
			if got["knativeerrordest"] != "https://sink:8443/path" || got["knativeerrorcode"] != test.code {
				t.Errorf("got %v, want code %s of the sink, without secrets", got, test.code)
			}
			encoded, _ := got["knativeerrordata"].(string)
			data, err := base64.StdEncoding.DecodeString(encoded)
			if err != nil || string(data) != test.data || len(encoded) > 1024 {
				t.Errorf("got %q, %v; want %q", encoded, err, test.data)
			}
			if diff := same(original, sample("a")); diff != "" {
				t.Error("the event itself has changed: ", diff)
			}
			if err := e.Validate(); err != nil {
				t.Error(err)
			}
		})
	}
}

// places is a place for dead letters that fails as often as it is told.
type places struct {
	failures atomic.Int32
	refusal  error // by which it fails
	mu       sync.Mutex
	taken    []event.Event
}

func (p *places) take(_ context.Context, e event.Event) error {
	if p.failures.Add(-1) >= 0 {
		return cmp.Or(p.refusal, errors.New("no room"))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken = append(p.taken, e)
	return nil
}

func TestWhatBecomesADeadLetter(t *testing.T) {
	tests := []struct {
		name        string
		retries     int
		answers     []error
		failures    int   // of the place for dead letters
		refusal     error // by which it fails
		undecodable bool
		requests    int
		dead        bool
	}{
		{name: "taken", retries: -1, answers: []error{nil}, requests: 1},
		{name: "final", retries: -1, answers: []error{answered(400)}, requests: 1, dead: true},
		{name: "retries used up", retries: 2, answers: []error{answered(500)}, requests: 3, dead: true},
		{name: "no answer, retries used up", retries: 1, answers: []error{errors.New("refused")}, requests: 2, dead: true},
		{name: "for ever", retries: -1, answers: []error{answered(500), answered(500), answered(500), nil}, requests: 4},
		{name: "no room for a while", retries: -1, answers: []error{answered(400)}, failures: 3, requests: 1, dead: true},
		{name: "refused there too", retries: 0, answers: []error{answered(400)}, refusal: answered(400), failures: 1, requests: 1},
		{name: "refused there too, with retries for ever", retries: -1, answers: []error{answered(400)}, refusal: answered(400), failures: 3, requests: 1, dead: true},
		{name: "no event", retries: -1, undecodable: true, dead: true},
		{name: "no event, and no room for a while", retries: -1, undecodable: true, failures: 2, dead: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, requests := inMemory(t, 10, 100*kib), 0
				place := &places{refusal: test.refusal}
				place.failures.Store(int32(test.failures))
				d := &deliverer{
					buffer: b, deadLetters: place, sink: SinkURL{&url.URL{Scheme: "http", Host: "sink"}},
					logger: zap.NewNop().Sugar(), refusals: zap.NewNop().Sugar(), metrics: noMetrics(t), retries: test.retries, backoff: slow,
					send: func(context.Context, event.Event) (answer, error) {
						requests++
						return answer{}, script(test.answers...)(requests)
					},
				}
				var acknowledged atomic.Int32
				k := delivered(t, "a", &acknowledged, nil)
				k.undecodable = test.undecodable
				put(t, b, k)
				var run sync.WaitGroup
				run.Go(func() { d.run(t.Context(), 1) })
				<-b.stop()
				run.Wait()
				if requests != test.requests || acknowledged.Load() != 1 || (len(place.taken) == 1) != test.dead || len(place.taken) > 1 {
					t.Errorf("got %d requests, %d acknowledgements, %d dead letters; want %d, 1, dead %t",
						requests, acknowledged.Load(), len(place.taken), test.requests, test.dead)
				}
			})
		})
	}
}

// A place for dead letters that takes none must not be asked for every event, and the sink not again.
func TestDeadLettersOpenTheCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, requests := inMemory(t, 1000, 10000*kib), 0
		place := &places{}
		const failures = 1 << 30
		place.failures.Store(failures)
		d := &deliverer{
			buffer: b, deadLetters: place, sink: SinkURL{&url.URL{Scheme: "http", Host: "sink"}},
			logger: zap.NewNop().Sugar(), refusals: zap.NewNop().Sugar(), metrics: noMetrics(t), retries: -1, backoff: slow,
			send: func(context.Context, event.Event) (answer, error) {
				requests++
				return answer{}, answered(400)
			},
		}
		for i := range 500 {
			put(t, b, sized(fmt.Sprint(i), kib))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		d.run(ctx, 1)
		if got := failures - place.failures.Load(); got > 200 {
			t.Errorf("got %d requests for dead letters in 10 minutes, want a probe after each wait", got)
		}
		if requests != 500 {
			t.Errorf("got %d requests to the sink, want one for each event", requests)
		}
		if events(b) != 500 {
			t.Errorf("%d events kept, want all", events(b))
		}
	})
}

func TestUndecodableIsWrapped(t *testing.T) {
	raw := []byte{0, 255, '{'}
	for _, topic := range []string{"orders", ""} {
		var acknowledged atomic.Int32
		b := inMemory(t, 10, 100*kib)
		r := &receiver{buffer: b, wrap: true, metrics: noMetrics(t), logger: zap.NewNop().Sugar(), overrides: Overrides{"tenant": "one"}}
		for range 2 {
			d := &eventmesh.Delivery{Topic: topic, Raw: raw, Err: errors.New("no JSON"), Acknowledger: &acknowledger{count: &acknowledged}}
			if err := r.take(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
		first, second := b.next(t.Context()), b.next(t.Context())
		e := first.event
		if err := e.Validate(); err != nil || !first.undecodable || string(e.Data()) != string(raw) || e.Type() != undecodableType || e.Source() != "eventmesh:"+topic {
			t.Errorf("got %v, %v; want what came, as an event", e, err)
		}
		if e.ID() == "" || second.event.ID() != e.ID() {
			t.Errorf("got IDs %s and %s, want the same for the same", e.ID(), second.event.ID())
		}
		if reason, _ := base64.StdEncoding.DecodeString(fmt.Sprint(e.Extensions()["knativeerrordata"])); string(reason) != "no JSON" {
			t.Errorf("got the reason %s", reason)
		}
		if acknowledged.Load() != 0 {
			t.Error("it is acknowledged before it is safe")
		}
		if record, err := encodeRecord(first); err != nil || checkRecord(record) != nil {
			t.Errorf("it cannot be kept on disk: %v", err)
		}
	}
}

func TestDeadLetterSinkTakesOverHTTP(t *testing.T) {
	status := http.StatusAccepted
	s := senderTo(t, answering(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	if err := (deadLetterSink{s}).take(t.Context(), sample("a")); err != nil {
		t.Error(err)
	}
	status = http.StatusInternalServerError
	if err := (deadLetterSink{s}).take(t.Context(), sample("a")); err == nil {
		t.Error("got no error of a refusal")
	}
}

// What a mode cannot carry has to find its rest all the same.
func TestDeadLetterSinkTakesWhatTheModeCannotCarry(t *testing.T) {
	e := sample("a")
	e.SetExtension("note", "line 1\nline 2")
	for mode, want := range map[httpevent.Mode][2]bool{ // whether each of both is structured
		httpevent.Auto: {false, true}, httpevent.Binary: {false, true}, httpevent.Structured: {true, true},
	} {
		var structured []bool
		u, err := url.Parse(answering(t, func(_ http.ResponseWriter, r *http.Request) {
			structured = append(structured, r.Header.Get("Content-Type") == event.ApplicationCloudEventsJSON)
		}))
		if err != nil {
			t.Fatal(err)
		}
		s := newDeadLetterSink(&Config{DeadLetterSink: SinkURL{u}, SinkTimeout: 30, MaxInFlight: 1, ContentMode: ContentMode(mode)}, zap.NewNop().Sugar())
		t.Cleanup(s.close)
		for _, e := range []event.Event{sample("plain"), e} {
			if err := s.take(t.Context(), deadLetter(e, u, errors.New("cannot be sent"))); err != nil {
				t.Errorf("%s, %s: %v", mode, e.ID(), err)
			}
		}
		if !slices.Equal(structured, want[:]) {
			t.Errorf("%s: got structured %v, want %v", mode, structured, want)
		}
	}
}

func TestDestinationOfADeadLetterFitsAHeader(t *testing.T) {
	for sink, want := range map[string]string{
		"http://sink:8080/a/b?c=d": "http://sink:8080/a/b", "http://sink/a%20b": "http://sink", "http://sink/\u00fc": "http://sink",
		"http://[fe80::1%25eth0]:80/a": "",
	} {
		u, err := url.Parse(sink)
		if err != nil {
			t.Fatal(err)
		}
		e := deadLetter(sample("a"), u, &rejection{status: 400, body: "\x00\xff\n"})
		if got, _ := e.Extensions()["knativeerrordest"].(string); got != want {
			t.Errorf("%s: got %q, want %q", sink, got, want)
		}
		if _, err := httpevent.Write(http.Header{}, e, httpevent.Binary); err != nil {
			t.Errorf("%s: %v", sink, err)
		}
	}
}

// What a record cannot hold is no event, and goes to the dead letters as it came.
func TestEventThatNoRecordHoldsBecomesADeadLetter(t *testing.T) {
	beyond := sample("beyond")
	beyond.SetTime(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC))
	before := sample("before")
	before.SetTime(time.Date(0, 1, 1, 0, 0, 0, 0, time.FixedZone("", 3600)))
	data := sample("data")
	data.Context.(*event.EventContextV1).Extensions["data"] = int32(5)
	unknown := sample("unknown")
	unknown.Context.(*event.EventContextV1).Extensions["unknown"] = struct{}{}
	dir := t.TempDir()
	b, stop := onDisk(t, dir, 10, 100*kib, Unordered)
	r := &receiver{buffer: b, wrap: true, metrics: noMetrics(t), logger: zap.NewNop().Sugar()}
	for _, e := range []event.Event{beyond, before, data, unknown, sample("good")} {
		if err := r.take(t.Context(), &eventmesh.Delivery{Event: e, Topic: "orders"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"beyond", "before", "data", "", "good"} {
		k := b.next(t.Context())
		if id == "good" {
			if k.undecodable || k.event.ID() != id {
				t.Errorf("got %s, want the event that is one", k.event)
			}
			continue
		}
		if !k.undecodable || !strings.Contains(string(k.event.Data()), id) || !strings.Contains(string(k.event.Data()), "price") && id == "" {
			t.Errorf("got %s, want a dead letter that holds event %s", k.event, id)
		}
	}
	eventually(t, func() string { return stored(t, b, 5) })
	stop()
	b, _ = onDisk(t, dir, 10, 100*kib, Unordered)
	for range 5 {
		if k := b.next(t.Context()); k.unreadable != nil {
			t.Errorf("event %d cannot be read: %v", k.seq, k.unreadable)
		}
	}
}

// A dead letter that EventMesh cannot carry travels as data.
func TestDeadLetterTopicTakesWhatEventMeshRefuses(t *testing.T) {
	t.Parallel()
	server := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ})
	p := connect(t, server.GRPCURL(), eventmesh.Credentials{})
	place := deadLetterTopic{publisher: p, topic: "dead", timeout: patience}
	e := sample("a")
	e.SetExtension("note", "line 1\nline 2")
	e.SetExtension(topicExtension, "orders")
	letter := deadLetter(e, &url.URL{Scheme: "http", Host: "sink"}, &rejection{status: 400, body: "bad"})
	if err := place.take(t.Context(), letter); err != nil {
		t.Fatal(err)
	}
	published := server.Published("dead")
	if len(published) != 1 || published[0].GetType() != undecodableType || published[0].GetSource() != "eventmesh:orders" {
		t.Fatalf("got %v, want the event enclosed in one", published)
	}
	if code := published[0].GetAttributes()["knativeerrorcode"].GetCeString(); code != "400" {
		t.Errorf("got the code %s, want 400", code)
	}
	data := published[0].GetTextData()
	inner, err := jsonevent.Unmarshal([]byte(data), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := same(inner, letter); diff != "" {
		t.Error(diff)
	}
}

// An event that no record can hold must not hold up those after it.
func TestEventThatNoRecordHolds(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	b, _ := onDisk(t, t.TempDir(), 10, 100*kib, Unordered)
	r := &receiver{buffer: b, metrics: noMetrics(t), logger: zap.New(core).Sugar()}
	for _, topic := range []string{strings.Repeat("x", 1<<16), "orders"} {
		if err := r.take(t.Context(), &eventmesh.Delivery{Event: sample("a"), Topic: topic}); err != nil {
			t.Fatal(err)
		}
	}
	if k := b.next(t.Context()); k.topic != "orders" || events(b) != 1 {
		t.Errorf("got topic %.10s of %d events, want the second alone", k.topic, events(b))
	}
	if n := logs.FilterLevelExact(zap.ErrorLevel).Len(); n != 1 {
		t.Errorf("got %d errors logged, want one", n)
	}
}
