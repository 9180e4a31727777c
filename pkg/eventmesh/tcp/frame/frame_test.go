package frame_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

func TestAppendThenRead(t *testing.T) {
	for name, want := range map[string]frame.Frame{
		"no body": {Header: frame.Header{Command: frame.HeartbeatRequest, Sequence: "1"}},
		"body":    {Header: frame.Header{Command: frame.HelloRequest, Sequence: "2"}, Body: []byte(`{"group":"ö"}`)},
		"failure": {Header: frame.Header{Command: frame.HelloResponse, Code: 1, Desc: "no", Sequence: "3"}},
		"properties": {Header: frame.Header{
			Command: frame.AsyncMessageToServer, Sequence: "4", Properties: map[string]any{"protocoltype": "cloudevents"},
		}, Body: []byte("{}")},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := frame.Append(nil, want)
			if err != nil {
				t.Fatal(err)
			}
			r := bufio.NewReader(bytes.NewReader(b))
			got, err := frame.Read(r)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if _, err := frame.Read(r); !errors.Is(err, io.EOF) {
				t.Errorf("after the last frame: got %v, want io.EOF", err)
			}
		})
	}
}

func TestAppendIsTheWireFormat(t *testing.T) {
	got, err := frame.Append(nil, frame.Frame{Header: frame.Header{Command: "C", Sequence: "s"}, Body: []byte("{}")})
	if err != nil {
		t.Fatal(err)
	}
	header := `{"cmd":"C","code":0,"seq":"s"}`
	want := "EventMesh0000" + "\x00\x00\x00" + string(rune(13+len(header)+2)) + "\x00\x00\x00" + string(rune(len(header))) + header + "{}"
	if string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAppendRefusesWhatTheServerWouldReset(t *testing.T) {
	if _, err := frame.Append(nil, frame.Frame{Body: make([]byte, frame.MaxSize)}); !errors.Is(err, frame.ErrTooLarge) {
		t.Errorf("got %v, want %v", err, frame.ErrTooLarge)
	}
}

func TestReadRefuses(t *testing.T) {
	const lengths = "\x00\x00\x00\x0f\x00\x00\x00\x02"
	for name, c := range map[string]struct {
		in   string
		want error
	}{
		"another protocol":       {"GET / HTTP/1.1\r\nHost: example\r\n", frame.ErrMalformed},
		"another version":        {"EventMesh0001" + lengths + "{}", frame.ErrMalformed},
		"header beyond frame":    {"EventMesh0000" + "\x00\x00\x00\x0f\x00\x00\x00\x03" + "{}", frame.ErrMalformed},
		"length below its own":   {"EventMesh0000" + "\x00\x00\x00\x00\x00\x00\x00\x00", frame.ErrMalformed},
		"header is no JSON":      {"EventMesh0000" + lengths + "{]", frame.ErrMalformed},
		"header without a code":  {"EventMesh0000" + lengths + "{}", frame.ErrMalformed},
		"header without a value": {"EventMesh0000\x00\x00\x00\x11\x00\x00\x00\x04null", frame.ErrMalformed},
		"code that is null":      {"EventMesh0000\x00\x00\x00\x1a\x00\x00\x00\x0d" + `{"code":null}`, frame.ErrMalformed},
		"code that is no number": {"EventMesh0000\x00\x00\x00\x19\x00\x00\x00\x0c" + `{"code":"0"}`, frame.ErrMalformed},
		"header above its limit": {"EventMesh0000" + "\x00\x10\x00\x00\x00\x04\x00\x01", frame.ErrTooLarge},
		"above the limit":        {"EventMesh0000" + "\x00\x40\x00\x01\x00\x00\x00\x02", frame.ErrTooLarge},
		"cut in the lengths":     {"EventMesh0000\x00", io.ErrUnexpectedEOF},
		"cut in the content":     {"EventMesh0000" + lengths + "{", io.ErrUnexpectedEOF},
		"cut before content":     {"EventMesh0000" + lengths, io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := frame.Read(bufio.NewReader(strings.NewReader(c.in)))
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func FuzzRead(f *testing.F) {
	b, err := frame.Append(nil, frame.Frame{Header: frame.Header{Command: "C"}, Body: []byte("{}")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = frame.Read(bufio.NewReader(bytes.NewReader(b))) // must not panic, nor allocate more than MaxSize
	})
}
