package main

import (
	"strings"
	"testing"
)

const printed = `HTTP http://127.0.0.1:1
☁️  cloudevents.Event
Context Attributes,
  specversion: 1.0
  type: t
  source: s
  id: 1
  datacontenttype: text/plain
Extensions,
  id2: x
Data,
  Hello: you!

☁️  cloudevents.Event from topic t
Context Attributes,
  id: 2
Data (binary),
  half`

func TestFindPrinted(t *testing.T) {
	lines := strings.Split(printed, "\n")
	want := demoEvent{id: "1", eventType: "t", source: "s", contentType: "text/plain", data: "Hello: you!"}
	if got, found := findPrinted(lines, "1"); !found || got != want {
		t.Errorf("got %+v, %t, want %+v", got, found, want)
	}
	if got, found := findPrinted(lines, "2"); found {
		t.Errorf("got %+v before it was complete", got)
	}
	if _, found := findPrinted(append(lines, ""), "2"); !found {
		t.Error("event 2 not found")
	}
}

func TestCompare(t *testing.T) {
	sent := demoEvent{id: "1", eventType: "t", source: "s", contentType: "text/plain", data: "Hello"}
	if err := sent.compare(sent); err != nil {
		t.Errorf("an equal event: %s", err)
	}
	for _, c := range []struct {
		name   string
		change func(*demoEvent)
	}{
		{"id", func(e *demoEvent) { e.id = "" }},
		{"type", func(e *demoEvent) { e.eventType = "" }},
		{"source", func(e *demoEvent) { e.source = "" }},
		{"datacontenttype", func(e *demoEvent) { e.contentType = "" }},
		{"data", func(e *demoEvent) { e.data = "hello" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := sent
			c.change(&got)
			if err := sent.compare(got); err == nil || !strings.Contains(err.Error(), " "+c.name+" ") {
				t.Errorf("got %v, want an error that names %s", err, c.name)
			}
		})
	}
}
