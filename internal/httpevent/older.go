package httpevent

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/attribute"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsonevent"
)

// ErrVersion says of an event that it is of another version of CloudEvents than 1.0.
var ErrVersion = jsonevent.ErrVersion

// dataContentEncoding is an attribute of 0.3 that 1.0 has no more. The SDK makes it an extension.
const dataContentEncoding = "datacontentencoding"

// ReadOlder reads an event of CloudEvents 0.3, for which Read returns [ErrVersion], and makes it one of 1.0.
func ReadOlder(ctx context.Context, header http.Header, body []byte) (*event.Event, error) {
	if err := CheckHeader(header); err != nil {
		return nil, err
	}
	e, err := binding.ToEvent(ctx, cehttp.NewMessage(header, io.NopCloser(bytes.NewReader(body))))
	if err != nil {
		return nil, err
	}
	if e.SpecVersion() != event.CloudEventsVersionV03 {
		return nil, fmt.Errorf("specversion %.100q is %w, only %s and %s", e.SpecVersion(), ErrVersion, event.CloudEventsVersionV03, event.CloudEventsVersionV1)
	}
	e.Context = e.Context.AsV1()
	e.SetExtension(dataContentEncoding, nil)
	var budget attribute.Budget
	for name, value := range e.Extensions() {
		if err := budget.Take(len(name), len(fmt.Sprint(value))); err != nil {
			return nil, fmt.Errorf("%.100s: %w", name, err)
		}
	}
	imply(e)
	return e, nil
}
