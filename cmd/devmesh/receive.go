package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/line"
)

// shutdownTimeout bounds finishing the requests that are under way.
const shutdownTimeout = 5 * time.Second

type receiveFlags struct {
	address       string
	count, status int
	reply         *string
}

func declareReceive(flags *flag.FlagSet) action {
	f := &receiveFlags{}
	flags.StringVar(&f.address, "address", "127.0.0.1:8080", "`host:port` to listen on; port 0 is a free one")
	flags.IntVar(&f.count, "count", 0, "`number` of events after which to end; 0 is never")
	flags.IntVar(&f.status, "status", http.StatusAccepted, "`status` to answer events with, such as 422 to refuse them, or 503 to have them again")
	flags.Func("reply", "answer each event with 200 and an event with this `data`", func(s string) error {
		f.reply = &s
		return nil
	})
	return f.receive
}

func (f *receiveFlags) receive(ctx context.Context, s streams, _ []string) error {
	if f.count < 0 {
		return usageError("--count is less than 0")
	}
	if f.status < 200 || f.status > 599 {
		return usageError("--status is none of 200 to 599")
	}
	if f.reply != nil && f.status != http.StatusAccepted {
		return usageError("--reply and --status do not go together")
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.address)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(s.out, "HTTP http://%s\n", listener.Addr()); err != nil {
		_ = listener.Close() // the error tells enough
		return fmt.Errorf("printing the address: %w", err)
	}
	ctx, finish := context.WithCancel(ctx)
	defer finish()
	sink := &eventSink{printer: printer{out: s.out}, streams: s, flags: f, finish: finish}
	server := &http.Server{Handler: sink, ReadHeaderTimeout: shutdownTimeout}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serving %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	shutdown, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	err = server.Shutdown(shutdown)
	if err != nil {
		_ = server.Close() // what is still under way is cut off
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving %s: %w", listener.Addr(), err)
	}
	return err
}

// eventSink prints the events of HTTP requests.
type eventSink struct {
	printer  printer
	streams  streams
	flags    *receiveFlags
	received atomic.Int64
	finish   func()
}

// ServeHTTP answers an event as the flags say, and anything else with 400 and the reason.
func (s *eventSink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e, err := readEvent(r)
	if err != nil {
		fmt.Fprintf(s.streams.err, "refused %s %s: %s\n", r.Method, r.URL.Path, err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := s.printer.print(*e, ""); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.answer(w, r, *e)
	if s.received.Add(1) == int64(s.flags.count) {
		s.finish()
	}
}

func (s *eventSink) answer(w http.ResponseWriter, r *http.Request, e event.Event) {
	if s.flags.reply == nil {
		w.WriteHeader(s.flags.status)
		return
	}
	reply := replyTo(e, *s.flags.reply)
	if err := cehttp.WriteResponseWriter(r.Context(), binding.ToMessage(&reply), http.StatusOK, w); err != nil {
		fmt.Fprintf(s.streams.err, "replying to event %s: %s\n", e.ID(), err)
	}
}

func readEvent(r *http.Request) (*event.Event, error) {
	e, err := binding.ToEvent(r.Context(), cehttp.NewMessageFromHttpRequest(r))
	if err != nil {
		return nil, fmt.Errorf("no CloudEvent: %w", err)
	}
	if err := e.Validate(); err != nil {
		return nil, fmt.Errorf("no valid CloudEvent: %s", line.Sorted(err))
	}
	return e, nil
}
