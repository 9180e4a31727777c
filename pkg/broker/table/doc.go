// Package table is what the data plane knows of Brokers of class EventMesh and their Triggers: all that its programs need to serve them, in
// one value that does not change. A [Source] gives a new one after each change: of the cluster, or of a file that stands for one.
//
// What is wrong with one Broker or Trigger is said of it, and is no matter of the others. A Broker whose ConfigMap or Secret has been deleted,
// or says what it must not, is served as before.
package table
