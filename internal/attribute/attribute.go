// Package attribute holds what CloudEvents says of the values of attributes, and keeps those that Go's types would change.
package attribute

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// What the attributes of one event may be, at most, where it is up to this project: as many as EventMesh's next release accepts, and
// of as many bytes, names and values together, as every intermediary of CloudEvents has to forward.
const (
	MaxCount = 64
	MaxBytes = 64 << 10
)

// Budget counts the attributes of an event while they are read.
type Budget struct{ count, bytes int }

// Take counts one more attribute. The error says that there are too many, or too many bytes.
func (b *Budget) Take(name, value int) error {
	b.count++
	b.bytes += name + value
	switch {
	case b.count > MaxCount:
		return errTooMany
	case b.bytes > MaxBytes:
		return errTooLarge
	default:
		return nil
	}
}

var (
	errTooMany  = fmt.Errorf("there are more than %d attributes", MaxCount)
	errTooLarge = fmt.Errorf("the attributes have more than %d bytes, names and values together", MaxBytes)
)

// CheckText refuses a value that no attribute can have: control characters, non-characters of Unicode, and text that is not UTF-8.
func CheckText(value string) error {
	for i := range len(value) {
		if c := value[i]; c < ' ' || c >= 0x7f {
			return checkRunes(value[i:])
		}
	}
	return nil
}

func checkRunes(value string) error {
	for i, r := range value {
		switch {
		case r < ' ', r >= 0x7f && r <= 0x9f, r >= 0xfdd0 && r <= 0xfdef, r&0xfffe == 0xfffe:
			return fmt.Errorf("it holds %U, which CloudEvents forbids in attributes", r)
		case r == utf8.RuneError && !strings.HasPrefix(value[i:], "\uFFFD"):
			return ErrNoUTF8
		}
	}
	return nil
}

// ErrNoUTF8 says that a value cannot be written in JSON, as an event in structured mode has to be.
var ErrNoUTF8 = errors.New("it is not valid UTF-8")

// IsExtension tells whether an extension can have that name: lower-case letters and digits, and none of CloudEvents' own names.
func IsExtension(name string) bool {
	switch name {
	case "", "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "data":
		return false
	}
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// URI returns what renders as text, byte for byte, and whether text is a reference to a URI. What Go would write in another way, such
// as an empty fragment, a scheme in upper case or letters that are not ASCII, is kept as one opaque part.
func URI(text string) (u url.URL, ok bool) {
	parsed, err := url.Parse(text)
	if err == nil && parsed.String() == text {
		return *parsed, true
	}
	if scheme, rest, found := strings.Cut(text, ":"); found && isScheme(scheme) {
		return url.URL{Scheme: scheme, Opaque: rest}, err == nil
	}
	return url.URL{Opaque: text}, err == nil
}

func isScheme(s string) bool {
	for i := range len(s) {
		switch c := s[i] | 0x20; {
		case c >= 'a' && c <= 'z':
		case i > 0 && (s[i] >= '0' && s[i] <= '9' || s[i] == '+' || s[i] == '-' || s[i] == '.'):
		default:
			return false
		}
	}
	return s != ""
}

// ParseTime returns the time that text is by RFC 3339, to the nanosecond. The letters T and Z may be in lower case.
func ParseTime(text string) (time.Time, error) {
	text = strings.ToUpper(text)
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || !isStrict(text) {
		return t, errNoTime
	}
	return t, CheckTime(t)
}

// isStrict tells a time of RFC 3339 from what [time.Parse] accepts besides: an hour of one digit, a comma, and any offset.
func isStrict(text string) bool {
	const seconds = len("2006-01-02T15:04:05")
	end := len(text)
	return text[13] == ':' && text[seconds] != ',' && (text[end-1] == 'Z' || text[end-5:end-3] < "24" && text[end-2:] < "60")
}

// CheckTime refuses a time that cannot be written in UTC: RFC 3339 has four digits for the year, and Protobuf no year 0.
func CheckTime(t time.Time) error {
	if year := t.UTC().Year(); year < 1 || year > 9999 {
		return errNoTime
	}
	return nil
}

var errNoTime = errors.New("it is no time of RFC 3339 that in UTC lies in the years 0001 to 9999")
