package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

// maxReason is how much of the body of a refusal is printed.
const maxReason = 1024

type sendFlags struct {
	url     string
	event   eventFlags
	timeout time.Duration
}

func declareSend(flags *flag.FlagSet) action {
	f := &sendFlags{}
	flags.StringVar(&f.url, "url", "", "`URL` to post to")
	f.event.declare(flags)
	flags.DurationVar(&f.timeout, "timeout", 10*time.Second, "`time` to wait for the answer")
	return f.send
}

// send posts the event in binary mode, and prints the answer: its status, and the event that it may hold.
func (f *sendFlags) send(ctx context.Context, s streams, args []string) error {
	if err := checkURL("--url", f.url); err != nil {
		return err
	}
	e, err := f.event.event(args, s.in)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	response, err := post(ctx, http.DefaultClient, f.url, e)
	if err != nil {
		return fmt.Errorf("sending event %s: %w", e.ID(), err)
	}
	defer response.Body.Close()
	message := cehttp.NewMessageFromHttpResponse(response)
	if response.StatusCode/100 != 2 {
		reason, _ := io.ReadAll(io.LimitReader(response.Body, maxReason))
		return fmt.Errorf("sending event %s: %s answers %s: %s", e.ID(), f.url, response.Status, strings.ReplaceAll(strings.TrimSpace(string(reason)), "\n", "; "))
	}
	if _, err := fmt.Fprintf(s.out, "sent event %s: %s\n", e.ID(), response.Status); err != nil {
		return fmt.Errorf("printing the status: %w", err)
	}
	if message.ReadEncoding() == binding.EncodingUnknown {
		return nil
	}
	reply, err := binding.ToEvent(ctx, message)
	if err != nil {
		return fmt.Errorf("reading the event in the answer: %w", err)
	}
	return (&printer{out: s.out}).print(*reply, " in reply")
}

func post(ctx context.Context, client *http.Client, target string, e event.Event) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, nil)
	if err != nil {
		return nil, err
	}
	if err := cehttp.WriteRequest(binding.WithForceBinary(ctx), binding.ToMessage(&e), request); err != nil {
		return nil, fmt.Errorf("encoding: %w", err)
	}
	return client.Do(request)
}
