// Package broker says what Brokers of class EventMesh, and their Triggers, do with an event: who gets it, how it is delivered, what becomes
// of a reply, and when replies to replies come to an end. It knows neither EventMesh nor Kubernetes: events are put into a [Fanout], which
// is told of Triggers.
package broker
