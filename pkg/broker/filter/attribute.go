package filter

import (
	"fmt"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"knative.dev/eventing/pkg/eventfilter/attributes"
)

// attribute returns an attribute of an event as text, and false where the event lacks it.
func attribute(e event.Event, name string) (string, bool) {
	c, ok := e.Context.(*event.EventContextV1)
	if !ok {
		return older(e, name)
	}
	switch name {
	case "specversion":
		return event.CloudEventsVersionV1, true
	case "id":
		return c.ID, true
	case "type":
		return c.Type, true
	case "source":
		return c.Source.String(), true
	case "subject":
		return present(c.Subject)
	case "datacontenttype":
		return present(c.DataContentType)
	case "dataschema", "schemaurl":
		if c.DataSchema == nil {
			return "", false
		}
		return c.DataSchema.String(), true
	case "time":
		if c.Time == nil {
			return "", false
		}
		return c.Time.String(), true
	case "datamediatype", "datacontentencoding": // which Knative Eventing knows besides
		return older(e, name)
	default:
		value, ok := c.Extensions[name]
		return textOf(value), ok
	}
}

// older returns an attribute in the way of Knative Eventing.
func older(e event.Event, name string) (string, bool) {
	value, ok := attributes.LookupAttribute(e, name)
	text := textOf(value)
	return text, ok && text != ""
}

func present(s *string) (string, bool) {
	if s == nil {
		return "", false
	}
	return *s, true
}

// textOf returns a value in the form that it has in HTTP's headers.
func textOf(value any) string {
	if s, ok := value.(string); ok {
		return s
	}
	if s, err := types.Format(value); err == nil {
		return s
	}
	return fmt.Sprint(value)
}
