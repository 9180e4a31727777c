package http

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
	"strconv"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsonevent"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsontext"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
)

const (
	// answerTimeout is how long the answer to a request may take that EventMesh answers at once.
	answerTimeout = 10 * time.Second
	// maxPoll is how many deliveries one poll asks for at most: twice what EventMesh takes out of its storage at once, so that an answer with
	// fewer shows that no others wait.
	maxPoll = 200
	// pollBytes is how many bytes one poll should bring at most, by the size of the last ones.
	pollBytes = 4 << 20
	// poisonLife is how long EventMesh goes on to deliver an event that it cannot write, as it does with any that nobody acknowledges.
	poisonLife = 185 * time.Second
)

// errUnwritable is what is received in the place of an event that EventMesh cannot write.
var errUnwritable = errors.New("EventMesh closes the connection when it should write an event: its data is no JSON, though it says so. " +
	"After 3 minutes EventMesh moves it to the topic that ends with " + deadLetters)

// poll asks for what there is, and waits for so long while there is nothing.
func (p *poller) poll(wait time.Duration) ([]*eventmesh.Delivery, error) {
	most := p.most()
	p.asked, p.brought = most, 0
	ctx, cancel := context.WithTimeout(p.s.ctx, max(wait, 0)+answerTimeout)
	defer cancel()
	a, err := p.there.Load().get(ctx, pathPoll+"?clientId="+p.client+
		"&timeoutMs="+strconv.FormatInt(wait.Milliseconds(), 10)+"&max="+strconv.Itoa(most))
	switch {
	case p.s.ctx.Err() != nil:
		return nil, nil
	case errors.Is(err, errNoAnswer):
		return p.unwritten(most, err)
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("polling topic %s: %w: no answer", p.topic, eventmesh.ErrNotConnected)
	case err == nil:
		err = a.expect(http.StatusOK)
	}
	if err != nil {
		return nil, fmt.Errorf("polling topic %s: %w", p.topic, err)
	}
	return p.read(a.body)
}

// most is how many deliveries to ask for.
func (p *poller) most() int {
	if time.Now().Before(p.singly) {
		return 1
	}
	room := maxPoll
	if !p.suspended.Load() {
		room = p.ledger.room()
	}
	return min(maxPoll, room, max(pollBytes/max(p.size, 1), 1))
}

// unwritten deals with a poll that broke. If the server lives on, it is about an event that it cannot write: whatever else it was about to
// write comes 30 s later, and so does that event. Single polls then take the others past it.
func (p *poller) unwritten(most int, broken error) ([]*eventmesh.Delivery, error) {
	ctx, cancel := context.WithTimeout(p.s.ctx, answerTimeout)
	defer cancel()
	check := p.subscribe
	if p.suspended.Load() {
		check = p.s.alive
	}
	if err := check(ctx); err != nil {
		return nil, fmt.Errorf("polling topic %s: %w: %w", p.topic, eventmesh.ErrNotConnected, broken)
	}
	now := time.Now()
	p.singly = now.Add(poisonLife)
	if most > 1 || now.Before(p.told) {
		return nil, nil
	}
	p.told = now.Add(poisonLife)
	return []*eventmesh.Delivery{{Topic: p.topic, Err: errUnwritable}}, nil
}

// read reads the answer to a poll.
func (p *poller) read(body []byte) (deliveries []*eventmesh.Delivery, err error) {
	err = jsontext.Elements(body, func(element []byte) error {
		var id string
		var carried []byte
		p.brought++
		err := jsontext.Members(element, func(name, value []byte) error {
			switch string(name) {
			case "deliveryId":
				id, _ = jsontext.String(value)
			case "event":
				carried = value
			}
			return nil
		})
		if err != nil || id == "" {
			return errNoDelivery
		}
		if d := p.delivery(id, carried); d != nil {
			deliveries = append(deliveries, d)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("polling topic %s: %w: %w", p.topic, eventmesh.ErrNotConnected, err)
	}
	if p.brought > 0 {
		p.size = len(body) / p.brought
	}
	return deliveries, nil
}

var errNoDelivery = errors.New("the answer holds something that is no delivery")

// delivery returns a delivery that is not known yet.
func (p *poller) delivery(id string, carried []byte) *eventmesh.Delivery {
	key := id
	if p.broadcasting { // EventMesh delivers an event once for each subscription
		key = strconv.FormatUint(maphash.Bytes(seed, carried), 36)
	}
	e, done := p.ledger.enter(key, id)
	if e == nil {
		if done {
			p.s.acks.add(p.there.Load(), id)
		}
		return nil
	}
	d := &eventmesh.Delivery{Topic: p.topic, Acknowledger: p.s, Receipt: receipt{p, e}}
	carried = bytes.Clone(carried) // out of what the others share
	came, err := jsonevent.Unmarshal(carried, nil)
	if err == nil {
		d.Event, err = wire.DecodeHTTP(came)
	}
	if err != nil {
		d.Event, d.Raw, d.Err = event.Event{}, carried, err
		return d
	}
	if correlation, ok := came.Extensions()[wire.CorrelationID].(string); ok {
		there := p.there.Load()
		d.ReplyFunc = func(ctx context.Context, e event.Event) error { return there.reply(ctx, p.topic, correlation, e) }
	}
	return d
}

var seed = maphash.MakeSeed()
