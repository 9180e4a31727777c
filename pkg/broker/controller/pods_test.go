package controller

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/dataplane"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/table"
)

// plane is a data plane that says what a test wants.
type plane struct {
	*pods
	indexer cache.Indexer
}

func newPlane() *plane {
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	return &plane{newPods(corelisters.NewPodLister(indexer)), indexer}
}

// replica is a pod of the data plane.
type replica struct {
	status atomic.Pointer[dataplane.Status]
	asked  atomic.Int64 // how often it had to tell all
}

// add adds a pod that is ready, and serves a status.
func (p *plane) add(t *testing.T, role, name string, s dataplane.Status) *replica {
	t.Helper()
	r := &replica{}
	r.status.Store(&s)
	handler := dataplane.Handler(func() dataplane.Status { return *r.status.Load() })
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, request)
		if recorder.Code == http.StatusOK {
			r.asked.Add(1)
		}
		for name, values := range recorder.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(recorder.Code)
		_, _ = w.Write(recorder.Body.Bytes())
	}))
	t.Cleanup(server.Close)
	host, text, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	p.put(t, podOf(role, name, host, int32(port)))
	return r
}

func (p *plane) put(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	if err := p.indexer.Add(pod); err != nil {
		t.Fatal(err)
	}
}

func podOf(role, name, host string, port int32) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "knative-eventing", UID: types.UID(name), Labels: map[string]string{nameLabel: role}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 1}, {Name: portName, ContainerPort: port}}}}},
		Status:     corev1.PodStatus{PodIP: host, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
}

// serving is a status with a Broker and a Trigger of generation 2, or with a problem of either.
func serving(ofBroker, ofTrigger *table.Problem) dataplane.Status {
	return dataplane.Status{Brokers: map[string]dataplane.BrokerStatus{"b": {
		Generation: 2, Topic: "orders", Problem: ofBroker, Triggers: map[string]dataplane.TriggerStatus{"t": {Generation: 2, Problem: ofTrigger}},
	}}}
}

var away = &table.Problem{Reason: dataplane.ReasonNotConnected, Message: "away"}

func TestVerdictOnABroker(t *testing.T) {
	wrong := &table.Problem{Reason: table.ReasonConfigInvalid, Message: "wrong"}
	for name, test := range map[string]struct {
		statuses []dataplane.Status
		was      bool
		reason   string
		wait     bool
	}{
		"no pod":                               {nil, false, "NoPod", true},
		"one that serves":                      {[]dataplane.Status{serving(nil, nil)}, false, "", false},
		"one that does not know":               {[]dataplane.Status{serving(nil, nil), {}}, false, "NotServedYet", true},
		"one that does not know any more":      {[]dataplane.Status{serving(nil, nil), {}}, true, "", false},
		"one without a connection":             {[]dataplane.Status{serving(away, nil), serving(nil, nil)}, false, dataplane.ReasonNotConnected, false},
		"one without a connection since":       {[]dataplane.Status{serving(away, nil), serving(nil, nil)}, true, "", false},
		"all without a connection":             {[]dataplane.Status{serving(away, nil), serving(away, nil)}, true, dataplane.ReasonNotConnected, false},
		"a configuration that is wrong":        {[]dataplane.Status{serving(wrong, nil)}, false, table.ReasonConfigInvalid, false},
		"a configuration that is wrong by now": {[]dataplane.Status{serving(wrong, nil)}, true, table.ReasonConfigInvalid, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlane()
			for i, s := range test.statuses {
				p.add(t, roleIngress, strconv.Itoa(i), s)
			}
			p.add(t, roleDispatcher, "other", dataplane.Status{})
			p.ask(t.Context())
			v, topic := p.broker(roleIngress, "b", 2, test.was)
			if v.Reason != test.reason || v.wait != test.wait {
				t.Errorf("got %+v, want %q, %t", v, test.reason, test.wait)
			}
			if v.ok() && topic != "orders" {
				t.Errorf("got topic %q", topic)
			}
		})
	}
}

// What was served a moment ago is believed to be, but not for long.
func TestVerdictIsSteady(t *testing.T) {
	p := newPlane()
	now := time.Now()
	p.now = func() time.Time { return now }
	r := p.add(t, roleDispatcher, "0", serving(nil, nil))
	p.ask(t.Context())
	away := serving(away, nil)
	r.status.Store(&away)
	now = now.Add(believedFor)
	p.ask(t.Context())
	if v, _ := p.broker(roleDispatcher, "b", 2, true); !v.ok() {
		t.Errorf("after %s: got %+v", believedFor, v)
	}
	now = now.Add(time.Second)
	p.ask(t.Context())
	if v, _ := p.broker(roleDispatcher, "b", 2, true); v.ok() {
		t.Error("and a second later it is believed still")
	}
}

// A pod that is not ready serves nothing, and tells why.
func TestPodThatIsNotReady(t *testing.T) {
	p := newPlane()
	full := &table.Problem{Reason: dataplane.ReasonDisk, Message: "no space left on device"}
	r := p.add(t, roleDispatcher, "0", serving(nil, nil))
	object, _, err := p.indexer.GetByKey("knative-eventing/0")
	if err != nil {
		t.Fatal(err)
	}
	pod := object.(*corev1.Pod).DeepCopy()
	pod.Status.Conditions = nil
	p.put(t, pod)
	p.ask(t.Context())
	if v, _ := p.broker(roleDispatcher, "b", 2, true); v.Reason != "NoPod" {
		t.Errorf("without a problem: got %+v", v)
	}
	s := serving(full, nil)
	r.status.Store(&s)
	p.ask(t.Context())
	if v, _ := p.broker(roleDispatcher, "b", 2, true); v.Problem != *full || v.wait {
		t.Errorf("with a full disk: got %+v", v)
	}
}

// A status that has not changed is not told again.
func TestStatusIsToldOnce(t *testing.T) {
	p := newPlane()
	r := p.add(t, roleDispatcher, "0", serving(nil, nil))
	for range 3 {
		p.ask(t.Context())
	}
	if got := r.asked.Load(); got != 1 {
		t.Errorf("it was told %d times", got)
	}
	if v := p.trigger("b", "t", 2, false); !v.ok() {
		t.Errorf("got %+v", v)
	}
}

func TestVerdictOnATrigger(t *testing.T) {
	for name, test := range map[string]struct {
		statuses []dataplane.Status
		was      bool
		reason   string
		wait     bool
	}{
		"no pod":                 {nil, false, "NoPod", true},
		"no pod any more":        {nil, true, "", false},
		"served":                 {[]dataplane.Status{serving(nil, nil), serving(nil, nil)}, false, "", false},
		"not served by all":      {[]dataplane.Status{serving(nil, nil), {}}, false, "NotServedYet", true},
		"one that starts":        {[]dataplane.Status{serving(nil, nil), {}}, true, "", false},
		"a wrong filter":         {[]dataplane.Status{serving(nil, &table.Problem{Reason: table.ReasonFilterInvalid})}, true, table.ReasonFilterInvalid, false},
		"no address for it, yet": {[]dataplane.Status{serving(nil, &table.Problem{Reason: table.ReasonSubscriberUnresolved})}, true, table.ReasonSubscriberUnresolved, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlane()
			for i, s := range test.statuses {
				p.add(t, roleDispatcher, strconv.Itoa(i), s)
			}
			p.ask(t.Context())
			if v := p.trigger("b", "t", 2, test.was); v.Reason != test.reason || v.wait != test.wait {
				t.Errorf("got %+v, want %q, %t", v, test.reason, test.wait)
			}
		})
	}
}

// Pods that cannot answer, or must not be asked, say nothing.
func TestPodsThatSayNothing(t *testing.T) {
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
	defer broken.Close()
	noJSON := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("x")) }))
	defer noJSON.Close()
	p := newPlane()
	for i, server := range []*httptest.Server{broken, noJSON} {
		host, text, _ := net.SplitHostPort(server.Listener.Addr().String())
		port, _ := strconv.ParseInt(text, 10, 32)
		p.put(t, podOf(roleIngress, strconv.Itoa(i), host, int32(port)))
	}
	deleted, unready, nowhere := podOf(roleIngress, "deleted", "127.0.0.1", 1), podOf(roleIngress, "unready", "127.0.0.1", 1), podOf(roleIngress, "nowhere", "", 1)
	deleted.DeletionTimestamp = &metav1.Time{}
	unready.Status.Conditions = nil
	noPort := podOf(roleIngress, "no port", "127.0.0.1", 1)
	noPort.Spec.Containers[0].Ports = nil
	for _, pod := range []*corev1.Pod{deleted, unready, nowhere, noPort} {
		p.put(t, pod)
	}
	p.ask(t.Context())
	if len(p.known) != 3 {
		t.Errorf("asked %d pods, want 3", len(p.known))
	}
	if v, _ := p.broker(roleIngress, "b", 2, false); v.Reason != "NotServedYet" || !v.wait {
		t.Errorf("got %+v", v)
	}
}

// The status travels as JSON.
func TestStatusAsJSON(t *testing.T) {
	text, err := json.Marshal(serving(nil, away))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"brokers":{"b":{"generation":2,"topic":"orders","triggers":{"t":{"generation":2,"problem":{"reason":"NotConnected","message":"away"}}}}}}`
	if string(text) != want {
		t.Errorf("got %s", text)
	}
}

// Pods that have different problems are told of in one order, or the status would be written again and again.
func TestVerdictIsStable(t *testing.T) {
	p := newPlane()
	for _, name := range []string{"0", "1", "2", "3"} {
		problem := &table.Problem{Reason: dataplane.ReasonNotConnected, Message: "away from " + name}
		p.add(t, roleIngress, "ingress-"+name, serving(problem, nil))
		p.add(t, roleDispatcher, "dispatcher-"+name, serving(nil, problem))
	}
	p.ask(t.Context())
	broker, _ := p.broker(roleIngress, "b", 2, false)
	trigger := p.trigger("b", "t", 2, false)
	for range 100 {
		if again, _ := p.broker(roleIngress, "b", 2, false); again != broker {
			t.Fatalf("of a Broker: got %v, and then %v", broker, again)
		}
		if again := p.trigger("b", "t", 2, false); again != trigger {
			t.Fatalf("of a Trigger: got %v, and then %v", trigger, again)
		}
	}
}
