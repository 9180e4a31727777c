package main

import (
	"fmt"
	"io"
	"sync"

	"github.com/cloudevents/sdk-go/v2/event"
)

// printer prints events as Knative's event_display does, each followed by an empty line. It may be used by several goroutines.
type printer struct {
	mu  sync.Mutex
	out io.Writer
}

// print prints the event; what it is or where it comes from stands in the headline.
func (p *printer) print(e event.Event, headline string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := fmt.Fprintf(p.out, "☁️  cloudevents.Event%s\n%s\n", headline, e); err != nil {
		return fmt.Errorf("printing event %s: %w", e.ID(), err)
	}
	return nil
}
