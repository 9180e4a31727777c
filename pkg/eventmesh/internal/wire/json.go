package wire

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
)

const (
	// maxText is the largest JSON text in bytes that travels beside its value.
	maxText = 1 << 20
	// maxAttributes is how many bytes RocketMQ accepts for all attributes of an event, their names and two separators for each.
	maxAttributes = 1<<15 - 1
	// othersAttributes leaves room for what EventMesh and RocketMQ add.
	othersAttributes = 4 << 10
)

// keepText makes data of a JSON type, which would not come back byte for byte, travel as the value that it is, so that subscribers
// that do not use this package get JSON: the text goes into an extension. It returns false where EventMesh does not accept the value
// for what it is, or has no room for the text, in bytes.
func keepText(c *event.EventContextV1, data []byte, room int) bool {
	if len(data) > maxText || !isValue(data) {
		return false
	}
	text := deflate(data)
	if len(text) > room {
		return false
	}
	c.Extensions[markJSON] = text
	return true
}

// keptText returns the text that travelled beside a value, as long as it stands for that: whoever passes an event on with other data
// may have left the text of the data before. Else it returns the value.
func keptText(marks map[string]string, value []byte) []byte {
	kept, ok := marks[markJSON]
	if !ok {
		return value
	}
	text, err := inflate(kept)
	if err != nil || !sameJSON(text, value) {
		return value
	}
	return text
}

// sameJSON tells whether two texts stand for the same value, and is quick where only white space tells the first from the second.
func sameJSON(a, b []byte) bool {
	var compact bytes.Buffer
	if json.Compact(&compact, a) == nil && bytes.Equal(compact.Bytes(), b) {
		return true
	}
	var values [2]any
	return json.Unmarshal(a, &values[0]) == nil && json.Unmarshal(b, &values[1]) == nil && reflect.DeepEqual(values[0], values[1])
}

// roomForText is how much is left of what RocketMQ accepts for all attributes of an event, which are properties of a message there.
func roomForText(c *event.EventContextV1) int {
	return maxAttributes - othersAttributes - attributesSize(c)
}

// attributesSize returns how many bytes an encoded event's attributes have as properties.
func attributesSize(c *event.EventContextV1) int {
	const each, number, timestamp = 16, 11, 35 // bytes of a CloudEvents attribute's name, and of what is no text
	size := 7*each + timestamp + len(c.ID) + len(c.Source.String()) + len(c.Type) + len(deref(c.Subject)) + len(c.DataSchema.String())
	for name, value := range c.Extensions {
		size += len(name) + 2 + number
		if s, ok := value.(string); ok {
			size += len(s) - number
		}
	}
	return size
}

// Both are kept, since one has more than half a MiB, the other 40 KiB.
var (
	deflaters = sync.Pool{New: func() any {
		w, err := flate.NewWriter(nil, flate.BestSpeed)
		if err != nil { // of the level
			panic(err)
		}
		return w
	}}
	inflaters = sync.Pool{New: func() any { return flate.NewReader(strings.NewReader("")) }}
)

// deflate returns text in the DEFLATE format, in base64.
func deflate(text []byte) string {
	w := deflaters.Get().(*flate.Writer) //nolint:forcetypeassert // nothing else is put there
	defer deflaters.Put(w)
	var b bytes.Buffer
	w.Reset(&b)
	_, _ = w.Write(text) // to memory
	_ = w.Close()
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

var errLong = errors.New("the text is too long")

func inflate(s string) ([]byte, error) {
	packed, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, err
	}
	r := inflaters.Get().(io.Reader) //nolint:forcetypeassert // nothing else is put there
	defer inflaters.Put(r)
	if err := r.(flate.Resetter).Reset(bytes.NewReader(packed), nil); err != nil { //nolint:forcetypeassert // every one is
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(r, maxText+1))
	if err == nil && len(text) > maxText {
		err = errLong
	}
	return text, err
}

// isValue tells whether EventMesh, which parses and writes a JSON text, takes it for the value that it is. It fails at long names and
// numbers and at deep nesting, makes strings of numbers beyond a double's, and has no UTF-8 for lone surrogates.
func isValue(text []byte) bool {
	if !utf8.Valid(text) || !json.Valid(text) {
		return false
	}
	for nesting := 0; len(text) > 0; {
		size, ok := 1, true
		switch c := text[0]; {
		case c == '{', c == '[':
			nesting++
			ok = nesting <= maxNesting
		case c == '}', c == ']':
			nesting--
		case c == '"':
			size, ok = stringSize(text)
			if after := bytes.TrimLeft(text[size:], " \t\r\n"); size > maxName && len(after) > 0 && after[0] == ':' {
				ok = false
			}
		case c == '-', c >= '0' && c <= '9':
			size, ok = numberSize(text)
		}
		if !ok {
			return false
		}
		text = text[size:]
	}
	return true
}

// stringSize returns how many bytes the string has that valid JSON begins with, and whether it has no lone surrogate.
func stringSize(text []byte) (size int, ok bool) {
	ok = true
	for i := 1; ; i++ {
		switch {
		case text[i] == '"':
			return i + 1, ok
		case text[i] == '\\' && text[i+1] == 'u':
			first := escaped(text[i:])
			i += 5
			if !utf16.IsSurrogate(first) {
				continue
			}
			if utf16.DecodeRune(first, escaped(text[i+1:])) == utf8.RuneError {
				ok = false
				continue
			}
			i += 6
		case text[i] == '\\':
			i++
		}
	}
}

// escaped returns the code unit whose escape valid JSON begins with, else one that no surrogate goes with.
func escaped(text []byte) rune {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0
	}
	unit, _ := strconv.ParseUint(string(text[2:6]), 16, 16)
	return rune(unit)
}

// numberSize returns how many bytes the number has that valid JSON begins with, and whether a double can hold it.
func numberSize(text []byte) (size int, ok bool) {
	size = len(text) - len(bytes.TrimLeft(text, "+-.0123456789eE"))
	if size > maxNumber {
		return size, false
	}
	_, err := strconv.ParseFloat(string(text[:size]), 64)
	return size, err == nil
}

// Bounds of what EventMesh's parser accepts, or returns as it was.
const (
	maxDigits  = 18
	maxNesting = 500
	maxName    = 10_000
	maxNumber  = 300
)
