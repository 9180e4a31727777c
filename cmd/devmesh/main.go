package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}

var verbs = []verb{
	{name: "serve", summary: "serve an EventMesh in memory, which keeps nothing", declare: declareServe},
	{name: "publish", data: true, summary: "publish an event to an EventMesh", declare: declarePublish},
	{name: "subscribe", summary: "print the events of topics of an EventMesh", declare: declareSubscribe},
	{name: "receive", summary: "receive CloudEvents over HTTP and print them, as a Knative sink", declare: declareReceive},
	{name: "send", data: true, summary: "post a CloudEvent over HTTP, as a Knative source", declare: declareSend},
	{name: "doctor", summary: "look at an EventMesh, a topic and a sink, and say what to change", declare: declareDoctor},
}
