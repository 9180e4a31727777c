// Package wire is what the transports share: how events travel through EventMesh, and what its refusals and redirects mean.
//
// Encode and Decode are for what EventMesh carries as CloudEvents, and hold no bytes of a transport; MarshalMessage and
// UnmarshalMessage are for its own, older messages.
package wire

// Form is how data travels through EventMesh.
type Form int

const (
	// NativeForm leaves data and content type as they are, where EventMesh carries them. It is for gRPC subscribers.
	NativeForm Form = iota
	// JSONForm makes every event one with JSON data and content type application/cloudevents+json, the only ones that reach
	// a TCP subscriber.
	JSONForm
	// HTTPForm leaves the subject as it is, makes texts of all attributes, and data that EventMesh would write anew one that is no JSON. It
	// is for EventMesh's HTTP API, which has the topic elsewhere.
	HTTPForm
	// BridgeForm is HTTPForm with the topic as the subject. It is for what clients of 1.x publish to the HTTP API's subscribers.
	BridgeForm
)

// overHTTP tells whether events of a form come to subscribers over EventMesh's HTTP API.
func (f Form) overHTTP() bool { return f == HTTPForm || f == BridgeForm }

// Rendering is how the subscribers of a transport get events. EventMesh delivers an event to no others than those that its publisher
// has named, and renders it for them by what the publisher has said of it: nothing tells that somebody else subscribes.
type Rendering struct {
	// Form is the one in which the subscribers get events unharmed, whichever transport published them.
	Form Form
	// Description is the protocol description that reaches the subscribers.
	Description string
}
