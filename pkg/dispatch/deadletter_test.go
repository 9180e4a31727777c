package dispatch_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/httpevent"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

func TestDeadLetterSaysWhy(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		failure error
		code    string
		data    string
	}{
		{"answer", &dispatch.Rejection{Status: 400, Body: "bad\nevent"}, "400", "bad\nevent"},
		{"answer without a body", answered(503), "503", ""},
		{"long answer", &dispatch.Rejection{Status: 422, Body: strings.Repeat("x", 1024)}, "422", strings.Repeat("x", 768)},
		{"no text", &dispatch.Rejection{Status: 400, Body: "\xff\x00"}, "400", "\xff\x00"},
		{"no answer", errors.New("connection refused"), "-1", "connection refused"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dead, original := &place{}, newEvent("a")
			d, lane := one(dispatch.Options{}, dispatch.LaneOptions{Destination: &place{answer: says(test.failure)}, DeadLetter: dead})
			put(t, d, []event.Event{original}, lane)
			drain(t, d)
			if len(dead.accepted) != 1 {
				t.Fatalf("got %d dead letters, want one", len(dead.accepted))
			}
			letter := dead.accepted[0]
			got := letter.Extensions()
			if got[dispatch.ErrorDestination] != "http://place/path" || got[dispatch.ErrorCode] != test.code {
				t.Errorf("got %v, want code %s of the destination", got, test.code)
			}
			encoded, _ := got[dispatch.ErrorData].(string)
			data, err := base64.StdEncoding.DecodeString(encoded)
			if err != nil || string(data) != test.data || len(encoded) > 1024 {
				t.Errorf("got %q, %v; want %q", encoded, err, test.data)
			}
			if original.String() != newEvent("a").String() {
				t.Errorf("the event itself has changed: %s", original)
			}
			if err := letter.Validate(); err != nil || letter.ID() != "a" || string(letter.Data()) != string(original.Data()) {
				t.Errorf("got %s, %v; want the event itself", letter, err)
			}
		})
	}
}

func TestWhatBecomesADeadLetter(t *testing.T) {
	t.Parallel()
	noRoom := errors.New("no room")
	tests := []struct {
		name        string
		retries     int
		answers     []error
		there       []error // the answers of the place for dead letters
		undecodable bool
		requests    int
		dead        bool
		attempts    int // to bring it there
	}{
		{name: "accepted", retries: -1, answers: []error{nil}, requests: 1},
		{name: "final", retries: -1, answers: []error{answered(400)}, requests: 1, dead: true, attempts: 1},
		{name: "retries used up", retries: 2, answers: []error{answered(500)}, requests: 3, dead: true, attempts: 1},
		{name: "no answer, retries used up", retries: 1, answers: []error{errors.New("refused")}, requests: 2, dead: true, attempts: 1},
		{name: "for ever", retries: -1, answers: []error{answered(500), answered(500), answered(500), nil}, requests: 4},
		{name: "no room for a while", retries: -1, answers: []error{answered(400)}, there: []error{noRoom, noRoom, noRoom, nil}, requests: 1, dead: true, attempts: 4},
		{name: "no room for longer than retries", retries: 0, answers: []error{answered(400)}, there: []error{noRoom, answered(500), nil}, requests: 1, dead: true, attempts: 3},
		{name: "refused there too", retries: 0, answers: []error{answered(400)}, there: []error{answered(400)}, requests: 1, attempts: 1},
		{name: "refused there too, with retries for ever", retries: -1, answers: []error{answered(400)}, there: []error{answered(400), answered(400), nil}, requests: 1,
			dead: true, attempts: 3},
		{name: "no event", retries: -1, undecodable: true, dead: true, attempts: 1},
		{name: "no event, and no room for a while", retries: -1, undecodable: true, there: []error{noRoom, noRoom, nil}, dead: true, attempts: 3},
	}
	for _, test := range tests {
		for _, ordering := range []dispatch.Ordering{dispatch.Unordered, dispatch.Strict} {
			t.Run(fmt.Sprintf("%s/%s", test.name, ordering), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					var acknowledged acknowledgements
					var d *dispatch.Dispatcher
					sink, there := &place{answer: script(test.answers...)}, script(test.there...)
					dead := &place{answer: func(ctx context.Context, e event.Event) (dispatch.Answer, error) {
						if d.Status().Events != 1 || acknowledged.count("a") != 0 {
							t.Errorf("%d kept, %d acknowledgements, want it kept until the place has it", d.Status().Events, acknowledged.count("a"))
						}
						return there(ctx, e)
					}}
					d, lane := one(dispatch.Options{Acknowledge: acknowledged.add},
						dispatch.LaneOptions{Destination: sink, DeadLetter: dead, Retries: test.retries, Ordering: ordering})
					m := &dispatch.Message{Event: newEvent("a")}
					if test.undecodable {
						m.Undecodable = errors.New("no JSON")
					}
					if err := d.Put(t.Context(), m, lane); err != nil {
						t.Fatal(err)
					}
					d.Drain(t.Context())
					if got := len(sink.asked()); got != test.requests || acknowledged.count("a") != 1 || len(dead.asked()) != test.attempts || (len(dead.got()) == 1) != test.dead {
						t.Errorf("got %d requests, %d acknowledgements, %d dead letters of %d attempts; want %d, 1, dead %t of %d",
							got, acknowledged.count("a"), len(dead.got()), len(dead.asked()), test.requests, test.dead, test.attempts)
					}
				})
			})
		}
	}
}

// What is no event says why, and not of which destination. Without a place for dead letters it is dropped.
func TestUndecodable(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, open func() *dispatch.Disk) {
		var acknowledged acknowledgements
		sink, dead := &place{}, &place{}
		d := dispatch.New(dispatch.Options{Disk: open(), Undecodable: undecodable, Acknowledge: acknowledged.add})
		with := d.Lane(dispatch.LaneOptions{Name: "with", Destination: sink, DeadLetter: dead, Retries: -1})
		without := d.Lane(dispatch.LaneOptions{Name: "without", Destination: sink, Retries: -1})
		d.Start()
		for _, lanes := range [][]*dispatch.Lane{{with, without}, {with}, {without}} {
			m := &dispatch.Message{Event: newEvent(fmt.Sprint(len(lanes))), Topic: "orders", Undecodable: errors.New("no JSON")}
			if err := d.Put(t.Context(), m, lanes...); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "all have found their rest", func() bool { return d.Status().Events == 0 })
		drain(t, d)
		if len(sink.asked()) > 0 || len(dead.accepted) != 2 || acknowledged.count("1") != 2 || acknowledged.count("2") != 1 {
			t.Errorf("got requests %v, dead letters %v, acknowledgements %v", sink.asked(), dead.got(), acknowledged.of)
		}
		for _, e := range dead.accepted {
			got := e.Extensions()
			if reason, _ := base64.StdEncoding.DecodeString(fmt.Sprint(got[dispatch.ErrorData])); string(reason) != "no JSON" || got[dispatch.ErrorDestination] != nil {
				t.Errorf("got %v, want the reason alone", got)
			}
		}
	})
}

// A place for dead letters that accepts none must not be asked for every event, and the destination not again.
func TestDeadLettersOpenTheCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink, dead := &place{answer: says(answered(400))}, &place{answer: says(errors.New("no room"))}
		d, lane := one(dispatch.Options{Workers: 1}, dispatch.LaneOptions{Destination: sink, DeadLetter: dead, Retries: -1})
		put(t, d, numbered("", 500), lane)
		time.Sleep(10 * time.Minute)
		if got := len(dead.asked()); got > 200 {
			t.Errorf("got %d requests for dead letters in 10 minutes, want a probe after each wait", got)
		}
		if got := len(sink.asked()); got != 500 {
			t.Errorf("got %d requests to the destination, want one for each event", got)
		}
		if got := d.Status().Events; got != 500 || !lane.Available() {
			t.Errorf("%d events kept, destination available %t; want all, and that it is", got, lane.Available())
		}
		dead.with(func() { dead.answer = nil })
		began := time.Now()
		d.Drain(t.Context())
		if got := len(dead.got()); got != 500 || time.Since(began) > time.Minute {
			t.Errorf("got %d dead letters %s after there was room, want all after one wait", got, time.Since(began))
		}
	})
}

// What a mode cannot carry has to find its rest all the same.
func TestDeadLetterOverHTTPHoldsWhatTheModeCannotCarry(t *testing.T) {
	t.Parallel()
	e := newEvent("note")
	e.SetExtension("note", "line 1\nline 2")
	for mode, want := range map[dispatch.ContentMode][]bool{ // whether each of both is structured
		dispatch.Auto: {false, true}, dispatch.Structured: {true, true},
	} {
		var mu sync.Mutex
		var structured []bool
		dead := overHTTP(t, mode, func(_ http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			structured = append(structured, r.Header.Get("Content-Type") == event.ApplicationCloudEventsJSON)
		})
		d, lane := one(dispatch.Options{}, dispatch.LaneOptions{
			Destination: &place{answer: says(&dispatch.UnsendableError{Reason: errors.New("cannot be sent")})}, DeadLetter: dead, Retries: -1, Ordering: dispatch.Strict,
		})
		put(t, d, []event.Event{newEvent("plain"), e}, lane)
		drain(t, d)
		if !slices.Equal(structured, want) {
			t.Errorf("%s: got structured %v, want %v", mode, structured, want)
		}
	}
}

// overHTTP is a destination that a function answers.
func overHTTP(t *testing.T, mode dispatch.ContentMode, answer http.HandlerFunc) *dispatch.HTTP {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	place := dispatch.NewHTTP(dispatch.HTTPOptions{URL: u, Mode: mode})
	t.Cleanup(place.Close)
	return place
}

func TestDestinationOfADeadLetterFitsAHeader(t *testing.T) {
	for sink, want := range map[string]string{
		"http://sink:8080/a/b?c=d": "http://sink:8080/a/b", "http://sink/a%20b": "http://sink", "http://sink/\u00fc": "http://sink",
		"http://[fe80::1%25eth0]:80/a": "", "https://me:secret@sink:8443/path?token=secret": "https://sink:8443/path",
	} {
		u, err := url.Parse(sink)
		if err != nil {
			t.Fatal(err)
		}
		e := newEvent("a")
		dispatch.SetError(&e, dispatch.NewHTTP(dispatch.HTTPOptions{URL: u}).String(), &dispatch.Rejection{Status: 400, Body: "\x00\xff\n"})
		if got, _ := e.Extensions()[dispatch.ErrorDestination].(string); got != want {
			t.Errorf("%s: got %q, want %q", sink, got, want)
		}
		if _, err := httpevent.Write(http.Header{}, e, httpevent.Binary); err != nil {
			t.Errorf("%s: %v", sink, err)
		}
	}
}

// What no record holds is told before it is put, and holds up nothing after it.
func TestEventThatNoRecordHolds(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*dispatch.Message){
		"a time after all":      func(m *dispatch.Message) { m.Event.SetTime(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)) },
		"a time before all":     func(m *dispatch.Message) { m.Event.SetTime(time.Date(0, 1, 1, 0, 0, 0, 0, time.FixedZone("", 3600))) },
		"an extension data":     func(m *dispatch.Message) { extensions(&m.Event)["data"] = int32(5) },
		"an unknown type":       func(m *dispatch.Message) { extensions(&m.Event)["unknown"] = struct{}{} },
		"a topic without bound": func(m *dispatch.Message) { m.Topic = strings.Repeat("x", 1<<16) },
	}
	sink := &place{}
	d, lane := one(dispatch.Options{Disk: openDisk(t, t.TempDir())}, dispatch.LaneOptions{Destination: sink})
	for name, spoil := range tests {
		m := &dispatch.Message{Event: newEvent(name), Topic: "orders"}
		m.Event.SetExtension("some", "thing")
		spoil(m)
		if err := d.Prepare(m); err == nil {
			t.Errorf("%s: got no error", name)
		}
		if err := d.Put(t.Context(), m, lane); err == nil {
			t.Errorf("%s: got no error of Put", name)
		}
	}
	put(t, d, []event.Event{newEvent("good")}, lane)
	eventually(t, "the good one has arrived", func() bool { return d.Status().Events == 0 })
	drain(t, d)
	if got := sink.asked(); fmt.Sprint(got) != "[good]" {
		t.Errorf("got %v, want the good one alone", got)
	}
}

// extensions are those of an event, also such as its own method refuses.
func extensions(e *event.Event) map[string]any {
	c, _ := e.Context.(*event.EventContextV1)
	return c.Extensions
}
