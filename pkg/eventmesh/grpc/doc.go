// Package grpc is EventMesh's gRPC transport.
//
// EventMesh acknowledges an event by itself as soon as it has written it to a subscriber's stream: it delivers such an event at most
// once, and Ack does nothing. Every stream of a group gets a share of the events. That of a dead session does so too, until the session
// expires after 60 s, or a session with the same client ID replaces it. Events that EventMesh cannot write are lost, unless its storage
// is RocketMQ: then OpenSubscriber fetches them, with duplicates where the group has other members.
//
// A message has at most 4 MiB. Events reach gRPC subscribers only, or those of one other transport, if the configuration names it.
//
// The EventMesh of the release after 1.12 has a bridge for clients of this protocol. Publishers can use it, and reach its subscribers over
// HTTP. OpenSubscriber returns an [eventmesh.ErrUnsupported] there, before it subscribes: the bridge ends subscriptions within a minute
// without a word, delivers what nobody can acknowledge up to six times, and shares events between groups.
package grpc
