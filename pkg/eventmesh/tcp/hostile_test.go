package tcp_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

// encoded returns a frame, whatever its header is.
func encoded(header, body string) []byte {
	b := []byte("EventMesh0000")
	b = binary.BigEndian.AppendUint32(b, uint32(13+len(header)+len(body)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(header)))
	return append(append(b, header...), body...)
}

// success is how EventMesh answers a request.
func success(request frame.Frame) []byte {
	command := strings.Replace(string(request.Header.Command), "_REQUEST", "_RESPONSE", 1)
	return encoded(fmt.Sprintf(`{"cmd":%q,"code":0,"desc":"success","seq":%q,"properties":{},"command":%q}`, command, request.Header.Sequence, command), "")
}

const pushed = `{"specversion":"1.0","id":"1","source":"/s","type":"t","subject":"orders","datacontenttype":"application/cloudevents+json","data":{}}`

// delivery is how EventMesh pushes an event.
func delivery(frame.Frame) []byte {
	return encoded(`{"cmd":"ASYNC_MESSAGE_TO_CLIENT","code":0,"seq":"1","properties":{"protocoltype":"cloudevents"}}`, pushed)
}

// header returns a frame without a body, whose header has the request's sequence number in the place of %q.
func header(format string) func(frame.Frame) []byte {
	return func(request frame.Frame) []byte {
		return encoded(strings.Replace(format, "%q", strconv.Quote(request.Header.Sequence), 1), "")
	}
}

// serve is a server that answers the commands of script as that says, others with success. It ends a connection when it has answered
// the last one, or cannot write.
func serve(t *testing.T, script map[frame.Command]func(frame.Frame) []byte, last frame.Command) eventmesh.Address {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			answerAll(conn, script, last)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	return eventmesh.Address{Scheme: "tcp", Host: listener.Addr().String()}
}

func answerAll(conn net.Conn, script map[frame.Command]func(frame.Frame) []byte, last frame.Command) {
	reader := bufio.NewReader(conn)
	for {
		request, err := frame.Read(reader)
		if err != nil {
			return
		}
		answer := script[request.Header.Command]
		if answer == nil {
			answer = success
		}
		if _, err := conn.Write(answer(request)); err != nil || request.Header.Command == last {
			return
		}
	}
}

var client = eventmesh.Client{IP: "127.0.0.1", PID: 1, Group: "g", Rendering: tcp.Transport{}.Traits().Rendering}

var orders = eventmesh.Subscription{Topics: []string{"orders"}, Mode: eventmesh.Clustering, Type: eventmesh.Async}

// wantError wants an error of a kind, whose text has a part, and not what the server has sent at length.
func wantError(t *testing.T, err, kind error, part string) {
	t.Helper()
	switch {
	case !errors.Is(err, kind):
		t.Errorf("got %.1000v, want %v", err, kind)
	case !strings.Contains(err.Error(), part) || len(err.Error()) > 500:
		t.Errorf("got an error of %d bytes, %.1000v, want one with %q", len(err.Error()), err, part)
	case !eventmesh.Temporary(err):
		t.Errorf("%v is final", err)
	}
}

// TestOpening opens sessions with servers that answer otherwise than EventMesh does.
func TestOpening(t *testing.T) {
	flood := func(frame.Frame) []byte {
		return []byte(strings.Repeat(string(delivery(frame.Frame{})), 64<<20/len(pushed)))
	}
	long := strings.Repeat("x", 200<<10)
	for name, c := range map[string]struct {
		command frame.Command
		answer  func(frame.Frame) []byte
		kind    error
		part    string
	}{
		"a flood before the hello is answered": {frame.HelloRequest, flood, eventmesh.ErrNotConnected, `"ASYNC_MESSAGE_TO_CLIENT" where HELLO_RESPONSE was due`},
		"a flood before the subscription is":   {frame.SubscribeRequest, flood, eventmesh.ErrNotConnected, `"ASYNC_MESSAGE_TO_CLIENT" where SUBSCRIBE_RESPONSE was due`},
		"another answer": {
			frame.HelloRequest, header(`{"cmd":"HEARTBEAT_RESPONSE","code":0,"seq":%q}`), eventmesh.ErrNotConnected, `"HEARTBEAT_RESPONSE" where HELLO_RESPONSE was due`,
		},
		"another's answer": {
			frame.SubscribeRequest, header(`{"cmd":"SUBSCRIBE_RESPONSE","code":0,"seq":"x"}`), eventmesh.ErrNotConnected, "SUBSCRIBE_RESPONSE was due",
		},
		"another answer to the last request": {
			frame.ListenRequest, header(`{"cmd":"SUBSCRIBE_RESPONSE","code":0,"seq":%q}`), eventmesh.ErrNotConnected, "LISTEN_RESPONSE was due",
		},
		"a long command":     {frame.HelloRequest, header(`{"cmd":"` + long + `","code":0,"seq":%q}`), eventmesh.ErrNotConnected, "HELLO_RESPONSE was due"},
		"a long reason":      {frame.SubscribeRequest, header(`{"cmd":"SUBSCRIBE_RESPONSE","code":1,"desc":"` + long + `","seq":%q}`), eventmesh.ErrRefused, "xxx"},
		"a long magic":       {frame.HelloRequest, func(frame.Frame) []byte { return []byte(long) }, eventmesh.ErrNotConnected, "malformed"},
		"no code":            {frame.HelloRequest, header(`{"cmd":"HELLO_RESPONSE","seq":%q}`), eventmesh.ErrNotConnected, "it has no code"},
		"a code that is nil": {frame.SubscribeRequest, header(`{"cmd":"SUBSCRIBE_RESPONSE","code":null,"seq":%q}`), eventmesh.ErrNotConnected, "it has no code"},
		"a code that is long": {
			frame.ListenRequest, header(`{"cmd":"LISTEN_RESPONSE","code":"` + long + `","seq":%q}`), eventmesh.ErrNotConnected, "cannot unmarshal",
		},
		"a code of many digits": {
			frame.ListenRequest, header(`{"cmd":"LISTEN_RESPONSE","code":` + strings.Repeat("1", 10_000) + `,"seq":%q}`), eventmesh.ErrNotConnected, "cannot unmarshal",
		},
		"a header of many properties": {
			frame.HelloRequest, header(`{"cmd":"HELLO_RESPONSE","code":0,"seq":%q,"properties":{` + strings.Repeat(`"a":1,`, 600_000) + `"a":1}}`),
			eventmesh.ErrNotConnected, "a header of",
		},
		"a goodbye":  {frame.HelloRequest, header(`{"cmd":"SERVER_GOODBYE_REQUEST","code":0,"seq":null}`), eventmesh.ErrNotConnected, "goodbye"},
		"a redirect": {frame.HelloRequest, redirect(`{"ip":"eventmesh-2","port":10001}`), &wire.RedirectError{Host: "eventmesh-2:10001"}, "eventmesh-2:10001"},
		"a redirect to no address": {
			frame.HelloRequest, redirect(`{"ip":"` + long + `","port":10000}`), eventmesh.ErrNotConnected, "redirects to something that is not an address",
		},
		"a redirect to no host": {frame.SubscribeRequest, redirect(`{"ip":"a b/c@d","port":1}`), eventmesh.ErrNotConnected, "redirects to something that is not an address"},
		"a redirect to no port": {frame.SubscribeRequest, redirect(`{"ip":"10.0.0.1"}`), eventmesh.ErrNotConnected, "redirects to something that is not an address"},
	} {
		t.Run(name, func(t *testing.T) {
			address := serve(t, map[frame.Command]func(frame.Frame) []byte{c.command: c.answer}, c.command)
			s, err := tcp.Transport{}.OpenSubscriber(t.Context(), address, client, orders)
			if err == nil {
				_ = s.Close()
				t.Fatal("a session is open")
			}
			var redirect *wire.RedirectError
			if errors.As(c.kind, &redirect) {
				if want := redirect.Host; !errors.As(err, &redirect) || redirect.Host != want {
					t.Errorf("got %v, want a redirect to %s", err, want)
				}
				return
			}
			wantError(t, err, c.kind, c.part)
		})
	}
}

func redirect(to string) func(frame.Frame) []byte {
	return func(frame.Frame) []byte { return encoded(`{"cmd":"REDIRECT_TO_CLIENT","code":0}`, to) }
}

// TestDeliveryBeforeTheAnswer to the request for deliveries: the delivery counts, and so does the answer behind it.
func TestDeliveryBeforeTheAnswer(t *testing.T) {
	for answer, refused := range map[string]bool{
		`{"cmd":"LISTEN_RESPONSE","code":0,"seq":%q}`:             false, // the server closes the connection
		`{"cmd":"LISTEN_RESPONSE","code":1,"desc":"no","seq":%q}`: true,
		`{"cmd":"SERVER_GOODBYE_REQUEST","code":0,"desc":"bye"}`:  false,
	} {
		behind := func(request frame.Frame) []byte { return append(delivery(request), header(answer)(request)...) }
		address := serve(t, map[frame.Command]func(frame.Frame) []byte{frame.ListenRequest: behind}, frame.ListenRequest)
		s, err := tcp.Transport{}.OpenSubscriber(t.Context(), address, client, orders)
		if err != nil {
			t.Fatal(err)
		}
		if d, err := s.Receive(); err != nil || d.Err != nil || d.Event.ID() != "1" {
			t.Errorf("%s: got %+v, %v, want the event", answer, d, err)
		}
		if _, err := s.Receive(); err == nil || errors.Is(err, eventmesh.ErrRefused) != refused {
			t.Errorf("%s: got %v, want a refusal: %v", answer, err, refused)
		}
		_ = s.Close()
	}
}

// TestWhatIsNoConfirmation publishes and requests from servers that answer and then close the connection.
func TestWhatIsNoConfirmation(t *testing.T) {
	confirmation := `{"cmd":"ASYNC_MESSAGE_TO_SERVER_ACK","code":0,"seq":%q}`
	for name, c := range map[string]struct {
		command frame.Command
		answer  func(frame.Frame) []byte
	}{
		"a confirmation's":               {frame.AsyncMessageToServer, header(confirmation)},
		"a heartbeat's answer":           {"", header(`{"cmd":"HEARTBEAT_RESPONSE","code":0,"seq":%q}`)},
		"a hello's answer":               {"", header(`{"cmd":"HELLO_RESPONSE","code":0,"seq":%q}`)},
		"a goodbye's answer":             {"", header(`{"cmd":"CLIENT_GOODBYE_RESPONSE","code":0,"seq":%q}`)},
		"a broadcast's":                  {"", header(`{"cmd":"BROADCAST_MESSAGE_TO_SERVER_ACK","code":0,"seq":%q}`)},
		"its own command":                {"", header(`{"cmd":"ASYNC_MESSAGE_TO_SERVER","code":0,"seq":%q}`)},
		"an unknown command":             {"", header(`{"cmd":"YES","code":0,"seq":%q}`)},
		"no command":                     {"", header(`{"code":0,"seq":%q}`)},
		"a command that is null":         {"", header(`{"cmd":null,"code":0,"seq":%q,"command":"ASYNC_MESSAGE_TO_SERVER_ACK"}`)},
		"no code":                        {"", header(`{"cmd":"ASYNC_MESSAGE_TO_SERVER_ACK","desc":"success","seq":%q}`)},
		"a code that is null":            {"", header(`{"cmd":"ASYNC_MESSAGE_TO_SERVER_ACK","code":null,"seq":%q}`)},
		"a code that is a string":        {"", header(`{"cmd":"ASYNC_MESSAGE_TO_SERVER_ACK","code":"0","seq":%q}`)},
		"a code that is a boolean":       {"", header(`{"cmd":"ASYNC_MESSAGE_TO_SERVER_ACK","code":false,"seq":%q}`)},
		"a code that is an object":       {"", header(`{"cmd":"ASYNC_MESSAGE_TO_SERVER_ACK","code":{},"seq":%q}`)},
		"a code that is no whole number": {"", header(`{"cmd":"ASYNC_MESSAGE_TO_SERVER_ACK","code":0.5,"seq":%q}`)},
		"a huge code":                    {"", header(`{"cmd":"ASYNC_MESSAGE_TO_SERVER_ACK","code":18446744073709551616,"seq":%q}`)},
		"no header":                      {"", header(`{}`)},
		"another's number":               {"", header(`{"cmd":"ASYNC_MESSAGE_TO_SERVER_ACK","code":0,"seq":"7"}`)},
		"a delivery":                     {"", delivery},
	} {
		for _, command := range []frame.Command{frame.AsyncMessageToServer, frame.RequestToServer} {
			t.Run(name+" for "+string(command), func(t *testing.T) {
				address := serve(t, map[frame.Command]func(frame.Frame) []byte{command: c.answer}, command)
				p, err := tcp.Transport{}.OpenPublisher(t.Context(), address, client)
				if err != nil {
					t.Fatal(err)
				}
				defer p.Close()
				e := event.New()
				e.SetID("1")
				e.SetSource("/s")
				e.SetType("t")
				if command == frame.RequestToServer {
					_, err = p.Request(t.Context(), "orders", e)
				} else {
					err = p.Publish(t.Context(), "orders", e)
				}
				switch {
				case command != c.command:
					wantError(t, err, eventmesh.ErrNotConnected, "")
				case err != nil:
					t.Errorf("a confirmation counts as none: %v", err)
				}
			})
		}
	}
}
