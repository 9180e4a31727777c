// Package jsontext reads and writes JSON in one pass, without reflection and without copies: for what every event is made of.
package jsontext

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode"
	"unicode/utf16"
)

// What is not valid JSON of the kind, or is nested more than 10,000 deep, which encoding/json refuses too.
var (
	ErrNoObject = errors.New("it is no JSON object")
	ErrNoArray  = errors.New("it is no JSON array")
)

const maxNesting = 10_000

// Members calls f for each member of the object that text is, in order, with the member's name and its value as it is in text,
// without white space around it. Both are valid until f returns. It ends at the first error of f, which it returns, and otherwise
// returns ErrNoObject where text is not one object of valid JSON. Of that f may have seen the beginning.
func Members(text []byte, f func(name, value []byte) error) error {
	return whole(text, '{', ErrNoObject, func(i int) (int, error) { return object(text, i, f) })
}

// Elements calls f for each element of the array that text is, as Members does for an object; otherwise it returns ErrNoArray.
func Elements(text []byte, f func(value []byte) error) error {
	return whole(text, '[', ErrNoArray, func(i int) (int, error) { return array(text, i, f) })
}

// whole reads a value that begins with one character, and has nothing behind it.
func whole(text []byte, first byte, otherwise error, read func(i int) (end int, err error)) error {
	i := space(text, 0)
	if i == len(text) || text[i] != first {
		return otherwise
	}
	end, err := read(i)
	if err != nil {
		return err
	}
	if end < 0 || space(text, end) != len(text) {
		return otherwise
	}
	return nil
}

// Plain returns what is between the quotes of a JSON string without escapes, and false for any other value. The value is one that Members
// has passed.
func Plain(value []byte) ([]byte, bool) {
	if len(value) == 0 || value[0] != '"' || bytes.IndexByte(value, '\\') >= 0 {
		return nil, false
	}
	return value[1 : len(value)-1], true
}

// String returns the text that a JSON string stands for, and false for any other value. The value is one that Members has passed.
func String(value []byte) (string, bool) {
	if inner, ok := Plain(value); ok || len(value) == 0 || value[0] != '"' {
		return string(inner), ok
	}
	var s string
	err := json.Unmarshal(value, &s)
	return s, err == nil
}

// IsValue tells whether text is a value as Members passes it, with nothing around it.
func IsValue(text []byte) bool { return len(text) > 0 && value(text, 0) == len(text) }

// HasHalf tells whether a string holds an escape for half a surrogate pair, such as \ud800 alone, of which String makes U+FFFD. The
// value is one that Members has passed.
func HasHalf(value []byte) bool {
	for {
		i := bytes.IndexByte(value, '\\')
		if i < 0 {
			return false
		}
		value = value[i:]
		first := escaped(value)
		switch {
		case first < 0:
			value = value[2:]
		case !utf16.IsSurrogate(first):
			value = value[6:]
		case utf16.DecodeRune(first, escaped(value[6:])) == unicode.ReplacementChar:
			return true
		default:
			value = value[12:]
		}
	}
}

// escaped returns the code unit of the escape with four digits that value begins with, or -1.
func escaped(value []byte) rune {
	if len(value) < 6 || value[0] != '\\' || value[1] != 'u' {
		return -1
	}
	var unit rune
	for _, c := range value[2:6] {
		digit := rune(c - '0')
		if c > '9' {
			digit = rune(c|0x20-'a') + 10
		}
		unit = unit<<4 | digit
	}
	return unit
}

// AppendString appends s, of type string or bytes, as a JSON string. Bytes that are no UTF-8 stay as they are.
func AppendString[T string | []byte](b []byte, s T) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	start := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		}
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}
