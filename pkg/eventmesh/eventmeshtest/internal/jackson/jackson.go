// Package jackson reads and writes JSON as the Java library of that name does, with which EventMesh does it.
package jackson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf16"
)

// Object is a JSON object that remembers the order of its keys; of duplicates the last wins.
type Object struct {
	Keys   []string
	Values map[string]any
}

// NewObject returns an empty object.
func NewObject() *Object { return &Object{Values: map[string]any{}} }

// Set sets a member: to an *Object, a []any, a string, a bool, a [json.Number], nil, or a [json.RawMessage], which is written as it is.
func (o *Object) Set(key string, value any) {
	if _, ok := o.Values[key]; !ok {
		o.Keys = append(o.Keys, key)
	}
	o.Values[key] = value
}

// Parse reads the first value of b, and ignores what follows it. It returns what [Object.Set] takes.
func Parse(b []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return parseValue(d)
}

func parseValue(d *json.Decoder) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, fmt.Errorf("reading JSON: %w", err)
	}
	switch token {
	case json.Delim('{'):
		o := NewObject()
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, fmt.Errorf("reading JSON: %w", err)
			}
			value, err := parseValue(d)
			if err != nil {
				return nil, err
			}
			o.Set(fmt.Sprint(key), value)
		}
		return o, closeValue(d)
	case json.Delim('['):
		list := []any{}
		for d.More() {
			value, err := parseValue(d)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		return list, closeValue(d)
	}
	return token, nil
}

func closeValue(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("reading JSON: %w", err)
	}
	return nil
}

// Append appends a value: without white space, and with Java's form of numbers.
func Append(b []byte, v any) []byte {
	switch v := v.(type) {
	case *Object:
		b = append(b, '{')
		for i, key := range v.Keys {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, key), ':')
			b = Append(b, v.Values[key])
		}
		return append(b, '}')
	case []any:
		b = append(b, '[')
		for i, item := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = Append(b, item)
		}
		return append(b, ']')
	case json.Number:
		return append(b, javaNumber(string(v))...)
	case string:
		return appendString(b, v)
	case bool:
		return strconv.AppendBool(b, v)
	case json.RawMessage:
		return append(b, v...)
	}
	return append(b, "null"...)
}

func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch r {
		case '"', '\\':
			b = append(b, '\\', byte(r))
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		case '\b':
			b = append(b, `\b`...)
		case '\f':
			b = append(b, `\f`...)
		default:
			if r < ' ' {
				b = fmt.Appendf(b, `\u%04X`, r)
				continue
			}
			b = append(b, string(r)...)
		}
	}
	return append(b, '"')
}

// EscapeSupplementary escapes the characters that are two in UTF-16, which Jackson does where it writes a tree to bytes.
func EscapeSupplementary(s string) string {
	var b strings.Builder
	for _, r := range s {
		if high, low := utf16.EncodeRune(r); r > 0xffff {
			fmt.Fprintf(&b, `\u%04X\u%04X`, high, low)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// javaNumber is a number of JSON after Java has read and written it: whole numbers keep their digits, all others go
// through a double.
func javaNumber(literal string) string {
	if !strings.ContainsAny(literal, ".eE") {
		if n, ok := new(big.Int).SetString(literal, 10); ok {
			return n.String()
		}
	}
	f, err := strconv.ParseFloat(literal, 64)
	if errors.Is(err, strconv.ErrRange) && math.IsInf(f, 0) {
		return map[bool]string{true: `"Infinity"`, false: `"-Infinity"`}[f > 0]
	}
	return javaDouble(f)
}

// javaDouble is Double.toString.
func javaDouble(f float64) string {
	if abs := math.Abs(f); abs == 0 || abs >= 1e-3 && abs < 1e7 {
		s := strconv.FormatFloat(f, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	n, _ := strconv.Atoi(exponent)
	return mantissa + "E" + strconv.Itoa(n)
}
