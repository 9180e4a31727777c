package next

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/await"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

// Server is an EventMesh server in memory.
type Server struct {
	options Options
	broker  *broker
	faults  atomic.Pointer[Faults]

	// wait is for every goroutine, and for every connection.
	wait sync.WaitGroup

	mu          sync.Mutex
	address     string
	grpcAddress string
	closed      bool
	running     *running
}

// running is what exists between a start and a stop.
type running struct {
	http        *http.Server
	grpc        *grpc.Server // nil without a bridge
	cancel      context.CancelFunc
	connections *connections
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
	s := &Server{options: o, broker: newBroker(o), address: o.Address, grpcAddress: o.GRPCAddress}
	if err := s.start(); err != nil {
		return nil, err
	}
	return s, nil
}

// URL is the server's address, such as http://127.0.0.1:10105.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return "http://" + s.address
}

// GRPCURL is the address of the bridge for clients of 1.x, such as grpc://127.0.0.1:10205, and empty without [Options.GRPCAddress].
func (s *Server) GRPCURL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.grpcAddress == "" {
		return ""
	}
	return "grpc://" + s.grpcAddress
}

func (s *Server) start() error {
	listener, err := s.options.Listen(s.address)
	if err != nil {
		return fmt.Errorf("listening for HTTP: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{cancel: cancel, connections: newConnections(s.broker)}
	if s.grpcAddress != "" {
		if err := s.startGRPC(ctx, r); err != nil {
			cancel()
			return errors.Join(err, listener.Close())
		}
	}
	s.address = listener.Addr().String()
	r.http = &http.Server{
		Handler: s.handler(ctx), ReadHeaderTimeout: time.Minute, ConnContext: s.openedHTTP(r.connections), ConnState: s.endedHTTP(r.connections),
	}
	s.running = r
	s.wait.Go(func() { _ = r.http.Serve(listener) })
	s.wait.Go(func() { every(ctx, s.options.PumpInterval, s.broker.pump) })
	s.wait.Go(func() { every(ctx, s.options.CheckInterval, s.broker.redeliver) })
	s.wait.Go(func() { every(ctx, s.options.CleanupInterval, s.broker.evict) })
	return nil
}

func (s *Server) startGRPC(ctx context.Context, r *running) error {
	listener, err := s.options.Listen(s.grpcAddress)
	if err != nil {
		return fmt.Errorf("listening for gRPC: %w", err)
	}
	s.grpcAddress = listener.Addr().String()
	r.grpc = grpc.NewServer(grpc.MaxRecvMsgSize(4<<20), grpc.WaitForHandlers(true))
	eventmeshpb.RegisterPublisherServiceServer(r.grpc, &publisher{s: s})
	eventmeshpb.RegisterConsumerServiceServer(r.grpc, &consumer{s: s, connections: r.connections})
	eventmeshpb.RegisterHeartbeatServiceServer(r.grpc, &heartbeats{s: s})
	s.wait.Go(func() { _ = r.grpc.Serve(&trackedListener{listener, r.connections}) })
	s.wait.Go(func() { every(ctx, s.options.HeartbeatLife/3, s.broker.reap) })
	return nil
}

func every(ctx context.Context, interval time.Duration, f func(time.Time)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			f(now)
		case <-ctx.Done():
			return
		}
	}
}

// Stop takes the server away: connections are closed, and its port refuses new ones. Without a [Server.Restart] this is as good as
// [Server.Close]. Stopping a stopped server does nothing.
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
	r.connections.cut()
	r.cancel()
	_ = r.http.Close()
	if r.grpc != nil {
		r.grpc.Stop()
	}
	s.wait.Wait()
}

// Restart stops the server, if it is running, and starts it again on the same port. Subscriptions, buffers, and what was delivered and
// not acknowledged are gone. keepEvents keeps what the storage [Holding] has. It fails when the port has been taken by another process
// meanwhile, and after Close.
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

// MustRestart restarts the server as Restart does, as soon as its port is free: another process can take it for a moment.
func (s *Server) MustRestart(tb testing.TB, keepEvents bool) {
	tb.Helper()
	await.Until(tb, await.Patience, func() string {
		if err := s.Restart(keepEvents); err != nil {
			return err.Error()
		}
		return ""
	})
}

// Close ends the server: its listener, its connections, and every goroutine. It may be called more than once.
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
		s.running.connections.cut()
	}
}
