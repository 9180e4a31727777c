// Package tcp is EventMesh's TCP transport.
//
// EventMesh waits for the acknowledgement of a delivery, and gives it to another session of the group if this one ends first. But 3 to 8
// seconds after it sent an event it acknowledges it by itself. It does not wait for acknowledgements before it sends more.
//
// EventMesh can lose the confirmation of a publish, or send it to another connection; the session then also loses a permit to publish.
// A publish without confirmation is sent again after [ConfirmTimeout], or soon after a later one to its topic is confirmed, so that
// EventMesh may have an event twice. A session without permits ends.
//
// EventMesh refuses data above 1,000 characters unless its eventMesh.server.maxEventSize is raised. Events reach TCP subscribers only,
// or those of one other transport, if the configuration names it.
package tcp
