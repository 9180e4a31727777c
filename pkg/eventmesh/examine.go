package eventmesh

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
)

// Release is a generation of EventMesh, as far as its protocols tell it from others.
type Release int

const (
	// Release1 is 1.12, or an earlier one of 1.x: it speaks gRPC and TCP.
	Release1 Release = iota
	// NextRelease is the one after 1.12, by its HTTP API.
	NextRelease
	// Bridge is the same, by its bridge for gRPC clients of 1.x.
	Bridge
)

// The storages that EventMesh can be told to have, as its configuration spells them.
const (
	Standalone = wire.Standalone
	RocketMQ   = wire.RocketMQ
)

// ProbeSize is how large the data of an event is that [Examine] asks about, in bytes: what the sink accepts by default.
const ProbeSize = 1 << 20

// Examiner is a PublisherSession that can be asked about its server, without a trace left there but in its log.
type Examiner interface {
	PublisherSession
	// Release tells who answers.
	Release() Release
	// Probe publishes what EventMesh refuses after it has looked at everything else: over gRPC and TCP an event with n bytes of data for a
	// topic that no storage can have, over HTTP n bytes that are no event. It returns the refusal, or nil where that says no more.
	Probe(ctx context.Context, n int) error
}

// Findings are what a server says of itself.
type Findings struct {
	Release Release
	// Took is how long it took from nothing to the first answer.
	Took time.Duration
	// Refuses says why EventMesh takes no event at the moment: an ErrUnauthorized or an ErrRateLimited. Where it is not nil nothing below is known.
	Refuses error
	// Storage is Standalone or RocketMQ, or empty where EventMesh does not tell.
	Storage string
	// TooLarge is how EventMesh refuses data of ProbeSize, or nil. MaxData is what it then takes, in characters of JSON, or 0 where it does not
	// tell.
	TooLarge error
	MaxData  int
	// Anonymous says that EventMesh takes events without the credentials of the configuration as well.
	Anonymous bool
}

// Examine connects to the first of the addresses, once, and finds out about the server. Nothing that it does is stored, comes to a subscriber,
// or takes something from one. The error says why there is no session with an EventMesh.
func Examine(ctx context.Context, cfg Config, transports ...Transport) (Findings, error) {
	if err := cfg.validate(transports); err != nil {
		return Findings{}, fmt.Errorf("examining: %w", err)
	}
	var f Findings
	began := time.Now()
	err := withExaminer(ctx, cfg, transports, func(e Examiner) error {
		f.Release, f.Took = e.Release(), time.Since(began)
		return f.probe(ctx, e)
	})
	if err != nil {
		return f, fmt.Errorf("connecting to %s: %w", cfg.Addresses[0], err)
	}
	if cfg.Credentials != nil && f.Release != Bridge && f.Refuses == nil {
		f.Anonymous = takesAnybody(ctx, cfg, transports)
	}
	return f, nil
}

// takesAnybody tells whether EventMesh takes events without credentials.
func takesAnybody(ctx context.Context, cfg Config, transports []Transport) bool {
	cfg.Credentials = nil
	return withExaminer(ctx, cfg, transports, func(e Examiner) error {
		if err := e.Probe(ctx, 1); isRefusal(err) {
			return err
		}
		return nil
	}) == nil
}

// withExaminer opens a session and closes it again.
func withExaminer(ctx context.Context, cfg Config, transports []Transport, use func(Examiner) error) error {
	client, err := cfg.client(rolePublisher)
	if err != nil {
		return err
	}
	client.Rendering = find(transports, cfg.subscribers()).Traits().Rendering
	session, err := find(transports, cfg.Addresses[0].Transport()).OpenPublisher(ctx, cfg.Addresses[0], client)
	if err != nil {
		return err
	}
	defer func() { _ = session.Close() }() // nothing is under way
	examiner, ok := session.(Examiner)
	if !ok {
		return fmt.Errorf("%w: it cannot be examined over %s", ErrUnsupported, cfg.Addresses[0].Transport())
	}
	return use(examiner)
}

// isRefusal tells whether EventMesh takes no event of this client, whatever it is.
func isRefusal(err error) bool {
	return errors.Is(err, ErrUnauthorized) || errors.Is(err, ErrRateLimited)
}

var limit = regexp.MustCompile(`exceeds the limit: (\d+)`)

// probe finds out what refusals tell. The bridge refuses nothing.
func (f *Findings) probe(ctx context.Context, e Examiner) error {
	if f.Release == Bridge {
		return nil
	}
	err := e.Probe(ctx, 1)
	var refusal *RefusalError
	switch {
	case isRefusal(err):
		f.Refuses = err
		return nil
	case errors.As(err, &refusal):
		f.Storage = wire.StorageOf(refusal.Reason)
	case err != nil:
		return err
	}
	err = e.Probe(ctx, ProbeSize)
	switch {
	case isRefusal(err):
		f.Refuses = err
	case errors.Is(err, ErrTooLarge):
		f.TooLarge = err
		if told := limit.FindStringSubmatch(err.Error()); told != nil {
			f.MaxData, _ = strconv.Atoi(told[1])
		}
	case err != nil && !errors.As(err, &refusal):
		return err
	}
	return nil
}
