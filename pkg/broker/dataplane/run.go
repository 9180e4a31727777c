package dataplane

import (
	"context"
	"errors"

	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/table"
)

// Reasons of problems that are no fault of the Broker or Trigger.
const (
	// ReasonNotConnected is that of a Broker whose EventMesh cannot be reached, or does not accept who asks.
	ReasonNotConnected = "NotConnected"
	// ReasonIssuer is that of a Broker whose senders need tokens, while nobody can tell whether these are valid.
	ReasonIssuer = "IssuerUnknown"
	// ReasonToken is that of a Trigger whose events need a token that the cluster does not give.
	ReasonToken = "NoToken"
	// ReasonDisk is that of all Brokers of a dispatcher that cannot keep events.
	ReasonDisk = "DiskFailed"
	// ReasonFull is that of a Trigger for which no more events can be kept.
	ReasonFull = "Full"
)

// Program is what differs between programs of the data plane.
type Program struct {
	// Open is called before all else, if there is one. It may take its time, while probes are answered; false: the context ended meanwhile.
	Open func(ctx context.Context) (bool, error)
	// Apply is called with each table, by one goroutine at a time, while Serve runs, but for its shutdown.
	Apply func(*table.Table)
	// Serve serves until the context ends, and for as long as its shutdown takes.
	Serve func(ctx context.Context) error
	// Close is called after all else.
	Close func()
	// Ready returns nil, or why the replica is not ready.
	Ready func() error
	// Status tells what is served.
	Status func() Status

	Logger *zap.SugaredLogger
}

// Run runs a program until the context ends. An error says why it cannot be run.
func Run(ctx context.Context, c *Config, source table.Source, p Program) (err error) {
	listener, err := adapter.Listen(ctx, c.StatusPort)
	if err != nil {
		return err
	}
	stop := adapter.Probes{Ready: p.Ready, Other: Handler(p.Status)}.Serve(listener)
	p.Logger.Infow("serving probes", "address", listener.Addr().String())
	defer func() { err = errors.Join(err, stop()) }()
	defer p.Close()
	if p.Open != nil {
		if opened, err := p.Open(ctx); err != nil || !opened {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	learning := make(chan error, 1)
	go func() {
		defer cancel()
		learning <- source.Run(ctx, p.Apply)
	}()
	err = p.Serve(ctx)
	cancel()
	return errors.Join(err, <-learning)
}
