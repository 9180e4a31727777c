// Package grpc is EventMesh's gRPC transport.
//
// EventMesh acknowledges an event by itself as soon as it has written it to a subscriber's stream: an event is delivered
// at most once, and an Ack does nothing. It hands out a share of a group's events to every stream that it knows, dead or alive:
// after the crash of one of several members, that share is lost until the session expires, 60 s later, or until a stream with the
// same client ID takes its place.
//
// A message is at most 4 MiB. What is published here reaches gRPC subscribers only, or TCP subscribers only where the
// configuration names those.
package grpc
