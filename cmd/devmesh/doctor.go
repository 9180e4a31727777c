package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/transports"
)

// examineTimeout bounds looking at one server.
const examineTimeout = 20 * time.Second

type doctorFlags struct {
	connection  connection
	topic, sink string
	alone, json bool
	timeout     time.Duration
}

func declareDoctor(flags *flag.FlagSet) action {
	f := &doctorFlags{}
	f.connection.declare(flags, "")
	flags.StringVar(&f.topic, "topic", "", "`topic` to publish an event to, of type "+doctorType+" and source "+doctorSource+", which every subscriber of the topic gets. With RocketMQ it is received again, which takes nothing from others, and published again every 5s until it comes")
	flags.BoolVar(&f.alone, "alone", false, "receive the event also where it takes something from others, since nobody else uses the topic: over http events of the topic, and with standalone storage the topic itself, until EventMesh restarts")
	flags.StringVar(&f.sink, "sink", "", "`URL` of a sink to post one such event to, as the source does")
	flags.DurationVar(&f.timeout, "timeout", 30*time.Second, "`time` to wait for the event to come back, and for the sink's answer; and for what EventMesh says of itself, which has 20s at most")
	flags.BoolVar(&f.json, "json", false, "print each check as a line of JSON, with the members check, result (ok, note, failed or unknown), says and advice")
	return f.examine
}

// The event that is published and posted is told from others by these.
const (
	doctorType   = "devmesh.doctor"
	doctorSource = "devmesh-doctor"
	doctorGroup  = "devmesh-doctor"
)

// doctorEvent makes one with an id of its own.
func doctorEvent() event.Event {
	e := event.New()
	e.SetType(doctorType)
	e.SetSource(doctorSource)
	e.SetID(strings.ToLower(rand.Text()))
	e.SetTime(time.Now())
	setData(&e, []byte("devmesh doctor asks whether events come through. Ignore this one."))
	return e
}

// examine makes the checks that the flags ask for. It fails when one of them has failed.
func (f *doctorFlags) examine(ctx context.Context, s streams, _ []string) error {
	f.connection.group = doctorGroup
	cfg, err := f.connection.config()
	if err != nil {
		return err
	}
	if cfg.Credentials != nil {
		if _, err := cfg.Credentials(); err != nil {
			return usageError(err.Error())
		}
	}
	if f.topic != "" {
		if err := transports.ValidateTopic(cfg.Addresses[0], f.topic); err != nil {
			return usageError("--topic: " + err.Error())
		}
	}
	if f.alone && f.topic == "" {
		return usageError("--alone needs --topic")
	}
	if f.sink != "" {
		if err := checkURL("--sink", f.sink); err != nil {
			return err
		}
	}
	r := &report{out: s.out, json: f.json}
	for _, address := range cfg.Addresses {
		cfg.Addresses = []eventmesh.Address{address}
		f.server(ctx, r, cfg)
	}
	if f.sink != "" {
		f.postTo(ctx, r)
	}
	if r.err != nil {
		return fmt.Errorf("printing: %w", r.err)
	}
	if r.failed > 0 {
		return fmt.Errorf("%d of %d checks failed", r.failed, r.made)
	}
	return nil
}

// server makes the checks of one server.
func (f *doctorFlags) server(ctx context.Context, r *report, cfg eventmesh.Config) {
	p := patient{cfg: cfg, scheme: cfg.Addresses[0].Transport(), credentials: cfg.Credentials != nil}
	bounded, cancel := context.WithTimeout(ctx, min(examineTimeout, f.timeout))
	defer cancel()
	var err error
	if p.Findings, err = eventmesh.Examine(bounded, cfg, transports.All...); err != nil {
		name := "server"
		if errors.Is(err, eventmesh.ErrUnauthorized) {
			name = checkCredentials
		}
		r.fail(name, err, p.adviseOnConnecting(err))
		return
	}
	r.ok("server", "%s answers after %s: %s", cfg.Addresses[0], p.Took.Round(time.Millisecond/10), p.release())
	p.credentialsCheck(r)
	if p.Refuses == nil {
		p.storageCheck(r)
		p.sizeCheck(r)
		if f.topic != "" {
			f.tryTopic(ctx, r, &p)
		}
	}
	r.unknown(p.untold(f.topic != ""))
}
