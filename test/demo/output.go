package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// output is what a person watches: headlines, and the processes' lines behind their names.
type output struct {
	mu  sync.Mutex
	out io.Writer
}

func newOutput(out io.Writer) *output { return &output{out: out} }

func (o *output) printf(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	fmt.Fprintf(o.out, format, args...)
}

// line prints a line of a process. Of a JSON log line only the message and the address matter here.
func (o *output) line(name, line string) {
	if entry, ok := parseLog(line); ok {
		if entry.Logger == "" {
			return // of the framework, before the adapter has begun
		}
		line = entry.Message
		if entry.Address != "" {
			line += " (" + entry.Address + ")"
		}
	}
	o.printf("%16s │ %s\n", name, line)
}

// logEntry is a line that an adapter has logged.
type logEntry struct {
	Logger  string
	Message string
	Address string
}

func parseLog(line string) (logEntry, bool) {
	var entry logEntry
	if json.Unmarshal([]byte(line), &entry) != nil {
		return logEntry{}, false
	}
	return entry, entry.Message != ""
}

// lineWriter calls line for each line that is written to it.
type lineWriter struct {
	line func(string)
	rest []byte
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		line, rest, found := bytes.Cut(w.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		w.line(string(line))
		w.rest = rest
	}
}

// flush calls line for a last line that does not end.
func (w *lineWriter) flush() {
	if len(w.rest) > 0 {
		w.line(string(w.rest))
		w.rest = nil
	}
}
