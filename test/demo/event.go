package main

import (
	"fmt"
	"strings"
)

// demoEvent is what of an event has to arrive unchanged.
type demoEvent struct {
	id, eventType, source, contentType, data string
}

// plain is the content type of all that the demo sends.
const plain = "text/plain"

// flags are those by which devmesh makes this event.
func (e demoEvent) flags() []string {
	return []string{"--id", e.id, "--type", e.eventType, "--source", e.source, "--content-type", e.contentType, e.data}
}

// findPrinted returns the event of this id, if devmesh has printed it whole: attributes, data, and the empty line after it.
func findPrinted(lines []string, id string) (demoEvent, bool) {
	for i, line := range lines {
		if !strings.HasPrefix(line, headline) {
			continue
		}
		if e, complete := parsePrinted(lines[i+1:]); complete && e.id == id {
			return e, true
		}
	}
	return demoEvent{}, false
}

// headline starts each event that devmesh prints.
const headline = "☁️  cloudevents.Event"

func parsePrinted(lines []string) (e demoEvent, complete bool) {
	section := ""
	for _, line := range lines {
		indented, isValue := strings.CutPrefix(line, "  ")
		switch {
		case line == "":
			return e, true
		case !isValue:
			section = line
		case strings.HasPrefix(section, "Data"):
			e.data += indented
		case strings.HasPrefix(section, "Context"):
			e.set(indented)
		}
	}
	return e, false
}

// set takes an attribute as it was printed.
func (e *demoEvent) set(attribute string) {
	name, value, _ := strings.Cut(attribute, ": ")
	switch name {
	case "id":
		e.id = value
	case "type":
		e.eventType = value
	case "source":
		e.source = value
	case "datacontenttype":
		e.contentType = value
	}
}

// compare returns an error that names what has changed on the way.
func (e demoEvent) compare(got demoEvent) error {
	for _, field := range []struct{ name, want, got string }{
		{"id", e.id, got.id},
		{"type", e.eventType, got.eventType},
		{"source", e.source, got.source},
		{"datacontenttype", e.contentType, got.contentType},
		{"data", e.data, got.data},
	} {
		if field.want != field.got {
			return fmt.Errorf("event %s arrived with %s %q, it was sent with %q", e.id, field.name, field.got, field.want)
		}
	}
	return nil
}
