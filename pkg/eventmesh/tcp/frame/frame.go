// Package frame reads and writes the frames of EventMesh's TCP protocol:
//
//	"EventMesh" (9) | "0000" (4) | uint32 length = 13 + header + body | uint32 length of the header | header JSON | body JSON
//
// Both integers are big endian. The package knows the names of the commands, and not what they mean.
package frame

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// MaxSize is the largest value of a frame's first length, in bytes, that EventMesh 1.12 accepts. It resets a connection
// that sends more.
const MaxSize = 4 << 20

// MaxHeaderSize is how long a header may be that Read accepts, in bytes. EventMesh's have less than 1,000, with a stack trace some 10,000.
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
	Command Command `json:"cmd"`
	// Code is 0 for success; a server answers 1 for a failure, and says more in Desc.
	Code       int            `json:"code"`
	Desc       string         `json:"desc,omitempty"`
	Sequence   string         `json:"seq"`
	Properties map[string]any `json:"properties,omitempty"`
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
	header, err := json.Marshal(f.Header)
	if err != nil {
		return b, fmt.Errorf("encoding header of %s: %w", f.Header.Command, err)
	}
	size := preamble + len(header) + len(f.Body)
	if size > MaxSize {
		return b, fmt.Errorf("%w: %s of %d bytes, EventMesh accepts at most %d", ErrTooLarge, f.Header.Command, size, MaxSize)
	}
	b = append(append(b, magic...), version...)
	b = binary.BigEndian.AppendUint32(b, uint32(size))
	b = binary.BigEndian.AppendUint32(b, uint32(len(header))) //nolint:gosec // at most MaxSize
	return append(append(b, header...), f.Body...), nil
}

// errNoCode refuses a header that would otherwise mean success.
var errNoCode = errors.New("it has no code")

func readHeader(encoded []byte) (Header, error) {
	var h struct {
		Header
		Code *int `json:"code"`
	}
	if err := json.Unmarshal(encoded, &h); err != nil {
		return Header{}, err
	}
	if h.Code == nil {
		return Header{}, errNoCode
	}
	h.Header.Code = *h.Code
	return h.Header, nil
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
		return Frame{}, fmt.Errorf("%w: header: %.200s", ErrMalformed, err.Error()) // which can quote a number of any length
	}
	f := Frame{Header: header}
	if body := content[headerSize:]; len(body) > 0 {
		f.Body = body
	}
	return f, nil
}
