// Package next is an in-memory Apache EventMesh of the release after 1.12, for tests: a real server on a real port that speaks the HTTP
// protocol below /events, and is as strict and as treacherous as what is being developed under the number 2.0.
//
//	server := next.New(t, next.Options{})
//	client := connect(server.URL())
//
// What a real server refuses, loses, doubles, stalls, or leaves without an answer, this one does too. Each time, number and defect is one
// of the [Options], with the real server's value as its default. With [Options.Logf] set, the server says of each event that it loses, and
// of each request that it refuses, why. Faults that a real server only shows sometimes are switched on with [Server.SetFaults];
// [Server.Stop], [Server.Restart] and [Server.DropConnections] take it away.
//
// [Server.Published] and [Server.Deliveries] tell what it has stored and handed out, in the same form as the package above.
//
// All times are those of package time. In a bubble of testing/synctest, where no real network can be used, [Pipe] stands for it.
//
// With [Options.GRPCAddress] clients of 1.x connect by gRPC to the same topics. They get what a strict one cannot read, once for each
// redelivery, since there is no acknowledgement, and nothing any more after the first cleanup, though their heartbeats succeed.
//
// The admin interface, webhooks, WebSockets, lite topics, agents, and what the instances of a cluster tell each other are not part of it. All
// methods may be called from several goroutines.
package next
