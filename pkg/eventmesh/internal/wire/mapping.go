package wire

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/attribute"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/javauri"
)

// Prefix starts the names of the extensions in which an event carries what EventMesh has no place for, while it is in
// EventMesh. A consumer that does not use this project's client finds there:
//
//	emxsubject          the event's subject, since EventMesh uses subject for the topic
//	emxdatacontenttype  the true content type, where the data travels as another
//	emxdata             how the data travels, where it is not as it was (see data.go)
//	emxjson             the text of data that travels as JSON, in the DEFLATE format and base64, where it is spelled otherwise
//	                    than EventMesh would
//	emxtypes            the types of extensions that are no strings, or blank ones, as "name:type" separated by commas
//	emx<name>           extension <name>, whose own name EventMesh uses, or that itself starts with the prefix
//
// Over HTTP the subject travels as itself, and emxjson is at most as long as an attribute there may be. What a client of 1.x publishes to
// subscribers over HTTP has emxsubject always: it is empty where the event has no subject.
const Prefix = "emx"

const (
	markSubject     = Prefix + "subject"
	markContentType = Prefix + "datacontenttype"
	markData        = Prefix + "data"
	markJSON        = Prefix + "json"
	markTypes       = Prefix + "types"
)

// Values of the types extension: the names of the CloudEvents type system.
const (
	typeBoolean   = "boolean"
	typeInteger   = "integer"
	typeBinary    = "binary"
	typeURI       = "uri"
	typeURIRef    = "urireference"
	typeTimestamp = "timestamp"
	// typeBlank is ours, for a string of nothing but white space, which RocketMQ refuses: it travels behind a placeholder.
	typeBlank = "blank"
)

// Encode returns the event as EventMesh carries it unharmed to topic, in the given form. The error is an ErrInvalidTopic or
// ErrInvalidEvent. The event itself is not changed; the result may share its data.
func Encode(e event.Event, topic string, form Form) (event.Event, error) {
	if err := ValidateTopic(topic); err != nil {
		return event.Event{}, err
	}
	in, err := validate(e)
	if err != nil {
		return event.Event{}, fmt.Errorf("%w: %w", ErrInvalidEvent, err)
	}
	out := *in
	out.Extensions = make(map[string]any, len(in.Extensions)+4)
	if err := encodeExtensions(out.Extensions, in.Extensions, form); err != nil {
		return event.Event{}, fmt.Errorf("%w: %w", ErrInvalidEvent, err)
	}
	if form != HTTPForm {
		out.Subject = &topic
		if in.Subject != nil || form == BridgeForm {
			out.Extensions[markSubject] = deref(in.Subject)
		}
	}
	if form.overHTTP() {
		return encodeHTTP(&out, e.DataEncoded), nil
	}
	return event.Event{Context: &out, DataEncoded: encodeData(&out, e.DataEncoded, form)}, nil
}

// EncodeReply encodes the reply to a request that came as wire. EventMesh finds the requester by the extensions that it has put on
// the request, so the reply carries them too.
func EncodeReply(reply, wire event.Event, form Form) (event.Event, error) {
	out, err := Encode(reply, wire.Subject(), form)
	if err != nil {
		return event.Event{}, err
	}
	for name, value := range wire.Extensions() {
		// 99 stands for the underscore in the names of RocketMQ's properties.
		if reserved[name] || strings.Contains(name, "99") && !strings.HasPrefix(name, Prefix) {
			out.SetExtension(name, value)
		}
	}
	return out, nil
}

// DecodeReply decodes the reply to a request, unless that has failed already. Where the reply is none, or a subscriber says that
// there is none, it returns an ErrInvalidReply.
func DecodeReply(wire event.Event, err error) (*event.Event, error) {
	var reply event.Event
	if err == nil {
		reply, _, err = Decode(wire)
	}
	return usable(reply, err)
}

func usable(reply event.Event, err error) (*event.Event, error) {
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrInvalidReply, err)
	case reply.Type() == InvalidReplyType:
		return nil, fmt.Errorf("%w: %s", ErrInvalidReply, StartOf(string(reply.Data())))
	default:
		return &reply, nil
	}
}

// Decode undoes Encode, and removes what EventMesh and the publisher's client have added. Events of other publishers are left as they
// are but for the latter, even where CloudEvents forbids what they hold; EventMesh's own messages become events of [MessageType]. What
// could not be written again as a CloudEvent cannot be decoded: an attribute named data, one that is not UTF-8, a time outside the
// years 0001 to 9999. The topic is returned even then.
func Decode(wire event.Event) (e event.Event, topic string, err error) {
	in, ok := wire.Context.(*event.EventContextV1)
	if !ok {
		return event.Event{}, "", fmt.Errorf("decoding event: specversion %s is not supported", wire.SpecVersion())
	}
	if IsMessage(wire) {
		return decodeMessage(in, wire.DataEncoded)
	}
	topic = deref(in.Subject)
	out := *in
	out.Subject = nil
	e, err = decode(&out, wire.DataEncoded, reserved)
	return e, topic, err
}

// decode undoes what was done to the extensions and the data of an event, and removes the extensions of EventMesh's own.
func decode(out *event.EventContextV1, data []byte, reserved map[string]bool) (event.Event, error) {
	in := out.Extensions
	out.Extensions = nil
	marks, err := decodeExtensions(out, in, reserved)
	if err != nil {
		return event.Event{}, fmt.Errorf("decoding event: %w", err)
	}
	if subject, ok := marks[markSubject]; ok {
		if out.Subject = &subject; subject == "" {
			out.Subject = nil
		}
	}
	if data, err = decodeData(out, data, marks); err != nil {
		return event.Event{}, fmt.Errorf("decoding data: %w", err)
	}
	e, err := rewritable(out, data)
	if err != nil {
		return event.Event{}, fmt.Errorf("decoding event: %w", err)
	}
	return e, nil
}

func encodeExtensions(out, in map[string]any, form Form) error {
	var kinds []string
	reserved := form.reserved()
	for name, value := range in {
		value, text, err := validExtension(name, value)
		if err != nil {
			return err
		}
		kind := typeOf(value)
		if kind != "" {
			kinds = append(kinds, name+":"+kind)
			switch {
			case kind == typeBlank:
				value = fmt.Sprint(placeholder, value)
			case form.overHTTP(), form == JSONForm && kind != typeBoolean && kind != typeInteger:
				value = text
			case (kind == typeURI || kind == typeURIRef) && !javauri.Valid(text): // which EventMesh would parse
				value = text
			}
		}
		if reserved[name] || strings.HasPrefix(name, Prefix) {
			name = Prefix + name
		}
		out[name] = value
	}
	if len(kinds) > 0 {
		slices.Sort(kinds)
		out[markTypes] = strings.Join(kinds, ",")
	}
	return nil
}

// decodeExtensions sets the event's own extensions, and returns those that only served the transport.
func decodeExtensions(out *event.EventContextV1, in map[string]any, reserved map[string]bool) (map[string]string, error) {
	marks := map[string]string{}
	for _, mark := range []string{markSubject, markContentType, markData, markJSON, markTypes} {
		value, ok := in[mark]
		if !ok {
			continue
		}
		s, ok := value.(string)
		if !ok {
			return nil, fmt.Errorf("extension %s is a %T, want a string", mark, value)
		}
		marks[mark] = s
	}
	kinds := map[string]string{}
	for pair := range strings.SplitSeq(marks[markTypes], ",") {
		name, kind, _ := strings.Cut(pair, ":")
		kinds[name] = kind
	}
	for name, value := range in {
		own, escaped := strings.CutPrefix(name, Prefix)
		if _, isMark := marks[name]; isMark || reserved[name] {
			continue
		}
		if !escaped {
			if _, isOthers := in[Prefix+name]; isOthers { // the publisher's client has added it
				continue
			}
			own = name
		}
		value, err := typed(value, kinds[own])
		if err != nil {
			return nil, fmt.Errorf("extension %s: %w", own, err)
		}
		if err := out.SetExtension(own, value); err != nil {
			return nil, fmt.Errorf("extension %s: %w", own, err)
		}
	}
	return marks, nil
}

func typeOf(value any) string {
	switch value := value.(type) {
	case string:
		if strings.TrimSpace(value) == "" {
			return typeBlank
		}
		return ""
	case bool:
		return typeBoolean
	case int32:
		return typeInteger
	case []byte:
		return typeBinary
	case types.URI:
		return typeURI
	case types.URIRef:
		return typeURIRef
	case types.Timestamp:
		return typeTimestamp
	default:
		return ""
	}
}

// typed gives a value back the type that it lost where it travelled as a string: in JSON, and in the storages' properties.
func typed(value any, kind string) (any, error) {
	var s string
	switch v := value.(type) {
	case string:
		s = v
	case types.URI:
		s = v.String()
	case types.URIRef:
		s = v.String()
	default:
		return value, nil
	}
	switch kind {
	case typeBoolean:
		return types.ParseBool(s)
	case typeInteger:
		return types.ParseInteger(s)
	case typeBinary:
		return types.ParseBinary(s)
	case typeURI:
		uri, _ := attribute.URI(s)
		return types.URI{URL: uri}, nil
	case typeURIRef:
		uri, _ := attribute.URI(s)
		return types.URIRef{URL: uri}, nil
	case typeTimestamp:
		return types.ParseTime(s)
	case typeBlank:
		return strings.TrimPrefix(s, placeholder), nil
	default:
		return value, nil
	}
}
