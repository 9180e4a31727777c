package next

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

func (x *exchange) publish() {
	if most := x.s.options.MaxContentLength; x.r.ContentLength > most {
		x.refuse(http.StatusRequestEntityTooLarge, fmt.Sprintf("payload too large (max %d bytes)", most))
		return
	}
	topic, ok := x.topic()
	if !ok {
		return
	}
	body := x.body()
	if x.refused() {
		return
	}
	e, err := x.parse(body)
	if err != nil {
		x.refuse(http.StatusBadRequest, "invalid CloudEvent: "+err.Error())
		return
	}
	x.published("publish", x.s.broker.publish(topic, e))
}

func (x *exchange) publishBatch() {
	topic, ok := x.topic()
	if !ok {
		return
	}
	body := x.body()
	if x.refused() {
		return
	}
	batch, isArray, err := x.parseBatch(body)
	if err == nil && !isArray {
		x.refuse(http.StatusBadRequest, "expected a CloudEvent JSON array")
		return
	}
	var failure error
	for _, e := range batch {
		if err := x.s.broker.publish(topic, e); err != nil && failure == nil {
			failure = err
		}
	}
	x.published("batch publish", errors.Join(err, failure))
}

// parseBatch reads a batch, of which nothing is left where one of its events cannot be read.
func (x *exchange) parseBatch(body []byte) (batch []*event, isArray bool, err error) {
	if len(body) == 0 {
		return nil, false, nil
	}
	value, err := parseJSON(body)
	if err != nil {
		return nil, false, err
	}
	elements, isArray := value.([]any)
	for _, element := range elements {
		e, err := x.convert(element)
		if err != nil {
			return nil, true, err
		}
		batch = append(batch, e)
	}
	return batch, isArray, nil
}

func (x *exchange) topic() (string, bool) {
	topic, ok := x.parameter("topic")
	if !ok {
		x.refuse(http.StatusBadRequest, "missing query param 'topic'")
	}
	return topic, ok
}

// refused refuses a publish where the faults say so.
func (x *exchange) refused() bool {
	f := x.s.fault()
	if f.Refuse == 0 {
		return false
	}
	x.delay(f.Delay)
	reason := f.RefuseDescription
	if reason == "" {
		reason = "refused"
	}
	x.refuse(f.Refuse, reason)
	return true
}

// published answers a publish, as late as the faults say, or not.
func (x *exchange) published(what string, err error) {
	f := x.s.fault()
	x.delay(f.Delay)
	switch {
	case errors.Is(err, errRateLimited):
		x.refuse(http.StatusTooManyRequests, "rate limited: org.apache.eventmesh.runtime.ratelimit.RateLimitedException: "+err.Error())
	case err != nil:
		x.refuse(http.StatusInternalServerError, what+" failed: "+err.Error())
	case happens(f.LoseAnswers):
		x.hangUp("its answer is lost")
	default:
		x.say(http.StatusAccepted, "status", "accepted")
	}
}

func (x *exchange) delay(d time.Duration) {
	select {
	case <-time.After(d):
	case <-x.running.Done():
	}
}
