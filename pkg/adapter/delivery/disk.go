package delivery

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

// reopenAfter is the wait before a disk is opened again that was full.
const reopenAfter = time.Second

// DiskOptions say which directory is opened.
type DiskOptions struct {
	// Dir is that of EVENTMESH_SPOOL_DIR.
	Dir string
	// Older is as in [dispatch.DiskOptions].
	Older string
	// NotReady is told why the program is not ready meanwhile.
	NotReady func(error)
	// Logger is told of changes.
	Logger *zap.SugaredLogger
}

// OpenDisk opens a directory. Where the disk is full or cannot be written it waits until it can, or the context ends: then there is neither a
// disk nor an error.
func OpenDisk(ctx context.Context, o DiskOptions) (*dispatch.Disk, error) {
	for told := false; ; told = true {
		disk, err := o.try(ctx)
		if ctx.Err() != nil && disk == nil {
			return nil, nil
		}
		if err == nil {
			o.Logger.Infow("events are kept on disk until the sink has accepted them", "directory", disk.Dir(), "left", disk.Events())
			return disk, nil
		}
		if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EROFS) && !errors.Is(err, syscall.EDQUOT) {
			return nil, fmt.Errorf("EVENTMESH_SPOOL_DIR: %w", err)
		}
		if !told {
			o.Logger.Errorw("the spool cannot be opened: nothing is received until it can", zap.Error(err))
		}
		o.NotReady(err)
		select {
		case <-time.After(reopenAfter):
		case <-ctx.Done():
			return nil, nil
		}
	}
}

// try returns without a disk when the context ends: one that hangs must not keep the program from its end.
func (o DiskOptions) try(ctx context.Context) (*dispatch.Disk, error) {
	o.NotReady(fmt.Errorf("opening the spool in %s", o.Dir))
	type opened struct {
		disk *dispatch.Disk
		err  error
	}
	result := make(chan opened, 1)
	go func() {
		disk, err := dispatch.OpenDisk(dispatch.DiskOptions{Dir: o.Dir, Older: o.Older, Stalled: o.stalled})
		result <- opened{disk, err}
	}()
	select {
	case r := <-result:
		return r.disk, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// stalled tells of a disk that does not answer.
func (o DiskOptions) stalled(hangs bool) {
	if hangs {
		o.Logger.Errorw("the disk of the spool hangs: nothing more is received until it answers", "directory", o.Dir, "after", dispatch.StallAfter.String())
	} else {
		o.Logger.Infow("the disk of the spool answers again", "directory", o.Dir)
	}
}
