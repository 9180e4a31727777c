// Bench measures what the adapters cost, side by side with the least that could do the same work.
//
// Every subject is a process of its own on one core, and what feeds it and takes from it shares another one, where there are two:
//
//	mesh      sends a subscriber what an EventMesh would, encoded once, and confirms what is published to it
//	receiver  answers 202 to whatever is posted to it
//	load      posts requests that were encoded once
//
// These know just enough of their protocols to be much cheaper than what they measure; the report tells what they cost. What the
// mesh sends has been recorded from the EventMesh in memory of this project. With EVENTMESH_GRPC_URL, EVENTMESH_TCP_URL or
// EVENTMESH_HTTP_URL set a real one takes the mesh's place.
//
// The floors are bare programs, which this one becomes when it is started with the name of a role:
//
//	read      receives from the transport, into nothing
//	post      posts the same bytes by net/http
//	forward   the whole way from EventMesh to HTTP, by clients of the CloudEvents SDK, without any guarantee
//	answer    a net/http handler that reads the body and answers 202
//	publish   publishes the same message by the transport's bare client
//	relay     both of them in one program, without a look at the request
//
// Subjects and floors take turns within a round, since a machine is not the same from minute to minute, and all figures are medians
// of the rounds.
package main
