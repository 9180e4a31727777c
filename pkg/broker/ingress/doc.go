// Package ingress receives events for Brokers of class EventMesh, at /{namespace}/{name} of one HTTP server for all of them, and publishes
// each to the topic of its Broker. Its answers are those of package [github.com/eventing-eventmesh/eventing-eventmesh/pkg/ingress], and
//
//	202  EventMesh has confirmed the event, which may be one of CloudEvents 0.3: it goes on as one of 1.0
//	400  no path of a Broker, or an event that has come to Brokers as often as it may
//	401  no token, or none that is valid, where Knative's feature authentication-oidc asks for one
//	403  an event that no event policy lets its sender send
//	404  no such Broker, or not by HTTP or HTTPS, as Knative's feature transport-encryption has it
//	413  more than EventMesh accepts
//	429  EventMesh wants fewer events for now, or so many are on their way to it that others would have no place
//	503  EventMesh does not confirm it, or cannot be reached, or it is not known where it is; with Retry-After
//
// adapter.go puts it together, routes.go finds the Broker of a request, senders.go asks who sends it, meshes.go has the connections: one for
// each EventMesh, and as whom, however many Brokers have it; and types.go makes EventTypes.
package ingress
