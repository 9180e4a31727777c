package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/await"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/httpevent"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/dataplane"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/releases"
)

// stage is an ingress and a dispatcher, with an EventMesh and a file of what there is.
type stage struct {
	mesh                releases.Server // nil: a real one
	file, spool         string
	ingress, dispatcher *process
	address             string // of the ingress
	brokers             []*eventingv1.Broker
	triggers            []*eventingv1.Trigger
	config              map[string]string
	more                []any // in the file
}

const namespace = "shop"

// newStage returns a stage over a transport, with one Broker, default, that is not played yet.
func newStage(t *testing.T, transport string) *stage {
	t.Helper()
	s := &stage{file: filepath.Join(t.TempDir(), "table.json"), spool: filepath.Join(t.TempDir(), "spool")}
	s.config = map[string]string{"eventmesh.url": s.url(t, transport)}
	s.brokers = []*eventingv1.Broker{newBroker("default")}
	return s
}

// url returns where EventMesh takes a transport: the real one, where the environment names it, or the one in memory.
func (s *stage) url(t *testing.T, transport string) string {
	t.Helper()
	if url := os.Getenv("EVENTMESH_" + strings.ToUpper(transport) + "_URL"); url != "" {
		return url
	}
	if other, ok := s.mesh.(releases.Release112); ok { // it has both of its transports
		other.Transport = transport
		return other.URL()
	}
	s.mesh = releases.New(t, transport, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ, UnknownTopics: true})
	return s.mesh.URL()
}

// holdsEvents tells whether EventMesh keeps events for a group that is away.
func (s *stage) holdsEvents() bool {
	return s.mesh != nil || os.Getenv("EVENTMESH_STORAGE") == "rocketmq"
}

// needsStorage skips a test whose events wait for a group that is away, where EventMesh keeps none.
func (s *stage) needsStorage(t *testing.T) {
	t.Helper()
	if !s.holdsEvents() {
		t.Skip("the storage keeps no events for a group that is away")
	}
}

// newBroker returns a Broker with a topic and a group of its own, as a real EventMesh keeps those of tests before.
func newBroker(name string) *eventingv1.Broker {
	return &eventingv1.Broker{
		TypeMeta: metav1.TypeMeta{APIVersion: "eventing.knative.dev/v1", Kind: "Broker"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, UID: uuid.NewUUID(), Generation: 1,
			Annotations: map[string]string{eventingv1.BrokerClassAnnotationKey: "EventMesh"},
		},
	}
}

// trigger returns a Trigger of Broker default, which gets all events.
func trigger(name string, to *subscriber) *eventingv1.Trigger {
	u, err := apis.ParseURL(to.URL)
	if err != nil {
		panic(err)
	}
	return &eventingv1.Trigger{
		TypeMeta:   metav1.TypeMeta{APIVersion: "eventing.knative.dev/v1", Kind: "Trigger"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID("t-" + name), Generation: 1},
		Spec:       eventingv1.TriggerSpec{Broker: "default", Subscriber: duckv1.Destination{URI: u}},
	}
}

// wanting makes a Trigger one of events of a type.
func wanting(t *eventingv1.Trigger, typ string) *eventingv1.Trigger {
	t.Spec.Filter = &eventingv1.TriggerFilter{Attributes: map[string]string{"type": typ}}
	return t
}

// retrying gives a Trigger so many retries, 50 ms after each other and more, and a dead letter sink, if it is not nil.
func retrying(t *eventingv1.Trigger, retries int32, dead *subscriber) *eventingv1.Trigger {
	linear, delay := eventingduckv1.BackoffPolicyLinear, "PT0.1S"
	t.Spec.Delivery = &eventingduckv1.DeliverySpec{Retry: &retries, BackoffPolicy: &linear, BackoffDelay: &delay}
	if dead != nil {
		u, err := apis.ParseURL(dead.URL)
		if err != nil {
			panic(err)
		}
		t.Spec.Delivery.DeadLetterSink = &duckv1.Destination{URI: u}
	}
	return t
}

// write writes the file, as a whole.
func (s *stage) write(t *testing.T) {
	t.Helper()
	items := []any{&corev1.ConfigMap{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: metav1.ObjectMeta{Namespace: "knative-eventing", Name: "config-eventmesh-broker"}, Data: s.config,
	}}
	items = append(items, s.more...)
	for _, b := range s.brokers {
		items = append(items, b)
	}
	for _, one := range s.triggers {
		items = append(items, one)
	}
	content, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.file+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(s.file+".new", s.file); err != nil {
		t.Fatal(err)
	}
}

// play writes the file, and starts what does not run.
func (s *stage) play(t *testing.T) {
	t.Helper()
	s.write(t)
	if s.ingress == nil {
		s.startIngress(t, "0")
	}
	if s.dispatcher == nil {
		s.startDispatcher(t)
	}
	s.ingress.awaitReady(t)
	s.dispatcher.awaitReady(t)
	s.awaitServed(t)
}

// startIngress starts it on a port, with more variables; 0 lets the kernel choose.
func (s *stage) startIngress(t *testing.T, port string, environment ...string) {
	t.Helper()
	s.ingress = start(t, "broker-ingress", append([]string{
		"BROKER_FILE=" + s.file, "PORT=" + port, "EVENTMESH_CLIENT_ID=ingress-0", "EVENTMESH_SHUTDOWN_DELAY=0s",
	}, environment...)...)
	if at := s.ingress.At(t, "serving"); s.address == "" { // where it stays: senders know it
		s.address = at
	}
}

// restartIngress starts it where it was: senders and the dispatcher know it by that.
func (s *stage) restartIngress(t *testing.T) {
	t.Helper()
	s.startIngress(t, s.address[strings.LastIndex(s.address, ":")+1:])
	s.ingress.awaitReady(t)
}

// startDispatcher starts it, with more variables.
func (s *stage) startDispatcher(t *testing.T, environment ...string) {
	t.Helper()
	s.dispatcher = start(t, "broker-dispatcher", append([]string{
		"BROKER_FILE=" + s.file, "BROKER_ADDRESS=" + s.address, "EVENTMESH_SPOOL_DIR=" + s.spool, "EVENTMESH_CLIENT_ID=dispatcher-0",
	}, environment...)...)
}

// awaitServed waits until both say that they serve what the file has.
func (s *stage) awaitServed(t *testing.T) {
	t.Helper()
	await.Until(t, await.Patience, func() string {
		in, out := statusOf(t, s.ingress), statusOf(t, s.dispatcher)
		for _, b := range s.brokers {
			for _, of := range []dataplane.Status{in, out} {
				got, ok := of.Brokers[string(b.UID)]
				if !ok || got.Generation != b.Generation || got.Problem != nil {
					return fmt.Sprintf("Broker %s: %+v, %v", b.Name, got, got.Problem)
				}
			}
		}
		have := map[string]int64{}
		for _, b := range out.Brokers {
			for uid, t := range b.Triggers {
				have[uid] = t.Generation
			}
		}
		for _, one := range s.triggers {
			if have[string(one.UID)] != one.Generation {
				return fmt.Sprintf("Trigger %s is not served: %v", one.Name, have)
			}
			delete(have, string(one.UID))
		}
		if len(have) > 0 {
			return fmt.Sprintf("Triggers are served that are gone: %v", have)
		}
		return ""
	})
}

// statusAt returns what a program says of the first Broker.
func (s *stage) statusAt(t *testing.T, p *process) dataplane.BrokerStatus {
	t.Helper()
	return statusOf(t, p).Brokers[string(s.brokers[0].UID)]
}

func statusOf(t *testing.T, p *process) (s dataplane.Status) {
	t.Helper()
	if status, body := get(t, p.At(t, "serving probes")+dataplane.StatusPath); status == http.StatusOK {
		if err := json.Unmarshal([]byte(body), &s); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// newEvent returns an event of a type.
func newEvent(id, typ string) event.Event {
	e := event.New()
	e.SetID(id)
	e.SetSource("/test")
	e.SetType(typ)
	_ = e.SetData(event.TextPlain, "Hello "+id)
	return e
}

// send sends an event to a Broker, and returns the status of the answer and its body; 0 without one.
func (s *stage) send(t *testing.T, broker string, e event.Event) (int, string) {
	t.Helper()
	return s.sendAs(t, "", broker, e)
}

// sendAs does so with a token, if there is one.
func (s *stage) sendAs(t *testing.T, token, broker string, e event.Event) (int, string) {
	t.Helper()
	return post(t, http.DefaultClient, token, s.address+"/"+namespace+"/"+broker, e)
}

func post(t *testing.T, client *http.Client, token, url string, e event.Event) (int, string) {
	t.Helper()
	header := http.Header{}
	body, err := httpevent.Write(header, e, httpevent.Auto)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodPost, url, strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = header
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	answer, _ := io.ReadAll(response.Body)
	return response.StatusCode, strings.TrimSpace(string(answer))
}

// mustSend sends an event to Broker default, until it is accepted.
func (s *stage) mustSend(t *testing.T, e event.Event) {
	t.Helper()
	await.Until(t, await.Patience, func() string {
		if status, said := s.send(t, "default", e); status != http.StatusAccepted {
			return fmt.Sprintf("event %s: %d %s", e.ID(), status, said)
		}
		return ""
	})
}

// sendMore sends n events to Broker default, and returns the IDs of all, which are in order, with those of others before.
func (s *stage) sendMore(t *testing.T, ids []string, n int) []string {
	t.Helper()
	for range n {
		ids = append(ids, fmt.Sprintf("%03d", len(ids)))
		s.mustSend(t, newEvent(ids[len(ids)-1], "order"))
	}
	return ids
}

// subscriber gets events over HTTP, and keeps them with their requests' headers.
type subscriber struct {
	*httptest.Server

	mu      sync.Mutex
	answer  func(w http.ResponseWriter, e event.Event) // nil: 202
	events  []event.Event
	headers []http.Header
}

func newSubscriber(t *testing.T, answer func(w http.ResponseWriter, e event.Event)) *subscriber {
	t.Helper()
	s := &subscriber{answer: answer}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// newTLSSubscriber returns one over TLS, with a certificate that nobody knows.
func newTLSSubscriber(t *testing.T) *subscriber {
	t.Helper()
	s := &subscriber{}
	s.Server = httptest.NewTLSServer(s)
	t.Cleanup(s.Close)
	return s
}

// answers sets the answer.
func (s *subscriber) answers(answer func(w http.ResponseWriter, e event.Event)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// forget forgets what has come.
func (s *subscriber) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events, s.headers = nil, nil
}

// ServeHTTP implements [http.Handler].
func (s *subscriber) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	e, err := httpevent.Read(r.Header, body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	answer := s.answer
	s.events, s.headers = append(s.events, *e), append(s.headers, r.Header)
	s.mu.Unlock()
	if answer == nil {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	answer(w, *e)
}

// ids are those of the events that came, each once, in order of their names.
func (s *subscriber) ids() (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		ids = append(ids, e.ID())
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// times is how often an event came.
func (s *subscriber) times(id string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if e.ID() == id {
			n++
		}
	}
	return n
}

// first returns an event that came, and the header of its request.
func (s *subscriber) first(t *testing.T, id string) (event.Event, http.Header) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, e := range s.events {
		if e.ID() == id {
			return e, s.headers[i]
		}
	}
	t.Fatalf("event %s has not come", id)
	return event.Event{}, nil
}

// awaits waits until these events have come, and no others.
func (s *subscriber) awaits(t *testing.T, who string, ids ...string) {
	t.Helper()
	slices.Sort(ids)
	await.Until(t, await.Patience, func() string {
		if got := s.ids(); fmt.Sprint(got) != fmt.Sprint(ids) {
			return fmt.Sprintf("%s got %v, want %v", who, got, ids)
		}
		return ""
	})
}

// says answers with a status.
func says(status int) func(http.ResponseWriter, event.Event) {
	return func(w http.ResponseWriter, _ event.Event) { w.WriteHeader(status) }
}

// replies answers with an event that has an ID, made of that of the event.
func replies(typ string) func(http.ResponseWriter, event.Event) {
	return func(w http.ResponseWriter, e event.Event) {
		body, err := httpevent.Write(w.Header(), newEvent(e.ID()+"-reply", typ), httpevent.Auto)
		if err != nil {
			panic(err)
		}
		_, _ = w.Write(body)
	}
}
