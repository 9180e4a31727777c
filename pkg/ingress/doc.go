// Package ingress accepts CloudEvents over HTTP and delivers each to a destination that the program chooses. It is the HTTP face of the
// sink, and knows neither EventMesh's client nor Knative's framework. [Options] has one function that a program needs: Route, from a
// request to a [Destination]. [New] makes a [Server], and [Server.Serve] runs it.
//
// # Requests
//
// An event comes by POST, in binary or structured mode, or in a batch: application/cloudevents-batch+json. An OPTIONS is the handshake of
// CloudEvents' webhooks: everybody may send, at any rate. GET /health is answered 200, and GET /readiness 200 while events should come,
// else 503 and why; a GET by the kubelet of any other path is answered as /readiness. A request's own trace goes on in its event, unless
// the event has one.
//
// The way of a request is in handler.go: a sender is authenticated before all else, then the destination is found, then the body is read
// and parsed, and the event is checked and delivered. batch.go does the same for many events. A sender that goes away does not stop an
// event that has been read.
//
// # Answers
//
//	202  the destination has the event, or all events of the batch
//	200  the reply, as CloudEvent in binary mode, or structured where a header cannot hold an attribute
//	400  not a CloudEvent 1.0, or one with more than 64 attributes or 64 KiB of them, or one that Check refuses, or a batch where one event
//	     belongs
//	401  no token that is valid, see Subject; with WWW-Authenticate
//	405  another method than POST and OPTIONS, where Route says so; with Allow
//	408  the body did not arrive in full
//	413  larger than BodyBytes, or more events than BatchEvents
//	429  InFlight or HeldBytes is reached; with Retry-After
//	502  there was a reply, but HTTP cannot carry it
//	503  the destination failed; with Retry-After
//
// An error of a function of Options, or of a Destination, that is or wraps a [RefusalError] is answered with its status, any other with 503. The
// body of a refusal is one sentence, but for a batch, and never holds data of an event.
//
// A batch is answered 202 only when the destination has all its events; an empty one is. Else its answer is the worst of its events', where
// 503 comes before 429, 413 and 400, so that a batch is repeated as long as that helps one of them. The body, JSON, lists index, id, status
// and reason of each event that was not accepted: the destination has the others, and gets them again when the batch is repeated.
//
// What is not a request of HTTP is answered by net/http, without a reason: 400, 417, 431, 501, 505. A header that does not come in time is
// not answered, however far it came: its connection is closed, and the sender repeats. Both are logged and counted (header.go).
//
// # Bounds
//
// Slow senders cannot keep others out. A body counts by what has come of it; when there is no room, the one that has been arriving for
// longest gives way, with 429 (bodies.go). Only a body that is complete holds a place in flight. When there is one connection too many, of
// those without an event in flight the one is closed that has kept the server waiting for longest (connections.go). A header has 5 s, a
// request 30 s, a connection between two requests 2 minutes. [Bounds] has the numbers.
//
// # Shutdown
//
// When the context of Serve ends, readiness fails first, and answers ask senders to close their connections, while events are accepted for
// ShutdownDelay, until no sender has the address any more. Then no more connections are accepted, and requests in flight are answered, for
// at most DrainTimeout. What is left then is cut off: its senders get no answer.
//
// # Metrics
//
// Besides OpenTelemetry's of HTTP servers, whose route is the Pattern that Route sets, and with the Name of Options before them:
//
//	.in_flight            requests whose events are being delivered, and events of batches beside
//	.limit.in_flight      how many may be
//	.batch.events         events in a batch
//	.unreadable.requests  requests that net/http could not read, by error.type: its answer, or timeout
package ingress
