package podevents

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

const path = "/api/v1/namespaces/shop/events"

// api is the part of an API server that keeps Events. It serves from the process alone, so that a test's clock may go faster, or on a port.
type api struct {
	// refuse returns nil, or what a request is answered with instead.
	refuse func(r *http.Request) *metav1.Status

	mu       sync.Mutex
	events   []*corev1.Event
	requests []*http.Request
	times    []time.Time
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.refuse != nil {
		if status := a.refuse(r); status != nil {
			status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
			status.Status = metav1.StatusFailure
			answer(w, int(status.Code), status)
			a.mu.Lock()
			defer a.mu.Unlock()
			a.requests, a.times = append(a.requests, r), append(a.times, time.Now())
			return
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests, a.times = append(a.requests, r), append(a.times, time.Now())
	switch name, found := strings.CutPrefix(r.URL.Path, path+"/"); {
	case r.Method == http.MethodPost && r.URL.Path == path:
		event := decode(r.Body)
		event.APIVersion, event.Kind = "v1", "Event"
		event.Name = fmt.Sprint(event.GenerateName, len(a.events))
		a.events = append(a.events, event)
		answer(w, http.StatusCreated, event)
	case r.Method == http.MethodPatch && found:
		for _, event := range a.events {
			if event.Name == name {
				if err := json.NewDecoder(r.Body).Decode(event); err != nil { // which leaves what the patch has not
					panic(err)
				}
				answer(w, http.StatusOK, event)
				return
			}
		}
		answer(w, http.StatusNotFound, &metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonNotFound, Code: http.StatusNotFound})
	default:
		panic(r.Method + " " + r.URL.Path)
	}
}

// decode reads an Event in any form that Kubernetes knows: client-go has its choice.
func decode(body io.Reader) *corev1.Event {
	text, err := io.ReadAll(body)
	if err != nil {
		panic(err)
	}
	event := &corev1.Event{}
	if _, _, err := scheme.Codecs.UniversalDeserializer().Decode(text, nil, event); err != nil {
		panic(err)
	}
	return event
}

func answer(w http.ResponseWriter, code int, object any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if err := json.NewEncoder(w).Encode(object); err != nil {
		panic(err)
	}
}

// RoundTrip serves a request without a connection.
func (a *api) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

// all returns the Events as they are, each as "type reason count message".
func (a *api) all() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make([]string, len(a.events))
	for i, e := range a.events {
		all[i] = fmt.Sprintf("%s %s %d %s", e.Type, e.Reason, e.Count, e.Message)
	}
	return all
}

// event returns one as it is.
func (a *api) event(i int) *corev1.Event {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.events[i].DeepCopy()
}

// writes returns when there were requests.
func (a *api) writes() []time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]time.Time(nil), a.times...)
}

var thePod = Pod{PodName: "eventmesh-source-0", PodUID: "1234"}

// recorder returns one that writes to the API server, and its log.
func recorder(t *testing.T, config *rest.Config) (*Recorder, *observer.ObservedLogs) {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zapcore.DebugLevel)
	r := New(WithClient(t.Context(), client.CoreV1()), "eventmesh-source", "shop", thePod, zap.New(core).Sugar())
	if r == nil {
		t.Fatal("got no Recorder")
	}
	return r, logs
}

func (a *api) recorder(t *testing.T) (*Recorder, *observer.ObservedLogs) {
	t.Helper()
	return recorder(t, &rest.Config{Host: "http://api", Transport: a})
}

// readiness is what a test sets.
type readiness struct {
	mu  sync.Mutex
	err error
}

func (r *readiness) set(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

func (r *readiness) ready() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

var errDisk = errors.New("the disk is full")

// pemOf returns the certificate of a server.
func pemOf(s *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}
