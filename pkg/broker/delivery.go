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
	// Delay is what the wait before that grows from: by itself times the failures where it is linear, else doubling with each. It has no
	// jitter.
	Delay  time.Duration
	Linear bool
	// RetryAfterMax is as far as a longer Retry-After counts; 0: not at all.
	RetryAfterMax time.Duration
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
	if d.Delay, err = duration(spec.BackoffDelay, "backoffDelay", defaultBackoffDelay); err != nil {
		return d, err
	}
	if d.RetryAfterMax, err = duration(spec.RetryAfterMax, "retryAfterMax", 0); err != nil {
		return d, err
	}
	if policy := spec.BackoffPolicy; policy != nil {
		d.Linear = *policy == duckv1.BackoffPolicyLinear
		if !d.Linear && *policy != duckv1.BackoffPolicyExponential {
			return d, fmt.Errorf("backoffPolicy: %q is neither exponential nor linear", *policy)
		}
	}
	d.Mode, err = modeOf(spec.Format)
	return d, err
}

// Backoff returns the wait after so many failures: see [dispatch.Backoff].
func (d Delivery) Backoff(failures int, asked time.Duration) time.Duration {
	growth := math.Exp2(float64(min(failures-1, maxDoublings)))
	if d.Linear {
		growth = float64(failures)
	}
	wait := maxWait
	if exact := float64(d.Delay) * growth; exact < float64(maxWait) {
		wait = time.Duration(exact)
	}
	return max(wait, min(asked, d.RetryAfterMax))
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
