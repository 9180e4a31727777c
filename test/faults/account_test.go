package faults

import (
	"slices"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

// handedOut is a delivery of the event "e" to the first process.
func handedOut(by eventmeshtest.Acknowledgement, end eventmeshtest.End) eventmeshtest.Delivery {
	return eventmeshtest.Delivery{ID: "e", Publication: 1, Acknowledged: by, Session: eventmeshtest.Session{Number: 1, User: "run1", End: end}}
}

func TestAccountOfALoss(t *testing.T) {
	lost := handedOut(eventmeshtest.ByServer, eventmeshtest.Gone)
	lost.Lost = "written to the dead stream of client x"
	polled := handedOut(eventmeshtest.Unacknowledged, eventmeshtest.Open)
	polled.Session.Transport = "http"
	for name, test := range map[string]struct {
		deliveries  []eventmeshtest.Delivery
		killed      bool
		held        bool
		buried      bool
		asked       bool
		unconfirmed bool
		want        string
	}{
		"never handed out":                                     {want: neverHandedOut},
		"not confirmed, nor acknowledged":                      {deliveries: []eventmeshtest.Delivery{handedOut(eventmeshtest.Unacknowledged, eventmeshtest.Gone)}, unconfirmed: true},
		"not confirmed, and acknowledged by the source":        {deliveries: []eventmeshtest.Delivery{handedOut(eventmeshtest.ByClient, eventmeshtest.Gone)}, unconfirmed: true, want: lostBySource},
		"acknowledged by the source, and its connection cut":   {deliveries: []eventmeshtest.Delivery{handedOut(eventmeshtest.ByClient, eventmeshtest.Cut)}, want: lostBySource},
		"acknowledged by the source, and the source killed":    {deliveries: []eventmeshtest.Delivery{handedOut(eventmeshtest.ByClient, eventmeshtest.Gone)}, killed: true, want: lostBySource},
		"in the spool of a killed source":                      {deliveries: []eventmeshtest.Delivery{handedOut(eventmeshtest.ByServer, eventmeshtest.Gone)}, killed: true, held: true, want: lostBySource},
		"in the connection of a killed source":                 {deliveries: []eventmeshtest.Delivery{handedOut(eventmeshtest.ByServer, eventmeshtest.Gone)}, killed: true, want: inKilled},
		"in the memory of a killed source":                     {deliveries: []eventmeshtest.Delivery{handedOut(eventmeshtest.ByServer, eventmeshtest.Gone)}, killed: true, asked: true, want: inMemory},
		"in a stream that was completed":                       {deliveries: []eventmeshtest.Delivery{handedOut(eventmeshtest.ByServer, eventmeshtest.Completed)}, want: lostBySource},
		"in a session that goes on":                            {deliveries: []eventmeshtest.Delivery{handedOut(eventmeshtest.Unacknowledged, eventmeshtest.Open)}, want: lostBySource},
		"in a connection that was cut":                         {deliveries: []eventmeshtest.Delivery{handedOut(eventmeshtest.ByServer, eventmeshtest.Cut)}, want: inCut},
		"in a connection that was cut, and seen by the sink":   {deliveries: []eventmeshtest.Delivery{handedOut(eventmeshtest.ByServer, eventmeshtest.Cut)}, asked: true, want: lostBySource},
		"not acknowledged in a connection that was cut":        {deliveries: []eventmeshtest.Delivery{handedOut(eventmeshtest.Unacknowledged, eventmeshtest.Cut)}, want: unacknowledged},
		"in a connection that the source closed":               {deliveries: []eventmeshtest.Delivery{handedOut(eventmeshtest.ByServer, eventmeshtest.Gone)}, want: lostBySource},
		"not acknowledged by a killed source":                  {deliveries: []eventmeshtest.Delivery{handedOut(eventmeshtest.Unacknowledged, eventmeshtest.Gone)}, killed: true, want: unacknowledged},
		"polled by a source that has ended":                    {deliveries: []eventmeshtest.Delivery{polled}, want: unacknowledged},
		"moved to the dead letters, and never polled":          {buried: true, want: moved},
		"polled, and moved to the dead letters":                {deliveries: []eventmeshtest.Delivery{polled}, buried: true, want: moved},
		"written to a dead stream":                             {deliveries: []eventmeshtest.Delivery{lost}, want: deadStream},
		"handed out again, and acknowledged the first time":    {deliveries: []eventmeshtest.Delivery{handedOut(eventmeshtest.ByClient, eventmeshtest.Gone), lost}, want: lostBySource},
		"handed out again, and acknowledged only after a kill": {deliveries: []eventmeshtest.Delivery{lost, handedOut(eventmeshtest.ByClient, eventmeshtest.Gone)}, killed: true, want: lostBySource},
	} {
		t.Run(name, func(t *testing.T) {
			run := &sourceRun{user: "run1", killed: test.killed, until: time.Now(), left: map[string]bool{"e": test.held}}
			rest := &sink{takes: map[string][]take{}, asked: map[string]int64{}}
			if test.asked {
				rest.asked["e"] = 1
			}
			e := evidence{
				published: map[string]publication{"e": {confirmed: !test.unconfirmed}}, deliveries: test.deliveries,
				runs: map[string]*sourceRun{"run1": run}, sinks: []*sink{rest}, buried: map[string]bool{"e": test.buried},
			}
			a := e.account()
			got := ""
			for reason := range a.lostByEventMesh {
				got = reason
			}
			if len(a.lostBySource) > 0 {
				got += lostBySource
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestAccountOfDuplicates(t *testing.T) {
	now := time.Now()
	again := handedOut(eventmeshtest.ByClient, eventmeshtest.Open)
	published := again
	published.Publication = 2
	for name, test := range map[string]struct {
		unanswered bool
		late       bool // the second take has no answer
		deliveries []eventmeshtest.Delivery
		ended      time.Time
		want       string
	}{
		"no reason":        {want: forNoReason},
		"answer lost":      {unanswered: true, want: answerLost},
		"late and lost":    {late: true, want: answerLost},
		"delivered again":  {deliveries: []eventmeshtest.Delivery{again}, want: redelivered},
		"published again":  {deliveries: []eventmeshtest.Delivery{published}, want: repeated},
		"ended between":    {ended: now, want: ended},
		"ended after both": {ended: now.Add(time.Hour), want: forNoReason},
	} {
		t.Run(name, func(t *testing.T) {
			rest := &sink{takes: map[string][]take{"e": {
				{at: now.Add(-time.Second), step: 2, by: "run1", unanswered: test.unanswered},
				{at: now.Add(time.Second), step: 4, by: "run2", unanswered: test.late},
			}}}
			e := evidence{
				published:  map[string]publication{"e": {confirmed: true}},
				deliveries: append([]eventmeshtest.Delivery{handedOut(eventmeshtest.ByClient, eventmeshtest.Open)}, test.deliveries...),
				runs:       map[string]*sourceRun{"run1": {until: test.ended}}, sinks: []*sink{rest},
			}
			if a := e.account(); a.duplicates[test.want] != 1 || len(a.duplicates) != 1 {
				t.Errorf("got %v, want 1 %s", a.duplicates, test.want)
			}
		})
	}
}

func TestAccountOfOrder(t *testing.T) {
	const a, b, c = "a", "b", "c" // of one key, handed out in this order; and x of another between them
	for name, test := range map[string]struct {
		// steps are what the sink saw: an ID when it was asked, and the ID with a dot when it took it.
		steps  []string
		again  string
		strict bool
		want   int
	}{
		"in order":                       {steps: []string{a, "a.", b, "b.", c, "c."}},
		"others in between":              {steps: []string{a, "x", "a.", b, "x.", "b."}},
		"others in between, strict":      {steps: []string{a, "x", "a.", "x.", b, "b."}, strict: true, want: 1},
		"swapped":                        {steps: []string{b, "b.", a, "a."}, want: 1},
		"at the same time":               {steps: []string{a, b, "a.", "b."}, want: 1},
		"swapped after being handed out": {steps: []string{b, "b.", a, "a."}, again: a},
		"asked for twice":                {steps: []string{a, a, "a.", b, "b."}},
		"taken twice":                    {steps: []string{a, "a.", b, "b.", "a."}},
	} {
		t.Run(name, func(t *testing.T) {
			rest := &sink{takes: map[string][]take{}, asked: map[string]int64{}}
			for i, step := range test.steps {
				if id := step[:1]; len(step) > 1 {
					rest.takes[id] = append(rest.takes[id], take{step: int64(i + 1), unanswered: true})
				} else if rest.asked[id] == 0 {
					rest.asked[id] = int64(i + 1)
				}
			}
			e := evidence{published: map[string]publication{}, sinks: []*sink{rest}, ordered: true, strict: test.strict}
			for _, id := range append([]string{a, "x", b, c}, test.again) {
				if id == "" {
					continue
				}
				key := "k"
				if id == "x" {
					key = "other"
				}
				e.published[id] = publication{key: key, confirmed: true}
				e.deliveries = append(e.deliveries, eventmeshtest.Delivery{ID: id, Publication: 1, Session: eventmeshtest.Session{Number: 1}})
			}
			if test.again != "" { // handed out a second time, so either may be the one that the source kept
				e.deliveries = slices.Clone(e.deliveries)
			}
			if got := e.account().disorder; len(got) != test.want {
				t.Errorf("got %q, want %d", got, test.want)
			}
		})
	}
}
