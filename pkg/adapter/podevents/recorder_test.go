package podevents

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

func check(t *testing.T, a *api, want ...string) {
	t.Helper()
	if got := a.all(); !slices.Equal(got, want) {
		t.Errorf("got Events\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// What lasts for 10 seconds is told, and so is its end, once.
func TestTellsWhatLasts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &api{}
		r, _ := a.recorder(t)
		var state readiness
		state.set(fmt.Errorf("%w: connecting to grpc://eventmesh:10205", eventmesh.ErrNotConnected))
		defer r.Watch(t.Context(), state.ready)()
		time.Sleep(10500 * time.Millisecond)
		check(t, a)
		time.Sleep(time.Second)
		const first = "Warning NotConnected 1 not connected to EventMesh: connecting to grpc://eventmesh:10205"
		check(t, a, first)
		e := a.event(0)
		pod := corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: "shop", Name: "eventmesh-source-0", UID: "1234"}
		if e.InvolvedObject != pod || e.Source.Component != "eventmesh-source" || e.ReportingController != "eventmesh-source" ||
			e.FirstTimestamp.IsZero() || e.LastTimestamp.IsZero() || e.GenerateName != "eventmesh-source-0." {
			t.Errorf("got %+v", e)
		}

		state.set(nil)
		time.Sleep(5 * time.Second)
		state.set(Because(SpoolFull, errDisk)) // for less than 10 seconds
		time.Sleep(5 * time.Second)
		state.set(nil)
		time.Sleep(9 * time.Second)
		check(t, a, first)
		time.Sleep(time.Hour)
		check(t, a, first, "Normal Recovered 1 ready again after NotConnected")
	})
}

// What is well from the start is not worth an Event.
func TestTellsNothingOfWhatWorks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &api{}
		r, _ := a.recorder(t)
		var state readiness
		stop := r.Watch(t.Context(), state.ready)
		time.Sleep(time.Hour)
		stop()
		check(t, a)
	})
}

// The same is counted up every 10 minutes, or sooner when something else was told meanwhile; another message is another Event.
func TestCountsUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &api{}
		r, _ := a.recorder(t)
		var state readiness
		state.set(Because(SpoolFull, errDisk))
		defer r.Watch(t.Context(), state.ready)()
		time.Sleep(35 * time.Minute)
		full := func(n int) string { return fmt.Sprintf("Warning SpoolFull %d the disk is full", n) }
		check(t, a, full(4))
		if e := a.event(0); e.LastTimestamp.Sub(e.FirstTimestamp.Time) < 30*time.Minute {
			t.Errorf("got %s to %s, want 30 minutes", e.FirstTimestamp, e.LastTimestamp)
		}
		state.set(nil)
		time.Sleep(15 * time.Second)
		state.set(Because(SpoolFull, errDisk))
		time.Sleep(15 * time.Second)
		const recovered = "Normal Recovered 1 ready again after SpoolFull"
		check(t, a, full(5), recovered)
		state.set(Because(SpoolFull, errors.New("the quota is used up")))
		time.Sleep(15 * time.Second)
		check(t, a, full(5), recovered, "Warning SpoolFull 1 the quota is used up")
	})
}

// An Event that Kubernetes has forgotten is made again.
func TestForgottenEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &api{}
		r, _ := a.recorder(t)
		var state readiness
		state.set(errDisk)
		defer r.Watch(t.Context(), state.ready)()
		time.Sleep(time.Minute)
		a.mu.Lock()
		a.events = nil
		a.mu.Unlock()
		time.Sleep(10 * time.Minute)
		check(t, a, "Warning NotReady 1 the disk is full")
	})
}

// Without rights there is one attempt, and one line in the log.
func TestForbidden(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		details *metav1.StatusDetails
		level   zapcore.Level
		says    string
	}{
		"rights":    {nil, zapcore.InfoLevel, "config/pod-events"},
		"namespace": {&metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}}, zapcore.DebugLevel, "its namespace ends"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a := &api{refuse: func(*http.Request) *metav1.Status {
					return &metav1.Status{Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden, Details: test.details}
				}}
				r, logs := a.recorder(t)
				var state readiness
				state.set(errDisk)
				stop := r.Watch(t.Context(), state.ready)
				time.Sleep(time.Hour)
				r.Note(TopicNotOpen, "topic a is not open")
				time.Sleep(time.Hour)
				stop()
				if n := len(a.writes()); n != 1 {
					t.Errorf("got %d requests, want 1", n)
				}
				lines := logs.TakeAll()
				if len(lines) != 1 || lines[0].Level != test.level || !strings.Contains(lines[0].Message, test.says) {
					t.Errorf("got log %v, want one line at %s with %q", lines, test.level, test.says)
				}
			})
		})
	}
}

// An API server that fails is asked again, but not often; the log says so for debugging only.
func TestFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var works atomic.Bool
		a := &api{}
		a.refuse = func(*http.Request) *metav1.Status {
			if !works.Load() {
				return &metav1.Status{Code: http.StatusInternalServerError, Reason: metav1.StatusReasonInternalError}
			}
			return nil
		}
		r, logs := a.recorder(t)
		var state readiness
		state.set(errDisk)
		defer r.Watch(t.Context(), state.ready)()
		time.Sleep(30*time.Minute + time.Second)
		if n := len(a.writes()); n != burst+2 {
			t.Errorf("got %d requests in half an hour, want %d", n, burst+2)
		}
		if n := logs.FilterLevelExact(zapcore.DebugLevel).Len(); n != logs.Len() || n != burst+2 {
			t.Errorf("got %d lines in the log, %d of them for debugging, want %d", logs.Len(), n, burst+2)
		}
		works.Store(true)
		time.Sleep(repeat)
		check(t, a, "Warning NotReady 1 the disk is full")
	})
}

// Senders that ask for ever other topics make few Events.
func TestFlood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &api{}
		r, _ := a.recorder(t)
		var state readiness
		defer r.Watch(t.Context(), state.ready)()
		const notes, hours = 36000, 2
		for i := range notes {
			r.Note(TopicNotOpen, fmt.Sprintf("topic %d is not open", i))
			time.Sleep(hours * time.Hour / notes)
		}
		writes := a.writes()
		if n, most := len(writes), burst+int(hours*time.Hour/repeat); n < burst || n > most {
			t.Errorf("got %d writes, want %d to %d", n, burst, most)
		}
		for i := 1; i < len(writes); i++ {
			if between := writes[i].Sub(writes[i-1]); between < gap {
				t.Errorf("got %s between two writes, want at least %s", between, gap)
			}
		}
	})
}

// One topic that is asked for again and again is counted, and lets another one be told.
func TestNotes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &api{}
		r, _ := a.recorder(t)
		var state readiness
		defer r.Watch(t.Context(), state.ready)()
		ask := func(topic string, seconds int) {
			for range seconds {
				r.Note(TopicNotOpen, "topic "+topic+" is not open")
				time.Sleep(time.Second)
			}
		}
		time.Sleep(interval / 2) // between two looks
		ask("a", 5)
		check(t, a, "Warning TopicNotOpen 1 topic a is not open")
		ask("a", 700)
		check(t, a, "Warning TopicNotOpen 601 topic a is not open")
		ask("b", 20)
		check(t, a, "Warning TopicNotOpen 601 topic a is not open", "Warning TopicNotOpen 1 topic b is not open")
	})
}

// While the API server hangs, nobody waits for it; and the end waits for a second.
func TestHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &api{refuse: func(r *http.Request) *metav1.Status {
			<-r.Context().Done()
			return nil
		}}
		r, _ := a.recorder(t)
		var state readiness
		state.set(errDisk)
		stop := r.Watch(t.Context(), state.ready)
		time.Sleep(12 * time.Second)
		began := time.Now()
		r.Note(TopicNotOpen, "topic a is not open")
		if took := time.Since(began); took != 0 {
			t.Errorf("a note took %s", took)
		}
		stop()
		if took := time.Since(began); took > lastTimeout {
			t.Errorf("the end took %s, want at most %s", took, lastTimeout)
		}
	})
}

// What is left at the end is written, without waiting for its turn; what has not lasted is not.
func TestLastOnes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &api{}
		r, _ := a.recorder(t)
		var state readiness
		ctx, cancel := context.WithCancel(t.Context())
		stop := r.Watch(ctx, state.ready)
		r.Note(TopicNotOpen, "topic a is not open")
		time.Sleep(1500 * time.Millisecond)
		r.Note(TopicNotOpen, "topic b is not open")
		state.set(errDisk)
		time.Sleep(2 * time.Second)
		check(t, a, "Warning TopicNotOpen 1 topic a is not open")
		began := time.Now()
		cancel()
		stop()
		if took := time.Since(began); took != 0 {
			t.Errorf("the end took %s", took)
		}
		check(t, a, "Warning TopicNotOpen 1 topic a is not open", "Warning TopicNotOpen 1 topic b is not open")
	})
}

// A program that has no right to, or knows not where it runs, records nothing.
func TestOff(t *testing.T) {
	t.Parallel()
	client, err := kubernetes.NewForConfig(&rest.Config{Host: "http://api"})
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*Recorder{
		"no client":    New(t.Context(), "sink", "shop", thePod, zap.NewNop().Sugar()),
		"no namespace": New(WithClient(t.Context(), client.CoreV1()), "sink", "", thePod, zap.NewNop().Sugar()),
		"no name":      New(WithClient(t.Context(), client.CoreV1()), "sink", "shop", Pod{PodUID: "1"}, zap.NewNop().Sugar()),
		"no UID":       New(WithClient(t.Context(), client.CoreV1()), "sink", "shop", Pod{PodName: "a"}, zap.NewNop().Sugar()),
	} {
		if r != nil {
			t.Errorf("%s: got a Recorder", name)
		}
		r.Note(TopicNotOpen, "topic a is not open")
		r.Watch(t.Context(), func() error { panic("it is asked") })()
	}
}

// It speaks to a real server over TLS, with the token that is in the file then.
func TestOverTLS(t *testing.T) {
	t.Parallel()
	a := &api{}
	server := httptest.NewTLSServer(a)
	defer server.Close()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("of-the-pod"), 0o600); err != nil {
		t.Fatal(err)
	}
	certificate := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(certificate, pemOf(server), 0o600); err != nil {
		t.Fatal(err)
	}
	r, _ := recorder(t, &rest.Config{Host: server.URL, BearerTokenFile: token, TLSClientConfig: rest.TLSClientConfig{CAFile: certificate}})
	stop := r.Watch(t.Context(), func() error { return nil })
	r.Note(TopicNotOpen, "topic a is not open")
	stop()
	check(t, a, "Warning TopicNotOpen 1 topic a is not open")
	if got := a.requests[0].Header.Get("Authorization"); got != "Bearer of-the-pod" {
		t.Errorf("got Authorization %q", got)
	}
}

func TestReasons(t *testing.T) {
	t.Parallel()
	for want, err := range map[Reason]error{
		"":                 Because(SpoolFull, nil),
		NotConnected:       fmt.Errorf("%w: connecting", eventmesh.ErrNotConnected),
		CredentialsRefused: fmt.Errorf("%w: %w", eventmesh.ErrNotConnected, &eventmesh.RefusalError{Kind: eventmesh.ErrUnauthorized}),
		MissingTopic:       fmt.Errorf("%w: %w", eventmesh.ErrNotConnected, eventmesh.ErrMissingTopic),
		SpoolFull:          fmt.Errorf("writing: %w", Because(SpoolFull, errDisk)),
		NotReady:           errors.New("starting"),
	} {
		if got := ReasonOf(err); got != want {
			t.Errorf("%v: got %q, want %q", err, got, want)
		}
	}
	if err := Because(SpoolFull, errDisk); err.Error() != errDisk.Error() || !errors.Is(err, errDisk) {
		t.Errorf("got %v, want what it wraps", err)
	}
}

// Kubernetes refuses messages above 1,024 bytes, and kubectl shows lines.
func TestMessages(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a":                       "a",
		"a\nb":                    "a",
		strings.Repeat("a", 1021): strings.Repeat("a", 1021),
		strings.Repeat("a", 1022): strings.Repeat("a", 1021) + "…",
		strings.Repeat("ä", 600):  strings.Repeat("ä", 510) + "…",
	} {
		got := messageOf(text)
		if got != want || len(got) > longest || !utf8.ValidString(got) {
			t.Errorf("%.20q of %d bytes: got %d bytes, want %d", text, len(text), len(got), len(want))
		}
	}
}
