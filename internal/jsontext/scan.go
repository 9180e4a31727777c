package jsontext

import (
	"bytes"
	"encoding/binary"
)

// The functions below return where that ends which begins at i, and -1 where it is not valid.

// value does not call itself for what is nested in it: 10,000 calls would need a stack of fifty times the text, which the goroutine keeps.
func value(text []byte, i int) int {
	var few [32]byte
	open := few[:0] // the brackets whose ends have not come yet
	for i >= 0 && i < len(text) {
		if c := text[i]; c == '{' || c == '[' {
			if open = append(open, c); 1+len(open) > maxNesting { // for it stands in an object or an array
				return -1
			}
			if i = space(text, i+1); i == len(text) {
				return -1
			}
			if text[i] != c+2 { // which is its end
				if c == '{' {
					_, i = name(text, i)
				}
				continue
			}
		} else if i = scalar(text, i) - 1; i < 0 { // its last byte
			return -1
		} else if len(open) == 0 {
			return i + 1
		} else if i = space(text, i+1); i == len(text) {
			return -1
		}
		for text[i] == open[len(open)-1]+2 {
			if open = open[:len(open)-1]; len(open) == 0 {
				return i + 1
			}
			if i = space(text, i+1); i == len(text) {
				return -1
			}
		}
		if text[i] != ',' {
			return -1
		}
		if i = space(text, i+1); open[len(open)-1] == '{' {
			_, i = name(text, i)
		}
	}
	return -1
}

func scalar(text []byte, i int) int {
	switch text[i] {
	case '"':
		return str(text, i)
	case 't':
		return literal(text, i, "true")
	case 'f':
		return literal(text, i, "false")
	case 'n':
		return literal(text, i, "null")
	default:
		return number(text, i)
	}
}

// name returns where the name ends that begins at i, and where its value begins.
func name(text []byte, i int) (end, start int) {
	if i == len(text) || text[i] != '"' {
		return -1, -1
	}
	if end = str(text, i); end < 0 {
		return -1, -1
	}
	if i = space(text, end); i == len(text) || text[i] != ':' {
		return -1, -1
	}
	return end, space(text, i+1)
}

func object(text []byte, i int, f func(name, value []byte) error) (end int, err error) {
	i = space(text, i+1)
	if i < len(text) && text[i] == '}' {
		return i + 1, nil
	}
	for {
		nameEnd, start := name(text, i)
		if start < 0 {
			return -1, nil
		}
		if end = value(text, start); end < 0 {
			return -1, nil
		}
		if err := f(unquoted(text[i:nameEnd]), text[start:end]); err != nil {
			return -1, err
		}
		i = space(text, end)
		switch {
		case i == len(text):
			return -1, nil
		case text[i] == '}':
			return i + 1, nil
		case text[i] != ',':
			return -1, nil
		}
		i = space(text, i+1)
	}
}

// unquoted returns a name as it is where nothing in it is escaped.
func unquoted(name []byte) []byte {
	inner := name[1 : len(name)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return inner
	}
	s, _ := String(name)
	return []byte(s)
}

func array(text []byte, i int, f func(value []byte) error) (end int, err error) {
	i = space(text, i+1)
	if i < len(text) && text[i] == ']' {
		return i + 1, nil
	}
	for {
		if end = value(text, i); end < 0 {
			return -1, nil
		}
		if err := f(text[i:end]); err != nil {
			return -1, err
		}
		i = space(text, end)
		switch {
		case i == len(text):
			return -1, nil
		case text[i] == ']':
			return i + 1, nil
		case text[i] != ',':
			return -1, nil
		}
		i = space(text, i+1)
	}
}

func str(text []byte, i int) int {
	for i++; i < len(text); i++ {
		for len(text)-i >= 8 && isPlain(binary.LittleEndian.Uint64(text[i:])) {
			i += 8
		}
		if i == len(text) {
			return -1
		}
		switch c := text[i]; {
		case c == '"':
			return i + 1
		case c < ' ':
			return -1
		case c == '\\':
			if i = escape(text, i); i < 0 {
				return -1
			}
		}
	}
	return -1
}

// isPlain tells of eight bytes of a string that none of them ends it, begins an escape or is a control character.
func isPlain(eight uint64) bool {
	const each, high = 0x0101010101010101, 0x8080808080808080
	quotes, backslashes := eight^each*'"', eight^each*'\\'
	return ((eight-each*' ')&^eight|(quotes-each)&^quotes|(backslashes-each)&^backslashes)&high == 0
}

// escape returns the last byte of the escape that begins at i.
func escape(text []byte, i int) int {
	if i++; i == len(text) {
		return -1
	}
	switch text[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i
	case 'u':
		if len(text)-i <= 4 {
			return -1
		}
		for _, c := range text[i+1 : i+5] {
			if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
				return -1
			}
		}
		return i + 4
	default:
		return -1
	}
}

func literal(text []byte, i int, want string) int {
	if len(text)-i < len(want) || string(text[i:i+len(want)]) != want {
		return -1
	}
	return i + len(want)
}

func number(text []byte, i int) int {
	if i < len(text) && text[i] == '-' {
		i++
	}
	switch whole := digits(text, i); {
	case whole == i, text[i] == '0' && whole > i+1:
		return -1
	default:
		i = whole
	}
	if i < len(text) && text[i] == '.' {
		fraction := digits(text, i+1)
		if fraction == i+1 {
			return -1
		}
		i = fraction
	}
	if i < len(text) && text[i]|0x20 == 'e' {
		i++
		if i < len(text) && (text[i] == '+' || text[i] == '-') {
			i++
		}
		exponent := digits(text, i)
		if exponent == i {
			return -1
		}
		i = exponent
	}
	return i
}

func digits(text []byte, i int) int {
	for i < len(text) && text[i] >= '0' && text[i] <= '9' {
		i++
	}
	return i
}

func space(text []byte, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\t' || text[i] == '\r' || text[i] == '\n') {
		i++
	}
	return i
}
