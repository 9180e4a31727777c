package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// stage holds the processes, and what has arrived.
type stage struct {
	bin       string
	mesh      *mesh
	out       *output
	processes []*process // in the order of their start
	arrived   []string
}

// start starts a program under a name of its own.
func (s *stage) start(ctx context.Context, name string, env []string, program string, args ...string) (*process, error) {
	p, err := start(ctx, s.bin, name, s.out, env, program, args...)
	if err != nil {
		return nil, err
	}
	s.processes = append(s.processes, p)
	return p, nil
}

// run runs a program to its end.
func (s *stage) run(ctx context.Context, name, program string, args ...string) error {
	p, err := s.start(ctx, name, nil, program, args...)
	if err != nil {
		return err
	}
	return p.wait(ctx)
}

// close ends what still runs: what was started first, EventMesh or the Knative sink, after everything that is connected to it.
func (s *stage) close() {
	if len(s.processes) == 0 {
		return
	}
	_ = stop(s.processes[1:]...) // what matters has been checked
	_ = stop(s.processes[0])
}

// play plays all scenarios.
func (s *stage) play(ctx context.Context) error {
	routes, err := s.routes(ctx)
	if err != nil {
		return err
	}
	receiver, err := s.start(ctx, "knative sink", nil, "devmesh", "receive", "--address", "127.0.0.1:0")
	if err != nil {
		return err
	}
	sinkURL, err := addressAfter(ctx, receiver, "HTTP")
	if err != nil {
		return err
	}
	for _, r := range routes {
		if err := s.toEventMesh(ctx, r); err != nil {
			return fmt.Errorf("from Knative to EventMesh over %s: %w", r.transport, err)
		}
		if err := s.toKnative(ctx, r, sinkURL, receiver); err != nil {
			return fmt.Errorf("from EventMesh to Knative over %s: %w", r.transport, err)
		}
	}
	if err := s.throughBroker(ctx, routes[0].url, sinkURL, receiver); err != nil {
		return fmt.Errorf("through a Broker: %w", err)
	}
	return nil
}

// arrive checks that the event has been printed whole.
func (s *stage) arrive(ctx context.Context, at *process, direction string, want demoEvent) error {
	var got demoEvent
	err := at.await(ctx, "event "+want.id, func(lines []string) (found bool) {
		got, found = findPrinted(lines, want.id)
		return found
	})
	if err != nil {
		return err
	}
	if err := want.compare(got); err != nil {
		return err
	}
	s.arrived = append(s.arrived, fmt.Sprintf("%-27s %q  (id %s, type %s, source %s, %s)", direction, got.data, got.id, got.eventType, got.source, got.contentType))
	return nil
}

// addressAfter returns the address that devmesh prints after a name.
func addressAfter(ctx context.Context, p *process, name string) (address string, err error) {
	err = p.await(ctx, "its "+name+" address", func(lines []string) bool {
		for _, line := range lines {
			if fields := strings.Fields(line); len(fields) == 2 && fields[0] == name {
				address = fields[1]
			}
		}
		return address != ""
	})
	return address, err
}

// ready waits until an adapter says that it is ready, and returns its base URL.
func ready(ctx context.Context, p *process, message string) (string, error) {
	base := ""
	err := p.await(ctx, "its address", func(lines []string) bool {
		for _, line := range lines {
			if entry, ok := parseLog(line); ok && entry.Message == message {
				base = local(entry.Address)
			}
		}
		return base != ""
	})
	if err != nil {
		return "", err
	}
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		if isReady(ctx, base) {
			return base, nil
		}
		select {
		case <-ticker.C:
		case <-p.done:
			return "", fmt.Errorf("%s ended before it was ready: %w", p.name, exitError(p.err))
		case <-ctx.Done():
			return "", fmt.Errorf("waiting for %s to be ready: %w", p.name, context.Cause(ctx))
		}
	}
}

func isReady(ctx context.Context, base string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/readiness", nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close() // the status is all
	return response.StatusCode == http.StatusOK
}

// local returns the URL of an address that may stand for every interface.
func local(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "http://" + address
	}
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}
