// Package source is the EventMesh source for Knative: it subscribes to topics of EventMesh, and sends each event to K_SINK.
//
// The way of an event: receive → keep → deliver → acknowledge. receive.go moves deliveries from EventMesh into a dispatcher of package
// dispatch, which keeps them, in memory or on disk, and sends them: package dispatch says how. While there is no room the source stays
// subscribed, since with EventMesh's standalone storage it is leaving a group that loses events. destination.go is where events and dead
// letters go, source.go puts this together and ends it, and adapter.go runs it in Knative's framework.
//
// With a spool an event is acknowledged to EventMesh once it is on disk, and leaves it once the sink or the dead letters have it.
// In memory it is acknowledged then. EventMesh acknowledges by itself much earlier: at once over gRPC, after 3 to 8 seconds over TCP.
// So what is in memory when the process dies is lost, but for HTTP, over which EventMesh delivers it again; a shutdown by SIGTERM first
// leaves the group and delivers it.
//
// Delivery is at least once for what is kept, with unbounded retries. The order is that of EVENTMESH_ORDERING, and none by default.
package source
