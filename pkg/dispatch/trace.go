package dispatch

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"golang.org/x/net/http/httpguts"
)

// extensionTraceparent and extensionTracestate are the extensions that CloudEvents has for a trace. The headers of W3C Trace
// Context have the same names.
const (
	extensionTraceparent = "traceparent"
	extensionTracestate  = "tracestate"
)

// longestTrace is how long a header of a trace may be, in bytes: what W3C Trace Context wants to be passed on. Longer ones stay in the
// event alone, so that the destination does not refuse the headers for them.
const longestTrace = 512

// traceContext is explicit: the process's global propagator may be another, or none.
var traceContext propagation.TraceContext

// eventTrace is the trace that an event belongs to: its extensions, and what they mean.
type eventTrace struct {
	parent, state string
	span          trace.SpanContext
}

// traceOf leaves out what is not valid: as a header it could fail the request.
func traceOf(e *event.Event) eventTrace {
	extensions := extensionsOf(e)
	var of eventTrace
	of.parent, _ = extensions[extensionTraceparent].(string)
	if of.parent == "" || len(of.parent) > longestTrace || !httpguts.ValidHeaderFieldValue(of.parent) {
		return eventTrace{}
	}
	if state, _ := extensions[extensionTracestate].(string); len(state) <= longestTrace && httpguts.ValidHeaderFieldValue(state) {
		if _, err := trace.ParseTraceState(state); err == nil {
			of.state = state
		}
	}
	carrier := propagation.MapCarrier{extensionTraceparent: of.parent, extensionTracestate: of.state}
	of.span = trace.SpanContextFromContext(traceContext.Extract(context.Background(), carrier))
	return of
}

type eventTraceKey struct{}

// startSpan begins the span of one request to the sink. It continues the trace that the event belongs to. redelivery counts the
// requests for this event before this one.
func (t *Telemetry) startSpan(ctx context.Context, e *event.Event, topic string, redelivery int) (context.Context, trace.Span) {
	of := traceOf(e)
	if of.span.IsValid() {
		ctx = context.WithValue(trace.ContextWithRemoteSpanContext(ctx, of.span), eventTraceKey{}, of)
	}
	tracer := otel.Tracer(t.options.Scope)
	if _, off := tracer.(noop.Tracer); off {
		return tracer.Start(ctx, "") //nolint:spancheck // the caller ends it, by endSpan
	}
	attributes := []attribute.KeyValue{
		t.options.System, semconv.MessagingOperationName("send"), semconv.MessagingOperationTypeSend,
		semconv.MessagingDestinationName(topic), semconv.MessagingMessageBodySize(len(e.Data())), semconv.CloudEventsEventType(e.Type()),
	}
	if redelivery > 0 {
		attributes = append(attributes, semconv.HTTPRequestResendCount(redelivery))
	}
	name := "send"
	if topic != "" {
		name += " " + topic
	}
	return tracer.Start( //nolint:spancheck // the caller ends it, by endSpan
		ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attributes...))
}

// inject sets the headers by which the sink continues the trace: as the event has them where tracing is off.
func inject(ctx context.Context, header http.Header) {
	of, ok := ctx.Value(eventTraceKey{}).(eventTrace)
	if !ok || trace.SpanContextFromContext(ctx).SpanID() != of.span.SpanID() {
		traceContext.Inject(ctx, propagation.HeaderCarrier(header))
		return
	}
	header.Set(extensionTraceparent, of.parent)
	if of.state != "" {
		header.Set(extensionTracestate, of.state)
	}
}

// endSpan ends the span of a request. An error that has a status is the sink's answer. Neither the sink's URL nor what it said
// become part of the span.
func endSpan(span trace.Span, err error) {
	defer span.End()
	if err == nil || !span.IsRecording() {
		return
	}
	if answer, ok := errors.AsType[*Rejection](err); ok {
		code := answer.Status
		span.SetStatus(codes.Error, "") // the attributes tell it
		span.SetAttributes(semconv.HTTPResponseStatusCode(code), semconv.ErrorTypeKey.String(strconv.Itoa(code)))
		return
	}
	var request *url.Error
	if errors.As(err, &request) {
		err = request.Err
	}
	description, _, _ := strings.Cut(err.Error(), `"`) // behind it stands what the sink said, where that was no HTTP
	span.SetStatus(codes.Error, description)
	span.SetAttributes(errorType(err))
}

func errorType(err error) attribute.KeyValue {
	var network net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return semconv.ErrorTypeKey.String("canceled")
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return semconv.ErrorTypeKey.String("timeout")
	default:
		return semconv.ErrorTypeOther
	}
}
