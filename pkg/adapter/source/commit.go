package source

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

const (
	// maxGroup is how many events are written at once at most.
	maxGroup = 1024
	// linger is how long events that have been delivered may stay in the spool, so that many are removed at once, and with the
	// writing of others. After a crash they are delivered again.
	linger = 100 * time.Millisecond
	// pause is the time between two groups while many events come, so that more of them share a sync. After a group of few there
	// is none: they would wait for nobody.
	pause     = 2 * time.Millisecond
	pauseFrom = 17
	// rewrite is the wait after a failure to write.
	rewrite = time.Second
	// ackTimeout bounds an acknowledgement.
	ackTimeout = 5 * time.Second
	// lookAfter is how often a spool that is not written is looked for in its place.
	lookAfter = time.Second
)

// committer writes what a buffer has for its spool: all that has come while the disk was busy is one group, which takes one sync.
type committer struct {
	buffer  *buffer
	metrics *metrics
	logger  *zap.SugaredLogger
	failed  bool
}

// run writes until the context ends, and then what is left, once.
func (c *committer) run(ctx context.Context) {
	look := time.NewTicker(lookAfter)
	defer look.Stop()
	for {
		select {
		case <-c.buffer.work:
		case <-look.C:
			c.look()
			continue
		case <-ctx.Done():
			c.commit(ctx)
			return
		}
		for !c.commit(ctx) {
			select {
			case <-time.After(rewrite):
			case <-ctx.Done():
				c.commit(ctx)
				return
			}
		}
	}
}

// look tells whether the file is where it was, when nothing is written that would.
func (c *committer) look() {
	spool := c.buffer.spool
	if err := spool.timed(spool.inPlace); err != nil {
		c.fail(fmt.Errorf("looking at %s: %w", spool.path, err))
	} else if c.failed {
		c.recover()
		c.buffer.saved(nil, 0)
	}
}

func (c *committer) fail(err error) {
	if !c.failed {
		c.logger.Errorw("the spool cannot be written: nothing more is received until it can", zap.Error(err))
	}
	c.failed = true
	c.buffer.unwritten(err)
}

func (c *committer) recover() {
	if c.failed {
		c.logger.Infow("the spool can be written again")
	}
	c.failed = false
}

// commit writes all there is, and tells whether it could.
func (c *committer) commit(ctx context.Context) bool {
	for {
		group, forgotten := c.buffer.group()
		if len(group)+len(forgotten) == 0 {
			return true
		}
		began := time.Now()
		err := c.buffer.spool.commit(group, forgotten)
		c.metrics.committed(len(group), time.Since(began), err)
		if err != nil && len(group) > 0 && len(forgotten) > 0 && c.buffer.spool.commit(nil, forgotten) == nil {
			c.buffer.saved(nil, len(forgotten)) // which made room
			continue
		}
		if err != nil {
			c.fail(err)
			return false
		}
		c.recover()
		c.acknowledge(ctx, group)
		c.buffer.saved(group, len(forgotten))
		if len(group) >= pauseFrom {
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		}
	}
}

// acknowledge tells EventMesh of events that are on disk.
func (c *committer) acknowledge(ctx context.Context, group []*kept) {
	deliveries := make([]*eventmesh.Delivery, len(group))
	for i, k := range group {
		deliveries[i] = k.delivery
	}
	ctx, cancel := acknowledging(ctx)
	defer cancel()
	if err := eventmesh.Acknowledge(ctx, deliveries...); err != nil {
		c.logger.Debugw("EventMesh may deliver events again", "events", len(group), zap.Error(err))
	}
}

// acknowledging bounds an acknowledgement, which the end of the source does not cut off.
func acknowledging(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), ackTimeout)
}
