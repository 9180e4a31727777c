// Devmesh is an Apache EventMesh for a laptop, and the means to look at what any EventMesh carries.
//
//	devmesh serve       an EventMesh in memory: it keeps nothing
//	devmesh publish     publishes an event to an EventMesh
//	devmesh subscribe   prints the events of topics of an EventMesh
//	devmesh receive     an HTTP receiver of CloudEvents that prints them, as a Knative sink
//	devmesh send        posts a CloudEvent over HTTP, as a Knative source
//	devmesh doctor      looks at an EventMesh, a topic and a sink, and says what to change
//
// Events, addresses and results go to the standard output, everything else to the standard error. A verb ends with status
// 0 when it has done its work or got SIGINT or SIGTERM while waiting for more of it, 1 when it failed, and 2 when it was
// called wrongly.
package main
