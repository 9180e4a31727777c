// Package faults is the fault suite of the EventMesh source. It runs the source as a process, ends it, breaks its sink, its
// EventMesh and its disk, and counts what becomes of every event.
//
//	make test-faults                 # the short form, below three minutes
//	make test-faults FAULTS=long     # the long form, about a quarter of an hour
//	FAULTS_SEED=7 make test-faults   # the random faults of an earlier run, which printed its seed
//
// Publishers number their events, and repeat each until EventMesh has confirmed it. EventMesh is the one in memory, over HTTP that of the
// next release, which writes down what it hands out, to whom, and who acknowledges it; where EventMesh itself is killed, it is
// devmesh, which tells nothing. The sink, a server of the test, writes down what it is asked, and what it takes.
//
// Each scenario ends in an account, which is a line of the table that is printed at the end:
//
//   - published and confirmed: by the publishers.
//   - handed out: events that EventMesh has written to a connection of the source at least once.
//   - taken, dead, spooled: events at the sink, among the dead letters, and in the spool when the source had ended.
//   - lost by EventMesh: confirmed events that are nowhere, and that the source never had, by reason: handed to nobody, written
//     to the stream of a process that is gone, or in a connection when that broke. Over gRPC EventMesh forgets an event with
//     the writing, and so does the memory of a source that is killed without a spool. Over HTTP it loses nothing of a source that is
//     killed, with a spool or without one, but what it has in its own memory when it restarts.
//   - LOST BY THE SOURCE, which fails the test: events that are nowhere, and that the source had. It had an event when it
//     acknowledged it over TCP or HTTP, when it was in its spool at a kill, when the sink was asked for it and no process was killed, and
//     when the connection was neither cut nor its process killed.
//   - duplicates: how often an event was taken once more, by reason: the sink's answer was lost, EventMesh delivered it again,
//     its publisher repeated it, the source ended before it forgot it. One without a reason fails the test.
//   - disorder, which fails the test: where order is asked for, events that were sent to the sink before one that the source
//     had received before them was at rest. EventMesh hands out to one subscriber in one order, and that counts.
//
// The scenarios with a full disk mount one, which takes root and CAP_SYS_ADMIN; elsewhere they are skipped, with the reason.
// Nothing is measured against a clock: what a test waits for has a generous limit, and a fault that lasts has a timer.
package faults
