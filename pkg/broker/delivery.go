package broker

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"github.com/rickb777/date/period"
	duckv1 "knative.dev/eventing/pkg/apis/duck/v1"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

const (
	// defaultBackoffDelay is that of Knative's own Broker, as it is installed.
	defaultBackoffDelay = 200 * time.Millisecond
	// maxWait is the longest wait between two attempts, whatever a delivery spec comes to: it doubles.
	maxWait = 24 * time.Hour
	// maxDoublings is as often as a nanosecond needs to grow beyond that.
	maxDoublings = 47
	// What a dead letter sink does not accept is kept, and comes again between these waits.
	minDeadLetterBackoff, maxDeadLetterBackoff = 200 * time.Millisecond, 30 * time.Second
)

// Delivery says how the events of a Trigger are sent to its subscriber, and to its dead letter sink.
type Delivery struct {
	// Retries is how often an event is sent again: none where nothing is said, as the specification has it.
	Retries int
	// Backoff is the wait before that. It has no jitter.
	Backoff dispatch.Backoff
	// Timeout bounds a request; 0 is the default of [dispatch.HTTPOptions].
	Timeout time.Duration
	// Mode is how requests hold events.
	Mode dispatch.ContentMode
}

// DeliveryOf returns that of a Trigger: by its own delivery spec, or as a whole by that of its Broker. Either may be nil. The dead letter
// sink is not a part of it: that falls back by itself. The error names a field, which Knative's webhook would have refused.
//
// By Knative's rules the wait before retry n, counted from 1, is backoffDelay*n in the linear policy, and backoffDelay*2^(n-1) in the
// exponential one, which is the default, as a delay of 200 ms is. A longer Retry-After counts as far as retryAfterMax allows, and without
// that not at all.
func DeliveryOf(trigger, broker *duckv1.DeliverySpec) (d Delivery, err error) {
	spec := cmp.Or(trigger, broker, &duckv1.DeliverySpec{})
	if spec.Retry != nil {
		d.Retries = int(*spec.Retry)
	}
	if d.Retries < 0 {
		return d, fmt.Errorf("retry: %d is below 0", d.Retries)
	}
	if d.Timeout, err = duration(spec.Timeout, "timeout", 0); err != nil {
		return d, err
	}
	delay, err := duration(spec.BackoffDelay, "backoffDelay", defaultBackoffDelay)
	if err != nil {
		return d, err
	}
	asked, err := duration(spec.RetryAfterMax, "retryAfterMax", 0)
	if err != nil {
		return d, err
	}
	growth, err := growthOf(spec.BackoffPolicy)
	if err != nil {
		return d, err
	}
	d.Backoff = func(failures int, retryAfter time.Duration) time.Duration {
		wait := maxWait
		if exact := float64(delay) * growth(failures); exact < float64(maxWait) {
			wait = time.Duration(exact)
		}
		return max(wait, min(retryAfter, asked))
	}
	d.Mode, err = modeOf(spec.Format)
	return d, err
}

// growthOf returns by what the delay is multiplied after so many failures.
func growthOf(policy *duckv1.BackoffPolicyType) (func(failures int) float64, error) {
	switch {
	case policy == nil, *policy == duckv1.BackoffPolicyExponential:
		return func(failures int) float64 { return math.Exp2(float64(min(failures-1, maxDoublings))) }, nil
	case *policy == duckv1.BackoffPolicyLinear:
		return func(failures int) float64 { return float64(failures) }, nil
	default:
		return nil, fmt.Errorf("backoffPolicy: %q is neither exponential nor linear", *policy)
	}
}

func modeOf(format *duckv1.FormatType) (dispatch.ContentMode, error) {
	switch {
	case format == nil:
		return dispatch.Auto, nil
	case *format == duckv1.DeliveryFormatBinary:
		return dispatch.Binary, nil
	case *format == duckv1.DeliveryFormatJson:
		return dispatch.Structured, nil
	default:
		return "", fmt.Errorf("format: %q is neither JSON nor binary", *format)
	}
}

// duration reads one of ISO 8601 in the way of Knative, which rounds down to tenths of a second.
func duration(text *string, field string, without time.Duration) (time.Duration, error) {
	if text == nil {
		return without, nil
	}
	p, err := period.Parse(*text)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", field, err)
	}
	d, _ := p.Duration()
	if d < 0 {
		return 0, fmt.Errorf("%s: %s is below 0", field, *text)
	}
	return d, nil
}
