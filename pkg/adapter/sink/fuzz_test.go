package sink

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/ingresstest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/next"
)

// FuzzHTTP sends anything to the sink, in front of an EventMesh that works. Whatever it is, the answer is the sender's to know: an
// event that EventMesh would never take must not be answered as one that is worth repeating.
func FuzzHTTP(f *testing.F) {
	const event = "ce-specversion: 1.0\nce-id: 1\nce-type: t\nce-source: /s\n"
	for _, seed := range []struct{ method, target, header, body string }{
		{"POST", "/", event + "content-type: application/json", `{"n": 1.50}`},
		{"POST", "/topics/orders", event + "content-type: text/plain", "\x00\xff"},
		{"POST", "/topics/stock-%25%7C", event + "ce-time: 2026-01-02T03:04:05Z\nce-subject: %C3%A4\nce-emxdata: x\nce-ttl: 1", ""},
		{"POST", "/topics/orders", event + "content-type: application/protobuf", "\n\x03abc"},
		{"POST", "/topics/orders", event + "ce-: 1\nce-a-b: 2\nce-dataschema: %zz\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", ""},
		{"POST", "/", "content-type: application/cloudevents+json", `{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"a":[1.5,null]},"x":1,"y":true}`},
		{"POST", "/", "content-type: application/cloudevents+json", `{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":1}`},
		{"POST", "/", "content-type: application/cloudevents-batch+json", ingresstest.BatchOf("1", "2")},
		{"POST", "/", "content-type: application/cloudevents-batch+json", `[null,1,{},"x"`},
		{"POST", "/requests/orders", event, "{}"},
		{"GET", "/readiness", "user-agent: kube-probe/1.34", ""},
		{"OPTIONS", "*", "", ""},
		{"CONNECT", "/../", "upgrade: websocket", ""},
	} {
		f.Add(seed.method, seed.target, seed.header, []byte(seed.body))
	}
	server := eventmeshtest.New(f, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ, RateLimit: -1, InboundLimit: -1, RecordLimit: -1})
	handlers := map[string]http.Handler{"HTTP": working(f, next.New(f, next.Options{RecordLimit: -1}).URL(), "")}
	for _, url := range []string{server.GRPCURL(), server.TCPURL()} {
		for _, subscribers := range []string{"grpc", "tcp"} {
			handlers[url+" for "+subscribers] = working(f, url, subscribers)
		}
	}
	f.Fuzz(func(t *testing.T, method, target, header string, body []byte) {
		text := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: sink\r\n%s\r\nContent-Length: %d\r\n\r\n%s",
			method, target, strings.ReplaceAll(strings.Trim(header, "\n"), "\n", "\r\n"), len(body), body)
		for name, handler := range handlers {
			r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader([]byte(text))))
			if err != nil {
				return // the server answers 400 by itself
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r.WithContext(t.Context()))
			noReply := w.Code >= 500 && strings.HasPrefix(r.URL.Path, requestsPath) // for nobody subscribes
			if (w.Code < 200 || w.Code > 299) && (w.Code < 400 || w.Code > 499) && !noReply {
				t.Errorf("%s: got %d %q", name, w.Code, w.Body)
			}
		}
	})
}

// working returns the handler of a sink that is connected.
func working(f *testing.F, url string, subscribers string) http.Handler {
	f.Helper()
	c := NewConfig()
	f.Setenv("EVENTMESH_URL", url)
	f.Setenv("EVENTMESH_CLIENT_ID", "sink-"+subscribers)
	f.Setenv("EVENTMESH_TOPIC", "orders")
	f.Setenv("EVENTMESH_TOPICS", "stock-*")
	f.Setenv("EVENTMESH_PUBLISH_TIMEOUT", "5s") // an event that is never confirmed is found in this time
	f.Setenv("EVENTMESH_REQUEST_TIMEOUT", "1ms")
	if subscribers != "" {
		f.Setenv("EVENTMESH_SUBSCRIBER_TRANSPORT", subscribers)
	}
	if err := adapter.Load(c); err != nil {
		f.Fatal(err)
	}
	connected := make(chan struct{}, 1)
	client, err := c.ClientConfig(c.Group, zap.NewNop().Sugar())
	if err != nil {
		f.Fatal(err)
	}
	client.Subscribers = c.Subscribers
	client.Notify = func(s eventmesh.Status) {
		if s.Connected {
			connected <- struct{}{}
		}
	}
	p, err := eventmesh.NewPublisher(client, adapter.Transports...)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = p.Close() })
	<-connected
	handler, err := newFace(c, p, nil, nil, noop.Meter{}, zap.NewNop().Sugar())
	if err != nil {
		f.Fatal(err)
	}
	return handler
}
