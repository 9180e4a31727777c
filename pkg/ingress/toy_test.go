package ingress_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/ingresstest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/ingress"
)

// A mailbox for everybody: /mail/{name} keeps an event for a name, unless the box is full, and /echo replies with the event, one hop older.
func TestToyDestination(t *testing.T) {
	mail := make(chan string, 2)
	route := func(r *http.Request) (ingress.Destination, error) {
		switch name, isMail := strings.CutPrefix(r.URL.Path, "/mail/"); {
		case isMail:
			return ingress.Destination{Topic: name, Deliver: func(_ context.Context, e event.Event) (*event.Event, error) {
				select {
				case mail <- name + " " + e.ID():
					return nil, nil
				default:
					return nil, ingress.Refusef(http.StatusTooManyRequests, "the mailbox is full")
				}
			}}, nil
		case r.URL.Path == "/echo":
			return ingress.Destination{Topic: "echo", Single: true, Deliver: func(_ context.Context, e event.Event) (*event.Event, error) {
				e.SetExtension("hops", 1)
				return &e, nil
			}}, nil
		}
		return ingress.Destination{}, ingress.Refusef(http.StatusNotFound, "nobody lives here")
	}
	server, err := ingress.New(ingress.Options{Route: route})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, listener, nil) }()
	url := "http://" + listener.Addr().String()

	echo := ingresstest.Post(t, url+"/echo")
	if echo.Status != http.StatusOK || echo.Header.Get("Ce-Hops") != "1" || echo.Body != `{"n":1}` {
		t.Errorf("echo: got %d %q with hops %q, want the event, one hop older", echo.Status, echo.Body, echo.Header.Get("Ce-Hops"))
	}
	for _, c := range []struct {
		path, body string
		header     http.Header
		status     int
	}{
		{"/mail/ada", "{}", ingresstest.Binary(), 202},
		{"/mail/bob", ingresstest.BatchOf("2"), ingresstest.Batched(), 202},
		{"/mail/ada", "{}", ingresstest.Binary(), 429},
		{"/mail/ada", "{}", ingresstest.Binary("Ce-Type="), 400},
		{"/echo", ingresstest.BatchOf("1"), ingresstest.Batched(), 400},
		{"/elsewhere", "{}", ingresstest.Binary(), 404},
	} {
		got := ingresstest.Send(t, http.DefaultClient, http.MethodPost, url+c.path, c.header, strings.NewReader(c.body))
		if got.Status != c.status {
			t.Errorf("%s: got %d %q, want %d", c.path, got.Status, got.Body, c.status)
		}
	}
	if got := fmt.Sprint(<-mail, ", ", <-mail); got != "ada 1, bob 2" {
		t.Errorf("got mail %q", got)
	}
	http.DefaultClient.CloseIdleConnections()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
