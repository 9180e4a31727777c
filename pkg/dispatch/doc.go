// Package dispatch keeps events and sends them to destinations, each until it has found its place of rest: its destination has accepted
// it, or the place for dead letters has. It knows neither EventMesh nor Knative's framework.
//
//	disk, err := dispatch.OpenDisk(dispatch.DiskOptions{Dir: "/var/spool"})    // or none: events are kept in memory
//	d := dispatch.New(dispatch.Options{Disk: disk, MaxEvents: 10_000, Acknowledge: …})
//	lane := d.Lane(dispatch.LaneOptions{Name: "orders", Destination: dispatch.NewHTTP(…), Retries: -1})
//	d.Start()
//	err = d.Put(ctx, &dispatch.Message{Event: e}, lane)
//	d.Drain(ctx)
//
// A [Dispatcher] is what all destinations of a process share: the workers, the bounds of what is kept, the budget of repeats, and one
// place on disk, where an event is written once, with one sync, however many destinations it has. A [Lane] is the way to one destination,
// with its own order, back-off and dead letters: what is wrong with one destination, or one event, holds back no other.
//
// # The way of an event
//
//   - dispatcher.go accepts messages while there is room, and acknowledges them once they are safe. room.go says what there is room for, and
//     overflow.go gives up what finds a lane full, where that is asked for.
//   - memory.go and disk.go keep them. On disk that is a journal, which commit.go writes in groups with one sync each, and record.go is an
//     event in it. takeover.go reads what earlier versions have kept.
//   - queue.go holds the events of a lane that may be sent, in the order asked for, and lane.go says which is next: circuit.go holds back
//     from a destination that is away, and budget.go bounds repeats.
//   - work.go hands them to workers; deliver.go is one attempt, fate.go decides, as a pure function, what becomes of the event,
//     and settle.go does it.
//     http.go sends over HTTP, and deadletter.go marks what is given up.
//
// # Guarantees
//
// With a [Disk] a message is acknowledged once it is there, and leaves it once each of its destinations, or their places for dead
// letters, have it: also when the process is killed, or the machine stops. In memory it is acknowledged when it has reached them, and
// what is in memory when the process dies is lost. Delivery is at least once.
//
// Goroutines: the workers, and one that writes to the disk. Drain ends them.
package dispatch
