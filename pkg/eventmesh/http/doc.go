// Package http is the transport of EventMesh's HTTP API, which the release after 1.12 has in the place of TCP and gRPC.
//
// EventMesh delivers an event again when it is not acknowledged within 30 s, six times in all; then it moves it to the topic that ends with
// _DLQ. It does so within its own life: what it has delivered when it ends it does not deliver again.
//
// The API has no consumer groups. All that subscribe to a topic share its events, whatever their group is, unless they broadcast; members
// of a group are one client to EventMesh, whose events they poll in turn. A subscription ends 90 s after it was made, and with it events
// are lost that nobody else has subscribed to: a session subscribes again while it lasts, and ends its subscription when events wait too
// long for their receiver, since EventMesh counts the time from the moment on when it takes an event out of its storage.
package http
