package table

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/await"
)

// apiServer lists and watches what it has. Paths are those of resources, with the name of one that is asked for by its name.
type apiServer struct {
	*httptest.Server

	mu       sync.Mutex
	version  int
	objects  map[string][]runtime.Object
	denied   map[string]bool
	changes  []change
	watchers map[chan []byte]string // by what they watch
}

// change is one that who watches from an earlier version gets.
type change struct {
	version int
	path    string
	event   []byte
}

func newAPIServer(t *testing.T) *apiServer {
	t.Helper()
	a := &apiServer{objects: map[string][]runtime.Object{}, denied: map[string]bool{}, watchers: map[chan []byte]string{}}
	a.Server = httptest.NewServer(a)
	t.Cleanup(func() {
		a.CloseClientConnections()
		a.Close()
	})
	return a
}

// ServeHTTP answers a list or a watch.
func (a *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	path := r.URL.Path
	if _, name, ok := strings.Cut(query.Get("fieldSelector"), "metadata.name="); ok {
		path += "/" + name
	}
	w.Header().Set("Content-Type", "application/json")
	a.mu.Lock()
	denied := a.denied[path]
	a.mu.Unlock()
	switch {
	case denied:
		fail(w, http.StatusForbidden, metav1.StatusReasonForbidden)
	case query.Get("sendInitialEvents") != "":
		fail(w, http.StatusUnprocessableEntity, metav1.StatusReasonInvalid) // as an API server without that
	case query.Get("watch") != "":
		a.watch(w, r, path)
	default:
		kind, apiVersion := kindOf(path)
		a.mu.Lock()
		defer a.mu.Unlock()
		_ = json.NewEncoder(w).Encode(map[string]any{
			"kind": kind + "List", "apiVersion": apiVersion, "metadata": metav1.ListMeta{ResourceVersion: fmt.Sprint(a.version)}, "items": append([]runtime.Object{}, a.objects[path]...),
		})
	}
}

func kindOf(path string) (kind, apiVersion string) {
	switch {
	case strings.Contains(path, "/brokers"):
		return "Broker", eventingv1.SchemeGroupVersion.String()
	case strings.Contains(path, "/triggers"):
		return "Trigger", eventingv1.SchemeGroupVersion.String()
	case strings.Contains(path, "/configmaps"):
		return kindConfigMap, "v1"
	default:
		return kindSecret, "v1"
	}
}

func fail(w http.ResponseWriter, status int, reason metav1.StatusReason) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Code: int32(status), Reason: reason, Message: string(reason)})
}

func (a *apiServer) watch(w http.ResponseWriter, r *http.Request, path string) {
	events := make(chan []byte, 10)
	from, err := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	if err != nil {
		fail(w, http.StatusBadRequest, metav1.StatusReasonBadRequest)
		return
	}
	a.mu.Lock()
	for _, c := range a.changes {
		if c.path == path && c.version > from {
			events <- c.event
		}
	}
	a.watchers[events] = path
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.watchers, events)
	}()
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	for {
		select {
		case event := <-events:
			_, _ = w.Write(event)
			w.(http.Flusher).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

// has sets what there is at a path, and tells who watches of the last change.
func (a *apiServer) has(t *testing.T, path, how string, changed metav1.Object, all ...runtime.Object) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.version++
	a.objects[path] = all
	if changed == nil {
		return
	}
	changed.SetResourceVersion(fmt.Sprint(a.version))
	event, err := json.Marshal(map[string]any{"type": how, "object": changed})
	if err != nil {
		t.Fatal(err)
	}
	a.changes = append(a.changes, change{a.version, path, event})
	for events, of := range a.watchers {
		if of == path {
			events <- event
		}
	}
}

const (
	brokersPath  = "/apis/eventing.knative.dev/v1/brokers"
	triggersPath = "/apis/eventing.knative.dev/v1/triggers"
	configPath   = "/api/v1/namespaces/knative-eventing/configmaps/config-eventmesh-broker"
	secretPath   = "/api/v1/namespaces/knative-eventing/secrets/secret"
)

func typed(kind string, o runtime.Object) runtime.Object {
	apiVersion := eventingv1.SchemeGroupVersion.String()
	if kind == kindConfigMap || kind == kindSecret {
		apiVersion = "v1"
	}
	switch o := o.(type) {
	case *eventingv1.Broker:
		o.TypeMeta = metav1.TypeMeta{Kind: kind, APIVersion: apiVersion}
	case *eventingv1.Trigger:
		o.TypeMeta = metav1.TypeMeta{Kind: kind, APIVersion: apiVersion}
	case *corev1.ConfigMap:
		o.TypeMeta = metav1.TypeMeta{Kind: kind, APIVersion: apiVersion}
	case *corev1.Secret:
		o.TypeMeta = metav1.TypeMeta{Kind: kind, APIVersion: apiVersion}
	}
	return o
}

func config(data map[string]string) *corev1.ConfigMap {
	c := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: standard.Name, UID: types.UID("c"), ResourceVersion: "1"}, Data: data}
	typed(kindConfigMap, c)
	return c
}

// A cluster is watched: Brokers, Triggers, and by their names what Brokers need.
func TestCluster(t *testing.T) {
	a := newAPIServer(t)
	b := newBroker("default")
	a.has(t, brokersPath, "", nil, typed("Broker", b))
	a.has(t, configPath, "", nil, config(map[string]string{"eventmesh.url": url}))
	server := httptest.NewTLSServer(nil)
	server.Close()
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	bundle := config(map[string]string{"ca.crt": certificate, "README": "no certificate"})
	bundle.Name, bundle.Labels = "bundle", map[string]string{"networking.knative.dev/trust-bundle": "true"}
	a.has(t, strings.TrimSuffix(configPath, "/"+standard.Name), "", nil, bundle)
	dir := t.TempDir()
	all := tables(t, Cluster{Config: &rest.Config{Host: a.URL}, Standard: standard, Copy: filepath.Join(dir, "copy.json"), Logger: zap.NewNop().Sugar()})
	first := until(t, all, "the Broker", func(t *Table) bool { return len(t.Brokers) == 1 })
	if first.Trust != certificate || first.Brokers[0].Mesh.URL != url || first.Brokers[0].Problem != nil || len(first.Brokers[0].Triggers) != 0 {
		t.Errorf("got %+v, %v", first.Brokers[0], first.Brokers[0].Problem)
	}
	trigger := newTrigger("a", "default")
	typed("Trigger", trigger)
	a.has(t, triggersPath, "ADDED", trigger, trigger)
	until(t, all, "a Trigger", func(t *Table) bool { return len(t.Brokers[0].Triggers) == 1 && t.Brokers[0].Triggers[0].Name == "a" })
	var copied []byte
	await.Until(t, await.Patience, func() string {
		copied, _ = os.ReadFile(filepath.Join(dir, "copy.json"))
		if !strings.Contains(string(copied), `"t-a"`) {
			return fmt.Sprintf("the copy has %s", copied)
		}
		return ""
	})
	next := config(map[string]string{"eventmesh.url": url, "eventmesh.credentials": "secret"})
	a.mu.Lock()
	a.denied[secretPath] = true
	a.mu.Unlock()
	a.has(t, configPath, "MODIFIED", next, next)
	got := until(t, all, "a Secret that may not be read", func(t *Table) bool { return t.Brokers[0].Problem != nil }).Brokers[0]
	if got.Problem.Reason != ReasonCredentialsNotFound || !strings.Contains(got.Problem.Message, "orbidden") || got.Mesh.URL != url {
		t.Errorf("with a Secret that may not be read: got %+v, %v", got, got.Problem)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: "secret"}, Data: map[string][]byte{"username": []byte("u"), "password": []byte("p")}}
	a.mu.Lock()
	a.denied[secretPath] = false
	a.mu.Unlock()
	a.has(t, secretPath, "", nil, typed(kindSecret, secret))
	got = until(t, all, "the Secret, which is tried again by and by", func(t *Table) bool { return t.Brokers[0].Problem == nil }).Brokers[0]
	if got.Mesh.Password != "p" {
		t.Errorf("with the Secret: got %+v", got)
	}
	a.has(t, brokersPath, "DELETED", b)
	until(t, all, "no Broker", func(t *Table) bool { return len(t.Brokers) == 0 })
}

// until waits for a table.
func until(t *testing.T, all <-chan *Table, what string, is func(*Table) bool) *Table {
	t.Helper()
	late := time.After(await.Patience)
	for {
		select {
		case got := <-all:
			if is(got) {
				return got
			}
		case <-late:
			t.Fatalf("there is no table with %s", what)
		}
	}
}

// While the cluster does not answer there is the copy of the last table, which says that it may be stale.
func TestClusterThatDoesNotAnswer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "copy.json")
	o, err := parseObjects([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	content, err := marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(content))
	all := tables(t, Cluster{Config: &rest.Config{Host: "http://127.0.0.1:1"}, Standard: standard, Copy: path, Logger: zap.NewNop().Sugar()})
	got := <-all
	if !got.Stale || len(got.Brokers) != 1 || len(got.Brokers[0].Triggers) != 2 {
		t.Errorf("got %+v", got)
	}
}
