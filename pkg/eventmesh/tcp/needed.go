package tcp

import (
	"bytes"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// needed returns an event, which is valid JSON, without the members that EventMesh has added: some 25 of 30, which
// [eventmesh.Decode] would leave out. What is no object is returned as it is, and so are members whose names are escaped.
func needed(body []byte) []byte {
	rest, isObject := bytes.CutPrefix(bytes.TrimLeft(body, jsonSpace), []byte("{"))
	if !isObject {
		return body
	}
	left := make([]byte, 0, len(body))
	left = append(left, '{')
	for rest = bytes.TrimLeft(rest, jsonSpace); len(rest) > 0 && rest[0] == '"'; rest = bytes.TrimLeft(rest, jsonSpace) {
		name := rest[1 : stringEnd(rest)-1]
		end := memberEnd(rest)
		if !eventmesh.Reserved(string(name)) {
			if len(left) > 1 {
				left = append(left, ',')
			}
			left = append(left, rest[:end]...)
		}
		rest = bytes.TrimPrefix(rest[end:], []byte(","))
	}
	return append(left, '}')
}

const jsonSpace = " \t\r\n"

// stringEnd returns where the string ends that JSON begins with.
func stringEnd(text []byte) int {
	for i := 1; ; i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}

// memberEnd returns where the member of an object ends that JSON begins with: at the comma or brace after it.
func memberEnd(text []byte) int {
	for i, depth := 0, 0; ; {
		switch text[i] {
		case '"':
			i += stringEnd(text[i:])
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			depth--
		case ',':
			if depth == 0 {
				return i
			}
		}
		i++
	}
}
