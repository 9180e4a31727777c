// Package eventmeshtest is an in-memory Apache EventMesh for tests: a real server on real ports that speaks EventMesh
// 1.12's gRPC and TCP protocols, and is as strict and as treacherous as the real one.
//
//	server := eventmeshtest.New(t, eventmeshtest.Options{})
//	client := connect(server.GRPCURL())
//
// What a real server refuses, loses, adds to an event, closes, or acknowledges by itself, this one does too, with the
// same codes. A program that survives it has met what EventMesh 1.12 does with its default configuration; each rule that
// the real server lets its operator change is one of the [Options]. With [Options.Logf] set, the server says of each event
// that it loses, and each request that it refuses, why.
//
// Faults that a real server only shows sometimes are switched on with [Server.SetFaults]; [Server.Stop],
// [Server.Restart] and [Server.DropConnections] take it away.
//
// [Server.Published] tells what it has stored, and [Server.Deliveries] what it has handed out to whom, for tests that count.
//
// Nothing is kept on disk, and nothing survives [Server.Close]. Webhook subscriptions, the HTTP protocol and the admin
// interface are not part of it. All methods may be called from several goroutines.
package eventmeshtest
