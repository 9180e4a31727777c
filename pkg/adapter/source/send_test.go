package source

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/httpevent"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

// senderTo returns a sender to the URL.
func senderTo(tb testing.TB, sink string, change ...func(*Config)) *sender {
	tb.Helper()
	u, err := url.Parse(sink)
	if err != nil {
		tb.Fatal(err)
	}
	c := &Config{SinkURL: SinkURL{u}, SinkTimeout: 30, MaxInFlight: 4}
	c.Namespace = "shop"
	for _, f := range change {
		f(c)
	}
	s := newSender(c, c.SinkURL, zap.NewNop().Sugar())
	tb.Cleanup(s.close)
	return s
}

// answering returns the URL of a server that answers so.
func answering(tb testing.TB, h http.HandlerFunc) string {
	tb.Helper()
	server := httptest.NewServer(h)
	tb.Cleanup(server.Close)
	return server.URL
}

func TestSendBinary(t *testing.T) {
	data := sample("A/1")
	data.SetData("image/png", []byte{0, 1, 254, 255})
	data.SetExtension("count", 7)
	noData := sample("A/1")
	noData.DataEncoded = nil
	text := sample("A/1")
	text.SetDataContentType("text/plain")
	text.DataEncoded = []byte("Zürich\n")
	for name, e := range map[string]event.Event{"JSON": sample("A/1"), "binary data": data, "no data": noData, "text": text} {
		t.Run(name, func(t *testing.T) {
			requests := make(chan *http.Request, 1)
			s := senderTo(t, answering(t, func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				r.Body = io.NopCloser(bytes.NewReader(body))
				requests <- r
				w.WriteHeader(http.StatusAccepted)
			})+"/path?query=1")
			if _, err := s.send(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			r := <-requests
			for header, want := range map[string]string{
				"Content-Type": e.DataContentType(), "Ce-Specversion": "1.0", "Ce-Id": "A/1", "Ce-Type": "order.placed",
				"Ce-Source": "https://shop.example/orders?x=1", "Ce-Time": "2026-01-02T03:04:05.678Z", "Ce-Region": "eu",
				"Ce-Dataschema": "https://shop.example/schema", "Kn-Namespace": "shop",
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

func TestSendWithoutNamespace(t *testing.T) {
	header := make(chan http.Header, 1)
	s := senderTo(t, answering(t, func(_ http.ResponseWriter, r *http.Request) { header <- r.Header }), func(c *Config) { c.Namespace = "" })
	if _, err := s.send(t.Context(), sample("a")); err != nil {
		t.Fatal(err)
	}
	if got, set := (<-header)["Kn-Namespace"]; set {
		t.Errorf("got Kn-Namespace %q, want none", got)
	}
}

func TestContentMode(t *testing.T) {
	plain, extension, subject, carried := sample("plain"), sample("extension"), sample("subject"), sample("outer")
	extension.SetExtension("note", "line 1\nline 2")
	subject.SetSubject(" Zürich 100% ")
	carried.SetDataContentType("application/cloudevents+json")
	carried.DataEncoded = []byte(`{"specversion":"1.0","id":"inner","source":"s","type":"t"}`)
	const binary, structured, none = "application/json; charset=utf-8", event.ApplicationCloudEventsJSON, ""
	for _, test := range []struct {
		mode  httpevent.Mode
		event event.Event
		want  string // Content-Type
	}{
		{httpevent.Auto, plain, binary},
		{httpevent.Auto, extension, structured},
		{httpevent.Auto, subject, structured},
		{httpevent.Auto, carried, structured},
		{httpevent.Binary, plain, binary},
		{httpevent.Binary, extension, none},
		{httpevent.Binary, subject, none},
		{httpevent.Binary, carried, none},
		{httpevent.Structured, plain, structured},
		{httpevent.Structured, extension, structured},
		{httpevent.Structured, carried, structured},
	} {
		t.Run(fmt.Sprintf("%s/%s", test.mode, test.event.ID()), func(t *testing.T) {
			var got *event.Event
			contentType := none
			sink := answering(t, func(_ http.ResponseWriter, r *http.Request) {
				contentType = r.Header.Get("Content-Type")
				var err error
				if got, err = binding.ToEvent(r.Context(), cehttp.NewMessageFromHttpRequest(r)); err != nil {
					t.Error(err)
				}
			})
			change := func(c *Config) { c.ContentMode = ContentMode(test.mode) }
			_, err := senderTo(t, sink, change).send(t.Context(), test.event)
			var unsendable *unsendableError
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

// TestEventsThatNoHeaderHolds is about the events beside them as well: in strict order those wait.
func TestEventsThatNoHeaderHolds(t *testing.T) {
	for name, address := range transports {
		t.Run(name, func(t *testing.T) {
			url, sink := address(eventmeshtest.New(t, eventmeshtest.Options{})), newSink(t)
			s := start(t, "EVENTMESH_URL="+url, "K_SINK="+sink.url, "EVENTMESH_ORDERING=strict")
			s.awaitReadiness(t, http.StatusOK)
			p := connect(t, url, eventmesh.Credentials{})
			for i, value := range []string{"plain", " padded ", "Zürich", "100%25", `"quoted"`} {
				e := sample(fmt.Sprint(i))
				e.SetExtension("note", value)
				publish(t, p, e)
				if got := sink.await(t, e.ID()); got.Extensions()["note"] != value {
					t.Errorf("got %q, want %q", got.Extensions()["note"], value)
				}
			}
		})
	}
}

func TestWhatCannotBeSentIsTheEventsFault(t *testing.T) {
	oldVersion := event.New(event.CloudEventsVersionV03)
	noType := sample("extension of no type")
	noType.Context.(*event.EventContextV1).Extensions = map[string]any{"x": struct{}{}}
	var asked atomic.Int32
	s := senderTo(t, answering(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	for name, e := range map[string]event.Event{"specversion": oldVersion, "extension": noType} {
		var unsendable *unsendableError
		if _, err := s.send(t.Context(), e); !errors.As(err, &unsendable) || asked.Load() != 0 {
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
		_, _ = w.Write(bytes.Repeat([]byte("x"), drainLimit/2))
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	s := senderTo(t, server.URL, func(c *Config) { c.MaxInFlight = inFlight })
	send := func() {
		var rejected *rejection
		if _, err := s.send(t.Context(), sample("a")); !errors.As(err, &rejected) {
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
		eventually(t, func() string {
			if len(meet) > 0 {
				return fmt.Sprintf("%d requests at once", inFlight)
			}
			return ""
		})
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
			s := senderTo(t, answering(t, func(w http.ResponseWriter, _ *http.Request) {
				test.answer(w)
				<-release
			}))
			t.Cleanup(func() { close(release) })
			s.timeout = 3 * time.Second
			if _, err := s.send(t.Context(), sample("a")); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

func TestTimeoutIsConfigured(t *testing.T) {
	if got := senderTo(t, "http://sink", func(c *Config) { c.SinkTimeout = 7 }).timeout; got != 7*time.Second {
		t.Errorf("got %s, want 7s", got)
	}
}

func TestSendEndsWithItsContext(t *testing.T) {
	arrived := make(chan struct{})
	release := make(chan struct{})
	s := senderTo(t, answering(t, func(http.ResponseWriter, *http.Request) {
		close(arrived)
		<-release
	}))
	t.Cleanup(func() { close(release) })
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	if _, err := s.send(ctx, sample("a")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
}

func TestSinkAway(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	s := senderTo(t, strings.Replace(server.URL, "://", "://me:"+secret+"@", 1)+"?token="+secret)
	var rejected *rejection
	_, err := s.send(t.Context(), sample("a"))
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
	sink := answering(t, func(_ http.ResponseWriter, r *http.Request) { got.user, got.password, got.ok = r.BasicAuth() })
	for before, want := range map[string]credentials{
		"": {}, "me@": {"me", "", true}, "me:" + secret + "@": {"me", secret, true}, "%40:a%2Fb@": {"@", "a/b", true},
	} {
		s := senderTo(t, strings.Replace(sink, "://", "://"+before, 1))
		if _, err := s.send(t.Context(), sample("a")); err != nil || got != want {
			t.Errorf("%q: got %v, %v; want %v", before, got, err, want)
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	for _, code := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			var elsewhere atomic.Int32
			other := answering(t, func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
			s := senderTo(t, answering(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other, code) }))
			var rejected *rejection
			if _, err := s.send(t.Context(), sample("a")); !errors.As(err, &rejected) || rejected.status != code || !rejected.final() {
				t.Errorf("got %v, want a final %d", err, code)
			}
			if elsewhere.Load() != 0 {
				t.Error("the event went elsewhere")
			}
		})
	}
}

func TestStatuses(t *testing.T) {
	const success, retried, final = "success", "retried", "final"
	tests := map[string][]int{
		success: {200, 201, 202, 204, 299},
		retried: {404, 408, 409, 429, 500, 501, 502, 503, 504, 599},
		final:   {300, 301, 304, 400, 401, 402, 403, 405, 406, 410, 411, 413, 415, 418, 422, 426, 428, 431, 451, 499},
	}
	var code atomic.Int32
	s := senderTo(t, answering(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(code.Load())) }))
	for want, codes := range tests {
		for _, c := range codes {
			code.Store(int32(c))
			got := success
			var rejected *rejection
			if _, err := s.send(t.Context(), sample("a")); err != nil {
				if !errors.As(err, &rejected) || rejected.status != c || !strings.Contains(err.Error(), fmt.Sprint(c)) {
					t.Errorf("%d: got %v, want a rejection that names it", c, err)
					continue
				}
				if got = retried; rejected.final() {
					got = final
				}
			}
			if got != want {
				t.Errorf("%d: got %s, want %s", c, got, want)
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
			s := senderTo(t, answering(t, func(w http.ResponseWriter, _ *http.Request) {
				if test.header != "" {
					w.Header().Set("Retry-After", test.header)
				}
				w.WriteHeader(test.status)
			}))
			var rejected *rejection
			if _, err := s.send(t.Context(), sample("a")); !errors.As(err, &rejected) {
				t.Fatalf("got %v, want a rejection", err)
			}
			if got := rejected.retryAfter; got < test.min || got > test.max {
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
			s := senderTo(t, answering(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, test.body)
			}))
			if _, err := s.send(t.Context(), sample("a")); err == nil || err.Error() != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
	t.Run("body that breaks off", func(t *testing.T) {
		s := senderTo(t, answering(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, "half a")
		}))
		if _, err := s.send(t.Context(), sample("a")); err == nil || err.Error() != "the sink answered 400" {
			t.Errorf("got %v, want the status alone", err)
		}
	})
}

func TestSendOverTLS(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that are meant to fail
	server.StartTLS()
	t.Cleanup(server.Close)
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	tests := []struct {
		name, trust, want string
	}{
		{"trusted", certificate, ""},
		{"unknown", "", "certificate"},
		{"no PEM", "no PEM", "reading certificates to trust"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := asked.Load()
			s := senderTo(t, server.URL, func(c *Config) {
				if test.trust != "" {
					c.CACerts = &test.trust
				}
			})
			_, err := s.send(t.Context(), sample("a"))
			if test.want == "" && (err != nil || asked.Load() != before+1) {
				t.Errorf("got %v, %d requests", err, asked.Load()-before)
			}
			if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || asked.Load() != before) {
				t.Errorf("got %v, %d requests, want %q in an error", err, asked.Load()-before, test.want)
			}
		})
	}
}

// written is a request as the sink gets it.
func written(t *testing.T, r *http.Request) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
