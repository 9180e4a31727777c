package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/transports"
)

const (
	retryMin = 50 * time.Millisecond
	retryMax = time.Second
)

type publishFlags struct {
	connection    connection
	event         eventFlags
	topic         string
	request       bool
	wait, timeout time.Duration
}

func declarePublish(flags *flag.FlagSet) action {
	f := &publishFlags{}
	f.connection.declare(flags, "producer `group`")
	flags.StringVar(&f.topic, "topic", "", "`topic` to publish to")
	f.event.declare(flags)
	flags.BoolVar(&f.request, "request", false, "wait for the reply to the event, and print it")
	flags.DurationVar(&f.wait, "wait", 30*time.Second, "`time` to wait until connected")
	flags.DurationVar(&f.timeout, "timeout", 10*time.Second, "`time` to wait for the confirmation, or the reply, once connected; temporary refusals are tried again meanwhile")
	return f.publish
}

func (f *publishFlags) publish(ctx context.Context, s streams, args []string) error {
	cfg, err := f.connection.config()
	if err != nil {
		return err
	}
	if err := transports.ValidateTopic(cfg.Addresses[0], f.topic); err != nil {
		return usageError("--topic: " + err.Error())
	}
	e, err := f.event.event(args, s.in)
	if err != nil {
		return err
	}
	publisher, err := f.connect(ctx, cfg)
	if err != nil {
		return err
	}
	defer publisher.Close()
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	reply, err := f.attempt(ctx, s, publisher, e)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(s.out, "published event %s to topic %s\n", e.ID(), f.topic); err != nil {
		return fmt.Errorf("printing the confirmation: %w", err)
	}
	if reply == nil {
		return nil
	}
	return (&printer{out: s.out}).print(*reply, " in reply")
}

// connect returns a Publisher that is connected, or says why none is after the time to wait.
func (f *publishFlags) connect(ctx context.Context, cfg eventmesh.Config) (*eventmesh.Publisher, error) {
	ctx, cancel := context.WithTimeout(ctx, f.wait)
	defer cancel()
	decided := make(chan eventmesh.Status, 1) // the first status that further waiting does not change
	cfg.Notify = func(status eventmesh.Status) {
		if status.Connected || !eventmesh.Temporary(status.Err) {
			select {
			case decided <- status:
			default:
			}
		}
	}
	publisher, err := eventmesh.NewPublisher(cfg, transports.All...)
	if err != nil {
		return nil, err
	}
	select {
	case status := <-decided:
		err = status.Err
	case <-ctx.Done():
		err = publisher.Ready()
	}
	if err != nil {
		_ = publisher.Close() // it never was connected
		return nil, fmt.Errorf("waiting for a connection: %w", err)
	}
	return publisher, nil
}

// attempt publishes until EventMesh has confirmed, refuses for good, or the context ends. A request is not made again once
// somebody may have got it.
func (f *publishFlags) attempt(ctx context.Context, s streams, publisher *eventmesh.Publisher, e event.Event) (*event.Event, error) {
	var told string
	for pause := retryMin; ; pause = min(2*pause, retryMax) {
		reply, err := f.once(ctx, publisher, e)
		if err == nil {
			return reply, nil
		}
		if !f.again(err) || ctx.Err() != nil {
			return nil, err
		}
		if told != err.Error() {
			told = err.Error()
			fmt.Fprintf(s.err, "trying again for up to %s: %s\n", f.timeout, told)
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause):
		}
	}
}

func (f *publishFlags) again(err error) bool {
	mayHaveIt := errors.Is(err, eventmesh.ErrNoReply) || errors.Is(err, eventmesh.ErrInvalidReply) || errors.Is(err, eventmesh.ErrUnconfirmed)
	return eventmesh.Temporary(err) && (!f.request || !mayHaveIt)
}

func (f *publishFlags) once(ctx context.Context, publisher *eventmesh.Publisher, e event.Event) (*event.Event, error) {
	if f.request {
		return publisher.Request(ctx, f.topic, e)
	}
	return nil, publisher.Publish(ctx, f.topic, e)
}
