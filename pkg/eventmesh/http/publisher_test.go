package http

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/next"
)

// script is a server that answers publishes as it is told, and polls as EventMesh does.
type script struct {
	*httptest.Server
	publishes atomic.Int32
	answer    func(n int32, w http.ResponseWriter, r *http.Request)
	poll      func(w http.ResponseWriter)
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	if strings.HasPrefix(r.URL.Path, pathPoll) {
		s.poll(w)
		return
	}
	s.answer(s.publishes.Add(1), w, r)
}

// says answers with a status and a body, and with neither where the status is 0.
func says(status int, body string) func(int32, http.ResponseWriter, *http.Request) {
	return func(_ int32, w http.ResponseWriter, _ *http.Request) {
		if status == 0 {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func newScript(t *testing.T) (*script, eventmesh.Address) {
	t.Helper()
	s := &script{poll: func(w http.ResponseWriter) { _, _ = io.WriteString(w, "[]") }}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s, eventmesh.Address{Scheme: "http", Host: s.Listener.Addr().String()}
}

// What an answer means, and how often the event was published.
func TestAnswersToAPublish(t *testing.T) {
	t.Parallel()
	told := `{"error":"because"}`
	for name, test := range map[string]struct {
		answer    func(int32, http.ResponseWriter, *http.Request)
		want      error
		temporary bool
		publishes int32
	}{
		"accepted":             {says(202, `{"status":"accepted"}`), nil, false, 1},
		"a success of another": {says(200, "welcome"), eventmesh.ErrRefused, true, 1},
		"invalid":              {says(400, told), eventmesh.ErrInvalidEvent, false, 1},
		"no token":             {says(401, told), eventmesh.ErrUnauthorized, false, 1},
		"not allowed":          {says(403, told), eventmesh.ErrUnauthorized, false, 1},
		"no such path":         {says(404, "<h1>404</h1>"), eventmesh.ErrRefused, true, 1},
		"too large":            {says(413, told), eventmesh.ErrTooLarge, false, 1},
		"too many":             {says(429, told), eventmesh.ErrRateLimited, true, 1},
		"its storage fails":    {says(500, told), eventmesh.ErrRefused, true, 1},
		"a proxy's time-out":   {says(504, ""), eventmesh.ErrUnconfirmed, true, 1},
		"no answer":            {says(0, ""), eventmesh.ErrUnconfirmed, true, 2},
		"no answer once": {func(n int32, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				panic(http.ErrAbortHandler)
			}
			says(202, "")(n, w, r)
		}, nil, false, 2},
		"a redirect": {func(_ int32, w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, eventmesh.ErrRefused, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, address := newScript(t)
			server.answer = test.answer
			p, err := Transport{}.OpenPublisher(t.Context(), address, eventmesh.Client{})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			err = p.Publish(t.Context(), topic, numbered(1))
			if !errors.Is(err, test.want) || err != nil && eventmesh.Temporary(err) != test.temporary {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if got := server.publishes.Load(); got != test.publishes {
				t.Errorf("published %d times, want %d", got, test.publishes)
			}
			if err := p.Heartbeat(t.Context()); err != nil {
				t.Errorf("the session has ended: %v", err)
			}
		})
	}
}

// earlierRelease is what EventMesh 1.12 says to whatever comes to its HTTP port without the number of one of its own requests.
const earlierRelease = `{"retCode":2,"retMsg":"requestCode can't be null, or must be number","resTime":1795828406831}`

// Who cannot be asked, or is no EventMesh, opens no session.
func TestNoSession(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		poll func(http.ResponseWriter)
		want error
	}{
		"another server":     {func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) }, eventmesh.ErrRefused},
		"no token":           {func(w http.ResponseWriter) { w.WriteHeader(http.StatusUnauthorized) }, eventmesh.ErrUnauthorized},
		"closes connections": {func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, eventmesh.ErrNotConnected},
		"an earlier release": {func(w http.ResponseWriter) { says(http.StatusBadRequest, earlierRelease)(0, w, nil) }, eventmesh.ErrNotConnected},
		"has access control": {func(w http.ResponseWriter) { w.WriteHeader(http.StatusForbidden) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, address := newScript(t)
			server.poll = test.poll
			p, err := Transport{}.OpenPublisher(t.Context(), address, eventmesh.Client{})
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if err == nil {
				_ = p.Close()
			}
		})
	}
}

// The event is not invalid where another release answers from one moment to the next, and the session looks for a server again.
func TestPublishToAnEarlierRelease(t *testing.T) {
	t.Parallel()
	server, address := newScript(t)
	server.answer = says(http.StatusBadRequest, earlierRelease)
	p, err := Transport{}.OpenPublisher(t.Context(), address, eventmesh.Client{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Publish(t.Context(), topic, numbered(1)); !errors.Is(err, eventmesh.ErrNotConnected) || !eventmesh.Temporary(err) {
		t.Fatalf("got %v, want %v", err, eventmesh.ErrNotConnected)
	}
	if err := p.Wait(); !errors.Is(err, errEarlierRelease) {
		t.Errorf("the session ended with %v, want %v", err, errEarlierRelease)
	}
}

// The end of the server ends the session, and the next publish waits for its successor.
func TestServerThatEnds(t *testing.T) {
	t.Parallel()
	play(t, next.Options{}, func(m *mesh) {
		m.server.Stop()
		if err := m.publisher.Publish(m.Context(), topic, numbered(1)); !errors.Is(err, eventmesh.ErrNotConnected) {
			t.Errorf("got %v, want %v", err, eventmesh.ErrNotConnected)
		}
		if err := m.publisher.Ready(); err == nil {
			t.Error("it is ready without a server")
		}
		if err := m.server.Restart(true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		m.server.DropConnections()
		synctest.Wait()
		m.publish(1, 1, 0)
	})
}

// What EventMesh would accept and lose is refused beforehand.
func TestLimits(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", MaxAttributeSize+1)
	many := func(n int) func(*event.Event) {
		return func(e *event.Event) {
			for i := range n {
				e.SetExtension(fmt.Sprintf("n%d", i), "v")
			}
		}
	}
	const own = 5 // specversion, id, source, type and datacontenttype
	for name, test := range map[string]struct {
		change func(*event.Event)
		want   error
	}{
		"nothing wrong":           {func(*event.Event) {}, nil},
		"the longest extension":   {func(e *event.Event) { e.SetExtension("n", long[1:]) }, nil},
		"too long an extension":   {func(e *event.Event) { e.SetExtension("n", long) }, eventmesh.ErrTooLarge},
		"too long a binary one":   {func(e *event.Event) { e.SetExtension("n", []byte(long)) }, eventmesh.ErrTooLarge},
		"too long an id":          {func(e *event.Event) { e.SetID(long) }, eventmesh.ErrTooLarge},
		"too long a source":       {func(e *event.Event) { e.SetSource("/" + long) }, eventmesh.ErrTooLarge},
		"too long a type":         {func(e *event.Event) { e.SetType(long) }, eventmesh.ErrTooLarge},
		"too long a subject":      {func(e *event.Event) { e.SetSubject(long) }, eventmesh.ErrTooLarge},
		"too long a schema":       {func(e *event.Event) { e.SetDataSchema("http://a/" + long) }, eventmesh.ErrTooLarge},
		"too long a content type": {func(e *event.Event) { e.SetDataContentType("text/" + long) }, eventmesh.ErrTooLarge},
		"the most attributes":     {many(MaxAttributes - own), nil},
		"too many attributes":     {many(MaxAttributes - own + 1), eventmesh.ErrTooLarge},
		"one more by a time":      {func(e *event.Event) { many(MaxAttributes - own)(e); e.SetTime(time.Unix(0, 0)) }, eventmesh.ErrTooLarge},
		"one more by a type": {func(e *event.Event) {
			many(MaxAttributes - own - 1)(e)
			e.SetExtension("n0", int32(1))
			e.SetExtension("x", "v")
		}, eventmesh.ErrTooLarge},
		"data as large as can be": {func(e *event.Event) { e.DataEncoded = make([]byte, MaxSize/4*3-300) }, nil},
		"too large":               {func(e *event.Event) { e.DataEncoded = make([]byte, MaxSize/4*3) }, eventmesh.ErrTooLarge},
		"no id":                   {func(e *event.Event) { e.SetID("") }, eventmesh.ErrInvalidEvent},
		"spelled JSON of any size": {func(e *event.Event) {
			e.SetDataContentType(event.ApplicationJSON)
			e.DataEncoded = []byte(`{"a": "` + strings.Repeat(long, 20) + `"}`)
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := numbered(1)
			test.change(&e)
			if body, err := encode(e, topic); !errors.Is(err, test.want) || len(body) > MaxSize {
				t.Errorf("got %d bytes, %v, want %v", len(body), err, test.want)
			}
		})
	}
	for _, topic := range []string{"a%b", "a|b", "", strings.Repeat("x", 128)} {
		if _, err := encode(numbered(1), topic); !errors.Is(err, eventmesh.ErrInvalidTopic) {
			t.Errorf("topic %q: got %v", topic, err)
		}
	}
}

// Clients of different groups, topics and replicas have different names, all of which EventMesh can read.
func TestClientIDs(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, group := range []string{"a", "a.b", "a|b", "a%b"} {
		for _, topic := range []string{"b.c", "c", "b"} {
			for _, mode := range []eventmesh.Mode{eventmesh.Clustering, eventmesh.Broadcasting} {
				a := clientID(eventmesh.Client{Group: group, IP: "10.0.0.1", PID: 1}, topic, mode)
				b := clientID(eventmesh.Client{Group: group, IP: "10.0.0.1", PID: 2}, topic, mode)
				if (a == b) != (mode == eventmesh.Clustering) || strings.ContainsFunc(a, notInNames) {
					t.Errorf("two replicas of %s, %s, %s are %s and %s", group, topic, mode, a, b)
				}
				if other := seen[a]; other != "" {
					t.Errorf("%s is the client of %s and of %s, %s, %s", a, other, group, topic, mode)
				}
				seen[a] = fmt.Sprint(group, topic, mode)
			}
		}
	}
}

// Polls go where EventMesh has said, by the scheme of the address.
func TestInstances(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ base, instance, want string }{
		{"http://mesh:10105", "", "http://mesh:10105"},
		{"http://mesh:10105", "http://mesh-0:10105", "http://mesh-0:10105"},
		{"https://mesh:10105", "http://mesh-0:10105/", "https://mesh-0:10105"},
		{"http://mesh:10105", "mesh-0", "http://mesh:10105"},
		{"http://mesh:10105", "http://me@elsewhere", "http://mesh:10105"},
	} {
		scheme, host, _ := strings.Cut(test.base, "://")
		s := Transport{}.newSession(eventmesh.Address{Scheme: scheme, Host: host}, eventmesh.Client{})
		server := s.at(test.instance).server
		_ = s.Close()
		if got := server.Scheme + "://" + server.Host; got != test.want {
			t.Errorf("%s, told %q: got %s, want %s", test.base, test.instance, got, test.want)
		}
	}
}

// The token is sent with each request, and in no error.
func TestToken(t *testing.T) {
	t.Parallel()
	play(t, next.Options{Tokens: []string{"Bearer secret"}}, func(m *mesh) {
		for token, want := range map[string]error{"secret": nil, "wrong": eventmesh.ErrUnauthorized, "": eventmesh.ErrUnauthorized} {
			p, err := m.transport.OpenPublisher(m.Context(), m.config("").Addresses[0], eventmesh.Client{Credentials: eventmesh.Credentials{Token: token}})
			if !errors.Is(err, want) || err != nil && token != "" && strings.Contains(err.Error(), token) {
				t.Errorf("token %q: got %v, want %v", token, err, want)
			}
			if err == nil {
				if err := p.Publish(m.Context(), topic, numbered(1)); err != nil {
					t.Error(err)
				}
				_ = p.Close()
			}
		}
	})
}
