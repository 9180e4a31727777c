package dispatch

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/httpevent"
)

const (
	// longestWait bounds a Retry-After; the lane's back-off does so after it.
	longestWait = 365 * 24 * time.Hour
	// replyLimit is how large a reply may be, in bytes: more than EventMesh accepts.
	replyLimit = 4 << 20
)

// hasReply tells whether an answer claims to hold an event for the requester.
func hasReply(response *http.Response) bool {
	return response.StatusCode >= 200 && response.StatusCode < 300 && response.StatusCode != http.StatusAccepted && httpevent.IsEvent(response.Header)
}

// replyOf returns the event in an answer, as the ingress would read it from a sender.
func replyOf(response *http.Response) (*event.Event, error) {
	body, err := io.ReadAll(io.LimitReader(response.Body, replyLimit+1))
	if err != nil {
		return nil, fmt.Errorf("reading it: %w", err)
	}
	if len(body) > replyLimit {
		return nil, fmt.Errorf("it has more than %d bytes", replyLimit)
	}
	reply, err := httpevent.Read(response.Header, body)
	if err != nil {
		return nil, fmt.Errorf("not a CloudEvent: %w", err)
	}
	return reply, nil
}

// retryAfter returns how long the destination wants to be left alone, of the two answers that may say so.
func retryAfter(r *http.Response) time.Duration {
	if r.StatusCode != http.StatusTooManyRequests && r.StatusCode != http.StatusServiceUnavailable {
		return 0
	}
	value := r.Header.Get("Retry-After")
	if seconds, err := strconv.ParseFloat(value, 64); (err == nil || errors.Is(err, strconv.ErrRange)) && !math.IsNaN(seconds) {
		return time.Duration(min(max(seconds, 0), longestWait.Seconds()) * float64(time.Second))
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(time.Until(at), 0), longestWait)
	}
	return 0
}
