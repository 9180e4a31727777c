// Package broker says what Brokers of class EventMesh, and their Triggers, do with an event: how it is delivered, and when replies to
// replies come to an end. What a Trigger gets is told by package filter.
package broker
