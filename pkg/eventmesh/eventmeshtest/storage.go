package eventmeshtest

import (
	"errors"
	"fmt"
	"strconv"
)

// storage is what lies behind the groups. All methods are called with the broker locked.
type storage interface {
	// check tells whether the storage can hold the event; it may change it to what will come out.
	check(m *message) error
	// publish stores an event, and gives it to those who can take it.
	publish(m *message) error
	// attach is told of a group's first member for a topic.
	attach(topic string, g *group)
	// detach is told that a group's last member for a topic has gone.
	detach(topic string, g *group)
	// exists tells whether TCP sessions may subscribe to the topic.
	exists(topic string) bool
	// regroup is told that a gRPC group's topics have changed: EventMesh ends the group's consumer and starts a new one.
	regroup(g *group, before, now []string)
	// listen is told that a group takes events from now on.
	listen(g *group)
	// acknowledge is told that a group is done with an event.
	acknowledge(m *message, g *group)
	// abandon is told that a group's member has gone without acknowledging the event, and that no other gets it; the result says
	// what becomes of it, and is empty when it is lost.
	abandon(m *message, g *group) string
	// restart is told that the server has been restarted; every group is gone.
	restart(keep bool)
	// requests tells whether requests and replies are supported.
	requests() bool
}

// unpublished says why an event was not stored. EventMesh tells its clients less than that.
type unpublished struct{ topic, reason string }

func (u *unpublished) Error() string { return "topic " + strconv.Quote(u.topic) + " " + u.reason }

// illegalTopicError is the name of a topic that RocketMQ has not, and never will.
type illegalTopicError string

func (i illegalTopicError) Error() string {
	return fmt.Sprintf("The specified topic[%s] contains illegal characters, allowing only ^[%%|a-zA-Z0-9_-]+$ "+
		"For more information, please visit the url, http://rocketmq.apache.org/docs/faq/", string(i))
}

// published is what EventMesh makes of it where it was published to; of a request it says the above.
func (i illegalTopicError) published() string {
	return fmt.Sprintf("Topic does not exist, Topic=%s, msgId=null", string(i))
}

// storageException is the Java class whose name EventMesh's answers show.
const storageException = "org.apache.eventmesh.api.exception.StorageRuntimeException: "

// exception is the text that goes with a failure over gRPC: a message, and the start of a stack trace.
func exception(err error) string {
	var illegal illegalTopicError
	if errors.As(err, &illegal) {
		return illegal.published() +
			"\norg.apache.eventmesh.storage.rocketmq.producer.AbstractProducer.checkProducerException(AbstractProducer.java:126)" +
			"\norg.apache.eventmesh.storage.rocketmq.producer.ProducerImpl$2.onException(ProducerImpl.java:207)\n"
	}
	var u *unpublished
	if errors.As(err, &u) {
		return storageException + "Send message error, topic: " + u.topic +
			"\norg.apache.eventmesh.storage.standalone.producer.StandaloneProducer.publish(StandaloneProducer.java:93)" +
			"\norg.apache.eventmesh.storage.standalone.producer.StandaloneProducerAdaptor.publish(StandaloneProducerAdaptor.java:65)\n"
	}
	return err.Error()
}
