package source

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
)

// attributeHeaders is how many headers the attributes take that are no extensions.
const attributeHeaders = 8

// writeBinary makes of a request one in the binary mode of CloudEvents: the same as the SDK's cehttp.WriteRequest, which spends more
// on it than net/http on sending it.
func writeBinary(request *http.Request, c *event.EventContextV1, data []byte) error {
	values := make([]string, 0, attributeHeaders+len(c.Extensions))
	set := func(header, value string) {
		values = append(values, value)
		request.Header[header] = values[len(values)-1 : len(values) : len(values)]
	}
	for _, attribute := range [...]struct{ header, value string }{
		{"Ce-Specversion", event.CloudEventsVersionV1},
		{"Ce-Id", c.ID},
		{"Ce-Source", c.Source.String()},
		{"Ce-Type", c.Type},
		{"Ce-Subject", c.GetSubject()},
		{"Ce-Dataschema", c.DataSchema.String()},
		{"Content-Type", c.GetDataContentType()},
	} {
		if attribute.value != "" {
			set(attribute.header, attribute.value)
		}
	}
	if c.Time != nil && !c.Time.IsZero() {
		set("Ce-Time", types.FormatTime(c.Time.Time))
	}
	for name, value := range c.Extensions {
		text, err := types.Format(value)
		if err != nil {
			return fmt.Errorf("extension %s: %w", name, err)
		}
		set("Ce-"+string(unicode.ToUpper(rune(name[0])))+name[1:], text)
	}
	if len(data) > 0 {
		request.ContentLength = int64(len(data))
		request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
		request.Body, _ = request.GetBody()
	}
	return nil
}

// carriesEvent tells whether data of that type is a CloudEvent, as which a receiver would take the whole request in binary mode.
func carriesEvent(contentType string) bool {
	const prefix = "application/cloudevents"
	contentType = strings.TrimSpace(contentType)
	return len(contentType) >= len(prefix) && strings.EqualFold(contentType[:len(prefix)], prefix)
}
