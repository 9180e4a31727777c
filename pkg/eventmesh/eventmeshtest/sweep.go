package eventmeshtest

import (
	"context"
	"time"
)

// sweepStreams ends gRPC clients without heartbeats; the real server looks every 10 s with its default of 60 s.
func (s *Server) sweepStreams(ctx context.Context) {
	every(ctx, s.options.SessionExpiry/6, s.broker.expireStreams)
}

// sweep ends sessions without heartbeats, and acknowledges what their clients have not; the latter the real server looks
// for every 5 s with its age of 3 s, and so does this one in proportion.
func (t *tcpServer) sweep(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		every(ctx, t.s.options.AcknowledgeAfter*5/3, t.acknowledgeExpired)
	}()
	every(ctx, t.s.options.TCPSessionExpiry/6, t.expireSessions)
	<-done
}

// every calls f at an interval, or never when that is negative.
func every(ctx context.Context, interval time.Duration, f func(time.Time)) {
	if interval < 0 {
		<-ctx.Done()
		return
	}
	ticker := time.NewTicker(max(interval, time.Millisecond))
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
