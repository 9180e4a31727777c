// Demo plays both directions of events on this machine, over gRPC, TCP and HTTP: Knative to EventMesh through the sink, and
// EventMesh to Knative through the source. Everything runs as a process of its own, on free ports; devmesh stands for
// EventMesh and for what Knative has at either end.
//
// With flags, or variables, that name an EventMesh it plays with that one, over the transports whose URLs it gets.
//
// It ends with status 0 when all events have arrived whole, and leaves no process behind however it ends.
package main
