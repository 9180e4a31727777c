package dispatch_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

const (
	// secret is what no error, log and trace may hold.
	secret = "hunter2-is-a-secret"
	// longestWait bounds a Retry-After.
	longestWait = 365 * 24 * time.Hour
	// reasonLimit is how much of the body of a refusal is told, in bytes.
	reasonLimit = 200
)

// order is an event with all attributes, and an ID of choice.
func order(id string) event.Event {
	e := event.New()
	e.SetID(id)
	e.SetSource("https://shop.example/orders?x=1")
	e.SetType("order.placed")
	e.SetSubject("order/1")
	e.SetTime(time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC))
	e.SetDataSchema("https://shop.example/schema")
	e.SetExtension("region", "eu")
	e.SetDataContentType("application/json; charset=utf-8")
	e.DataEncoded = []byte(`{"price": 2.50}`)
	return e
}

// same tells how two events differ.
func same(got, want event.Event) string {
	if got.Context.String() != want.Context.String() {
		return "got attributes\n" + got.Context.String() + "\nwant\n" + want.Context.String()
	}
	if string(got.Data()) != string(want.Data()) {
		return "got data " + string(got.Data()) + ", want " + string(want.Data())
	}
	return ""
}

// httpTo returns a destination over HTTP.
func httpTo(tb testing.TB, sink string, change ...func(*dispatch.HTTPOptions)) *dispatch.HTTP {
	tb.Helper()
	u, err := url.Parse(sink)
	if err != nil {
		tb.Fatal(err)
	}
	o := dispatch.HTTPOptions{URL: u, MaxConnections: 4}
	for _, f := range change {
		f(&o)
	}
	d := dispatch.NewHTTP(o)
	tb.Cleanup(d.Close)
	return d
}

// httpServer returns the URL of a server that answers so.
func httpServer(tb testing.TB, h http.HandlerFunc) string {
	tb.Helper()
	server := httptest.NewServer(h)
	tb.Cleanup(server.Close)
	return server.URL
}

func TestSendBinary(t *testing.T) {
	data := order("A/1")
	data.SetData("image/png", []byte{0, 1, 254, 255})
	data.SetExtension("count", 7)
	noData := order("A/1")
	noData.DataEncoded = nil
	text := order("A/1")
	text.SetDataContentType("text/plain")
	text.DataEncoded = []byte("Zürich\n")
	for name, e := range map[string]event.Event{"JSON": order("A/1"), "binary data": data, "no data": noData, "text": text} {
		t.Run(name, func(t *testing.T) {
			requests := make(chan *http.Request, 1)
			d := httpTo(t, httpServer(t, func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				r.Body = io.NopCloser(bytes.NewReader(body))
				requests <- r
				w.WriteHeader(http.StatusAccepted)
			})+"/path?query=1", func(o *dispatch.HTTPOptions) { o.Header = http.Header{"X-Shop": {"1"}} })
			if _, err := d.Send(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			r := <-requests
			for header, want := range map[string]string{
				"Content-Type": e.DataContentType(), "Ce-Specversion": "1.0", "Ce-Id": "A/1", "Ce-Type": "order.placed",
				"Ce-Source": "https://shop.example/orders?x=1", "Ce-Time": "2026-01-02T03:04:05.678Z", "Ce-Region": "eu",
				"Ce-Dataschema": "https://shop.example/schema", "X-Shop": "1",
			} {
				if got := r.Header.Get(header); got != want {
					t.Errorf("got %s %q, want %q", header, got, want)
				}
			}
			if r.Method != http.MethodPost || r.URL.String() != "/path?query=1" || r.ContentLength != int64(len(e.Data())) {
				t.Errorf("got %s %s with %d bytes, want a POST of %d", r.Method, r.URL, r.ContentLength, len(e.Data()))
			}
			got, err := binding.ToEvent(t.Context(), cehttp.NewMessageFromHttpRequest(r))
			if err != nil {
				t.Fatal(err)
			}
			if diff := same(*got, e); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestContentMode(t *testing.T) {
	plain, extension, subject, carried := order("plain"), order("extension"), order("subject"), order("outer")
	extension.SetExtension("note", "line 1\nline 2")
	subject.SetSubject(" Zürich 100% ")
	carried.SetDataContentType("application/cloudevents+json")
	carried.DataEncoded = []byte(`{"specversion":"1.0","id":"inner","source":"s","type":"t"}`)
	const binary, structured, none = "application/json; charset=utf-8", event.ApplicationCloudEventsJSON, ""
	for _, test := range []struct {
		mode  dispatch.ContentMode
		event event.Event
		want  string // Content-Type
	}{
		{dispatch.Auto, plain, binary},
		{dispatch.Auto, extension, structured},
		{dispatch.Auto, subject, structured},
		{dispatch.Auto, carried, structured},
		{dispatch.Binary, plain, binary},
		{dispatch.Binary, extension, none},
		{dispatch.Binary, subject, none},
		{dispatch.Binary, carried, none},
		{dispatch.Structured, plain, structured},
		{dispatch.Structured, extension, structured},
		{dispatch.Structured, carried, structured},
	} {
		t.Run(fmt.Sprintf("%s/%s", test.mode, test.event.ID()), func(t *testing.T) {
			var got *event.Event
			contentType := none
			sink := httpServer(t, func(_ http.ResponseWriter, r *http.Request) {
				contentType = r.Header.Get("Content-Type")
				var err error
				if got, err = binding.ToEvent(r.Context(), cehttp.NewMessageFromHttpRequest(r)); err != nil {
					t.Error(err)
				}
			})
			_, err := httpTo(t, sink, func(o *dispatch.HTTPOptions) { o.Mode = test.mode }).Send(t.Context(), test.event)
			var unsendable *dispatch.UnsendableError
			if errors.As(err, &unsendable) != (test.want == none) || test.want != none && err != nil || contentType != test.want {
				t.Fatalf("got %v and Content-Type %q, want %q", err, contentType, test.want)
			}
			if got != nil {
				if diff := same(*got, test.event); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestWhatCannotBeSentIsTheEventsFault(t *testing.T) {
	oldVersion := event.New(event.CloudEventsVersionV03)
	noType := order("extension of no type")
	noType.Context.(*event.EventContextV1).Extensions = map[string]any{"x": struct{}{}}
	var asked atomic.Int32
	d := httpTo(t, httpServer(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	for name, e := range map[string]event.Event{"specversion": oldVersion, "extension": noType} {
		var unsendable *dispatch.UnsendableError
		if _, err := d.Send(t.Context(), e); !errors.As(err, &unsendable) || asked.Load() != 0 {
			t.Errorf("%s: got %v and %d requests, want an event that cannot be sent and none", name, err, asked.Load())
		}
	}
}

func TestConnectionsAreFewAndKept(t *testing.T) {
	const inFlight, rounds = 4, 10
	var opened atomic.Int32
	meet := make(chan chan struct{}, rounds*inFlight)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-<-meet // until the whole round is here
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write(bytes.Repeat([]byte("x"), 32<<10))
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	d := httpTo(t, server.URL, func(o *dispatch.HTTPOptions) { o.MaxConnections = inFlight })
	send := func() {
		var rejected *dispatch.Rejection
		if _, err := d.Send(t.Context(), order("a")); !errors.As(err, &rejected) {
			t.Errorf("got %v, want a rejection", err)
		}
	}
	for range rounds {
		var requests sync.WaitGroup
		release := make(chan struct{})
		for range inFlight {
			requests.Go(send)
		}
		for range inFlight {
			meet <- release
		}
		eventually(t, "all requests at once", func() bool { return len(meet) == 0 })
		close(release)
		requests.Wait()
	}
	if got := opened.Load(); got != inFlight {
		t.Errorf("got %d connections for %d events, want %d", got, rounds*inFlight, inFlight)
	}

	released := make(chan struct{})
	close(released)
	var requests sync.WaitGroup
	for range 5 * inFlight { // more than the deliverer sends at once
		meet <- released
		requests.Go(send)
	}
	requests.Wait()
	if got := opened.Load(); got != inFlight {
		t.Errorf("got %d connections, want no more than %d whatever is to be sent", got, inFlight)
	}
}

func TestSendTimesOut(t *testing.T) {
	tests := []struct {
		name   string
		answer func(http.ResponseWriter)
		want   error
	}{
		{"no answer", func(http.ResponseWriter) {}, context.DeadlineExceeded},
		{"success, and a body without end", func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusAccepted)
			_, _ = w.Write([]byte("x"))
			w.(http.Flusher).Flush()
		}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			release := make(chan struct{})
			d := httpTo(t, httpServer(t, func(w http.ResponseWriter, _ *http.Request) {
				test.answer(w)
				<-release
			}), func(o *dispatch.HTTPOptions) { o.Timeout = 3 * time.Second })
			t.Cleanup(func() { close(release) })
			if _, err := d.Send(t.Context(), order("a")); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

func TestSendEndsWithItsContext(t *testing.T) {
	arrived := make(chan struct{})
	release := make(chan struct{})
	d := httpTo(t, httpServer(t, func(http.ResponseWriter, *http.Request) {
		close(arrived)
		<-release
	}))
	t.Cleanup(func() { close(release) })
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	if _, err := d.Send(ctx, order("a")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
}

func TestSinkAway(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	d := httpTo(t, strings.Replace(server.URL, "://", "://me:"+secret+"@", 1)+"?token="+secret)
	var rejected *dispatch.Rejection
	_, err := d.Send(t.Context(), order("a"))
	if err == nil || errors.As(err, &rejected) || !strings.Contains(err.Error(), "sending event: ") || strings.Contains(err.Error(), secret) {
		t.Errorf("got %v, want an error of sending, no answer of the sink's, and no secret", err)
	}
}

func TestCredentialsOfTheURLAreSent(t *testing.T) {
	type credentials struct {
		user, password string
		ok             bool
	}
	var got credentials
	sink := httpServer(t, func(_ http.ResponseWriter, r *http.Request) { got.user, got.password, got.ok = r.BasicAuth() })
	for before, want := range map[string]credentials{
		"": {}, "me@": {"me", "", true}, "me:" + secret + "@": {"me", secret, true}, "%40:a%2Fb@": {"@", "a/b", true},
	} {
		d := httpTo(t, strings.Replace(sink, "://", "://"+before, 1))
		if _, err := d.Send(t.Context(), order("a")); err != nil || got != want {
			t.Errorf("%q: got %v, %v; want %v", before, got, err, want)
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	for _, code := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			var elsewhere atomic.Int32
			other := httpServer(t, func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
			d := httpTo(t, httpServer(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other, code) }))
			var rejected *dispatch.Rejection
			if _, err := d.Send(t.Context(), order("a")); !errors.As(err, &rejected) || rejected.Status != code {
				t.Errorf("got %v, want a refusal with %d", err, code)
			}
			if elsewhere.Load() != 0 {
				t.Error("the event went elsewhere")
			}
		})
	}
}

// TestStatuses counts the requests for events of which each may be sent again once.
func TestStatuses(t *testing.T) {
	t.Parallel()
	tests := map[string][]int{
		"success": {200, 201, 202, 204, 299},
		"retried": {404, 408, 409, 429, 500, 501, 502, 503, 504, 599},
		"final":   {300, 301, 304, 400, 401, 402, 403, 405, 406, 410, 411, 413, 415, 418, 422, 426, 428, 431, 451, 499},
	}
	var mu sync.Mutex
	asked := map[string]int{}
	sink := httpTo(t, httpServer(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		id := r.Header.Get("Ce-Id")
		asked[id]++
		code, _ := strconv.Atoi(id)
		w.WriteHeader(code)
	}))
	dead := &toy{}
	d := dispatch.New(dispatch.Options{})
	lane := d.Lane(dispatch.LaneOptions{Destination: sink, DeadLetter: dead, Retries: 1, Backoff: dispatch.Exponential(1, 1)})
	d.Start()
	for _, codes := range tests {
		for _, code := range codes {
			if err := d.Put(t.Context(), &dispatch.Message{Event: order(fmt.Sprint(code))}, lane); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, "all at rest", func() bool { return d.Status().Events == 0 })
	drain(t, d)
	for want, codes := range tests {
		for _, code := range codes {
			id := fmt.Sprint(code)
			got := "final"
			switch accepted := !slices.Contains(dead.ids(), id); {
			case accepted && asked[id] == 1:
				got = "success"
			case accepted || asked[id] > 2:
				got = "neither"
			case asked[id] == 2:
				got = "retried"
			}
			if got != want {
				t.Errorf("%d: got %s after %d requests, want %s", code, got, asked[id], want)
			}
		}
	}
}

func TestRetryAfter(t *testing.T) {
	date := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	tests := []struct {
		name, header string
		status       int
		min, max     time.Duration
	}{
		{"seconds, 429", "7", 429, 7 * time.Second, 7 * time.Second},
		{"seconds, 503", "120", 503, 2 * time.Minute, 2 * time.Minute},
		{"nothing to wait for", "0", 503, 0, 0},
		{"negative", "-5", 503, 0, 0},
		{"not set", "", 503, 0, 0},
		{"nonsense", "soon", 503, 0, 0},
		{"not a whole number", "1.5", 503, 1500 * time.Millisecond, 1500 * time.Millisecond},
		{"more than a duration holds", "9999999999", 503, longestWait, longestWait},
		{"more than an integer holds", "99999999999999999999", 429, longestWait, longestWait},
		{"more than a float holds", strings.Repeat("9", 400), 503, longestWait, longestWait},
		{"no number", "NaN", 503, 0, 0},
		{"negative, and large", "-99999999999999999999", 503, 0, 0},
		{"date far ahead", "Fri, 31 Dec 9999 23:59:59 GMT", 503, longestWait, longestWait},
		{"date", date(time.Hour), 429, 58 * time.Minute, time.Hour},
		{"date that has passed", date(-time.Hour), 503, 0, 0},
		{"of a status that has none", "7", 500, 0, 0},
		{"of a final status", "7", 413, 0, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := httpTo(t, httpServer(t, func(w http.ResponseWriter, _ *http.Request) {
				if test.header != "" {
					w.Header().Set("Retry-After", test.header)
				}
				w.WriteHeader(test.status)
			}))
			var rejected *dispatch.Rejection
			if _, err := d.Send(t.Context(), order("a")); !errors.As(err, &rejected) {
				t.Fatalf("got %v, want a rejection", err)
			}
			if got := rejected.RetryAfter; got < test.min || got > test.max {
				t.Errorf("got %s, want %s to %s", got, test.min, test.max)
			}
		})
	}
}

func TestReasonOfARejection(t *testing.T) {
	tests := []struct {
		name, body, want string
	}{
		{"none", "", "the sink answered 400"},
		{"one line", "bad event\n", "the sink answered 400: bad event"},
		{"the first of many lines", "\n bad event\nand more\n", "the sink answered 400: bad event"},
		{"long", strings.Repeat("x", 10*reasonLimit), "the sink answered 400: " + strings.Repeat("x", reasonLimit)},
		{"cut within a character", strings.Repeat("x", reasonLimit-1) + "ü", "the sink answered 400: " + strings.Repeat("x", reasonLimit-1)},
		{"no text", "bad \xff\xfe event", "the sink answered 400: bad  event"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := httpTo(t, httpServer(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, test.body)
			}))
			if _, err := d.Send(t.Context(), order("a")); err == nil || err.Error() != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
	t.Run("body that breaks off", func(t *testing.T) {
		d := httpTo(t, httpServer(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, "half a")
		}))
		if _, err := d.Send(t.Context(), order("a")); err == nil || err.Error() != "the sink answered 400" {
			t.Errorf("got %v, want the status alone", err)
		}
	})
}

func TestSendOverTLS(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that are meant to fail
	server.StartTLS()
	t.Cleanup(server.Close)
	authorities := x509.NewCertPool()
	authorities.AddCert(server.Certificate())
	for _, test := range []struct {
		name, want string
		trust      func() (*tls.Config, error)
	}{
		{"trusted", "", func() (*tls.Config, error) { return &tls.Config{RootCAs: authorities}, nil }},
		{"unknown", "certificate", func() (*tls.Config, error) { return &tls.Config{}, nil }},
		{"by default those of the system", "certificate", nil},
		{"that cannot be read", "no certificates", func() (*tls.Config, error) { return nil, errors.New("no certificates") }},
	} {
		before := asked.Load()
		_, err := httpTo(t, server.URL, func(o *dispatch.HTTPOptions) { o.TLS = test.trust }).Send(t.Context(), order("a"))
		if test.want == "" && (err != nil || asked.Load() != before+1) {
			t.Errorf("%s: got %v, %d requests", test.name, err, asked.Load()-before)
		}
		if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || asked.Load() != before) {
			t.Errorf("%s: got %v, %d requests, want %q in an error", test.name, err, asked.Load()-before, test.want)
		}
	}
}

func TestTokenIsSent(t *testing.T) {
	t.Parallel()
	var got string
	sink := httpServer(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("Authorization") })
	var token string
	var failure error
	d := httpTo(t, sink, func(o *dispatch.HTTPOptions) { o.Token = func() (string, error) { return token, failure } })
	for _, now := range []string{"", "one", "other"} {
		want := ""
		if token = now; token != "" {
			want = "Bearer " + token
		}
		if _, err := d.Send(t.Context(), order("a")); err != nil || got != want {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
	failure = errors.New("no token")
	if _, err := d.Send(t.Context(), order("a")); !errors.Is(err, failure) {
		t.Errorf("got %v, an event was sent without the token that there should be", err)
	}
	if _, err := httpTo(t, sink).Send(t.Context(), order("a")); err != nil || got != "" {
		t.Errorf("got %q, %v; want no token where none belongs", got, err)
	}
}

// TestAnswers: of a successful answer there is an event, or none, or something that is none where nothing else may be.
func TestAnswers(t *testing.T) {
	t.Parallel()
	const binary, structured = "text/plain", "application/cloudevents+json"
	attributes := map[string]string{"Ce-Id": "reply", "Ce-Source": "/s", "Ce-Type": "t", "Ce-Specversion": "1.0"}
	for name, test := range map[string]struct {
		status          int
		headers         map[string]string
		contentType     string
		body            string
		reply           string // its ID
		invalid, strict bool   // an invalid reply: always, or where there may be nothing else
	}{
		"an event":                    {200, attributes, binary, "data", "reply", false, false},
		"an event, structured":        {200, nil, structured, `{"specversion":"1.0","id":"reply","source":"/s","type":"t"}`, "reply", false, false},
		"an event without data":       {201, attributes, "", "", "reply", false, false},
		"an event that is none":       {200, nil, structured, `{"specversion":"1.0"`, "", true, true},
		"an event with 202":           {202, attributes, binary, "data", "", false, false},
		"nothing":                     {200, nil, "", "", "", false, false},
		"nothing, with a type":        {200, nil, binary, "", "", false, false},
		"no content":                  {204, nil, "", "", "", false, false},
		"something else":              {200, nil, binary, "thanks", "", false, true},
		"something else, and no type": {200, nil, "", "thanks", "", false, true},
		"something else, with 202":    {202, nil, binary, "thanks", "", false, false},
	} {
		for _, nothingElse := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", nothing else: ", nothingElse), func(t *testing.T) {
				t.Parallel()
				sink := httpServer(t, func(w http.ResponseWriter, r *http.Request) {
					if got := r.Header.Get("Prefer"); got != "reply" {
						t.Errorf("got Prefer %q", got)
					}
					for name, value := range test.headers {
						w.Header().Set(name, value)
					}
					w.Header()["Content-Type"] = []string{test.contentType}
					if test.contentType == "" {
						w.Header()["Content-Type"] = nil
					}
					w.WriteHeader(test.status)
					_, _ = io.WriteString(w, test.body)
				})
				to := httpTo(t, sink, func(o *dispatch.HTTPOptions) { o.Replies, o.NothingElse = true, nothingElse })
				got, err := to.Send(t.Context(), order("1"))
				if err != nil || got.Status != test.status {
					t.Fatalf("got %+v, %v", got, err)
				}
				id := ""
				if got.Reply != nil {
					id = got.Reply.ID()
				}
				if invalid := got.Invalid != nil; id != test.reply || invalid != (test.invalid || nothingElse && test.strict) {
					t.Errorf("got reply %q, invalid: %v", id, got.Invalid)
				}
			})
		}
	}
}
