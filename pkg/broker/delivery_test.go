package broker_test

import (
	"math"
	"strings"
	"testing"
	"time"

	duckv1 "knative.dev/eventing/pkg/apis/duck/v1"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

func ptr[T any](v T) *T { return &v }

// waits are those before the first retries, when so much is asked for.
func waits(b dispatch.Backoff, asked time.Duration) (all [4]time.Duration) {
	for i := range all {
		all[i] = b(i+1, asked)
	}
	return all
}

func TestDelivery(t *testing.T) {
	const s = time.Second
	exponential, linear := ptr(duckv1.BackoffPolicyExponential), ptr(duckv1.BackoffPolicyLinear)
	byDefault := [4]time.Duration{s / 5, 2 * s / 5, 4 * s / 5, 8 * s / 5}
	for name, test := range map[string]struct {
		trigger, broker *duckv1.DeliverySpec
		retries         int
		waits           [4]time.Duration
		asked           time.Duration
		timeout         time.Duration
		mode            dispatch.ContentMode
	}{
		"nothing is said":     {nil, nil, 0, byDefault, 0, 0, dispatch.Auto},
		"empty":               {&duckv1.DeliverySpec{}, nil, 0, byDefault, 0, 0, dispatch.Auto},
		"the Broker's":        {nil, &duckv1.DeliverySpec{Retry: ptr(int32(7))}, 7, byDefault, 0, 0, dispatch.Auto},
		"the Trigger's alone": {&duckv1.DeliverySpec{Timeout: ptr("PT5S")}, &duckv1.DeliverySpec{Retry: ptr(int32(7))}, 0, byDefault, 0, 5 * s, dispatch.Auto},
		"exponential": {
			&duckv1.DeliverySpec{Retry: ptr(int32(3)), BackoffPolicy: exponential, BackoffDelay: ptr("PT1S")}, nil,
			3, [4]time.Duration{s, 2 * s, 4 * s, 8 * s}, 0, 0, dispatch.Auto,
		},
		"linear": {
			&duckv1.DeliverySpec{Retry: ptr(int32(3)), BackoffPolicy: linear, BackoffDelay: ptr("PT1.5S")}, nil,
			3, [4]time.Duration{3 * s / 2, 3 * s, 9 * s / 2, 6 * s}, 0, 0, dispatch.Auto,
		},
		"a policy without a delay": {&duckv1.DeliverySpec{BackoffPolicy: linear}, nil, 0, [4]time.Duration{s / 5, 2 * s / 5, 3 * s / 5, 4 * s / 5}, 0, 0, dispatch.Auto},
		"a delay without a policy": {&duckv1.DeliverySpec{BackoffDelay: ptr("PT2S")}, nil, 0, [4]time.Duration{2 * s, 4 * s, 8 * s, 16 * s}, 0, 0, dispatch.Auto},
		"no delay":                 {&duckv1.DeliverySpec{BackoffDelay: ptr("PT0S")}, nil, 0, [4]time.Duration{}, 0, 0, dispatch.Auto},
		"days":                     {&duckv1.DeliverySpec{BackoffDelay: ptr("P1D")}, nil, 0, [4]time.Duration{24 * time.Hour, 24 * time.Hour, 24 * time.Hour, 24 * time.Hour}, 0, 0, dispatch.Auto},
		"Retry-After, without retryAfterMax": {
			&duckv1.DeliverySpec{BackoffDelay: ptr("PT1S")}, nil, 0, [4]time.Duration{s, 2 * s, 4 * s, 8 * s}, time.Minute, 0, dispatch.Auto,
		},
		"Retry-After": {
			&duckv1.DeliverySpec{BackoffDelay: ptr("PT1S"), RetryAfterMax: ptr("PT3S")}, nil, 0, [4]time.Duration{3 * s, 3 * s, 4 * s, 8 * s}, time.Minute, 0, dispatch.Auto,
		},
		"no Retry-After": {
			&duckv1.DeliverySpec{BackoffDelay: ptr("PT1S"), RetryAfterMax: ptr("PT0S")}, nil, 0, [4]time.Duration{s, 2 * s, 4 * s, 8 * s}, time.Minute, 0, dispatch.Auto,
		},
		"JSON":   {&duckv1.DeliverySpec{Format: ptr(duckv1.DeliveryFormatJson)}, nil, 0, byDefault, 0, 0, dispatch.Structured},
		"binary": {&duckv1.DeliverySpec{Format: ptr(duckv1.DeliveryFormatBinary)}, nil, 0, byDefault, 0, 0, dispatch.Binary},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := broker.DeliveryOf(test.trigger, test.broker)
			if err != nil {
				t.Fatal(err)
			}
			if got.Retries != test.retries || got.Timeout != test.timeout || got.Mode != test.mode {
				t.Errorf("got %+v, want %d retries, %s and %s", got, test.retries, test.timeout, test.mode)
			}
			if got := waits(got.Backoff, test.asked); got != test.waits {
				t.Errorf("got waits of %v, want %v", got, test.waits)
			}
		})
	}
}

func TestDeliveryWaitsNoLongerThanADay(t *testing.T) {
	for _, policy := range []duckv1.BackoffPolicyType{duckv1.BackoffPolicyExponential, duckv1.BackoffPolicyLinear} {
		d, err := broker.DeliveryOf(&duckv1.DeliverySpec{BackoffPolicy: &policy, BackoffDelay: ptr("PT1S")}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, failures := range []int{1 << 17, math.MaxInt32, math.MaxInt} {
			if got := d.Backoff(failures, 0); got != 24*time.Hour {
				t.Errorf("%s: got %s after %d failures, want a day", policy, got, failures)
			}
		}
	}
}

func TestDeliveryWithoutADelayNeverWaits(t *testing.T) {
	d, err := broker.DeliveryOf(&duckv1.DeliverySpec{BackoffDelay: ptr("PT0S")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, failures := range []int{1, 47, 48, 1024, 1025, math.MaxInt32, math.MaxInt} {
		if got := d.Backoff(failures, 0); got != 0 {
			t.Errorf("got %s after %d failures, want none", got, failures)
		}
	}
}

func TestDeliveryThatIsNone(t *testing.T) {
	for want, spec := range map[string]*duckv1.DeliverySpec{
		"retry: -1 is below 0":       {Retry: ptr(int32(-1))},
		"timeout: ":                  {Timeout: ptr("5s")},
		"timeout: -PT5S is below 0":  {Timeout: ptr("-PT5S")},
		"backoffDelay: ":             {BackoffDelay: ptr("")},
		"retryAfterMax: ":            {RetryAfterMax: ptr("soon")},
		`backoffPolicy: "random" is`: {BackoffPolicy: ptr(duckv1.BackoffPolicyType("random"))},
		`format: "protobuf" is`:      {Format: ptr(duckv1.FormatType("protobuf"))},
	} {
		if _, err := broker.DeliveryOf(spec, nil); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
