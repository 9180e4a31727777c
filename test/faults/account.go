package faults

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

// Why an event got lost that the source never had, or whose loss no client could prevent.
const (
	neverHandedOut = "confirmed, and handed to nobody"
	inCut          = "in a connection that EventMesh cut"
	inKilled       = "in the connection of a killed source"
	inMemory       = "in the memory of a killed source"
	inKilledServer = "with a killed EventMesh"
	inGivenUp      = "in a connection that the source gave up, for EventMesh had stalled"
	unacknowledged = "not acknowledged, and not delivered again"
	moved          = "not acknowledged in three minutes, and among EventMesh's dead letters"

	// These are EventMesh's own words.
	deadStream   = "written to the dead stream"
	endedStream  = "its stream ended before it was sent"
	brokenStream = "writing to its stream failed"
	inServer     = "it was in the memory of the server when that ended"
	notKept      = "the storage has not kept it when the server ended"
	// dispatched is what a subscription costs that ends. A source ends it when it leaves, and when its sink is slow, at a moment at which that
	// is not likely; but a busy machine comes too late for it.
	dispatched = "the last subscription to its topic ended while it was dispatched"
)

// Why the sink got an event more than once.
const (
	answerLost   = "answer lost"
	redelivered  = "delivered again by EventMesh"
	repeated     = "published again, not being confirmed"
	ended        = "the source ended before it forgot it"
	forNoReason  = "FOR NO REASON"
	lostBySource = "LOST BY THE SOURCE"
)

// evidence is everything that an account is made from.
type evidence struct {
	published  map[string]publication
	deliveries []eventmeshtest.Delivery
	// runs are the source's processes, by user name.
	runs map[string]*sourceRun
	// spooled are the events that are in a spool now, and buried those that EventMesh has moved to its own dead letters.
	spooled, buried map[string]bool
	// sinks are where an event comes to rest: the sink, and the dead letter sink.
	sinks []*sink
	// ordered asks for the order of keys, strict for that of all events.
	ordered, strict bool
	// stalled says that the source had reason to give up connections.
	stalled bool
	// blind says that EventMesh was a process of its own, which does not tell what it has handed out.
	blind bool
}

// account says what became of every event.
type account struct {
	published, confirmed, handed, taken, dead, spooled int
	// stale counts the events in the spool of a source that ended in order, though it knew that they had come to rest.
	stale int

	lostByEventMesh map[string]int
	lostBySource    []string
	duplicates      map[string]int
	disorder        []string

	blind bool
}

// handOuts are an event's deliveries.
type handOuts struct {
	all []eventmeshtest.Delivery
	// first and last are their places among all deliveries that were sent.
	first, last int
}

// once tells whether the source can have kept the event only once.
func (h *handOuts) once() bool { return h != nil && len(h.all) == 1 }

func answered(takes []take) bool {
	return slices.ContainsFunc(takes, func(t take) bool { return !t.unanswered })
}

func (e *evidence) account() *account {
	a := &account{published: len(e.published), lostByEventMesh: map[string]int{}, duplicates: map[string]int{}, blind: e.blind}
	handed := map[string]*handOuts{}
	for i, d := range e.deliveries {
		h := handed[d.ID]
		if h == nil {
			h = &handOuts{first: -1}
			handed[d.ID] = h
		}
		h.all = append(h.all, d)
		if d.Lost == "" {
			if h.first < 0 {
				h.first = i
			}
			h.last = i
		}
	}
	takes, asked := e.rest(a)
	for id, p := range e.published {
		h := handed[id]
		if p.confirmed {
			a.confirmed++
		}
		if h != nil && h.first >= 0 {
			a.handed++
		}
		switch {
		case len(takes[id]) > 0:
			e.duplicates(a, p, takes[id], h)
			if e.spooled[id] && !e.everKilled() && h.once() && answered(takes[id]) {
				a.stale++
			}
		case e.spooled[id]:
			a.spooled++
		default:
			_, wasAsked := asked[id]
			if reason := e.loss(id, p, h, wasAsked); reason == lostBySource {
				a.lostBySource = append(a.lostBySource, id)
			} else if reason != "" {
				a.lostByEventMesh[reason]++
			}
		}
	}
	slices.Sort(a.lostBySource)
	if e.ordered || e.strict {
		e.order(a, takes, asked, handed)
	}
	return a
}

// rest collects what the sinks have: by event the takes in their order, and the step of the first request.
func (e *evidence) rest(a *account) (takes map[string][]take, asked map[string]int64) {
	takes, asked = map[string][]take{}, map[string]int64{}
	for i, s := range e.sinks {
		s.mu.Lock()
		for id, t := range s.takes {
			takes[id] = append(takes[id], t...)
			if i > 0 {
				a.dead++
			} else {
				a.taken++
			}
		}
		for id, step := range s.asked {
			if before, ok := asked[id]; !ok || step < before {
				asked[id] = step
			}
		}
		s.mu.Unlock()
	}
	for id := range takes {
		slices.SortFunc(takes[id], func(a, b take) int { return int(a.step - b.step) })
	}
	return takes, asked
}

// loss says who has lost an event that is nowhere, and why; "" where there is nothing to lose.
func (e *evidence) loss(id string, p publication, h *handOuts, asked bool) string {
	if e.everHeld(id) || asked && !e.everKilled() {
		return lostBySource
	}
	reason := ""
	switch {
	case p.confirmed && e.blind:
		reason = inKilledServer
	case p.confirmed && e.buried[id]:
		reason = moved
	case p.confirmed:
		reason = neverHandedOut
	}
	if h == nil {
		return reason
	}
	for _, d := range h.all {
		switch why := e.lossOf(d, asked); {
		case why == lostBySource:
			return lostBySource
		case why != "" && p.confirmed: // else its publisher has to repeat it
			reason = why
		}
	}
	return reason
}

// lossOf says what one delivery of a missing event proves.
func (e *evidence) lossOf(d eventmeshtest.Delivery, asked bool) string {
	run := e.runs[d.Session.User]
	switch {
	case d.Acknowledged == eventmeshtest.ByClient:
		return lostBySource
	case d.Lost != "":
		reason, _, _ := strings.Cut(d.Lost, " of client ") // one reason, not one for each client
		return reason
	case d.Acknowledged == eventmeshtest.Unacknowledged:
		return e.lossOfUnacknowledged(d, run)
	case run != nil && run.killed && asked:
		return inMemory
	case run != nil && run.killed:
		return inKilled
	case d.Session.End == eventmeshtest.Cut:
		return inCut
	case d.Session.End == eventmeshtest.Gone && e.stalled:
		return inGivenUp
	default:
		return lostBySource // or still with it, while it runs
	}
}

func (e *evidence) lossOfUnacknowledged(d eventmeshtest.Delivery, run *sourceRun) string {
	switch {
	case e.buried[d.ID]:
		return moved
	case run != nil && run.killed, d.Session.End == eventmeshtest.Cut, d.Session.End == eventmeshtest.Gone:
		return unacknowledged
	case d.Session.Transport == "http" && run != nil && !run.running(): // EventMesh may not know yet that the session has ended
		return unacknowledged
	default:
		return lostBySource // or still with it, while it runs
	}
}

// everHeld tells whether an event is known to have been in a spool.
func (e *evidence) everHeld(id string) bool {
	for _, r := range e.runs {
		if r.held[id] || r.left[id] {
			return true
		}
	}
	return false
}

func (e *evidence) everKilled() bool {
	for _, r := range e.runs {
		if r.killed {
			return true
		}
	}
	return false
}

// duplicates explains why an event was taken more than once. Each reason explains one more take.
func (e *evidence) duplicates(a *account, p publication, takes []take, h *handOuts) {
	extra := len(takes) - 1
	if extra == 0 {
		return
	}
	explain := func(reason string, n int) {
		if n = min(n, extra); n > 0 {
			a.duplicates[reason] += n
			extra -= n
		}
	}
	lost := 0
	for _, t := range takes { // the last may be the first request, late
		if t.unanswered {
			lost++
		}
	}
	explain(answerLost, lost+e.cutsBetween(takes[0].at, takes[len(takes)-1].at))
	if h != nil {
		publications, sent := map[uint64]bool{}, 0
		for _, d := range h.all {
			if d.Lost == "" {
				publications[d.Publication] = true
				sent++
			}
		}
		explain(repeated, len(publications)-1)
		explain(redelivered, sent-len(publications))
	}
	if e.blind {
		explain(repeated, p.attempts-1)
	}
	explain(ended, e.endedBefore(takes))
	explain(forNoReason, extra)
}

// cutsBetween counts how often a sink's connections were cut in a time, and perhaps an answer with them.
func (e *evidence) cutsBetween(from, to time.Time) int {
	n := 0
	for _, s := range e.sinks {
		s.mu.Lock()
		for _, at := range s.stops {
			if !at.Before(from) && !at.After(to) {
				n++
			}
		}
		s.mu.Unlock()
	}
	return n
}

// endedBefore counts the takes whose process had ended when the last was asked for. It may have ended before the sink even
// saw its request.
func (e *evidence) endedBefore(takes []take) int {
	n := 0
	last := takes[len(takes)-1]
	for _, t := range takes[:len(takes)-1] {
		if r := e.runs[t.by]; r != nil && t.by != last.by && !r.running() && r.until.Before(last.at) {
			n++
		}
	}
	return n
}

// order checks that of each key no event was sent to the sink before the one that the source had received before it was
// at rest. Where EventMesh delivered an event several times, the source may have kept it from any of them.
func (e *evidence) order(a *account, takes map[string][]take, asked map[string]int64, handed map[string]*handOuts) {
	type event struct {
		id            string
		asked, rested int64
		first, last   int
	}
	byKey := map[string][]event{}
	for id, t := range takes {
		h := handed[id]
		if h == nil || h.first < 0 {
			continue
		}
		key := ""
		if !e.strict {
			key = e.published[id].key
		}
		byKey[key] = append(byKey[key], event{id: id, asked: asked[id], rested: t[0].step, first: h.first, last: h.last})
	}
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		events := byKey[key]
		slices.SortFunc(events, func(a, b event) int { return int(a.asked - b.asked) })
		var resting *event // of those asked for so far, the one that was at rest last
		latest := -1       // the highest first place of those
		for i := range events {
			now := &events[i]
			if resting != nil && resting.rested > now.asked || latest > now.last {
				before := ""
				if resting != nil {
					before = resting.id
				}
				a.disorder = append(a.disorder, fmt.Sprintf("%s of key %q, after or before %s", now.id, key, before))
			}
			if resting == nil || now.rested > resting.rested {
				resting = now
			}
			latest = max(latest, now.first)
		}
	}
}
