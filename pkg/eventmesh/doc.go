// Package eventmesh is a client of Apache EventMesh 1.11 and 1.12 for CloudEvents.
//
// [NewPublisher] returns a [Publisher], which publishes events to topics, and [NewSubscriber] a [Subscriber], which receives them,
// over a [Transport]: package grpc or package tcp below this one, or package transports for both. They keep one session with one
// EventMesh server, and reconnect by themselves.
//
// # Delivery guarantees
//
// [Publisher.Publish] returns nil only when EventMesh has confirmed the event. Publishing is at least once: an event
// whose confirmation got lost is in EventMesh although Publish failed, and again when the caller repeats it.
//
// Receiving is what EventMesh makes of it. Over gRPC an event counts as delivered as soon as the server has written it
// to the stream; what it could not write to the stream of a session that had died, it delivers late where its storage is RocketMQ,
// and loses elsewhere. Over TCP the server waits for [Delivery.Ack], but only 3 to 8 seconds, and then acknowledges the event
// itself. Past these an event exists only in the receiver: whoever must not lose it keeps it safe before doing anything
// else with it.
//
// # Order
//
// Deliveries come in the order in which EventMesh sent them. EventMesh keeps no order between the members of a group.
//
// # Events survive unchanged
//
// EventMesh takes the subject for its own purpose, refuses or loses some kinds of data, and adds attributes to every
// event, among them the publisher's user name and password. Publisher and Subscriber undo all that: an event published with
// this package is received by it equal in every attribute and byte, whichever transport carried it; of a time it is the instant that is
// equal. What EventMesh or CloudEvents would not take, [Validate] and Publish refuse.
//
// What was published with EventMesh's own message protocol is received as an event of [MessageType].
package eventmesh
