// Package source is the EventMesh source for Knative: it subscribes to topics of EventMesh, and sends each event to K_SINK.
//
// The way of an event: receive → keep → deliver. It is acknowledged once it is safe: see below.
//
//   - receive.go takes deliveries from EventMesh, for as long as there is room in the buffer. It stays subscribed when there is
//     none, since with EventMesh's standalone storage it is leaving a group that loses events.
//   - buffer.go keeps them, bounded by number and by bytes: in memory, or in the file of spool.go, which commit.go writes in
//     groups with one sync each. record.go is an event on disk, and verify.go checks a file before it is used.
//   - queue.go holds those that may be sent, in the order asked for, and choose.go says which is next: circuit.go holds back from a sink
//     that is away, and budget.go bounds repeats.
//   - deliver.go sends them, several at a time, again with back-off where the sink did not take one. send.go is one request, and
//     verdict.go what its answer means. deadletter.go is where events go that the sink never takes.
//
// source.go puts this together, and adapter.go runs it in Knative's framework.
//
// With a spool an event is acknowledged to EventMesh once it is on disk, and leaves it once the sink or the dead letters have it.
// In memory it is acknowledged then. EventMesh acknowledges by itself much earlier: at once over gRPC, after 3 to 8 seconds over TCP.
// What is in memory when the process dies is lost, therefore; a shutdown by SIGTERM first leaves the group and delivers it.
//
// Delivery is at least once for what is kept, with unbounded retries. The order is that of EVENTMESH_ORDERING, and none by default.
package source
