package eventmesh

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
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
		return quote(string(data))
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
	case contentType == protobuf, isCloudEvents(contentType), !utf8.Valid(data) && IsText(contentType):
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
	case isJSON(contentType) && survivesParsing(data):
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
		if isCloudEvents(deref(c.DataContentType)) {
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

func isJSON(contentType string) bool {
	mediaType := mediaType(contentType)
	return mediaType == "application/json" || mediaType == "text/json" || strings.HasSuffix(mediaType, "+json")
}

func isCloudEvents(contentType string) bool {
	const prefix = "application/cloudevents"
	return strings.Contains(strings.ToLower(contentType), prefix) && strings.HasPrefix(mediaType(contentType), prefix)
}

func mediaType(contentType string) string {
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return ""
	}
	return mediaType
}

const (
	maxDigits  = 18
	maxNesting = 500
)

// survivesParsing tells whether a JSON text comes out of EventMesh, which parses and writes it again, byte for byte: compact,
// integers only (2.50 becomes 2.5), no escape that has a shorter form, no character that gets one, no key twice. It may say no where yes were true. Only
// objects and arrays count, since a null is taken for no data.
func survivesParsing(data []byte) bool {
	if len(data) < 2 || data[0] != '{' && data[0] != '[' || !utf8.Valid(data) ||
		bytes.Contains(data, []byte(`\u`)) || bytes.Contains(data, []byte(`\/`)) || bytes.ContainsFunc(data, isSupplementary) {
		return false
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, data); err != nil || compact.Len() != len(data) {
		return false
	}
	return survivingTokens(json.NewDecoder(bytes.NewReader(data)))
}

// isSupplementary tells characters that are two in UTF-16, which EventMesh writes as two escapes.
func isSupplementary(r rune) bool { return r > 0xffff }

// survivingTokens looks for keys that stand twice, and for numbers that have another form.
func survivingTokens(decoder *json.Decoder) bool {
	decoder.UseNumber()
	var objects []object
	for {
		token, err := decoder.Token()
		if err != nil {
			return errors.Is(err, io.EOF)
		}
		var top *object
		if len(objects) > 0 {
			top = &objects[len(objects)-1]
		}
		switch token := token.(type) {
		case json.Delim:
			if token == '}' || token == ']' {
				objects = objects[:len(objects)-1]
				continue
			}
			top.value()
			objects = append(objects, object{isObject: token == '{', wantsKey: token == '{'})
			if len(objects) > maxNesting {
				return false
			}
		case json.Number:
			top.value()
			if s := token.String(); len(s) > maxDigits || s == "-0" || strings.ContainsAny(s, ".eE") {
				return false
			}
		case string:
			if top.key(token) {
				return false
			}
		default:
			top.value()
		}
	}
}

// object follows the tokens of one JSON object or array.
type object struct {
	isObject, wantsKey bool
	keys               map[string]bool
}

// value notes that a value has been read.
func (o *object) value() {
	if o != nil {
		o.wantsKey = o.isObject
	}
}

// key notes that a string has been read, and tells whether it is a key that the object has already.
func (o *object) key(s string) (duplicate bool) {
	if !o.wantsKey {
		o.value()
		return false
	}
	o.wantsKey = false
	if o.keys[s] {
		return true
	}
	if o.keys == nil {
		o.keys = map[string]bool{}
	}
	o.keys[s] = true
	return false
}

// quote returns s as a JSON string, without the escapes for HTML that json.Marshal adds.
func quote(s string) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil {
		panic(err) // a string always has a JSON form
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
