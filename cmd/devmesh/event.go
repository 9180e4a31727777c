package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/line"
)

// eventFlags hold the flags that make an event.
type eventFlags struct {
	eventType, source, id, subject, contentType string
	extensions                                  map[string]string
}

func (f *eventFlags) declare(flags *flag.FlagSet) {
	flags.StringVar(&f.eventType, "type", "devmesh.event", "the event's `type`")
	flags.StringVar(&f.source, "source", "devmesh", "the event's source, a `URI` reference")
	flags.StringVar(&f.id, "id", "", "the event's `id` (default a random one)")
	flags.StringVar(&f.subject, "subject", "", "the event's `subject`")
	flags.StringVar(&f.contentType, "content-type", "", "content `type` of the data (default by the data: application/json, text/plain or application/octet-stream)")
	f.extensions = map[string]string{}
	flags.Func("extension", "an extension of the event, `name=value`; may be repeated", func(s string) error {
		name, value, found := strings.Cut(s, "=")
		if !found || name == "" {
			return fmt.Errorf("an extension is name=value")
		}
		f.extensions[name] = value
		return nil
	})
}

// event makes the event; args holds its data, if any.
func (f *eventFlags) event(args []string, in io.Reader) (event.Event, error) {
	e := event.New()
	e.SetType(f.eventType)
	e.SetSource(f.source)
	e.SetID(f.id)
	if f.id == "" {
		e.SetID(strings.ToLower(rand.Text()))
	}
	if f.subject != "" {
		e.SetSubject(f.subject)
	}
	e.SetTime(time.Now())
	for name, value := range f.extensions {
		e.SetExtension(name, value)
	}
	if len(args) > 0 {
		data := []byte(args[0])
		if args[0] == "-" {
			var err error
			if data, err = io.ReadAll(in); err != nil {
				return e, fmt.Errorf("reading the event's data: %w", err)
			}
		}
		setData(&e, data)
	}
	if f.contentType != "" {
		e.SetDataContentType(f.contentType)
	}
	if err := e.Validate(); err != nil {
		return e, usageError("no valid event: " + line.Sorted(err))
	}
	return e, nil
}

// replyTo makes the reply to an event.
func replyTo(request event.Event, data string) event.Event {
	e := event.New()
	e.SetID(request.ID() + "-reply")
	e.SetType(request.Type() + ".reply")
	e.SetSource("devmesh")
	e.SetTime(time.Now())
	setData(&e, []byte(data))
	return e
}

// setData sets the data, and the content type that it looks like.
func setData(e *event.Event, data []byte) {
	e.DataEncoded, e.DataBase64 = data, !utf8.Valid(data)
	trimmed := bytes.TrimSpace(data)
	switch {
	case e.DataBase64:
		e.SetDataContentType("application/octet-stream")
	case len(trimmed) > 0 && (trimmed[0] == '{' || trimmed[0] == '[') && json.Valid(data):
		e.SetDataContentType(event.ApplicationJSON)
	default:
		e.SetDataContentType(event.TextPlain)
	}
}
