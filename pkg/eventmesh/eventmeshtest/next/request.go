package next

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/internal/jackson"
)

// correlation is the attribute that tells which request a reply belongs to.
const correlation = "emcorrelationid"

var (
	errTimeout = errors.New("request-reply timed out")
	errNoTopic = errors.New("the topic is missing")
	errNoReply = errors.New("want correlationId and event")
)

// request publishes an event, and answers with the reply to it. All that can go wrong is a time-out.
func (x *exchange) request() {
	patience := x.patience(30_000)
	topic, ok := x.parameter("topic")
	body := x.body()
	if x.refused() {
		return
	}
	e, err := x.parse(body)
	if err == nil && !ok {
		err = errNoTopic
	}
	if err == nil {
		e, err = x.s.broker.ask(x.running, topic, e, patience)
	}
	var reply []byte
	if err == nil {
		reply, err = e.render()
	}
	if err != nil {
		x.refuse(http.StatusGatewayTimeout, "request timeout/error: "+err.Error())
		return
	}
	if f := x.s.fault(); happens(f.LoseAnswers) {
		x.hangUp("its answer is lost")
	}
	x.w.Header().Set("Content-Type", "application/cloudevents+json")
	_, _ = x.w.Write(reply) // whether it arrives, nobody knows
}

// ask publishes a request, and waits for its reply.
func (b *broker) ask(ctx context.Context, topic string, e *event, patience time.Duration) (*event, error) {
	id, replies, err := b.request(topic, e)
	if err != nil {
		return nil, err
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case reply := <-replies:
		return reply, nil
	case <-timer.C:
	case <-ctx.Done():
	}
	b.forget(id)
	return nil, fmt.Errorf("%w: %s", errTimeout, id)
}

// request publishes a request, whose replies come to the channel. One of the same correlation gets no reply any more.
func (b *broker) request(topic string, e *event) (id string, replies <-chan *event, err error) {
	b.mu.Lock()
	id, ok := e.attributes[correlation]
	if !ok {
		b.requests++
		id = fmt.Sprintf("req-%d", b.requests)
		e = e.with(correlation, id)
	}
	waiting := make(chan *event, 1)
	b.waiting[id] = waiting
	b.mu.Unlock()
	if err := b.publish(topic, e); err != nil {
		b.forget(id)
		return id, nil, err
	}
	return id, waiting, nil
}

// forget forgets who waits for a reply, even if that is a later one than it should be.
func (b *broker) forget(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.waiting, id)
}

// answered hands a reply to whoever waits for it, and reports false where nobody does.
func (b *broker) answered(id string, reply *event) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	waiting, ok := b.waiting[id]
	if ok {
		delete(b.waiting, id)
		waiting <- reply
	}
	return ok
}

func (x *exchange) reply() {
	id, e, err := x.parseReply(x.body())
	switch {
	case err != nil:
		x.refuse(http.StatusInternalServerError, "reply error: "+err.Error())
	case x.s.broker.answered(id, e):
		x.say(http.StatusOK, "status", "ok")
	default:
		x.say(http.StatusNotFound, "status", "ok")
	}
}

func (x *exchange) parseReply(body []byte) (id string, e *event, err error) {
	value, err := parseJSON(body)
	if err != nil {
		return "", nil, err
	}
	o, ok := value.(*jackson.Object)
	if !ok {
		return "", nil, errNoReply
	}
	if e, err = x.convert(o.Values["event"]); err != nil {
		return "", nil, err
	}
	correlated, ok := o.Values["correlationId"]
	if !ok {
		return "", nil, errNoReply
	}
	return text(correlated), e, nil
}
