package next

import (
	"maps"
	"slices"
	"strconv"
	"time"
	"unicode/utf16"
)

// message is an event as a topic holds it.
type message struct {
	topic       string
	event       *event
	offset      uint64
	publication uint64
	// handed says that a server process that has ended had given it to a client.
	handed bool
}

// topic is a log with one cursor, whoever subscribes to it.
type topic struct {
	name   string
	log    []*message // from first on
	first  uint64
	cursor uint64
	// acknowledged is behind the highest offset that was acknowledged.
	acknowledged  uint64
	subscriptions map[string]*subscription
	bucket        bucket
}

func (t *topic) append(m *message, storage Storage) {
	m.offset = t.first + uint64(len(t.log))
	if storage == Holding {
		m.event = m.event.with("emmqoffset", strconv.FormatUint(m.offset, 10)).with("emmqpartition", "0")
	}
	t.log = append(t.log, m)
}

// pull takes the next events. In memory nothing comes back to them.
func (t *topic) pull(most int, storage Storage) []*message {
	waiting := t.log[t.cursor-t.first:]
	batch := slices.Clone(waiting[:min(len(waiting), most)])
	t.cursor += uint64(len(batch))
	if storage == Memory {
		t.forget(t.cursor)
	}
	return batch
}

// waiting counts the events that were not pulled.
func (t *topic) waiting() int { return len(t.log) - int(t.cursor-t.first) } //nolint:gosec // the cursor is within the log

// acknowledge moves the mark that the cursor comes back to.
func (t *topic) acknowledge(offset uint64) {
	t.acknowledged = max(t.acknowledged, offset+1)
	t.forget(t.acknowledged)
}

func (t *topic) forget(until uint64) {
	if until > t.first {
		clear(t.log[:until-t.first])
		t.log, t.first = t.log[until-t.first:], until
	}
}

func (t *topic) restart(b *broker, keep bool) {
	if !keep {
		for _, m := range t.log[t.cursor-t.first:] {
			b.lose(m, "the storage has not kept it when the server ended")
		}
		t.log, t.first, t.cursor, t.acknowledged = nil, 0, 0, 0
	} else {
		t.cursor = t.first
	}
	clear(t.subscriptions)
	t.bucket = newBucket(b.options.RateLimit, time.Now())
}

// The modes of subscriptions.
const (
	loadBalance       = "LOAD_BALANCE"
	loadBalanceSticky = "LOAD_BALANCE_STICKY"
	broadcast         = "BROADCAST"
	multicast         = "MULTICAST"
)

var modes = []string{loadBalance, loadBalanceSticky, broadcast, multicast}

// subscription is what one subscribe has made. Its id is random, and so is its place among those of its topic.
type subscription struct {
	id, client, mode string
	made             time.Time
}

// lives tells whether a subscription does.
func (t *topic) lives(now time.Time, life time.Duration) bool {
	for _, s := range t.subscriptions {
		if s.lives(now, life) {
			return true
		}
	}
	return false
}

// targets returns the subscriptions that get an event, and forgets those whose life is over. The first one's mode is that of all, and its
// turn is counted for all topics.
func (t *topic) targets(m *message, now time.Time, life time.Duration, turn *uint64) []*subscription {
	maps.DeleteFunc(t.subscriptions, func(_ string, s *subscription) bool { return !s.lives(now, life) })
	if len(t.subscriptions) == 0 {
		return nil
	}
	all := make([]*subscription, 0, len(t.subscriptions))
	for _, id := range slices.Sorted(maps.Keys(t.subscriptions)) {
		all = append(all, t.subscriptions[id])
	}
	mode := all[0].mode
	if mode == broadcast || mode == multicast {
		return all
	}
	chosen := *turn % uint64(len(all))
	if key, ok := m.event.attributes["partitionkey"]; mode == loadBalanceSticky && ok {
		chosen = uint64(javaHash(key)) % uint64(len(all)) //nolint:gosec // which one it is makes no difference
	} else {
		*turn++
	}
	return all[chosen : chosen+1]
}

// javaHash is Java's hash of a string, for which the same key always has the same.
func javaHash(s string) (hash int32) {
	for _, unit := range utf16.Encode([]rune(s)) {
		hash = 31*hash + int32(unit)
	}
	return hash
}

func (s *subscription) lives(now time.Time, life time.Duration) bool { return now.Sub(s.made) <= life }
