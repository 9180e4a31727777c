// Package sink accepts CloudEvents over HTTP and publishes them to Apache EventMesh: what a Knative Trigger, Subscription or
// any other sender of events can point at.
//
// # Paths
//
//	POST /topics/{topic}    publishes the event to the topic
//	POST /requests/{topic}  publishes it as a request, and answers with the event that a subscriber replies
//	POST /                  publishes it to EVENTMESH_TOPIC
//	OPTIONS of these        answers 200 to the handshake of CloudEvents' webhooks: everybody may send, at any rate
//	GET  /readiness         200 while events can be published, as far as is known, else 503 and why
//	GET  /health            200
//
// Only topics that the configuration opens are served. /topics/{topic} and / accept batches too. Package ingress says how requests are
// read and answered, what bounds them, and how a shutdown ends them; here is what EventMesh adds to that.
//
// # Delivery guarantee
//
// An event is accepted, with 202, or 200 and a reply, only when EventMesh has confirmed it. After 503, 504 and no answer
// EventMesh may have it or not: the sender repeats, so EventMesh can get an event more than once. After any other answer
// it does not have it. A sender that goes away does not stop the event that it has sent.
//
// Each event is published by itself, many at once: no order holds between requests that overlap, nor within a batch. EventMesh's own
// call for batches tells nothing about single events, nor whether it has accepted any of them.
//
// # Answers
//
// Those of package ingress, and for these reasons:
//
//	400  an event that EventMesh cannot carry or would change, or no name of a topic
//	403  the topic is not open, or the sender is not one of OIDC_SUBJECTS, or a request and EVENTMESH_SUBSCRIBER_TRANSPORT is not
//	     EVENTMESH_URL's
//	404  no such path
//	413  larger than EventMesh accepts
//	429  EventMesh's rate limit is reached
//	502  there was a reply, but it is not an event, or EventMesh cannot carry it
//	503  not connected, not confirmed in time, refused for now, or nobody subscribes
//	504  no reply in time
//
// While there is no connection to EventMesh the answer is 503 at once; the connection comes back by itself. So it is while EventMesh is
// connected and confirms nothing: after five time-outs in a row, one request at a time finds out whether it does again.
//
// At SIGTERM the sink leaves as package ingress says, and closes the connection to EventMesh last.
//
// # Where things are
//
// adapter.go puts the sink together. A request's way through it is route.go (the destination of a path) and package guard (publish, measure,
// learn, what an error means). config.go, oidc.go and topics.go are configuration, as package httpserver is.
package sink
