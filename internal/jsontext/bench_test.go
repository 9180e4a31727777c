package jsontext_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsontext"
)

// delivered is an event with so many bytes of data, as EventMesh delivers it over TCP.
func delivered(size int) []byte {
	var b strings.Builder
	b.WriteString(`{"specversion":"1.0","id":"17","source":"https://shop.example/orders?x=1","type":"order.placed","subject":"orders"`)
	b.WriteString(`,"datacontenttype":"application/json","time":"2026-01-02T03:04:05.678Z"`)
	for i := range 20 {
		fmt.Fprintf(&b, `,"extension%d":"a value of EventMesh's own"`, i)
	}
	fmt.Fprintf(&b, `,"data":{"text":"%s"}}`, strings.Repeat("x", size))
	return []byte(b.String())
}

// byLibrary is Members with encoding/json, which allocates each name and value, and scans each twice.
func byLibrary(text []byte, f func(name, value []byte) error) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		if err := f([]byte(name.(string)), value); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

// BenchmarkMembers is what the reader of events costs, beside the same with encoding/json.
func BenchmarkMembers(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		text := delivered(size)
		for name, members := range map[string]func([]byte, func(name, value []byte) error) error{"ours": jsontext.Members, "library": byLibrary} {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				b.ReportAllocs()
				for b.Loop() {
					if err := members(text, func(_, _ []byte) error { return nil }); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkAppendString is what the writer costs for a value of 30 characters, beside encoding/json.
func BenchmarkAppendString(b *testing.B) {
	const value = "a value that is of no great size"
	var buffer []byte
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			buffer = jsontext.AppendString(buffer[:0], value)
		}
	})
	b.Run("library", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			encoded, err := json.Marshal(value)
			if err != nil {
				b.Fatal(err)
			}
			buffer = append(buffer[:0], encoded...)
		}
	})
}
