//go:build linux

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// feeding is the role feed: it publishes to a real EventMesh what the mesh would send.
type feeding struct {
	Measured
	addresses  Addresses
	publishers map[string]*eventmesh.Publisher
}

// publishesAtOnce is how many publishes are under way while events are fed.
const publishesAtOnce = 64

// newFeeding has the URLs in the order of transports, "" where there is none.
func newFeeding(urls []string) (*feeding, error) {
	f := &feeding{addresses: Addresses{}, publishers: map[string]*eventmesh.Publisher{}}
	for i, transport := range transports {
		url := urls[i]
		if url == "" {
			continue
		}
		f.addresses[transport] = url
		addresses, err := eventmesh.ParseAddresses(url, adapter.Transports...)
		if err != nil {
			return nil, err
		}
		f.publishers[transport], err = eventmesh.NewPublisher(
			eventmesh.Config{Addresses: addresses, ClientID: "bench-feed", Group: "bench-feed"}, adapter.Transports...)
		if err != nil {
			return nil, err
		}
	}
	return f, nil
}

// URLs tells where the EventMesh listens.
func (f *feeding) URLs(_ Nothing, a *Addresses) error {
	*a = f.addresses
	return nil
}

// Subscribed waits until the publisher is connected: the subscriber has said of itself that it is subscribed.
func (f *feeding) Subscribed(how Feeding, _ *Nothing) (err error) {
	for range 2000 {
		if err = f.publishers[how.Transport].Ready(); err == nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

// Feed publishes events, and returns when they are confirmed.
func (f *feeding) Feed(how Feeding, _ *Nothing) error {
	e := sample(how.Size)
	publish := func(i int) error {
		e := e
		if how.Rate > 0 {
			e = e.Clone()
			at, err := stampAt(e.DataEncoded)
			if err != nil {
				return err
			}
			stamp(e.DataEncoded, at, time.Now())
		}
		for {
			err := f.publishers[how.Transport].Publish(context.Background(), how.Topics[i%len(how.Topics)], e)
			if err == nil || !eventmesh.Temporary(err) {
				return err
			}
			time.Sleep(time.Millisecond)
		}
	}
	if how.Rate == 0 {
		return share(how.Events, publishesAtOnce, publish)
	}
	_, err := atRate(Paced{Events: how.Events, Rate: how.Rate}, publishesAtOnce, publish)
	if err != nil {
		return fmt.Errorf("feeding: %w", err)
	}
	return nil
}
