// Package podevents tells Kubernetes, by Events of a program's own Pod, why the program does not work: kubectl describe shows them.
//
// A Recorder polls what readiness says, once a second in one goroutine, and makes an Event of what has stayed the same for 10 seconds. What is
// no state, such as a request for a topic that is not open, it is told by [Recorder.Note]. It writes at most one Event in 10 seconds, and for
// each reason at most 5 and then one more every 10 minutes; the same reason and message are counted up. So senders who choose what a
// message says cannot make it write more. What Kubernetes does not accept is tried again within the same bounds, but where rights are
// missing this is said once in the log, and nothing is written any more.
//
// It takes no part in the way of events: a Recorder that may not write, or need not, costs nothing, and Note never waits.
//
// The recorder of client-go has several goroutines, writes an Event at once and repeats the attempt up to 12 times, logs by klog alone, and may
// forget the last Events at the end of a program. What Knative's framework makes of it (crstatusevent) is for answers of K_SINK.
package podevents
