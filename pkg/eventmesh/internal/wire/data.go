package wire

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsontext"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/mediatype"
)

// Values of the data extension, by which a receiver gets the data back.
const (
	// dataNone: the event has no data; what travels is a placeholder.
	dataNone = "none"
	// dataEmpty: the data is empty, and not absent; what travels is a placeholder.
	dataEmpty = "empty"
	// dataBinary: the data travels unchanged, under another content type.
	dataBinary = "binary"
	// dataJSON: the data is JSON and travels as such, with the text of it in the json extension where it would not come back byte
	// for byte.
	dataJSON = "json"
	// dataText: the data travels as a JSON string.
	dataText = "text"
	// dataBase64: the data travels as a JSON string in base64.
	dataBase64 = "base64"
)

const (
	octetStream = "application/octet-stream"
	protobuf    = "application/protobuf"
	// placeholder stands for data and strings that are empty, which EventMesh refuses.
	placeholder = "-"
)

// encodeData returns the data as it travels, and notes in the context what was done to it.
func encodeData(c *event.EventContextV1, data []byte, form Form) []byte {
	contentType := deref(c.DataContentType)
	mark, carrier := nativeMark(contentType, data), octetStream
	if form == JSONForm {
		mark, carrier = jsonMark(contentType, data), event.ApplicationCloudEventsJSON
	}
	if mark == "" {
		return data
	}
	if c.DataContentType != nil {
		c.Extensions[markContentType] = contentType
	}
	if mark == dataText && mediatype.IsJSON(contentType) && keepText(c, data, roomForText(c)) {
		mark = dataJSON
	}
	c.Extensions[markData] = mark
	c.DataContentType = &carrier

	switch mark {
	case dataNone, dataEmpty:
		data = []byte(placeholder)
	case dataBase64:
		data = []byte(base64.StdEncoding.EncodeToString(data))
	}
	if form == JSONForm && mark != dataJSON {
		return jsontext.AppendString(make([]byte, 0, len(data)+2), data)
	}
	return data
}

// nativeMark finds what gRPC would refuse: no data, text that is none, application/protobuf outside its own field; and what
// could not be told from an event of a TCP publisher.
func nativeMark(contentType string, data []byte) string {
	switch {
	case data == nil:
		return dataNone
	case len(data) == 0:
		return dataEmpty
	case contentType == protobuf, mediatype.IsCloudEvents(contentType), !utf8.Valid(data) && IsText(contentType):
		return dataBinary
	default:
		return ""
	}
}

func jsonMark(contentType string, data []byte) string {
	switch {
	case data == nil:
		return dataNone
	case len(data) == 0:
		return dataEmpty
	case mediatype.IsJSON(contentType) && survivesParsing(data):
		return dataJSON
	case utf8.Valid(data):
		return dataText
	default:
		return dataBase64
	}
}

func decodeData(c *event.EventContextV1, data []byte, marks map[string]string) ([]byte, error) {
	mark, marked := marks[markData]
	if !marked {
		// The content type of an event from another TCP publisher says nothing about its data, which is JSON. Passed on
		// over HTTP, it would make a structured event of it.
		if mediatype.IsCloudEvents(deref(c.DataContentType)) {
			c.DataContentType = event.StringOfApplicationJSON()
		}
		return data, nil
	}
	c.DataContentType = nil
	if contentType, ok := marks[markContentType]; ok {
		c.DataContentType = &contentType
	}
	switch mark {
	case dataNone:
		return nil, nil
	case dataEmpty:
		return []byte{}, nil
	case dataBinary:
		return data, nil
	case dataJSON:
		if data == nil { // as null reads
			data = []byte("null")
		}
		return keptText(marks, data), nil
	case dataText, dataBase64:
		var s string
		if err := json.Unmarshal(data, &s); err != nil {
			return nil, fmt.Errorf("extension %s is %q: %w", markData, mark, err)
		}
		if mark == dataText {
			return []byte(s), nil
		}
		return base64.StdEncoding.DecodeString(s)
	default:
		return nil, fmt.Errorf("extension %s is %q", markData, mark)
	}
}

// IsText tells whether an EventMesh server wants data of a content type in the text field. It compares the plain string:
// parameters and upper case make a type binary. (Measured on a 1.12 server.)
func IsText(contentType string) bool {
	return strings.HasPrefix(contentType, "text/") || contentType == "application/json" || contentType == "application/xml" ||
		strings.HasSuffix(contentType, "+json") || strings.HasSuffix(contentType, "+xml")
}
