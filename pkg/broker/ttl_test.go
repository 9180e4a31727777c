package broker_test

import (
	"errors"
	"math"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker"
)

func TestArrive(t *testing.T) {
	for name, test := range map[string]struct {
		told any
		want any
		err  error
	}{
		"none":                 {nil, int32(255), nil},
		"no integer":           {"many", int32(255), nil},
		"an integer":           {int32(7), int32(6), nil},
		"a text":               {"7", int32(6), nil},
		"two":                  {int32(2), int32(1), nil},
		"one":                  {int32(1), int32(1), broker.ErrTTL},
		"none left":            {"0", "0", broker.ErrTTL},
		"below":                {int32(math.MinInt32), int32(math.MinInt32), broker.ErrTTL},
		"more than an integer": {"99999999999", int32(255), nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := &event.EventContextV1{}
			if test.told != nil {
				c.Extensions = map[string]any{broker.TTL: test.told}
			}
			if err := broker.Arrive(c); !errors.Is(err, test.err) || c.Extensions[broker.TTL] != test.want {
				t.Errorf("got %v, %v, want %v, %v", c.Extensions[broker.TTL], err, test.want, test.err)
			}
		})
	}
}

func TestReply(t *testing.T) {
	for name, test := range map[string]struct{ of, want any }{
		"that of the event": {int32(7), int32(7)}, "as text": {"7", int32(7)}, "no integer": {"many", nil}, "none": {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			to, reply := &event.EventContextV1{}, &event.EventContextV1{Extensions: map[string]any{broker.TTL: "255"}}
			if test.of != nil {
				to.Extensions = map[string]any{broker.TTL: test.of}
			}
			if err := broker.Reply(reply, to); err != nil || reply.Extensions[broker.TTL] != test.want {
				t.Errorf("got %v, %v, want %v", reply.Extensions[broker.TTL], err, test.want)
			}
		})
	}
}
