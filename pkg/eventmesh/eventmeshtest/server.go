package eventmeshtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/await"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

// Server is an EventMesh server in memory.
type Server struct {
	options  Options
	broker   *broker
	faults   atomic.Pointer[Faults]
	grpcAddr string
	tcpAddr  string

	// wait is for every goroutine but gRPC's own, which gRPC waits for.
	wait sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	running *running
}

// running is what exists between a start and a stop.
type running struct {
	grpcListener, tcpListener *trackedListener
	grpc                      *grpc.Server
	tcp                       *tcpServer
	cancel                    context.CancelFunc
}

// New starts a server for a test, and closes it when the test ends. It fails the test when it cannot.
func New(tb testing.TB, o Options) *Server {
	tb.Helper()
	s, err := Start(o)
	if err != nil {
		tb.Fatalf("starting an EventMesh: %v", err)
	}
	tb.Cleanup(s.Close)
	return s
}

// Start starts a server. The caller has to Close it.
func Start(o Options) (*Server, error) {
	o = o.withDefaults()
	s := &Server{options: o, broker: newBroker(o), grpcAddr: o.GRPCAddress, tcpAddr: o.TCPAddress}
	if err := s.start(); err != nil {
		return nil, err
	}
	return s, nil
}

// GRPCURL is the server's address for gRPC, such as grpc://127.0.0.1:10205.
func (s *Server) GRPCURL() string { return "grpc://" + s.grpcAddr }

// TCPURL is the server's address for TCP, such as tcp://127.0.0.1:10000.
func (s *Server) TCPURL() string { return "tcp://" + s.tcpAddr }

func (s *Server) start() error {
	grpcListener, err := listen(s.grpcAddr)
	if err != nil {
		return fmt.Errorf("listening for gRPC: %w", err)
	}
	tcpListener, err := listen(s.tcpAddr)
	if err != nil {
		return errors.Join(fmt.Errorf("listening for TCP: %w", err), grpcListener.Close())
	}
	s.grpcAddr, s.tcpAddr = grpcListener.Addr().String(), tcpListener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{grpcListener: grpcListener, tcpListener: tcpListener, grpc: s.newGRPC(), tcp: newTCPServer(s, ctx), cancel: cancel}
	s.running = r
	s.wait.Go(func() { _ = r.grpc.Serve(grpcListener) })
	s.wait.Go(func() { r.tcp.serve(tcpListener) })
	s.wait.Go(func() { s.sweepStreams(ctx) })
	s.wait.Go(func() { r.tcp.sweep(ctx) })
	return nil
}

func (s *Server) newGRPC() *grpc.Server {
	server := grpc.NewServer(
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: s.options.KeepaliveMinTime}),
		grpc.MaxRecvMsgSize(4<<20),
		grpc.WaitForHandlers(true),
	)
	eventmeshpb.RegisterPublisherServiceServer(server, &publisherService{s: s, limit: newLimiter(s.options.RateLimit)})
	eventmeshpb.RegisterConsumerServiceServer(server, &consumerService{s: s})
	eventmeshpb.RegisterHeartbeatServiceServer(server, &heartbeatService{s: s})
	return server
}

// Stop takes the server away: connections are closed, and its ports refuse new ones. Without a [Server.Restart] this is as
// good as [Server.Close]. Stopping a stopped server does nothing.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop()
}

func (s *Server) stop() {
	r := s.running
	if r == nil {
		return
	}
	s.running = nil
	r.cancel()
	_ = r.tcpListener.Close()
	r.tcpListener.cut(s.broker.cutting)
	r.grpcListener.cut(s.broker.cutting)
	r.grpc.Stop()
	s.wait.Wait()
}

// Restart stops the server, if it is running, and starts it again on the same ports. Subscriptions and sessions are gone,
// and topics on standalone storage are as new. keepEvents keeps what RocketMQ storage holds: what no subscriber has
// acknowledged will be delivered to the next. It fails when a port has been taken by another process meanwhile, and after
// Close.
func (s *Server) Restart(keepEvents bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("restarting: the server is closed")
	}
	s.stop()
	s.broker.restart(keepEvents)
	return s.start()
}

// MustRestart restarts the server as Restart does, as soon as its ports are free: another process can take one for a moment.
func (s *Server) MustRestart(tb testing.TB, keepEvents bool) {
	tb.Helper()
	await.Until(tb, await.Patience, func() string {
		if err := s.Restart(keepEvents); err != nil {
			return err.Error()
		}
		return ""
	})
}

// Close ends the server: its listeners, its connections, and every goroutine. It may be called more than once.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.stop()
}

// DropConnections cuts every connection without a goodbye, as a network does that fails.
func (s *Server) DropConnections() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil {
		s.running.grpcListener.cut(s.broker.cutting)
		s.running.tcpListener.cut(s.broker.cutting)
	}
}

func (s *Server) refused(what, code string, reason error) {
	s.options.Logf("refused %s with code %s: %v", what, code, reason)
}

// trackedListener knows the connections that it has accepted, so that they can be cut.
type trackedListener struct {
	net.Listener
	mu    sync.Mutex
	conns map[*trackedConn]struct{}
}

func listen(address string) (*trackedListener, error) {
	l, err := net.Listen("tcp", address) //nolint:noctx // binding does not block
	if err != nil {
		return nil, err
	}
	return &trackedListener{Listener: l, conns: map[*trackedConn]struct{}{}}, nil
}

// Accept remembers the connection until it is closed.
func (l *trackedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &trackedConn{Conn: conn, l: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = struct{}{}
	return c, nil
}

// cut resets every connection, of which it tells before.
func (l *trackedListener) cut(cutting func(peer string)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		cutting(c.RemoteAddr().String())
		reset(c.Conn)
	}
}

type trackedConn struct {
	net.Conn
	l *trackedListener
}

// Close closes the connection and forgets it.
func (c *trackedConn) Close() error {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	delete(c.l.conns, c)
	return c.Conn.Close()
}

// reset closes a connection the way EventMesh closes all of TCP: without lingering, which the peer sees as a reset.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}
