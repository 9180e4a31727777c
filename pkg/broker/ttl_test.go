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

// Events that reply to each other come to an end.
func TestRepliesEnd(t *testing.T) {
	c := &event.EventContextV1{}
	for range broker.DefaultTTL {
		if err := broker.Arrive(c); err != nil {
			t.Fatal(err)
		}
		ttl := broker.Deliver(c)
		if _, ok := c.Extensions[broker.TTL]; ok {
			t.Fatal("the subscriber sees it")
		}
		reply := &event.EventContextV1{Extensions: map[string]any{broker.TTL: "255"}}
		if err := broker.Reply(reply, ttl); err != nil {
			t.Fatal(err)
		}
		c = reply
	}
	if err := broker.Arrive(c); !errors.Is(err, broker.ErrTTL) {
		t.Errorf("got %v after %d replies", err, broker.DefaultTTL)
	}
	if ttl := broker.Deliver(&event.EventContextV1{}); ttl != 0 {
		t.Errorf("got %d of an event without one", ttl)
	}
	c = &event.EventContextV1{Extensions: map[string]any{broker.TTL: "255"}}
	if err := broker.Reply(c, 0); err != nil || len(c.Extensions) > 0 {
		t.Errorf("got %v, %v, want none", c.Extensions, err)
	}
}
