package main

import (
	"errors"
	"flag"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestEventData(t *testing.T) {
	for _, c := range []struct {
		name, data, contentType, want string
	}{
		{name: "text", data: "Hello", want: "text/plain"},
		{name: "object", data: ` {"a":1}`, want: "application/json"},
		{name: "array", data: `[1]`, want: "application/json"},
		{name: "broken object", data: `{"a":`, want: "text/plain"},
		{name: "a number is text", data: "1", want: "text/plain"},
		{name: "empty", data: "", want: "text/plain"},
		{name: "binary", data: "\xff\x00", want: "application/octet-stream"},
		{name: "given", data: "<a/>", contentType: "application/xml", want: "application/xml"},
	} {
		t.Run(c.name, func(t *testing.T) {
			flags := flag.NewFlagSet("", flag.ContinueOnError)
			f := &eventFlags{}
			f.declare(flags)
			if err := flags.Parse([]string{"--content-type", c.contentType}); err != nil {
				t.Fatal(err)
			}
			e, err := f.event([]string{"-"}, strings.NewReader(c.data))
			if err != nil {
				t.Fatal(err)
			}
			if got := string(e.Data()); got != c.data {
				t.Errorf("data %q, want %q", got, c.data)
			}
			if got := e.DataContentType(); got != c.want {
				t.Errorf("content type %q, want %q", got, c.want)
			}
		})
	}
}

func TestEventAttributes(t *testing.T) {
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	f := &eventFlags{}
	f.declare(flags)
	args := []string{"--id", "1", "--type", "a.b", "--source", "/s", "--subject", "sub", "--extension", "x=1=2", "--extension", "y="}
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	e, err := f.event(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, e.String(), "id: 1\n", "type: a.b\n", "source: /s\n", "subject: sub\n", "x: 1=2\n", "y: \n", "time: ")
	if e.Data() != nil || e.DataContentType() != "" {
		t.Errorf("got data %q of type %q, want none", e.Data(), e.DataContentType())
	}
}

func TestEventIDsDiffer(t *testing.T) {
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	f := &eventFlags{}
	f.declare(flags)
	first, err := f.event(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	second, err := f.event(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if first.ID() == second.ID() {
		t.Errorf("both events have id %s", first.ID())
	}
}

func TestEventDataUnreadable(t *testing.T) {
	f := &eventFlags{eventType: "t", source: "s"}
	if _, err := f.event([]string{"-"}, iotest.ErrReader(io.ErrUnexpectedEOF)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got error %v, want %v", err, io.ErrUnexpectedEOF)
	}
}
