package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	metrics "go.opentelemetry.io/otel/metric/noop"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

const (
	eventTraceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	eventSpanID  = "00f067aa0ba902b7"
	eventParent  = "00-" + eventTraceID + "-" + eventSpanID + "-01"
	eventState   = "shop=1,other=2"
	// longestTrace is how long a header of a trace may be, in bytes.
	longestTrace = 512
)

// traceWith makes the provider the process's until the test ends. Such tests cannot be parallel.
func traceWith(tb testing.TB, provider trace.TracerProvider) {
	tb.Helper()
	before := otel.GetTracerProvider()
	otel.SetTracerProvider(provider)
	tb.Cleanup(func() { otel.SetTracerProvider(before) })
}

func recordSpans(t *testing.T, options ...sdk.TracerProviderOption) *tracetest.SpanRecorder {
	t.Helper()
	recorder := tracetest.NewSpanRecorder()
	traceWith(t, sdk.NewTracerProvider(append(options, sdk.WithSpanProcessor(recorder))...))
	return recorder
}

func tracedEvent(extensions ...string) event.Event {
	e := order("1")
	for i := 0; i < len(extensions); i += 2 {
		e.SetExtension(extensions[i], extensions[i+1])
	}
	return e
}

// attempts is a destination of which each attempt is made by one function, the last by the last.
type attempts struct {
	made int
	make []func(context.Context, event.Event) error
}

func (a *attempts) Send(ctx context.Context, e event.Event) (dispatch.Answer, error) {
	a.made++
	return dispatch.Answer{}, a.make[min(a.made, len(a.make))-1](ctx, e)
}

func (*attempts) String() string { return "attempts" }

// deliver lets a dispatcher make attempts at one event.
func deliver(t *testing.T, e event.Event, topic string, do ...func(context.Context, event.Event) error) {
	t.Helper()
	telemetry, err := dispatch.NewTelemetry(dispatch.TelemetryOptions{
		Provider: metrics.NewMeterProvider(), Scope: "test", System: attribute.String("messaging.system", "eventmesh"),
	})
	if err != nil {
		t.Fatal(err)
	}
	d := dispatch.New(dispatch.Options{Workers: 1, Telemetry: telemetry})
	lane := d.Lane(dispatch.LaneOptions{
		Destination: &attempts{make: do}, Retries: len(do) - 1, Backoff: dispatch.Exponential(time.Nanosecond, time.Nanosecond),
	})
	d.Start()
	if err := d.Put(t.Context(), &dispatch.Message{Event: e, Topic: topic}, lane); err != nil {
		t.Fatal(err)
	}
	drain(t, d)
}

// deliverOverHTTP returns the headers of the last request for an event, after some that were refused.
func deliverOverHTTP(t *testing.T, e event.Event, topic string, refused int) (header http.Header) {
	t.Helper()
	sink := httpTo(t, httpServer(t, func(_ http.ResponseWriter, r *http.Request) { header = r.Header }))
	var do []func(context.Context, event.Event) error
	for range refused {
		do = append(do, func(context.Context, event.Event) error { return &dispatch.Rejection{Status: http.StatusConflict} })
	}
	deliver(t, e, topic, append(do, func(ctx context.Context, e event.Event) error {
		_, err := sink.Send(ctx, e)
		return err
	})...)
	return header
}

// endedSpan returns the last one.
func endedSpan(t *testing.T, recorder *tracetest.SpanRecorder) sdk.ReadOnlySpan {
	t.Helper()
	spans := recorder.Ended()
	if len(spans) == 0 {
		t.Fatal("got no span")
	}
	return spans[len(spans)-1]
}

func spanValue(span sdk.ReadOnlySpan, key attribute.Key) string {
	for _, a := range span.Attributes() {
		if a.Key == key {
			return a.Value.String()
		}
	}
	return ""
}

func TestSpanContinuesTheEventsTrace(t *testing.T) {
	recorder := recordSpans(t)
	header := deliverOverHTTP(t, tracedEvent("traceparent", eventParent, "tracestate", eventState), "orders", 2)
	if got := len(recorder.Ended()); got != 3 {
		t.Errorf("got %d spans, want one for each request", got)
	}
	got := endedSpan(t, recorder)
	if got.Name() != "send orders" || got.SpanKind() != trace.SpanKindClient || got.Status().Code != codes.Unset {
		t.Errorf("got %s span %q with status %v", got.SpanKind(), got.Name(), got.Status())
	}
	if parent := got.Parent(); parent.TraceID().String() != eventTraceID || parent.SpanID().String() != eventSpanID || !parent.IsRemote() {
		t.Errorf("got parent %s %s, want that of the event", parent.TraceID(), parent.SpanID())
	}
	want := map[attribute.Key]string{
		"messaging.system": "eventmesh", "messaging.operation.name": "send", "messaging.operation.type": "send",
		"messaging.destination.name": "orders", "messaging.message.body.size": "15", "cloudevents.event_type": "order.placed",
		"http.request.resend_count": "2",
	}
	for key, value := range want {
		if got := spanValue(got, key); got != value {
			t.Errorf("%s: got %q, want %q", key, got, value)
		}
	}
	if got := len(got.Attributes()); got != len(want) {
		t.Errorf("got %d attributes, want %d", got, len(want))
	}
	if got, want := header.Get("traceparent"), "00-"+eventTraceID+"-"+got.SpanContext().SpanID().String()+"-01"; got != want {
		t.Errorf("got traceparent %q, want %q", got, want)
	}
	if got := header.Get("tracestate"); got != eventState {
		t.Errorf("got tracestate %q, want %q", got, eventState)
	}
}

func TestSpanOfAnEventWithoutATrace(t *testing.T) {
	for _, test := range []struct {
		name  string
		event event.Event
	}{
		{"none", tracedEvent()},
		{"invalid", tracedEvent("traceparent", "00-xyz", "tracestate", eventState)},
		{"state alone", tracedEvent("tracestate", eventState)},
	} {
		t.Run(test.name, func(t *testing.T) {
			recorder := recordSpans(t)
			header := deliverOverHTTP(t, test.event, "", 0)
			got := endedSpan(t, recorder)
			if got.Parent().IsValid() || got.Name() != "send" || spanValue(got, "http.request.resend_count") != "" {
				t.Errorf("got %q with parent %v", got.Name(), got.Parent())
			}
			want := fmt.Sprintf("00-%s-%s-01", got.SpanContext().TraceID(), got.SpanContext().SpanID())
			if header.Get("traceparent") != want || header.Get("tracestate") != "" {
				t.Errorf("got headers %v, want traceparent %q alone", header, want)
			}
		})
	}
}

func TestTraceThatIsNotSampledGoesOn(t *testing.T) {
	recorder := recordSpans(t, sdk.WithSampler(sdk.NeverSample()))
	got := deliverOverHTTP(t, tracedEvent("traceparent", eventParent), "orders", 1).Get("traceparent")
	if spans := recorder.Ended(); len(spans) != 0 {
		t.Errorf("got %d spans, want none", len(spans))
	}
	if !strings.HasPrefix(got, "00-"+eventTraceID+"-") || !strings.HasSuffix(got, "-00") || strings.Contains(got, eventSpanID) {
		t.Errorf("got traceparent %q, want the trace, another span, and that it is not sampled", got)
	}
}

func TestTracePassesThroughWhereTracingIsOff(t *testing.T) {
	for _, test := range []struct {
		name          string
		event         event.Event
		parent, state string
	}{
		{"none", tracedEvent(), "", ""},
		{"sampled", tracedEvent("traceparent", eventParent), eventParent, ""},
		{"with a state", tracedEvent("traceparent", eventParent, "tracestate", eventState), eventParent, eventState},
		{"spaces", tracedEvent("traceparent", eventParent, "tracestate", "shop=1 , other=2"), eventParent, "shop=1 , other=2"},
		{"not sampled", tracedEvent("traceparent", "00-"+eventTraceID+"-"+eventSpanID+"-00"), "00-" + eventTraceID + "-" + eventSpanID + "-00", ""},
		{
			"a later version",
			tracedEvent("traceparent", "01-"+eventTraceID+"-"+eventSpanID+"-09-more"), "01-" + eventTraceID + "-" + eventSpanID + "-09-more", "",
		},
		{"invalid", tracedEvent("traceparent", "00-xyz", "tracestate", eventState), "", ""},
		{"invalid state", tracedEvent("traceparent", eventParent, "tracestate", "no state"), eventParent, ""},
		{"long parent", tracedEvent("traceparent", "01"+eventParent[2:]+"-"+strings.Repeat("x", longestTrace)), "", ""},
		{"long state", tracedEvent("traceparent", eventParent, "tracestate", "shop=1,a="+strings.Repeat("x", 250)+",b="+strings.Repeat("x", 251)), eventParent, ""},
		{"no header", tracedEvent("traceparent", "01-"+eventTraceID+"-"+eventSpanID+"-01-\x00"), "", ""},
		{"state that is no header", tracedEvent("traceparent", eventParent, "tracestate", "shop=1\r\nHost: other"), eventParent, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			traceWith(t, noop.NewTracerProvider())
			header := deliverOverHTTP(t, test.event, "orders", 1)
			if got := header.Get("traceparent"); got != test.parent {
				t.Errorf("got traceparent %q, want %q", got, test.parent)
			}
			if got := header.Get("tracestate"); got != test.state {
				t.Errorf("got tracestate %q, want %q", got, test.state)
			}
		})
	}
}

func TestRequestWithoutASpan(t *testing.T) {
	t.Parallel()
	var header http.Header
	sink := httpTo(t, httpServer(t, func(_ http.ResponseWriter, r *http.Request) { header = r.Header }))
	if _, err := sink.Send(t.Context(), order("a")); err != nil || header.Get("traceparent")+header.Get("tracestate") != "" {
		t.Errorf("got %v, %v; want no headers of a trace", header, err)
	}
}

func TestSpanOfAFailure(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	address := func(err error) error { return &url.Error{Op: "Post", URL: "http://sink/?token=" + secret, Err: err} }
	for _, test := range []struct {
		name                         string
		err                          error
		errorType, code, description string
	}{
		{"answer", fmt.Errorf("sending event: %w", &dispatch.Rejection{Status: 503, Body: secret}), "503", "503", ""},
		{"no connection", fmt.Errorf("sending event: %w", address(refused)), "_OTHER", "", "dial tcp: connection refused"},
		{"deadline", address(context.DeadlineExceeded), "timeout", "", "context deadline exceeded"},
		{"timeout", address(os.ErrDeadlineExceeded), "timeout", "", "i/o timeout"},
		{"abandoned", address(context.Canceled), "canceled", "", "context canceled"},
		{"no HTTP", fmt.Errorf("malformed HTTP response %q", secret), "_OTHER", "", "malformed HTTP response "},
		{"other", errors.New("encoding event"), "_OTHER", "", "encoding event"},
	} {
		t.Run(test.name, func(t *testing.T) {
			recorder := recordSpans(t)
			deliver(t, tracedEvent(), "orders", func(context.Context, event.Event) error { return test.err })
			got := endedSpan(t, recorder)
			if status := got.Status(); status.Code != codes.Error || status.Description != test.description {
				t.Errorf("got status %v, want an error %q", status, test.description)
			}
			if got := spanValue(got, "error.type"); got != test.errorType {
				t.Errorf("got error.type %q, want %q", got, test.errorType)
			}
			if got := spanValue(got, "http.response.status_code"); got != test.code {
				t.Errorf("got http.response.status_code %q, want %q", got, test.code)
			}
			if all := fmt.Sprint(got.Attributes(), got.Events(), got.Status()); strings.Contains(all, secret) {
				t.Errorf("the span tells what was in the URL or the answer: %s", all)
			}
		})
	}
}
