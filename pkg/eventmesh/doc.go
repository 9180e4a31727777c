// Package eventmesh is a client of Apache EventMesh 1.11, 1.12 and the release after that, for CloudEvents.
//
// [NewPublisher] returns a [Publisher], which publishes events to topics, and [NewSubscriber] a [Subscriber], which receives them,
// over a [Transport]: package grpc, tcp or http below this one, or package transports for all. They keep one session with one
// EventMesh server, and reconnect by themselves.
//
// # Delivery guarantees
//
// [Publisher.Publish] returns nil only when EventMesh has confirmed the event. Publishing is at least once: an event
// whose confirmation got lost is in EventMesh although Publish failed, and again when the caller repeats it.
//
// How safe an event is on its way to a receiver depends on the transport. Over gRPC it counts as acknowledged as soon as the server has
// written it to the stream; an event that the server could not write, since the session had died, is late where the storage is
// RocketMQ, and lost elsewhere. Over TCP the server waits 3 to 8 seconds for [Acknowledge], and then acknowledges the event itself.
// From then on only the receiver has it: a receiver that must not lose an event stores it before it does anything else. Over HTTP the server
// delivers what is not acknowledged again, after 30 s and for 3 minutes.
//
// # Order
//
// Deliveries come in the order in which EventMesh sent them. EventMesh keeps no order between the members of a group.
//
// # Events survive unchanged
//
// EventMesh uses the subject for its own purpose, refuses or loses some kinds of data, and adds attributes to every event, among them
// the publisher's user name and password. Publisher and Subscriber undo all that: an event that this package publishes is equal in every
// attribute and byte when this package receives it, over any transport; times are equal as instants. [Validate] and Publish refuse what
// EventMesh or CloudEvents would not accept.
//
// Messages of EventMesh's own protocol are received as events of [MessageType].
package eventmesh
