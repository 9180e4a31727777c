package table

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/await"
)

const file = `# as a person may write it
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata:
  name: default
  namespace: shop
  uid: "1"
  annotations: {eventing.knative.dev/broker.class: EventMesh}
spec:
  delivery: {deadLetterSink: {uri: http://dead}}
---
apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: ConfigMap
    metadata: {name: config-eventmesh-broker, namespace: knative-eventing}
    data: {eventmesh.url: "grpc://eventmesh", eventmesh.credentials: secret}
  - apiVersion: v1
    kind: Secret
    metadata: {name: secret, namespace: knative-eventing}
    stringData: {username: u, password: p}
  - apiVersion: eventing.knative.dev/v1
    kind: Trigger
    metadata: {name: a, namespace: shop, uid: "2"}
    spec: {broker: default, subscriber: {uri: http://a}}
  - apiVersion: eventing.knative.dev/v1
    kind: Trigger
    metadata: {name: b, namespace: shop, uid: "3"}
    spec: {broker: default, subscriber: {uri: http://b}, delivery: {deadLetterSink: {uri: http://own}}}
---
`

// tables runs a source, and hands out its tables.
func tables(t *testing.T, source Source) <-chan *Table {
	t.Helper()
	all := make(chan *Table, 10)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- source.Run(ctx, func(t *Table) { all <- t }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return all
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// A file stands for a cluster with its controller, and is read again when it changes.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "table.yaml")
	write(t, path, file)
	core, logs := observer.New(zap.InfoLevel)
	all := tables(t, File{Path: path, Address: "http://ingress", Standard: standard, Logger: zap.New(core).Sugar()})
	b := (<-all).Brokers[0]
	if b.Address.URL != "http://ingress/shop/default" || b.Mesh != (Mesh{URL: "grpc://eventmesh", Username: "u", Password: "p"}) || b.Problem != nil {
		t.Errorf("got %+v, %v", b, b.Problem)
	}
	if len(b.Triggers) != 2 || b.Triggers[0].Subscriber.URL != "http://a" || b.Triggers[0].DeadLetterSink.URL != "http://dead" || b.Triggers[1].DeadLetterSink.URL != "http://own" {
		t.Errorf("got Triggers %+v", b.Triggers)
	}
	write(t, path, "kind: Pod\n")
	await.Until(t, await.Patience, func() string {
		if logs.FilterMessageSnippet("cannot be read").Len() == 0 {
			return "the log says nothing of the file"
		}
		return ""
	})
	write(t, path, strings.ReplaceAll(file, "http://a", "http://another"))
	if got := (<-all).Brokers[0].Triggers[0].Subscriber.URL; got != "http://another" {
		t.Errorf("after a change: got %s", got)
	}
}

func TestFileThatIsNone(t *testing.T) {
	for content, want := range map[string]string{
		"":                                    "no such file",
		"a: [":                                "document 1:",
		"kind: Pod":                           "document 1: Pod /: want a Broker",
		"---\nkind: Broker":                   "metadata.uid is missing",
		"kind: List\nitems:\n- kind: Trigger": "metadata.uid is missing",
	} {
		path := filepath.Join(t.TempDir(), "table.yaml")
		if content != "" {
			write(t, path, content)
		}
		if err := (File{Path: path}).Run(t.Context(), func(*Table) {}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", content, err, want)
		}
	}
}

// The copy of a cluster is read as a file is, and holds no Secret.
func TestCopy(t *testing.T) {
	o, err := parseObjects([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	content, err := marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(content), "password") {
		t.Errorf("a password is in %s", content)
	}
	again, err := parseObjects(content)
	if err != nil || len(again.Brokers) != 1 || len(again.Triggers) != 2 || len(again.ConfigMaps) != 1 || len(again.Secrets) != 0 {
		t.Errorf("got %+v, %v", again, err)
	}
}
