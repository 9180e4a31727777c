// Package sink takes CloudEvents over HTTP and publishes them to Apache EventMesh: what a Knative Trigger, Subscription or
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
// /topics/{topic} and / take batches too, as application/cloudevents-batch+json.
//
// A GET by the kubelet of any other path is answered as /readiness. Only topics that the configuration opens are served.
//
// # Delivery guarantee
//
// An event is accepted, with 202, or 200 and a reply, only when EventMesh has confirmed it. After 503, 504 and no answer
// EventMesh may have it or not: the sender repeats, so EventMesh can get an event more than once. After any other answer
// it does not have it. A sender that goes away does not stop the event that it has sent.
//
// Each event is published by itself, many at once: no order holds between requests that overlap, nor within a batch.
//
// A batch is accepted, with 202, only when all its events are; an empty one is. Else its answer is the worst of its events',
// where 503 comes before 429, 413 and 400, so that a batch is repeated as long as that helps one of them. The body, JSON, lists
// index, id, status and reason of each event that was not taken: EventMesh has the others, and gets them again when the batch is
// repeated.
//
// # Answers
//
//	202  EventMesh has the event
//	200  EventMesh's reply to a request, as CloudEvent in binary mode, or structured where a header cannot hold an attribute
//	400  no CloudEvent 1.0, or one that EventMesh cannot carry or would change, or with more than 64 attributes or 64 KiB of them, or
//	     no name of a topic, or a batch as a request
//	401  no token that is valid, where OIDC_AUDIENCE asks for one; with WWW-Authenticate
//	403  the topic is not open, or the sender is not one of OIDC_SUBJECTS, or a request and EVENTMESH_SUBSCRIBER_TRANSPORT is not
//	     EVENTMESH_URL's
//	404  no such path
//	405  another method than POST and OPTIONS
//	408  the body did not arrive in full
//	413  larger than EVENTMESH_MAX_EVENT_BYTES, or than EventMesh takes, or more events than EVENTMESH_MAX_BATCH_EVENTS
//	429  EventMesh's rate limit, EVENTMESH_MAX_IN_FLIGHT or EVENTMESH_BUFFER_BYTES is reached
//	502  there was a reply, but it is no event, or one that EventMesh or HTTP cannot carry
//	503  not connected, not confirmed in time, refused for now, nobody subscribes, or the keys for a token cannot be read
//	504  no reply in time
//
// What is no request of HTTP is answered by the HTTP server, without a reason: 400, 417, 431, 501, 505. A header that does not come in
// time is not answered, however far it came: its connection is closed, and the sender repeats.
//
// 429 and 503 come with Retry-After. The body of a refusal is one sentence, but for a batch, and never holds data of an event. While there
// is no connection to EventMesh the answer is 503 at once; the connection comes back by itself. So it is while EventMesh is
// connected and confirms nothing: after five time-outs in a row, one request at a time finds out whether it does again.
//
// # Shutdown
//
// At SIGTERM readiness fails first, while events are still taken for EVENTMESH_SHUTDOWN_DELAY, until no sender has the
// address any more. Then nothing new is taken, requests in flight are answered, for at most EVENTMESH_DRAIN_TIMEOUT, and
// the connection to EventMesh is closed last.
package sink
