package eventmesh

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
	// maxAttributes is how many bytes RocketMQ takes for all attributes of an event, their names and two separators for each.
	maxAttributes = 1<<15 - 1
	// othersAttributes leaves room for what EventMesh and RocketMQ add.
	othersAttributes = 4 << 10
)

// keepText makes data of a JSON type, which would not come back byte for byte, travel as the value that it is, so that subscribers
// that do not use this package get JSON: the text goes into an extension. It returns false where EventMesh does not take the value
// for what it is, or has no room for the text: all attributes of an event are properties of a message in RocketMQ.
func keepText(c *event.EventContextV1, data []byte) bool {
	if len(data) > maxText || !isValue(data) {
		return false
	}
	text := deflate(data)
	if len(text) > maxAttributes-othersAttributes-attributesSize(c) {
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

// Bounds of what EventMesh's parser takes, or returns as it was.
const (
	maxDigits  = 18
	maxNesting = 500
	maxName    = 10_000
	maxNumber  = 300
)

// survivesParsing tells whether a JSON text comes out of EventMesh, which parses and writes it again, byte for byte: compact,
// integers only (2.50 becomes 2.5), no escape that has a shorter form, no character that gets one, no key twice. It may say no where yes were true.
func survivesParsing(data []byte) bool {
	if !utf8.Valid(data) {
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
		if keys[string(key)] || len(key) > maxName {
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
