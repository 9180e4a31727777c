// Package source is the EventMesh source for Knative: it subscribes to topics of EventMesh, and sends each event to K_SINK.
//
// The way of an event: receive → keep → deliver → acknowledge.
//
//   - receive.go takes deliveries from EventMesh, for as long as there is room in the buffer. It stays subscribed when there is
//     none, since leaving a group is what loses events in EventMesh.
//   - buffer.go keeps them, bounded by number and by bytes.
//   - deliver.go sends them, several at a time, again with back-off where the sink did not take one.
//   - send.go is one request, and what its answer means.
//
// An event is acknowledged to EventMesh once the sink has taken it, and leaves the buffer then; before only where
// EVENTMESH_RETRIES bounds the attempts. EventMesh
// acknowledges by itself much earlier: at once over gRPC, after 3 to 8 seconds over TCP. What is in the buffer when the process dies is
// lost, therefore; a shutdown by SIGTERM first leaves the group and delivers the buffer.
//
// While the process lives, and with unbounded retries, delivery is at least once for what it has received. It is unordered.
package source
