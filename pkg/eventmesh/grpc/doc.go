// Package grpc is EventMesh's gRPC transport.
//
// EventMesh acknowledges an event by itself as soon as it has written it to a subscriber's stream: what it has written is delivered
// at most once, and an Ack does nothing. It hands out a share of a group's events to every stream that it knows, dead or alive,
// until the session of a dead one expires, 60 s later, or a stream with the same client ID takes its place. What it cannot write is
// lost, but for RocketMQ storage: from there OpenSubscriber fetches it, with duplicates where the group has other members.
//
// A message is at most 4 MiB. What is published here reaches gRPC subscribers only, or those of another transport only where the
// configuration names it.
package grpc
