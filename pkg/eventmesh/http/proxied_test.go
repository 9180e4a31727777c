package http

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/next"
)

// forward is a proxy for http, and counts what it was asked for by path.
type forward struct {
	url   *url.URL
	mu    sync.Mutex
	asked map[string]int
}

func newForward(t *testing.T) *forward {
	t.Helper()
	f := &forward{asked: map[string]int{}}
	onward := &http.Transport{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.asked[r.URL.Path]++
		f.mu.Unlock()
		r.RequestURI = ""
		response, err := onward.RoundTrip(r)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer response.Body.Close()
		w.WriteHeader(response.StatusCode)
		_, _ = io.Copy(w, response.Body)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		onward.CloseIdleConnections()
	})
	f.url = &url.URL{Scheme: "http", Host: server.Listener.Addr().String()}
	return f
}

func (f *forward) proxy(*http.Request) (*url.URL, error) { return f.url, nil }

func (f *forward) times(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[path]
}

// All requests go by the proxy, if there is one, and mean what they mean without.
func TestProxy(t *testing.T) {
	t.Parallel()
	mesh, by := next.New(t, next.Options{}), newForward(t)
	transport := Transport{proxy: by.proxy}
	addresses, err := eventmesh.ParseAddresses(mesh.URL(), transport)
	if err != nil {
		t.Fatal(err)
	}
	c := eventmesh.Client{Group: "g"}
	subscriber, err := transport.OpenSubscriber(t.Context(), addresses[0], c, eventmesh.Subscription{Topics: []string{topic}, Mode: eventmesh.Clustering})
	if err != nil {
		t.Fatal(err)
	}
	publisher, err := transport.OpenPublisher(t.Context(), addresses[0], c)
	if err != nil {
		t.Fatal(err)
	}
	if err := publisher.Publish(t.Context(), topic, numbered(1)); err != nil {
		t.Fatal(err)
	}
	d, err := subscriber.Receive()
	if err != nil || d.Err != nil || d.Event.ID() != "1" {
		t.Fatalf("got %+v, %v", d, err)
	}
	if err := publisher.Publish(t.Context(), "a b", numbered(2)); !errors.Is(err, eventmesh.ErrInvalidTopic) {
		t.Errorf("got %v, want %v", err, eventmesh.ErrInvalidTopic)
	}
	if published, polled := by.times(pathPublish), by.times(pathPoll); published != 1 || polled == 0 {
		t.Errorf("the proxy was asked to publish %d times, and to poll %d times", published, polled)
	}
	for _, s := range []io.Closer{subscriber, publisher} {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := publisher.Publish(t.Context(), topic, numbered(3)); !errors.Is(err, eventmesh.ErrNotConnected) {
		t.Errorf("after its end: got %v, want %v", err, eventmesh.ErrNotConnected)
	}
}

func TestProxyThatIsNone(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	for name, proxy := range map[string]func(*http.Request) (*url.URL, error){
		"not there":  func(*http.Request) (*url.URL, error) { return &url.URL{Scheme: "http", Host: l.Addr().String()}, nil },
		"not a URL":  func(*http.Request) (*url.URL, error) { return nil, errors.New("invalid proxy address") },
		"of no kind": func(*http.Request) (*url.URL, error) { return &url.URL{Scheme: "gopher", Host: "proxy"}, nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Transport{proxy: proxy}.OpenPublisher(t.Context(), eventmesh.Address{Scheme: "http", Host: "mesh:10105"}, eventmesh.Client{})
			if !errors.Is(err, eventmesh.ErrNotConnected) || !strings.Contains(err.Error(), "proxy") {
				t.Errorf("got %v, want %v that names the proxy", err, eventmesh.ErrNotConnected)
			}
		})
	}
}

// The address of an instance that answers name is asked for by the proxy of its own.
func TestProxyOfAnInstance(t *testing.T) {
	t.Parallel()
	by := func(r *http.Request) (*url.URL, error) {
		if r.URL.Hostname() == "mesh-0" {
			return nil, nil
		}
		return &url.URL{Scheme: "http", Host: "proxy"}, nil
	}
	s := Transport{proxy: by}.newSession(eventmesh.Address{Scheme: "http", Host: "mesh:10105"}, eventmesh.Client{})
	defer s.Close()
	for instance, want := range map[string]bool{"": true, "http://mesh-0:10105": false, "http://mesh-1:10105": true} {
		if _, got := s.at(instance).client.(*proxied); got != want {
			t.Errorf("instance %q: by the proxy: %t, want %t", instance, got, want)
		}
	}
}
