package wire

import (
	"bytes"
	"strings"
	"unicode/utf8"
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
