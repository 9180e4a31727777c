package eventmesh

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsontext"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/mediatype"
)

// Form is how data travels through EventMesh.
type Form int

const (
	// NativeForm leaves data and content type as they are, where EventMesh carries them. It is for gRPC subscribers.
	NativeForm Form = iota
	// JSONForm makes every event one with JSON data and content type application/cloudevents+json, the only ones that reach
	// a TCP subscriber.
	JSONForm
)

// Values of the data extension, by which a receiver gets the data back.
const (
	// DataNone: the event has no data; what travels is a placeholder.
	DataNone = "none"
	// DataEmpty: the data is empty, and not absent; what travels is a placeholder.
	DataEmpty = "empty"
	// DataBinary: the data travels unchanged, under another content type.
	DataBinary = "binary"
	// DataJSON: the data is JSON and travels as such.
	DataJSON = "json"
	// DataText: the data travels as a JSON string.
	DataText = "text"
	// DataBase64: the data travels as a JSON string in base64.
	DataBase64 = "base64"
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
	c.Extensions[markData] = mark
	c.DataContentType = &carrier

	switch mark {
	case DataNone, DataEmpty:
		data = []byte(placeholder)
	case DataBase64:
		data = []byte(base64.StdEncoding.EncodeToString(data))
	}
	if form == JSONForm && mark != DataJSON {
		return jsontext.AppendString(make([]byte, 0, len(data)+2), data)
	}
	return data
}

// nativeMark finds what gRPC would refuse: no data, text that is none, application/protobuf outside its own field; and what
// could not be told from an event of a TCP publisher.
func nativeMark(contentType string, data []byte) string {
	switch {
	case data == nil:
		return DataNone
	case len(data) == 0:
		return DataEmpty
	case contentType == protobuf, mediatype.IsCloudEvents(contentType), !utf8.Valid(data) && IsText(contentType):
		return DataBinary
	default:
		return ""
	}
}

func jsonMark(contentType string, data []byte) string {
	switch {
	case data == nil:
		return DataNone
	case len(data) == 0:
		return DataEmpty
	case mediatype.IsJSON(contentType) && survivesParsing(data):
		return DataJSON
	case utf8.Valid(data):
		return DataText
	default:
		return DataBase64
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
	case DataNone:
		return nil, nil
	case DataEmpty:
		return []byte{}, nil
	case DataBinary, DataJSON:
		return data, nil
	case DataText, DataBase64:
		var s string
		if err := json.Unmarshal(data, &s); err != nil {
			return nil, fmt.Errorf("extension %s is %q: %w", markData, mark, err)
		}
		if mark == DataText {
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

const (
	maxDigits  = 18
	maxNesting = 500
)

// survivesParsing tells whether a JSON text comes out of EventMesh, which parses and writes it again, byte for byte: compact,
// integers only (2.50 becomes 2.5), no escape that has a shorter form, no character that gets one, no key twice. It may say no where yes were true. Only
// objects and arrays count, since a null is taken for no data.
func survivesParsing(data []byte) bool {
	if len(data) < 2 || data[0] != '{' && data[0] != '[' || !utf8.Valid(data) {
		return false
	}
	rest, ok := survivingValue(data, 0)
	return ok && len(rest) == 0
}

var literals = [][]byte{[]byte("true"), []byte("false"), []byte("null")}

// survivingValue and those below read what text begins with, and return what comes after it.
func survivingValue(text []byte, nesting int) (rest []byte, ok bool) {
	switch {
	case len(text) == 0 || nesting > maxNesting:
		return nil, false
	case text[0] == '"':
		return survivingString(text)
	case text[0] == '{':
		return survivingObject(text, nesting)
	case text[0] == '[':
		return survivingArray(text, nesting)
	}
	for _, literal := range literals {
		if rest, ok := bytes.CutPrefix(text, literal); ok {
			return rest, true
		}
	}
	return survivingInteger(text)
}

func survivingObject(text []byte, nesting int) (rest []byte, ok bool) {
	keys := map[string]bool{}
	return survivingList(text, '}', func(text []byte) ([]byte, bool) {
		rest, ok := survivingString(text)
		if !ok || len(rest) == 0 || rest[0] != ':' {
			return nil, false
		}
		key := text[:len(text)-len(rest)] // no two keys that differ so are the same: there is one form of each
		if keys[string(key)] {
			return nil, false
		}
		keys[string(key)] = true
		return survivingValue(rest[1:], nesting+1)
	})
}

func survivingArray(text []byte, nesting int) (rest []byte, ok bool) {
	return survivingList(text, ']', func(text []byte) ([]byte, bool) { return survivingValue(text, nesting+1) })
}

// survivingList reads what is between brackets, item by item.
func survivingList(text []byte, end byte, item func([]byte) ([]byte, bool)) (rest []byte, ok bool) {
	rest = text[1:]
	if len(rest) > 0 && rest[0] == end {
		return rest[1:], true
	}
	for {
		if rest, ok = item(rest); !ok || len(rest) == 0 {
			return nil, false
		}
		switch next := rest[0]; {
		case next == end:
			return rest[1:], true
		case next != ',':
			return nil, false
		}
		rest = rest[1:]
	}
}

// survivingString knows the short escapes alone. Characters that are two in UTF-16 EventMesh writes as two long ones: their UTF-8
// begins with a byte from 0xf0 on.
func survivingString(text []byte) (rest []byte, ok bool) {
	if len(text) == 0 || text[0] != '"' {
		return nil, false
	}
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return text[i+1:], true
		case c < ' ' || c >= 0xf0:
			return nil, false
		case c == '\\':
			if i++; i == len(text) || !strings.ContainsRune(`"\bfnrt`, rune(text[i])) {
				return nil, false
			}
		}
	}
	return nil, false
}

// survivingInteger has the one form that every integer has.
func survivingInteger(text []byte) (rest []byte, ok bool) {
	digits := bytes.TrimPrefix(text, []byte("-"))
	rest = bytes.TrimLeft(digits, "0123456789")
	n := len(digits) - len(rest)
	if n == 0 || len(text)-len(rest) > maxDigits || digits[0] == '0' && (n > 1 || len(digits) < len(text)) {
		return nil, false
	}
	return rest, true
}
