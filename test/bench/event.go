//go:build linux

package main

import (
	"bytes"
	"fmt"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
)

// The data of an event begins with the time of its sending, in nanoseconds, for those who measure how old it is on arrival.
const (
	stampPrefix = `{"sent":"`
	stampStart  = len(stampPrefix)
	stampEnd    = stampStart + 19
)

// sample is an event with so many bytes of JSON, three extensions, and no time of sending.
func sample(size int) event.Event {
	e := event.New()
	e.SetID("5ac2b3a6-7d3f-4f0b-9d5e-6c1f5f5f8f1a")
	e.SetSource("https://shop.example.org/orders")
	e.SetType("org.example.order.created")
	e.SetSubject("order/4711")
	e.SetTime(time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC))
	e.SetExtension("partitionkey", "customer-17")
	e.SetDataContentType("application/json")
	data := fmt.Appendf(nil, `%s%019d","padding":"`, stampPrefix, 0)
	data = append(data, bytes.Repeat([]byte("x"), max(size-len(data)-2, 0))...)
	data = append(data, `"}`...)
	e.DataEncoded = data
	return e
}

// stamp writes the time into an encoded event, whose data is not escaped, at the place that stampAt has found.
func stamp(encoded []byte, at int, now time.Time) {
	copy(encoded[at:], fmt.Appendf(nil, "%019d", now.UnixNano()))
}

// stampAt finds the place of the time in an encoded event.
func stampAt(encoded []byte) (int, error) {
	at := bytes.Index(encoded, []byte(stampPrefix))
	if at < 0 {
		return 0, fmt.Errorf("an encoded event has no %s", stampPrefix)
	}
	return at + stampStart, nil
}
