package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/transports"
)

// leaveTimeout bounds leaving the group, while EventMesh may not answer.
const leaveTimeout = 5 * time.Second

type subscribeFlags struct {
	connection connection
	topics     string
	broadcast  bool
	count      int
	timeout    time.Duration
	reply      *string
}

func declareSubscribe(flags *flag.FlagSet) action {
	f := &subscribeFlags{}
	f.connection.declare(flags, "consumer `group`")
	flags.StringVar(&f.topics, "topic", "", "`topics` to subscribe to, comma separated")
	flags.BoolVar(&f.broadcast, "broadcast", false, "get every event, instead of sharing them with the group's other members")
	flags.IntVar(&f.count, "count", 0, "`number` of events after which to leave the group and end; 0 is never. What EventMesh had sent before is printed too")
	flags.DurationVar(&f.timeout, "timeout", 0, "`time` after which to leave the group and end, with an error when not subscribed then, or --count has not been reached; 0 is never")
	flags.Func("reply", "subscribe to requests, and reply to each with this `data`", func(s string) error {
		f.reply = &s
		return nil
	})
	return f.subscribe
}

func (f *subscribeFlags) subscribe(ctx context.Context, s streams, _ []string) error {
	cfg, err := f.connection.config()
	if err != nil {
		return err
	}
	subscription, err := f.subscription(cfg.Addresses[0])
	if err != nil {
		return err
	}
	if f.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.timeout)
		defer cancel()
	}
	ctx, refuse := context.WithCancelCause(ctx)
	defer refuse(nil)
	cfg.Notify = func(status eventmesh.Status) { f.notify(s, status, refuse) }
	subscriber, err := eventmesh.NewSubscriber(cfg, subscription, transports.All...)
	if err != nil {
		return err
	}
	defer subscriber.Close()
	r := &receiver{subscriber: subscriber, reply: f.reply, printer: printer{out: s.out}, streams: s}
	err = r.receive(ctx, f.count)
	timedOut := errors.Is(ctx.Err(), context.DeadlineExceeded)
	if err == nil && timedOut {
		err = subscriber.Ready()
	}
	if left := r.leave(context.WithoutCancel(ctx)); err == nil {
		err = left
	}
	if err == nil && timedOut && r.received < f.count {
		err = fmt.Errorf("got %d of %d events in %s", r.received, f.count, f.timeout)
	}
	return err
}

func (f *subscribeFlags) subscription(of eventmesh.Address) (eventmesh.Subscription, error) {
	subscription := eventmesh.Subscription{Topics: strings.Split(f.topics, ",")}
	for _, topic := range subscription.Topics {
		if err := transports.ValidateTopic(of, topic); err != nil {
			return subscription, usageError("--topic: " + err.Error())
		}
	}
	if f.count < 0 {
		return subscription, usageError("--count is less than 0")
	}
	if f.broadcast {
		subscription.Mode = eventmesh.Broadcasting
	}
	if f.reply != nil {
		subscription.Type = eventmesh.Sync
	}
	return subscription, nil
}

// notify tells of the subscription's state. What will not change by itself ends the verb.
func (f *subscribeFlags) notify(s streams, status eventmesh.Status, refuse context.CancelCauseFunc) {
	switch {
	case status.Connected:
		fmt.Fprintf(s.err, "subscribed to %s as group %s at %s\n", f.topics, f.connection.group, status.Address)
	case errors.Is(status.Err, eventmesh.ErrClosed):
	case !eventmesh.Temporary(status.Err):
		refuse(status.Err)
	default:
		fmt.Fprintf(s.err, "not subscribed: %s\n", status.Err)
	}
}

// receiver prints, answers and acknowledges what a Subscriber receives.
type receiver struct {
	subscriber *eventmesh.Subscriber
	reply      *string
	printer    printer
	streams    streams
	received   int
}

// receive handles as many deliveries, or those until the context ends. Its error is one for which to fail.
func (r *receiver) receive(ctx context.Context, count int) error {
	for ctx.Err() == nil && (count == 0 || r.received < count) {
		d, err := r.subscriber.Receive(ctx)
		if err == nil {
			err = r.handle(ctx, d)
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	return refusal(ctx)
}

// refusal returns why the context has ended, where that was neither a signal nor the time.
func refusal(ctx context.Context) error {
	if cause := context.Cause(ctx); !eventmesh.Temporary(cause) {
		return cause
	}
	return nil
}

func (r *receiver) handle(ctx context.Context, d *eventmesh.Delivery) error {
	if d.Err != nil {
		fmt.Fprintf(r.streams.err, "no event: %s: %s\n", d.Err, d.Raw)
		r.acknowledge(ctx, d)
		return nil //nolint:nilerr // told above
	}
	r.received++
	headline := ""
	if d.Topic != "" {
		headline = " from topic " + d.Topic
	}
	if err := r.printer.print(d.Event, headline); err != nil {
		return errors.Join(err, d.Release(ctx)) // to another member
	}
	if r.reply != nil {
		if err := d.Reply(ctx, replyTo(d.Event, *r.reply)); err != nil {
			fmt.Fprintf(r.streams.err, "event %s: %s\n", d.Event.ID(), err)
		}
	}
	r.acknowledge(ctx, d)
	return nil
}

func (r *receiver) acknowledge(ctx context.Context, d *eventmesh.Delivery) {
	if err := d.Ack(context.WithoutCancel(ctx)); err != nil {
		fmt.Fprintf(r.streams.err, "%s; it may come again\n", err)
	}
}

// leave leaves the group, and handles what EventMesh had sent before.
func (r *receiver) leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	var left error
	var leaving sync.WaitGroup
	leaving.Go(func() {
		if left = r.subscriber.Leave(ctx); left != nil {
			cancel()
		}
	})
	for {
		d, err := r.subscriber.Receive(ctx)
		if err == nil {
			err = r.handle(ctx, d)
		}
		if err != nil {
			break
		}
	}
	leaving.Wait()
	return left
}
