package controller

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/table"
)

// verdict is what the pods of a role say together. The zero value is that all is served.
type verdict struct {
	// wait says that it is not known yet, rather than not so.
	wait bool
	table.Problem
}

func (v verdict) ok() bool { return v == verdict{} }

// of are what the pods of a role said, always in the same order: of several problems the same is told each time.
func (p *pods) of(role string) iter.Seq[*report] {
	return func(yield func(*report) bool) {
		for _, uid := range slices.Sorted(maps.Keys(p.known)) {
			if r := p.known[uid]; r.role == role && !yield(r) {
				return
			}
		}
	}
}

// broker tells whether a Broker is served by pods of a role: all of them at first, and one once it was.
func (p *pods) broker(role, uid string, generation int64, was bool) (v verdict, topic string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pods, serving := 0, 0
	none := verdict{true, table.Problem{Reason: "NoPod", Message: fmt.Sprintf("no pod of %s is ready", role)}}
	for r := range p.of(role) {
		b, knows := r.status.Brokers[uid]
		if !r.ready {
			if b.Problem != nil {
				none = verdict{Problem: *b.Problem}
			}
			continue
		}
		pods++
		switch {
		case !knows || b.Generation < generation:
			v = verdict{true, table.Problem{Reason: "NotServedYet", Message: fmt.Sprintf("a pod of %s does not know this generation yet", role)}}
			if r.err != nil {
				v.Message = fmt.Sprintf("a pod of %s does not tell what it serves: %v", role, r.err)
			}
		case b.Problem != nil:
			v = verdict{Problem: *b.Problem}
		default:
			serving++
		}
		if topic == "" || b.Topic != "" {
			topic = b.Topic
		}
	}
	_, lately := p.good[role+uid]
	switch {
	case pods > 0 && serving == pods, was && serving > 0:
		return verdict{}, topic
	case was && lately && !ofConfig(v.Reason):
		return verdict{}, topic
	case pods == 0:
		return none, topic
	default:
		return v, topic
	}
}

// https is what the pods of the ingress say of that.
type https struct {
	// unknown says that none of them says anything, missing that one does not accept it, and caCerts whom senders have to trust.
	unknown, missing bool
	caCerts          string
}

// https tells whether the ingress accepts it. While its pods have different authorities senders are told of all.
func (p *pods) https() (h https) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var authorities []string
	for r := range p.of(roleIngress) {
		if r.ready && r.err == nil {
			h.missing = h.missing || !r.status.HTTPS
			authorities = append(authorities, r.status.CACerts)
		}
	}
	h.unknown = len(authorities) == 0
	slices.Sort(authorities)
	h.caCerts = strings.TrimPrefix(strings.Join(slices.Compact(authorities), "\n"), "\n")
	return h
}

// ofConfig tells the reasons that are a matter of the Broker's configuration.
func ofConfig(reason string) bool {
	switch reason {
	case table.ReasonConfigInvalid, table.ReasonConfigNotFound, table.ReasonConfigUnsupported, table.ReasonCredentialsNotFound, table.ReasonTopicIsImmutable:
		return true
	default:
		return false
	}
}

// trigger tells whether a Trigger is served by all dispatchers. Once it was, in this generation, it is until one says otherwise: a dispatcher
// that starts serves it, too.
func (p *pods) trigger(broker, uid string, generation int64, was bool) verdict {
	p.mu.Lock()
	defer p.mu.Unlock()
	v := p.ofTrigger(broker, uid, generation)
	if was && v.wait && v.Reason != table.ReasonSubscriberUnresolved {
		return verdict{}
	}
	return v
}

func (p *pods) ofTrigger(broker, uid string, generation int64) verdict {
	v, pods := verdict{}, 0
	for r := range p.of(roleDispatcher) {
		if !r.ready {
			continue
		}
		pods++
		t, knows := r.status.Brokers[broker].Triggers[uid]
		switch {
		case !knows || t.Generation < generation:
			return verdict{true, table.Problem{Reason: "NotServedYet", Message: "a dispatcher does not know this generation yet"}}
		case t.Problem != nil:
			v = verdict{t.Problem.Reason == table.ReasonSubscriberUnresolved, *t.Problem}
		}
	}
	if pods == 0 {
		return verdict{true, table.Problem{Reason: "NoPod", Message: "no pod of " + roleDispatcher + " is ready"}}
	}
	return v
}
