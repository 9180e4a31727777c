package grpc

import (
	"bytes"
	"fmt"

	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // the codec that does the rest
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
)

// Numbers of the fields of a CloudEvent, of an entry of its map of attributes, of an attribute's value, and of a timestamp.
const (
	fieldID          = 1
	fieldSource      = 2
	fieldSpecVersion = 3
	fieldType        = 4
	fieldAttributes  = 5
	fieldBinaryData  = 6
	fieldTextData    = 7
	fieldProtoData   = 8

	fieldKey   = 1
	fieldValue = 2

	valueBoolean   = 1
	valueInteger   = 2
	valueString    = 3
	valueBytes     = 4
	valueURI       = 5
	valueURIRef    = 6
	valueTimestamp = 7

	fieldSeconds = 1
	fieldNanos   = 2
)

// messages is the codec of a connection: it sends messages that are encoded already, and reads of an answer what it says.
type messages struct{ encoding.CodecV2 }

func newMessages() messages { return messages{encoding.GetCodecV2("proto")} }

// Marshal does not copy a message that is encoded.
func (c messages) Marshal(v any) (mem.BufferSlice, error) {
	if m, ok := v.(encoded); ok {
		return mem.BufferSlice{mem.SliceBuffer(m)}, nil
	}
	return c.CodecV2.Marshal(v)
}

// Unmarshal passes over all of an answer but its status.
func (c messages) Unmarshal(data mem.BufferSlice, v any) error {
	o, ok := v.(*outcome)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	wire := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer wire.Free()
	return fields(wire.ReadOnlyData(), func(number protowire.Number, value []byte) error {
		if number != fieldAttributes {
			return nil
		}
		return o.attribute(value)
	})
}

// deliveries is the codec of one stream of deliveries. Of some 25 attributes of a delivered event 20 are EventMesh's own, which
// [wire.Decode] would leave out: they stay on the wire. Data comes as bytes, text or not, so that a text that is not UTF-8 is
// the event's own matter and does not end the stream.
type deliveries struct {
	messages
	buffer []byte
}

func newDeliveries() *deliveries { return &deliveries{messages: newMessages()} }

// Unmarshal decodes what an event is made of, and all of a message of EventMesh's own protocol. It is called by one goroutine.
func (d *deliveries) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(*pb.CloudEvent)
	if !ok {
		return d.messages.Unmarshal(data, v)
	}
	wire := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer wire.Free()
	needed, content, err := d.split(wire.ReadOnlyData())
	if err == nil {
		err = proto.Unmarshal(needed, m)
	}
	if err != nil {
		return fmt.Errorf("decoding message: %w", err)
	}
	if content != nil {
		m.Data = &pb.CloudEvent_BinaryData{BinaryData: bytes.Clone(content)}
	}
	return nil
}

// maxKeptBuffer is how large a buffer is kept for the next message, in bytes.
const maxKeptBuffer = 64 << 10

// split returns the fields of a message without the attributes that an event does not need, and without its data, which is copied once.
// Of EventMesh's own messages it returns all as it is.
func (d *deliveries) split(message []byte) (needed, content []byte, err error) {
	needed = d.buffer[:0]
	for rest := message; len(rest) > 0; {
		number, kind, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return nil, nil, protowire.ParseError(n)
		}
		size := protowire.ConsumeFieldValue(number, kind, rest[n:])
		if size < 0 {
			return nil, nil, protowire.ParseError(size)
		}
		field, value := rest[:n+size], rest[n:n+size]
		rest = rest[n+size:]
		switch {
		case (number == fieldTextData || number == fieldBinaryData) && kind == protowire.BytesType:
			content, _ = protowire.ConsumeBytes(value)
			continue
		case number == fieldProtoData: // the last of them counts
			content = nil
		case number == fieldAttributes && kind == protowire.BytesType:
			entry, _ := protowire.ConsumeBytes(value)
			name, isMessage := attributeName(entry)
			if isMessage {
				return message, nil, nil
			}
			if wire.Reserved(string(name)) && !isControl(name) {
				continue
			}
		}
		needed = append(needed, field...)
	}
	if d.buffer = needed; cap(needed) > maxKeptBuffer {
		d.buffer = nil
	}
	return needed, content, nil
}

// attributeName returns the name in an entry of the map of attributes, and whether it says that this is a message of EventMesh's own
// protocol. An entry that does not begin with its name, as every encoder writes it, has none here, and stays.
func attributeName(entry []byte) (name []byte, isMessage bool) {
	number, kind, n := protowire.ConsumeTag(entry)
	if number != fieldKey || kind != protowire.BytesType || n < 0 {
		return nil, false
	}
	name, size := protowire.ConsumeBytes(entry[n:])
	if size < 0 {
		return nil, false
	}
	return name, string(name) == keyProtocolType && bytes.HasSuffix(entry, []byte(wire.MessageProtocol))
}

// isControl tells of attributes by which EventMesh talks to the client.
func isControl(name []byte) bool {
	switch string(name) {
	case keyStatus, keyMessage, keyMessageType, keyProtocolType:
		return true
	default:
		return false
	}
}
