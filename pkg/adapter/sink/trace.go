package sink

import (
	"context"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// extensionTraceparent is the extension that CloudEvents has for a trace; tracestate goes with it.
const extensionTraceparent = "traceparent"

// continueTrace lets the request's trace go on in the event, unless the event belongs to one already.
func continueTrace(ctx context.Context, e *event.Event) {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return
	}
	own := e.Extensions()
	if _, traced := own[extensionTraceparent]; traced {
		return
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	for name, value := range carrier {
		if _, set := own[name]; !set {
			e.SetExtension(name, value)
		}
	}
}
