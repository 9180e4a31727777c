package source

import (
	"context"
	"fmt"
	"time"
)

const (
	// lookAfter is how often a spool that is being emptied is looked at.
	lookAfter = 100 * time.Millisecond
	// tellAfter is how often it is told how much is left.
	tellAfter = 30 * time.Second
)

// empty waits until all that is in the spool has been delivered, or the context ends.
func (s *source) empty(ctx context.Context) {
	s.logger.Infow("emptying the spool, and subscribing to nothing", "events", s.dispatcher.Status().Events)
	look, tell := time.NewTicker(lookAfter), time.NewTicker(tellAfter)
	defer look.Stop()
	defer tell.Stop()
	for s.dispatcher.Status().Events > 0 {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		case <-tell.C:
			s.logger.Infow("emptying the spool", "events", s.dispatcher.Status().Events)
		}
	}
}

// emptied returns nil unless the source should have emptied its spool, and has not.
func (s *source) emptied() error {
	status := s.dispatcher.Status()
	left := status.Events + status.Unremoved + status.Aside
	if !s.config.SpoolDrain || left == 0 {
		return nil
	}
	return fmt.Errorf("%d events are left in the spool, %d of them because their records cannot be read", left, status.Aside)
}
