package contract

import (
	"fmt"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsonevent"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
)

// Difference says in what two events differ; it is empty where they are equal in every attribute and byte.
func Difference(got, want event.Event) string {
	var b strings.Builder
	differ := func(what string, got, want any) {
		if fmt.Sprintf("%T %v", got, got) != fmt.Sprintf("%T %v", want, want) {
			fmt.Fprintf(&b, "%s: got %T %q, want %T %q\n", what, got, fmt.Sprint(got), want, fmt.Sprint(want))
		}
	}
	differ("specversion", got.SpecVersion(), want.SpecVersion())
	differ("id", got.ID(), want.ID())
	differ("source", got.Source(), want.Source())
	differ("type", got.Type(), want.Type())
	differ("subject", got.Subject(), want.Subject())
	differ("time", got.Time().UTC(), want.Time().UTC())
	differ("dataschema", got.DataSchema(), want.DataSchema())
	differ("datacontenttype", got.DataContentType(), want.DataContentType())
	for name := range want.Extensions() {
		differ("extension "+name, got.Extensions()[name], want.Extensions()[name])
	}
	for name, value := range got.Extensions() {
		if _, ok := want.Extensions()[name]; !ok {
			fmt.Fprintf(&b, "extension %s: got %v, want none\n", name, value)
		}
	}
	if (got.Data() == nil) != (want.Data() == nil) || string(got.Data()) != string(want.Data()) {
		fmt.Fprintf(&b, "data: got %q (nil %t), want %q (nil %t)\n", got.Data(), got.Data() == nil, want.Data(), want.Data() == nil)
	}
	return b.String()
}

// Through returns what comes out of EventMesh of an event, for subscribers of every form, and where its storage makes texts of all
// attributes, as RocketMQ does.
func Through(e event.Event) (all []event.Event, err error) {
	for _, form := range []wire.Form{wire.NativeForm, wire.JSONForm, wire.HTTPForm, wire.BridgeForm} {
		carried, err := wire.Encode(e, "orders", form)
		if err != nil {
			return nil, err
		}
		text, err := jsonevent.Append(nil, event.Event{Context: carried.Context})
		if err != nil {
			return nil, err
		}
		stored, err := jsonevent.Unmarshal(text, nil)
		if err != nil {
			return nil, err
		}
		stored.DataEncoded = carried.DataEncoded
		var got event.Event
		if form == wire.HTTPForm || form == wire.BridgeForm {
			got, err = wire.DecodeHTTP(stored)
		} else {
			got, _, err = wire.Decode(stored)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, got)
	}
	return all, nil
}
