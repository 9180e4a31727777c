package sink

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

// parse returns the CloudEvent of a request, in binary or structured mode. The error says what is wrong with it, and holds
// nothing of its data.
func parse(ctx context.Context, r *http.Request) (*event.Event, error) {
	if err := checkCoding(r); err != nil {
		return nil, err
	}
	message := cehttp.NewMessageFromHttpRequest(r)
	switch message.ReadEncoding() {
	case binding.EncodingBinary, binding.EncodingStructured:
	default:
		if version := r.Header.Get("Ce-Specversion"); version != "" {
			return nil, notAnEvent("specversion %q is not supported, only %s", version, event.CloudEventsVersionV1)
		}
		return nil, notAnEvent("want a header Ce-Specversion, or Content-Type %s or %s",
			event.ApplicationCloudEventsJSON, event.ApplicationCloudEventsBatchJSON)
	}
	return check(func() (*event.Event, error) {
		e, err := binding.ToEvent(ctx, message)
		if err == nil && message.ReadEncoding() == binding.EncodingStructured {
			imply(e)
		}
		return e, err
	})
}

// parseJSON returns the CloudEvent in a JSON text. The error is as that of parse.
func parseJSON(text []byte) (*event.Event, error) {
	return check(func() (*event.Event, error) {
		var e event.Event
		err := json.Unmarshal(text, &e)
		if err == nil {
			imply(&e)
		}
		return &e, err
	})
}

// imply sets the content type that data has in the JSON format when there is none. In EventMesh it would imply nothing, which is
// why CloudEvents wants it set by whoever takes an event from one format to another.
func imply(e *event.Event) {
	if e.Context != nil && e.DataContentType() == "" && e.Data() != nil && !e.DataBase64 {
		e.SetDataContentType(event.ApplicationJSON)
	}
}

// check lets the SDK parse an event, and refuses what is none.
func check(read func() (*event.Event, error)) (e *event.Event, err error) {
	defer func() {
		// The SDK panics at some malformed events: at a header "Ce-" without a name, and at "data_base64": 1.
		if recover() != nil {
			e, err = nil, notAnEvent("an attribute or its data is malformed")
		}
	}()
	if e, err = read(); err != nil {
		return nil, notAnEvent("%s", withoutData(err))
	}
	if err := e.Validate(); err != nil {
		return nil, notAnEvent("%s", withoutData(err))
	}
	if e.SpecVersion() != event.CloudEventsVersionV1 {
		return nil, notAnEvent("specversion %q is not supported, only %s", e.SpecVersion(), event.CloudEventsVersionV1)
	}
	return e, nil
}

// checkCoding refuses bodies that would have to be unpacked.
func checkCoding(r *http.Request) error {
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return notAnEvent("Content-Encoding %q is not supported", coding)
	}
	return nil
}

func notAnEvent(format string, args ...any) error {
	return refusef(http.StatusBadRequest, "not a CloudEvent: "+format, args...)
}

// withoutData makes one line of the SDK's error, and cuts off the excerpt of the body that its JSON parser appends.
func withoutData(err error) string {
	var validation event.ValidationError
	if errors.As(err, &validation) {
		lines := strings.Split(strings.TrimSpace(validation.Error()), "\n")
		slices.Sort(lines)
		return strings.Join(lines, "; ")
	}
	reason, _, _ := strings.Cut(err.Error(), ", error found in #")
	return reason
}
