package jsonevent

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strconv"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsontext"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/mediatype"
)

func present(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// stringOf returns a string, and an empty one for null.
func (r *reader) stringOf(value []byte) (string, error) {
	s, ok := jsontext.String(value)
	if !ok && string(value) != null {
		return "", errNoString
	}
	if r.strict && jsontext.HasHalf(value) {
		return "", errHalf
	}
	return s, nil
}

// scalar returns the value of an extension: a string, a boolean, an integer, or nil.
func (r *reader) scalar(value []byte) (any, error) {
	switch value[0] {
	case '"':
		return r.stringOf(value)
	case '{', '[':
		return nil, errNoScalar
	case 't', 'f':
		return value[0] == 't', nil
	case 'n':
		return nil, nil
	}
	n, err := strconv.ParseInt(string(value), 10, 32)
	switch {
	case err == nil:
		return int32(n), nil
	case r.strict:
		return nil, errNoInteger
	default:
		return string(value), nil
	}
}

func (r *reader) decodeBase64() ([]byte, error) {
	s, ok := jsontext.String(r.encoded)
	if !ok {
		return nil, fmt.Errorf("%s: %w", memberDataBase64, errNoString)
	}
	data, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", memberDataBase64, err)
	}
	return data, nil
}

// own returns a part of the text for the event: a copy, unless the text is given away and has hardly anything besides.
func (r *reader) own(part []byte) []byte {
	if r.strict || len(part) < r.size/2 {
		return bytes.Clone(part)
	}
	return part[:len(part):len(part)]
}

// decodeData returns JSON as it is, and data of any other content type from the string that it has become.
func (r *reader) decodeData() ([]byte, error) {
	contentType := r.context.DataContentType
	if contentType == nil || mediatype.IsJSON(*contentType) {
		return r.own(r.data), nil
	}
	if inner, ok := jsontext.Plain(r.data); ok {
		return r.own(inner), nil
	}
	s, err := r.stringOf(r.data)
	if err != nil {
		return nil, fmt.Errorf("data of content type %.100s: %w", *contentType, err)
	}
	return []byte(s), nil
}
