package eventmeshtest_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

func TestStopAndRestart(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	grpcURL, tcpURL := s.GRPCURL(), s.TCPURL()
	stream := dialGRPC(t, s).subscribe("g", "T")
	session := cluster(t, s, "g", "U")
	s.Stop()
	s.Stop()
	if r := stream.next(); status.Code(r.err) != codes.Unavailable {
		t.Errorf("stream: got %v, want Unavailable", r.err)
	}
	session.wantReset()
	for _, url := range []string{grpcURL, tcpURL} {
		_, address, _ := strings.Cut(url, "://")
		if conn, err := net.Dial("tcp", address); err == nil {
			_ = conn.Close()
			t.Errorf("%s takes connections while the server is away", url)
		}
	}
	s.DropConnections()
	s.SayGoodbye()
	s.MustRestart(t, false)
	if s.GRPCURL() != grpcURL || s.TCPURL() != tcpURL {
		t.Errorf("got %s and %s, want the same ports", s.GRPCURL(), s.TCPURL())
	}
	if n := s.Subscribers("T"); n != 0 {
		t.Errorf("got %d subscribers after the restart, want 0", n)
	}
	c := dialGRPC(t, s)
	a, err := c.heartbeats.Heartbeat(t.Context(), heartbeat("g", "T"))
	if err != nil || statusOf(a) != "30" {
		t.Errorf("heartbeat: got code %s, error %v, want 30", statusOf(a), err)
	}
	c.subscribe("g", "T")
	cluster(t, s, "g", "U")
}

func TestCloseIsFinal(t *testing.T) {
	s, err := eventmeshtest.Start(eventmeshtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	s.Close()
	if err := s.Restart(false); err == nil {
		t.Error("a closed server restarts")
	}
}

func TestStartOnATakenPort(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	for name, o := range map[string]eventmeshtest.Options{
		"gRPC": {GRPCAddress: strings.TrimPrefix(s.GRPCURL(), "grpc://")},
		"TCP":  {TCPAddress: strings.TrimPrefix(s.TCPURL(), "tcp://")},
	} {
		if other, err := eventmeshtest.Start(o); err == nil {
			other.Close()
			t.Errorf("%s: started on a port that is taken", name)
		}
	}
}

func TestDropConnections(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	stream := dialGRPC(t, s).subscribe("g", "T")
	session := cluster(t, s, "g", "U")
	s.DropConnections()
	if r := stream.next(); status.Code(r.err) != codes.Unavailable {
		t.Errorf("stream: got %v, want Unavailable", r.err)
	}
	session.wantReset()
	waitSubscribers(t, s, "T", 0)
	again := dialGRPC(t, s)
	stream = again.subscribe("g", "T")
	again.mustPublish(publication("T", "after"))
	stream.want("after")
}

func TestUnansweredPublishEndsWithTheServer(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	c := dialGRPC(t, s)
	st := c.subscribe("g", "T")
	s.SetFaults(eventmeshtest.Faults{LoseAnswers: 1})
	errs := make(chan error, 1)
	go func() {
		_, err := c.publisher.Publish(context.Background(), publication("T", "1"))
		errs <- err
	}()
	st.want("1")
	s.Close()
	if err := <-errs; err == nil {
		t.Error("got an answer, want an error")
	}
}

func TestKeepalivePingsArePunished(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.GRPCURL(), "grpc://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		if err := framer.WritePing(false, [8]byte{}); err != nil {
			t.Fatal(err)
		}
	}
	for {
		f, err := framer.ReadFrame()
		if err != nil {
			t.Fatalf("waiting for GOAWAY: %v", err)
		}
		if g, ok := f.(*http2.GoAwayFrame); ok {
			if g.ErrCode != http2.ErrCodeEnhanceYourCalm || string(g.DebugData()) != "too_many_pings" {
				t.Errorf("got GOAWAY %v %q, want ENHANCE_YOUR_CALM too_many_pings", g.ErrCode, g.DebugData())
			}
			return
		}
	}
}

func TestRecordsAreBounded(t *testing.T) {
	bounded := eventmeshtest.New(t, eventmeshtest.Options{RecordLimit: 2})
	none := eventmeshtest.New(t, eventmeshtest.Options{RecordLimit: -1})
	for _, s := range []*eventmeshtest.Server{bounded, none} {
		c := dialGRPC(t, s)
		c.subscribe("g", "T")
		c.published("T", 3)
	}
	if got := bounded.Published("T"); len(got) != 2 || got[0].GetId() != "1" || got[1].GetId() != "2" {
		t.Errorf("got %v, want the last two", got)
	}
	if got := none.Published("T"); len(got) != 0 {
		t.Errorf("got %v, want none", got)
	}
}

func TestStorageNames(t *testing.T) {
	if got := eventmeshtest.Standalone.String() + eventmeshtest.RocketMQ.String(); got != "standalonerocketmq" {
		t.Errorf("got %s", got)
	}
}

func TestFramesLargerThanTheServerCanSendAreNotSent(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{MaxDataCharacters: -1})
	sub := cluster(t, s, "g", "T")
	p := publisherTCP(t, s)
	body := structured("T", "1", `"`+strings.Repeat("x", frame.MaxSize-500)+`"`)
	p.send(frame.AsyncMessageToServer, "1", body, protocol("tcp"))
	sub.wantNone()
}
