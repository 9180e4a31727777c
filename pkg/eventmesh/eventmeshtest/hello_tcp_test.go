package eventmeshtest_test

import (
	"encoding/binary"
	"encoding/json"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

func TestHelloIsRefusedThenReset(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{Credentials: map[string]string{"u": "p"}})
	valid := helloBody("sub", "g")
	tests := map[string]string{
		"no body":           "",
		"no version":        strings.Replace(valid, `"version":"1.0",`, "", 1),
		"unknown purpose":   helloBody("both", "g"),
		"blank group":       helloBody("sub", " "),
		"wrong credentials": strings.Replace(valid, `"password":"p"`, `"password":"q"`, 1),
	}
	for name, body := range tests {
		t.Run(name, func(t *testing.T) {
			c := dialTCP(t, s)
			c.send(frame.HelloRequest, "1", body, nil)
			if f := c.want(frame.HelloResponse, 1); f.Header.Sequence != "1" || f.Header.Desc == "" {
				t.Errorf("got %+v, want sequence number 1 and a description", f.Header)
			}
			c.wantReset()
		})
	}
}

func TestBrokenProtocolIsReset(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	header := func(size, headerSize uint32, rest string) []byte {
		b := binary.BigEndian.AppendUint32([]byte("EventMesh0000"), size)
		return append(binary.BigEndian.AppendUint32(b, headerSize), rest...)
	}
	encode := func(command frame.Command, body string) []byte {
		b, err := frame.Append(nil, frame.Frame{Header: frame.Header{Command: command}, Body: []byte(body)})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	tests := map[string][]byte{
		"bad magic":            []byte(strings.Repeat("GET / HTTP/1.1\r\n", 4)),
		"too large":            header(4<<20+1, 2, "{}"),
		"header is no JSON":    header(13+2, 2, "xx"),
		"unknown command":      encode("DANCE_REQUEST", ""),
		"hello is no JSON":     encode(frame.HelloRequest, "{"),
		"hello with odd types": encode(frame.HelloRequest, `{"group":{}}`),
	}
	for name, b := range tests {
		t.Run(name, func(t *testing.T) {
			c := dialTCP(t, s)
			c.write(b)
			c.wantReset()
		})
	}
	t.Run("unknown mode", func(t *testing.T) {
		c := dialTCP(t, s)
		c.ask(frame.HelloRequest, helloBody("sub", "g"), frame.HelloResponse, 0)
		c.send(frame.SubscribeRequest, "1", topicList("SOMETIMES", "ASYNC", "T"), nil)
		c.wantReset()
	})
}

func TestCommandsBeforeHelloFail(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	c := dialTCP(t, s)
	for command, answer := range map[frame.Command]frame.Command{
		frame.HeartbeatRequest: frame.HeartbeatResponse, frame.SubscribeRequest: frame.SubscribeResponse,
		frame.UnsubscribeRequest: frame.UnsubscribeResponse, frame.ListenRequest: frame.ListenResponse,
		frame.ClientGoodbyeRequest: frame.ClientGoodbyeResponse, frame.AsyncMessageToServer: frame.AsyncMessageToServerAck,
		frame.BroadcastMessageToServer: frame.BroadcastMessageToServerAck, frame.RequestToServer: frame.ResponseToClient,
		"RECOMMEND_REQUEST": "RECOMMEND_RESPONSE", frame.RedirectToClient: frame.RedirectToClient,
	} {
		c.ask(command, "{}", answer, 1)
	}
}

func TestSessionCommands(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	c := dialTCP(t, s)
	c.ask(frame.HelloRequest, helloBody("sub", "g"), frame.HelloResponse, 0)
	c.ask(frame.HelloRequest, helloBody("sub", "g"), frame.HelloResponse, 0)
	c.ask(frame.HeartbeatRequest, "", frame.HeartbeatResponse, 0)
	c.ask(frame.SubscribeRequest, "", frame.SubscribeResponse, 1)
	c.ask(frame.SubscribeRequest, `{"topicList":[{"topic":""}]}`, frame.SubscribeResponse, 1)
	c.ask(frame.SubscribeRequest, `{"topicList":[{"topic":"T"}]}`, frame.SubscribeResponse, 0)
	c.ask(frame.ListenRequest, "", frame.ListenResponse, 0)
	c.send(frame.ListenRequest, "again", "", nil)
	c.wantNone()
	c.ask(frame.AsyncMessageToClient, "", frame.AsyncMessageToClient, 1)
	c.ask(frame.UnsubscribeRequest, topicList("CLUSTERING", "ASYNC", "other"), frame.UnsubscribeResponse, 0)
	if n := s.Subscribers("T"); n != 0 {
		t.Errorf("unsubscribing from another topic: got %d subscribers, want 0: it ends all subscriptions of the session", n)
	}
}

func TestPublisherSessionCannotSubscribe(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	c := publisherTCP(t, s)
	c.ask(frame.SubscribeRequest, topicList("CLUSTERING", "ASYNC", "T"), frame.SubscribeResponse, 1)
	c.ask(frame.ListenRequest, "", frame.ListenResponse, 1)
}

func TestAnswersRepeatTheCommand(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.TCPURL(), "tcp://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	b, err := frame.Append(nil, frame.Frame{Header: frame.Header{Command: frame.HelloRequest, Sequence: "1"}, Body: []byte(helloBody("pub", "g"))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 4096)
	n, err := conn.Read(buffer)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(buffer[21:n], &got); err != nil {
		t.Fatal(err)
	}
	if got["cmd"] != "HELLO_RESPONSE" || got["command"] != "HELLO_RESPONSE" || got["desc"] != "success" || got["properties"] == nil {
		t.Errorf("got header %v, want the command twice, a description and properties", got)
	}
}

func TestGoodbyes(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{GoodbyeTimeout: ample})
	t.Run("of the client", func(t *testing.T) {
		c := cluster(t, s, "g", "T1")
		c.ask(frame.ClientGoodbyeRequest, "", frame.ClientGoodbyeResponse, 0)
		c.wantReset()
	})
	t.Run("of the server", func(t *testing.T) {
		c := cluster(t, s, "g", "T2")
		s.SayGoodbye()
		c.want(frame.ServerGoodbyeRequest, 0)
		c.send(frame.ServerGoodbyeResponse, "", "", nil)
		c.wantReset()
	})
	t.Run("redirect", func(t *testing.T) {
		c := cluster(t, s, "g", "T3")
		s.Redirect("127.0.0.2", 10000)
		if f := c.want(frame.RedirectToClient, 0); string(f.Body) != `{"ip":"127.0.0.2","port":10000}` {
			t.Errorf("got body %s, want the address", f.Body)
		}
		c.wantReset()
	})
}

func TestTCPSessionWithoutHeartbeatsIsClosed(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{TCPSessionExpiry: ample})
	c := cluster(t, s, "g", "T")
	c.wantReset()
	waitSubscribers(t, s, "T", 0)
}

func TestTCPFaults(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	c := cluster(t, s, "g", "T")
	s.SetFaults(eventmeshtest.Faults{StallHeartbeats: true, StallUnsubscribe: true, StallSubscribe: true, StallHello: true})
	c.send(frame.HeartbeatRequest, "1", "", nil)
	c.send(frame.SubscribeRequest, "2", topicList("CLUSTERING", "ASYNC", "T2"), nil)
	c.send(frame.UnsubscribeRequest, "3", "", nil)
	c.send(frame.ClientGoodbyeRequest, "4", "", nil)
	c.send(frame.HelloRequest, "5", helloBody("sub", "g"), nil)
	c.wantNone()
	if s.Subscribers("T") != 1 || s.Subscribers("T2") != 0 {
		t.Error("a stalled request has had an effect")
	}
	s.SetFaults(eventmeshtest.Faults{RefuseSubscribe: true, RefuseHello: true})
	c.ask(frame.SubscribeRequest, topicList("CLUSTERING", "ASYNC", "T2"), frame.SubscribeResponse, 1)
	refused := dialTCP(t, s)
	refused.send(frame.HelloRequest, "1", helloBody("pub", "g"), nil)
	refused.want(frame.HelloResponse, 1)
	refused.wantReset()
}
