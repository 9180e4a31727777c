package next

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/internal/jackson"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/javauri"
)

// checkTypes refuses what the server accepts as an extension, and cannot read as the attribute that it becomes.
func (e *event) checkTypes() error {
	for _, name := range []string{memberSource, memberSchema} {
		if !javauri.Valid(e.attributes[name]) {
			return fmt.Errorf("event %q: its %s is no URI", e.attributes[memberID], name)
		}
	}
	if text, ok := e.attributes[memberTime]; ok {
		if _, err := parseTime(text); err != nil {
			return fmt.Errorf("event %q: %w", e.attributes[memberID], err)
		}
	}
	return nil
}

// render writes the event as the SDK does: data of a JSON type as it is, whether it is JSON or not.
func (e *event) render() ([]byte, error) {
	if err := e.checkTypes(); err != nil {
		return nil, err
	}
	o := jackson.NewObject()
	o.Set(memberVersion, "1.0")
	for _, name := range slices.Sorted(maps.Keys(e.attributes)) {
		value := e.attributes[name]
		if t, err := parseTime(value); name == memberTime && err == nil {
			value = t.Format(time.RFC3339Nano)
		}
		if name != memberVersion && name != "datacontentencoding" {
			o.Set(name, value)
		}
	}
	switch {
	case len(e.data) == 0:
	case e.isJSON():
		o.Set(memberData, json.RawMessage(validUTF8(e.data)))
	default:
		o.Set(memberBase64, base64.StdEncoding.EncodeToString(e.data))
	}
	return jackson.Append(nil, o), nil
}

// renderPolled writes the events of an answer to a poll, which are read again on the way. It fails where one of them is no JSON then.
func renderPolled(deliveries []*flight) ([]byte, error) {
	all := make([]any, 0, len(deliveries))
	for _, f := range deliveries {
		text, err := f.message.event.render()
		if err != nil {
			return nil, err
		}
		value, err := jackson.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("event %q of topic %q: %w", f.message.event.attributes[memberID], f.message.topic, err)
		}
		o := jackson.NewObject()
		o.Set("deliveryId", f.id)
		o.Set("event", value)
		all = append(all, o)
	}
	if err := checkDepth(all); err != nil {
		return nil, err
	}
	return []byte(jackson.EscapeSupplementary(string(jackson.Append(nil, all)))), nil
}

// newID returns a random UUID.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // which never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
