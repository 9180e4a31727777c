// Broker measures Brokers of class EventMesh side by side with Knative's MTChannelBasedBroker on InMemoryChannel: in one cluster, with the
// same events, and in turns, since a machine is not the same from minute to minute.
//
// For each number of Triggers it makes a Broker of each class. A pod posts events to them, and is the subscriber of all Triggers; see
// package load. First each Broker gets as many events as it can take, with a number of them under way at any time: that is its rate. Then
// both get events at the same rate, half of what the slower one can, in blocks in which CPU, memory and latencies are measured.
//
// CPU and memory are what the kubelet has counted. It looks every 10 to 20 seconds: a block of one Broker is from the last look before it to
// the first after it, less what the programs use at rest, and while one waits for that look the other Broker has its block.
//
// The cluster has to have both classes; the script run installs what is missing. See make bench-broker.
package main
