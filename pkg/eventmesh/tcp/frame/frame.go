// Package frame reads and writes the frames of EventMesh's TCP protocol:
//
//	"EventMesh" (9) | "0000" (4) | uint32 length = 13 + header + body | uint32 length of the header | header JSON | body JSON
//
// Both integers are big endian. The package knows the commands' names, and not what they mean.
package frame

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsontext"
)

// MaxSize is the largest value of a frame's first length, in bytes, that EventMesh 1.12 takes. It resets a connection
// that sends more.
const MaxSize = 4 << 20

// MaxHeaderSize is how many bytes of a frame Read takes for a header. EventMesh's have less than 1,000, with a stack trace some 10,000.
const MaxHeaderSize = 256 << 10

const (
	magic     = "EventMesh"
	version   = "0000"
	preamble  = len(magic) + len(version)
	fixedSize = preamble + 4 + 4
)

// Command names what a frame is for.
type Command string

// The commands of a client and a server. A request's answer repeats the request's sequence number.
const (
	HelloRequest          Command = "HELLO_REQUEST"
	HelloResponse         Command = "HELLO_RESPONSE"
	HeartbeatRequest      Command = "HEARTBEAT_REQUEST"
	HeartbeatResponse     Command = "HEARTBEAT_RESPONSE"
	SubscribeRequest      Command = "SUBSCRIBE_REQUEST"
	SubscribeResponse     Command = "SUBSCRIBE_RESPONSE"
	UnsubscribeRequest    Command = "UNSUBSCRIBE_REQUEST"
	UnsubscribeResponse   Command = "UNSUBSCRIBE_RESPONSE"
	ListenRequest         Command = "LISTEN_REQUEST"
	ListenResponse        Command = "LISTEN_RESPONSE"
	ClientGoodbyeRequest  Command = "CLIENT_GOODBYE_REQUEST"
	ClientGoodbyeResponse Command = "CLIENT_GOODBYE_RESPONSE"
	ServerGoodbyeRequest  Command = "SERVER_GOODBYE_REQUEST"
	ServerGoodbyeResponse Command = "SERVER_GOODBYE_RESPONSE"
	RedirectToClient      Command = "REDIRECT_TO_CLIENT"

	AsyncMessageToServer        Command = "ASYNC_MESSAGE_TO_SERVER"
	AsyncMessageToServerAck     Command = "ASYNC_MESSAGE_TO_SERVER_ACK"
	AsyncMessageToClient        Command = "ASYNC_MESSAGE_TO_CLIENT"
	AsyncMessageToClientAck     Command = "ASYNC_MESSAGE_TO_CLIENT_ACK"
	BroadcastMessageToServer    Command = "BROADCAST_MESSAGE_TO_SERVER"
	BroadcastMessageToServerAck Command = "BROADCAST_MESSAGE_TO_SERVER_ACK"
	BroadcastMessageToClient    Command = "BROADCAST_MESSAGE_TO_CLIENT"
	BroadcastMessageToClientAck Command = "BROADCAST_MESSAGE_TO_CLIENT_ACK"
	RequestToServer             Command = "REQUEST_TO_SERVER"
	RequestToClient             Command = "REQUEST_TO_CLIENT"
	RequestToClientAck          Command = "REQUEST_TO_CLIENT_ACK"
	ResponseToServer            Command = "RESPONSE_TO_SERVER"
	ResponseToClient            Command = "RESPONSE_TO_CLIENT"
	ResponseToClientAck         Command = "RESPONSE_TO_CLIENT_ACK"
)

// Header is a frame's first part. Keys that a server adds are ignored.
type Header struct {
	Command Command
	// Code is 0 for success; a server answers 1 for a failure, and says more in Desc.
	Code       int
	Desc       string
	Sequence   string
	Properties map[string]any
}

// Frame is one message of the protocol. Body is nil where a command has none.
type Frame struct {
	Header Header
	Body   []byte
}

// Errors of Read and Append.
var (
	// ErrMalformed is a stream of bytes that is not EventMesh's protocol; nothing after it can be read.
	ErrMalformed = errors.New("malformed frame")
	// ErrTooLarge is a frame above MaxSize.
	ErrTooLarge = errors.New("frame too large")
)

// Append appends the encoded frame to b. The only errors are ErrTooLarge and a property that JSON cannot hold.
func Append(b []byte, f Frame) ([]byte, error) {
	start := len(b)
	b = append(b, magic...)
	b = append(b, version...)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0) // both lengths
	headerStart := len(b)
	b, err := appendHeader(b, f.Header)
	if err != nil {
		return b[:start], fmt.Errorf("encoding header of %s: %w", f.Header.Command, err)
	}
	header := len(b) - headerStart
	size := preamble + header + len(f.Body)
	if size > MaxSize {
		return b[:start], fmt.Errorf("%w: %s of %d bytes, EventMesh takes at most %d", ErrTooLarge, f.Header.Command, size, MaxSize)
	}
	binary.BigEndian.PutUint32(b[start+preamble:], uint32(size))     //nolint:gosec // at most MaxSize
	binary.BigEndian.PutUint32(b[start+preamble+4:], uint32(header)) //nolint:gosec // at most MaxSize
	return append(b, f.Body...), nil
}

func appendHeader(b []byte, h Header) ([]byte, error) {
	b = jsontext.AppendString(append(b, `{"cmd":`...), string(h.Command))
	b = strconv.AppendInt(append(b, `,"code":`...), int64(h.Code), 10)
	if h.Desc != "" {
		b = jsontext.AppendString(append(b, `,"desc":`...), h.Desc)
	}
	b = jsontext.AppendString(append(b, `,"seq":`...), h.Sequence)
	if len(h.Properties) > 0 {
		separator := `,"properties":{`
		for name, value := range h.Properties {
			b = append(jsontext.AppendString(append(b, separator...), name), ':')
			separator = ","
			if s, ok := value.(string); ok {
				b = jsontext.AppendString(b, s)
				continue
			}
			encoded, err := json.Marshal(value)
			if err != nil {
				return b, err
			}
			b = append(b, encoded...)
		}
		b = append(b, '}')
	}
	return append(b, '}'), nil
}

// errNoCode refuses what would else be taken for success.
var errNoCode = errors.New("it has no code")

// readHeader reads what a Header has, and passes over what a server adds.
func readHeader(encoded []byte) (h Header, err error) {
	hasCode := false
	err = jsontext.Members(encoded, func(name, value []byte) error {
		switch string(name) {
		case "cmd":
			return readString((*string)(&h.Command), value)
		case "seq":
			return readString(&h.Sequence, value)
		case "desc":
			return readString(&h.Desc, value)
		case "code":
			hasCode = true
			if h.Code, err = strconv.Atoi(string(value)); err != nil {
				return fmt.Errorf("want a number for the code, got %.40q", value)
			}
			return nil
		case "properties":
			h.Properties, err = readProperties(value)
			return err
		default:
			return nil
		}
	})
	if err == nil && !hasCode {
		err = errNoCode
	}
	return h, err
}

func readProperties(encoded []byte) (map[string]any, error) {
	if string(encoded) == "null" {
		return nil, nil
	}
	properties := map[string]any{}
	return properties, jsontext.Members(encoded, func(name, value []byte) error {
		if s, ok := jsontext.String(value); ok {
			properties[string(name)] = s
			return nil
		}
		var v any
		if err := json.Unmarshal(value, &v); err != nil {
			return err
		}
		properties[string(name)] = v
		return nil
	})
}

func readString(s *string, value []byte) error {
	var ok bool
	if *s, ok = jsontext.String(value); !ok && string(value) != "null" {
		return fmt.Errorf("want a string, got %.100s", value)
	}
	return nil
}

// Read reads one frame. It returns io.EOF when the stream ends between frames, io.ErrUnexpectedEOF when it ends within
// one, and an ErrMalformed or ErrTooLarge when the stream is of no further use: every header has a code.
func Read(r *bufio.Reader) (Frame, error) {
	var fixed [fixedSize]byte
	if _, err := io.ReadFull(r, fixed[:]); err != nil {
		return Frame{}, err
	}
	if string(fixed[:preamble]) != magic+version {
		return Frame{}, fmt.Errorf("%w: it starts with %q", ErrMalformed, fixed[:preamble])
	}
	size := int64(binary.BigEndian.Uint32(fixed[preamble:]))
	headerSize := int64(binary.BigEndian.Uint32(fixed[preamble+4:]))
	if size > MaxSize {
		return Frame{}, fmt.Errorf("%w: %d bytes", ErrTooLarge, size)
	}
	if headerSize > MaxHeaderSize {
		return Frame{}, fmt.Errorf("%w: a header of %d bytes", ErrTooLarge, headerSize)
	}
	if int64(preamble)+headerSize > size {
		return Frame{}, fmt.Errorf("%w: a header of %d bytes in a frame of %d", ErrMalformed, headerSize, size)
	}
	content := make([]byte, size-int64(preamble))
	if _, err := io.ReadFull(r, content); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return Frame{}, err
	}
	header, err := readHeader(content[:headerSize])
	if err != nil {
		return Frame{}, fmt.Errorf("%w: header: %w", ErrMalformed, err)
	}
	f := Frame{Header: header}
	if body := content[headerSize:]; len(body) > 0 {
		f.Body = body
	}
	return f, nil
}
