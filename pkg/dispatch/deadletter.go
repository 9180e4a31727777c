package dispatch

import (
	"encoding/base64"
	"errors"
	"strconv"

	"github.com/cloudevents/sdk-go/v2/event"
)

// The extensions by which Knative tells why an event is a dead letter.
const (
	// ErrorDestination is the destination that did not accept the event.
	ErrorDestination = "knativeerrordest"
	// ErrorCode is the status of its last answer, and -1 without one.
	ErrorCode = "knativeerrorcode"
	// ErrorData is the start of that answer's body, or another reason, in base64, of at most 1024 characters.
	ErrorData = "knativeerrordata"

	errorDataLength = 1024
	// noResponse is the code of a failure without an answer, as Knative's own components have it.
	noResponse = -1
)

// deadLetter returns the event with what Knative says of an event that a destination did not accept.
func deadLetter(e event.Event, destination string, failure error) event.Event {
	e = e.Clone()
	SetError(&e, destination, failure)
	return e
}

// SetError sets the extensions by which Knative tells why an event is a dead letter; an empty destination is left out. Like Knative's own
// components it encodes the data in base64, as much of it as the extension may have bytes.
func SetError(e *event.Event, destination string, failure error) {
	code, data := noResponse, failure.Error()
	if rejection, ok := errors.AsType[*Rejection](failure); ok {
		code, data = rejection.Status, rejection.Body
	}
	if destination != "" {
		e.SetExtension(ErrorDestination, destination)
	}
	e.SetExtension(ErrorCode, strconv.Itoa(code))
	if data = data[:min(len(data), errorDataLength/4*3)]; data != "" {
		e.SetExtension(ErrorData, base64.StdEncoding.EncodeToString([]byte(data)))
	}
}
