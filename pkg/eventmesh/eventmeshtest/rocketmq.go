package eventmeshtest

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"time"
)

// rocketMQQueues is how many queues RocketMQ gives a topic.
const rocketMQQueues = 4

// progress is how far a group is with an event; the zero value is that it has not got it.
type progress int

const (
	sent progress = iota + 1
	acknowledged
)

type rocketEntry struct {
	m      *message
	groups map[string]progress
}

type rocketGroup struct {
	consumers []*group
	// left says that the group had subscribers since the server started, and lost the last; stuck says that it came back, and
	// that half of the queues give it nothing, with [Options.StuckQueues].
	left, stuck bool
	// unaware says that the topic was made after the consumer had looked for it, which it has not done again yet.
	unaware bool
}

type rocketTopic struct {
	made    bool // by an event, though it may have been refused after that
	first   uint64
	entries []*rocketEntry
	groups  map[string]*rocketGroup
}

// rocketMQ is EventMesh's RocketMQ storage.
type rocketMQ struct {
	b      *broker
	topics map[string]*rocketTopic
}

func newRocketMQ(b *broker) *rocketMQ { return &rocketMQ{b: b, topics: map[string]*rocketTopic{}} }

var rocketMQTopic = regexp.MustCompile(`^[%|a-zA-Z0-9_-]{1,127}$`)

// check writes the data as bytes and every attribute as a string, for RocketMQ keeps those as properties of its message, which
// may not be blank.
func (r *rocketMQ) check(m *message) error {
	m.parsed = false
	if !rocketMQTopic.MatchString(m.topic) {
		return illegalTopicError(m.topic)
	}
	if len(m.data) == 0 && m.proto == nil {
		return fmt.Errorf("an illegal message for RocketMQ, Topic=%s: it has no data", m.topic)
	}
	properties := 0
	for _, v := range []string{m.event.GetId(), m.event.GetSource(), m.event.GetType()} {
		if strings.TrimSpace(v) == "" {
			return errBlankProperty
		}
		properties += len(v)
	}
	for name, v := range m.event.GetAttributes() {
		text := attributeText(v)
		if strings.TrimSpace(text) == "" || name == "" {
			return fmt.Errorf("%w: %s", errBlankProperty, name)
		}
		if name != attrTime && name != attrDataSchema {
			m.event.Attributes[name] = stringAttribute(text)
		}
		properties += len(name) + len(text) + 2
	}
	r.make(m.topic) // as RocketMQ's broker does before it looks at more than the topic
	if properties > maxProperties {
		return errProperties
	}
	return nil
}

// maxProperties is how many bytes a message's properties may have, with two more for each.
const maxProperties = 1<<15 - 1

var errProperties = plainError("CODE: 13  DESC: the message is illegal, maybe msg body or properties length not matched. " +
	"msg body length limit 4194304B, msg properties length limit 32KB.")

var errBlankProperty = errors.New("the name or value of property can not be null or blank string")

func (r *rocketMQ) topic(name string) *rocketTopic {
	t := r.topics[name]
	if t == nil {
		t = &rocketTopic{groups: map[string]*rocketGroup{}}
		r.topics[name] = t
	}
	return t
}

func (r *rocketMQ) publish(m *message) error {
	t := r.topic(m.topic)
	m.offset = t.first + uint64(len(t.entries))
	stamp(m, time.Now())
	r.b.record(m)
	entry := &rocketEntry{m: m, groups: map[string]progress{}}
	t.entries = append(t.entries, entry)
	for _, name := range slices.Sorted(maps.Keys(t.groups)) {
		r.offer(entry, name, t.groups[name])
	}
	for len(t.entries) > r.b.options.Retention {
		t.entries = t.entries[1:]
		t.first++
	}
	return nil
}

// stamp adds what RocketMQ does.
func stamp(m *message, now time.Time) {
	for name, value := range map[string]string{
		"bornhost": "/127.0.0.1:40000", "borntimestamp": millis(now), "cluster": "DefaultCluster", "destination": m.topic,
		"messageid": fmt.Sprintf("7F0000010001000000000000%08X", m.offset), "queueid": fmt.Sprint(m.offset % rocketMQQueues),
		"queueoffset": fmt.Sprint(m.offset / rocketMQQueues), "storehost": "/127.0.0.1:10911", "storetime": millis(now),
		"storetimestamp": millis(now), "min99offset": "0", "max99offset": fmt.Sprint(m.offset/rocketMQQueues + 1),
		"uniq99key": fmt.Sprintf("7F0000010001000000000000%08X", m.offset), "consume99start99time": millis(now),
	} {
		m.set(name, value)
	}
}

// offer gives an event to one of the group's consumers, if one takes it.
func (r *rocketMQ) offer(e *rocketEntry, name string, g *rocketGroup) {
	if e.groups[name] != 0 || g.unaware || g.stuck && e.m.offset%2 == 1 {
		return
	}
	listening := slices.DeleteFunc(slices.Clone(g.consumers), func(c *group) bool {
		return !c.listening || len(c.choose(e.m.topic, r.b.options.IDC)) == 0
	})
	if len(listening) == 0 {
		return
	}
	e.groups[name] = sent
	listening[rand.IntN(len(listening))].dispatch(e.m, r.b.options.IDC) //nolint:gosec // not a secret
}

func (r *rocketMQ) exists(topic string) bool {
	return !r.b.options.UnknownTopics || r.topic(topic).made
}

// make makes a topic. Those who have subscribed before find it later.
func (r *rocketMQ) make(topic string) {
	t := r.topic(topic)
	if t.made {
		return
	}
	t.made = true
	for _, rg := range t.groups {
		if rg.unaware {
			time.AfterFunc(r.b.options.DiscoverAfter, func() { r.discover(topic, rg) })
		}
	}
}

// discover lets a group find a topic, and gives it what has come meanwhile.
func (r *rocketMQ) discover(topic string, rg *rocketGroup) {
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	rg.unaware = false
	for _, g := range rg.consumers {
		r.drain(topic, g)
	}
}

func (r *rocketMQ) attach(topic string, g *group) {
	t := r.topic(topic)
	rg := t.groups[g.name]
	if rg == nil {
		rg = &rocketGroup{}
		t.groups[g.name] = rg
	}
	if rg.left && r.b.options.StuckQueues && !rg.stuck {
		rg.stuck = true
		r.b.options.Logf("group %q had left topic %q: half of its queues are stuck until the server restarts", g.name, topic)
	}
	if len(rg.consumers) == 0 {
		t.rewind(g.name)
		rg.unaware = !r.exists(topic)
	}
	if !slices.Contains(rg.consumers, g) {
		rg.consumers = append(rg.consumers, g)
	}
	r.drain(topic, g)
}

// rewind lets a group start anew in each queue with the first event that it has not acknowledged: RocketMQ knows no more than
// how far a group has got, so that what it has acknowledged after that comes again.
func (t *rocketTopic) rewind(group string) {
	var behind [rocketMQQueues]bool
	for _, e := range t.entries {
		queue := e.m.offset % rocketMQQueues
		if behind[queue] = behind[queue] || e.groups[group] != acknowledged; behind[queue] {
			delete(e.groups, group)
		}
	}
}

func (r *rocketMQ) detach(topic string, g *group) {
	rg := r.topic(topic).groups[g.name]
	if rg == nil {
		return
	}
	rg.consumers = slices.DeleteFunc(rg.consumers, func(c *group) bool { return c == g })
	rg.left = rg.left || len(rg.consumers) == 0
}

func (r *rocketMQ) regroup(g *group, before, now []string) {
	for _, topic := range before {
		r.detach(topic, g)
	}
	for _, topic := range now {
		r.attach(topic, g)
	}
}

func (r *rocketMQ) listen(g *group) {
	for topic := range g.topics {
		r.drain(topic, g)
	}
}

func (r *rocketMQ) drain(topic string, g *group) {
	t := r.topic(topic)
	for _, e := range t.entries {
		r.offer(e, g.name, t.groups[g.name])
	}
}

func (r *rocketMQ) acknowledge(m *message, g *group) {
	t := r.topic(m.topic)
	if m.offset >= t.first && m.offset-t.first < uint64(len(t.entries)) {
		t.entries[m.offset-t.first].groups[g.name] = acknowledged
	}
}

func (*rocketMQ) abandon(*message, *group) string {
	return "it is held until the group's last member has left and another has come"
}

func (*rocketMQ) requests() bool { return true }

func (r *rocketMQ) restart(keep bool) {
	if !keep {
		clear(r.topics)
		return
	}
	for _, t := range r.topics {
		clear(t.groups)
	}
}
