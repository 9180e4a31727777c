package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/next"
)

func declareServe(flags *flag.FlagSet) action {
	o := eventmeshtest.Options{RecordLimit: -1} // records are for tests
	n := next.Options{RecordLimit: -1}
	flags.StringVar(&n.Address, "http", "", "`host:port` to serve the HTTP of the release after 1.12 on, with events of its own; port 0 is a free one")
	flags.StringVar(&n.GRPCAddress, "http-bridge", "", "`host:port` to serve that release's bridge for gRPC clients of 1.12 on; port 0 is a free one")
	flags.Func("http-token", "a bearer `token` that may use the HTTP; may be repeated (default anybody)", func(s string) error {
		n.Tokens = append(n.Tokens, "Bearer "+s)
		return nil
	})
	flags.StringVar(&o.GRPCAddress, "grpc", "127.0.0.1:10205", "`host:port` to serve gRPC on; port 0 is a free one")
	flags.StringVar(&o.TCPAddress, "tcp", "127.0.0.1:10000", "`host:port` to serve TCP on; port 0 is a free one")
	flags.Func("storage", "`plugin` to behave like: standalone, or rocketmq, which holds events for absent subscribers and carries replies (default standalone)", func(s string) error {
		return setStorage(&o.Storage, s)
	})
	flags.IntVar(&o.Retention, "retention", 100_000, "`events` of each topic that rocketmq keeps, each in some 8 KiB besides its data; -1 is no limit")
	flags.BoolVar(&o.UnknownTopics, "unknown-topics", false, "let rocketmq have a topic only from its first event on, and refuse subscriptions to others over TCP")
	flags.BoolVar(&o.StuckQueues, "stuck-queues", false, "let half of a topic's queues in rocketmq give nothing to a group that lost its last member and got another")
	flags.IntVar(&o.MaxDataCharacters, "max-data-characters", 1000, "largest `number` of characters of an event's data over TCP; -1 is no limit")
	flags.DurationVar(&o.AcknowledgeAfter, "acknowledge-after", 3*time.Second, "`age` at which it acknowledges by itself what a TCP subscriber has not; -1s is never")
	flags.DurationVar(&o.SessionExpiry, "session-expiry", time.Minute, "`time` after which a gRPC subscriber without heartbeats is gone")
	flags.DurationVar(&o.TCPSessionExpiry, "tcp-session-expiry", time.Minute, "`time` after which a TCP session without heartbeats is gone")
	flags.DurationVar(&o.ReplyTimeout, "reply-timeout", 5*time.Second, "`time` that a request waits for its reply")
	flags.IntVar(&o.RateLimit, "rate-limit", 15_000, "`events` that each transport takes a second; -1 is no limit")
	flags.IntVar(&o.InboundLimit, "inbound-limit", 2_000, "`frames` that it reads a second from one TCP connection; -1 is no limit")
	flags.IntVar(&o.InFlightLimit, "in-flight-limit", 20, "`publishes` of one TCP session that may be unanswered; -1 is no limit")
	flags.DurationVar(&o.GoodbyeTimeout, "goodbye-timeout", 30*time.Second, "`time` that a TCP session lives on after a goodbye")
	flags.DurationVar(&o.KeepaliveMinTime, "keepalive-min-time", 5*time.Minute, "shortest `time` between two keepalive pings of a gRPC client")
	flags.StringVar(&o.IDC, "idc", "DEFAULT", "`name` of its own data centre")
	flags.Func("user", "a `name=password` that may connect; may be repeated (default anybody)", func(s string) error {
		name, password, found := strings.Cut(s, "=")
		if !found || name == "" || password == "" {
			return fmt.Errorf("a user is name=password")
		}
		if o.Credentials == nil {
			o.Credentials = map[string]string{}
		}
		o.Credentials[name] = password
		return nil
	})
	return func(ctx context.Context, s streams, _ []string) error {
		if n.Address == "" && (n.GRPCAddress != "" || len(n.Tokens) > 0) {
			return errors.New("--http-bridge and --http-token need --http")
		}
		return serve(ctx, s, o, n)
	}
}

// serve serves until the context ends: an EventMesh 1.12, and one of the next release where that has an address.
func serve(ctx context.Context, s streams, o eventmeshtest.Options, n next.Options) error {
	o.Logf = log.New(s.err, "", log.Ltime|log.Lmicroseconds).Printf
	server, err := eventmeshtest.Start(o) //nolint:contextcheck // it serves until Close
	if err != nil {
		return err
	}
	defer server.Close()
	addresses := fmt.Sprintf("gRPC %s\nTCP  %s\n", server.GRPCURL(), server.TCPURL())
	if n.Address != "" {
		n.Logf = o.Logf
		if o.Storage == eventmeshtest.RocketMQ {
			n.Storage = next.Holding
		}
		another, err := next.Start(n) //nolint:contextcheck // the same
		if err != nil {
			return err
		}
		defer another.Close()
		addresses += "HTTP " + another.URL() + "\n"
		if bridge := another.GRPCURL(); bridge != "" {
			addresses += "bridge " + bridge + "\n"
		}
	}
	_, err = fmt.Fprintf(s.out, "%sAn EventMesh in memory, with %s storage: it keeps nothing, and forgets every event when it ends.\n",
		addresses, o.Storage)
	if err != nil {
		return fmt.Errorf("printing the addresses: %w", err)
	}
	<-ctx.Done()
	return nil
}

func setStorage(storage *eventmeshtest.Storage, name string) error {
	for _, known := range []eventmeshtest.Storage{eventmeshtest.Standalone, eventmeshtest.RocketMQ} {
		if name == known.String() {
			*storage = known
			return nil
		}
	}
	return fmt.Errorf("the storage is %s or %s", eventmeshtest.Standalone, eventmeshtest.RocketMQ)
}
