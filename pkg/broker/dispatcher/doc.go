// Package dispatcher delivers the events of Brokers of class EventMesh to their Triggers. It is one member of one group at the EventMesh of
// each Broker, so that it receives each event once, however many Triggers there are; keeps it on disk, once, for all Triggers that want it;
// acknowledges it; and delivers it to each of them by the Trigger's own delivery spec.
//
// adapter.go puts it together; brokers.go has what there is of each Broker, which follows the table; member.go is the membership in its
// group; destinations.go has the connections to subscribers, dead letter sinks, and the Brokers themselves, for replies; tokens.go asks the
// cluster for the tokens that are sent with events.
package dispatcher
