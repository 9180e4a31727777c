// Package tcp is EventMesh's TCP transport.
//
// EventMesh waits for the acknowledgement of a delivery, and gives it to another session of the group when this one ends
// before; but 3 to 8 seconds after it sent an event it acknowledges it by itself. It has no window: it sends on whether or not
// events have been acknowledged.
//
// Confirmations of publishes can get lost in the server, or reach another connection, and a session's permits with them: a publish
// that is not confirmed within [ConfirmTimeout], or soon after a later one to its topic is, is sent again, so an event may be in
// EventMesh twice; and a session without permits ends.
//
// Data above 1,000 characters is refused unless the server's eventMesh.server.maxEventSize is raised. What is published here
// reaches TCP subscribers only, or those of another transport only where the configuration names it.
package tcp
