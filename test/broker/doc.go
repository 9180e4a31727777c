// Package broker tests the ingress and the dispatcher of Brokers as processes: with an EventMesh in memory, and a file of Brokers and Triggers
// in the place of a cluster.
package broker
