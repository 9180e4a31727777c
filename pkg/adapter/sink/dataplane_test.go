package sink

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/ingresstest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// TestDataPlaneRules has a row for each rule that Knative's data plane contract has for recipients.
func TestDataPlaneRules(t *testing.T) {
	const (
		traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		document    = `{"specversion":"1.0","id":"1","source":"/shop","type":"order.placed","data":{"n":1}}`
	)
	post := func(url string, header http.Header, body string) func(*testing.T) ingresstest.Answer {
		return func(t *testing.T) ingresstest.Answer {
			t.Helper()
			return ingresstest.Send(t, http.DefaultClient, http.MethodPost, url, header, strings.NewReader(body))
		}
	}
	failing := func(err error) *fake {
		return &fake{publish: func(context.Context, string) error { return err }}
	}
	replying := &fake{request: func(context.Context, string) (*event.Event, error) {
		e := sample()
		return &e, nil
	}}
	for _, c := range []struct {
		rule   string
		p      *fake
		send   func(url string) func(*testing.T) ingresstest.Answer
		status int
		check  func(*testing.T, ingresstest.Answer, []event.Event)
	}{
		{rule: "binary mode is supported", status: 202, send: func(url string) func(*testing.T) ingresstest.Answer {
			return post(url, ingresstest.Binary(), `{"n":1}`)
		}},
		{rule: "structured mode is supported", status: 202, send: func(url string) func(*testing.T) ingresstest.Answer {
			return post(url, ingresstest.Structured(), document)
		}},
		{rule: "negotiation that is not understood is ignored", status: 202, send: func(url string) func(*testing.T) ingresstest.Answer {
			return post(url, ingresstest.Binary("Upgrade=websocket", "Connection=Upgrade", "Expect-Ct=x", "Kn-Namespace=default"), `{"n":1}`)
		}},
		{rule: "OPTIONS tells in Allow that POST is supported", status: 200, send: func(url string) func(*testing.T) ingresstest.Answer {
			return func(t *testing.T) ingresstest.Answer {
				t.Helper()
				return ingresstest.Send(t, http.DefaultClient, http.MethodOptions, url, nil, nil)
			}
		}, check: func(t *testing.T, got ingresstest.Answer, _ []event.Event) {
			t.Helper()
			if got.Header.Get("Allow") != "POST, OPTIONS" {
				t.Errorf("got Allow %q, want POST, OPTIONS", got.Header.Get("Allow"))
			}
		}},
		{rule: "an event is not accepted before it is stored", p: failing(eventmesh.ErrUnconfirmed), status: 503, send: func(url string) func(*testing.T) ingresstest.Answer {
			return post(url, ingresstest.Binary(), `{"n":1}`)
		}},
		{rule: "202 has nothing that reads as a reply", status: 202, send: func(url string) func(*testing.T) ingresstest.Answer {
			return post(url, ingresstest.Binary("Prefer=reply"), `{"n":1}`)
		}, check: func(t *testing.T, got ingresstest.Answer, _ []event.Event) {
			t.Helper()
			if got.Body != "" || got.Header.Get("Ce-Id") != "" || got.Header.Get("Content-Type") != "" {
				t.Errorf("got %q with %v, want nothing", got.Body, got.Header)
			}
		}},
		{rule: "200 brings a reply as a CloudEvent", p: replying, status: 200, send: func(url string) func(*testing.T) ingresstest.Answer {
			return post(url+"/requests/orders", ingresstest.Binary("Prefer=reply"), `{"n":1}`)
		}, check: isReply},
		{rule: "a reply needs no Prefer", p: replying, status: 200, send: func(url string) func(*testing.T) ingresstest.Answer {
			return post(url+"/requests/orders", ingresstest.Binary(), `{"n":1}`)
		}, check: isReply},
		{rule: "400 for what cannot be parsed in binary mode", status: 400, send: func(url string) func(*testing.T) ingresstest.Answer {
			return post(url, ingresstest.Binary("Ce-Type="), `{"n":1}`)
		}},
		{rule: "400 for what cannot be parsed in structured mode", status: 400, send: func(url string) func(*testing.T) ingresstest.Answer {
			return post(url, ingresstest.Structured(), `{`)
		}},
		{rule: "404 for an endpoint that does not exist", status: 404, send: func(url string) func(*testing.T) ingresstest.Answer {
			return post(url+"/nowhere", ingresstest.Binary(), `{"n":1}`)
		}},
		{rule: "429 when overloaded", p: failing(eventmesh.ErrRateLimited), status: 429, send: func(url string) func(*testing.T) ingresstest.Answer {
			return post(url, ingresstest.Binary(), `{"n":1}`)
		}, check: asksToWait},
		{rule: "5xx for what is worth a retry", p: failing(eventmesh.ErrNotConnected), status: 503, send: func(url string) func(*testing.T) ingresstest.Answer {
			return post(url, ingresstest.Binary(), `{"n":1}`)
		}, check: asksToWait},
		{rule: "4xx for what is not", p: failing(eventmesh.ErrTooLarge), status: 413, send: func(url string) func(*testing.T) ingresstest.Answer {
			return post(url, ingresstest.Binary(), `{"n":1}`)
		}},
		{rule: "an event that comes again is accepted again", status: 202, send: func(url string) func(*testing.T) ingresstest.Answer {
			return func(t *testing.T) ingresstest.Answer {
				t.Helper()
				if got := post(url, ingresstest.Binary(), `{"n":1}`)(t); got.Status != http.StatusAccepted {
					return got
				}
				return post(url, ingresstest.Binary(), `{"n":1}`)(t)
			}
		}, check: func(t *testing.T, _ ingresstest.Answer, published []event.Event) {
			t.Helper()
			if len(published) != 2 || published[0].ID() != published[1].ID() {
				t.Errorf("got %d events published, want the same twice", len(published))
			}
		}},
		{rule: "the trace of the event goes on", status: 202, send: func(url string) func(*testing.T) ingresstest.Answer {
			return post(url, ingresstest.Binary("Ce-Traceparent="+traceparent, "Ce-Tracestate=a=1"), `{"n":1}`)
		}, check: func(t *testing.T, _ ingresstest.Answer, published []event.Event) {
			t.Helper()
			if got := published[0].Extensions(); got["traceparent"] != traceparent || got["tracestate"] != "a=1" {
				t.Errorf("got %v, want the event's trace", got)
			}
		}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			p := c.p
			if p == nil {
				p = &fake{}
			}
			server, _ := serve(t, p)
			got := c.send(server.URL)(t)
			if got.Status != c.status {
				t.Fatalf("got %d %q, want %d", got.Status, got.Body, c.status)
			}
			published, _ := p.taken()
			if c.check != nil {
				c.check(t, got, published)
			}
		})
	}
}

func isReply(t *testing.T, got ingresstest.Answer, _ []event.Event) {
	t.Helper()
	message := cehttp.NewMessage(got.Header, io.NopCloser(strings.NewReader(got.Body)))
	e, err := binding.ToEvent(t.Context(), message)
	if err != nil {
		t.Fatal(err)
	}
	if diff := ingresstest.Same(*e, sample()); diff != "" {
		t.Error(diff)
	}
}

func asksToWait(t *testing.T, got ingresstest.Answer, _ []event.Event) {
	t.Helper()
	if got.Header.Get("Retry-After") == "" {
		t.Error("got no Retry-After")
	}
}
