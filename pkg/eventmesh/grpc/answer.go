package grpc

import (
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// outcome is what an answer says.
type outcome struct{ status, reason string }

// attribute reads an entry of the map of attributes.
func (o *outcome) attribute(entry []byte) error {
	var name, text []byte
	err := fields(entry, func(number protowire.Number, value []byte) error {
		switch number {
		case fieldKey:
			name = value
		case fieldValue:
			return fields(value, func(number protowire.Number, value []byte) error {
				if number == valueString {
					text = value
				}
				return nil
			})
		}
		return nil
	})
	switch string(name) {
	case keyStatus:
		o.status = string(text)
	case keyMessage:
		o.reason = strings.ToValidUTF8(string(text), "\uFFFD")
	}
	return err
}

// fields calls f with each field of a message that holds bytes, and passes over the others.
func fields(wire []byte, f func(number protowire.Number, value []byte) error) error {
	for len(wire) > 0 {
		number, kind, n := protowire.ConsumeTag(wire)
		if n < 0 {
			return protowire.ParseError(n)
		}
		size := protowire.ConsumeFieldValue(number, kind, wire[n:])
		if size < 0 {
			return protowire.ParseError(size)
		}
		if kind == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(wire[n:])
			if err := f(number, value); err != nil {
				return err
			}
		}
		wire = wire[n+size:]
	}
	return nil
}
