package eventmeshtest

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// The subscription modes. Of a group's members one gets an event, or all.
const (
	clustering   = "CLUSTERING"
	broadcasting = "BROADCASTING"
)

// member is a client's way out, within a group, as the server believes it to be: a gRPC stream that has died is a member
// still. All methods are called with the broker locked, and do not block.
type member interface {
	// takes tells whether the member can be chosen.
	takes() bool
	// live tells whether there is a client behind it.
	live() bool
	// idc is where the member runs, empty when that makes no difference.
	idc() string
	// push hands an event over, with the group and the topic's members to which it was given.
	push(m *message, g *group, t *topicMembers)
}

// topicMembers are a group's members for one topic.
type topicMembers struct {
	mode    string
	sync    bool
	members map[string]member
}

// group is a consumer group on one of the transports.
type group struct {
	transport, name string
	topics          map[string]*topicMembers
	// listening says that the storage may hand it events.
	listening bool
	// clients are what a gRPC group's heartbeats and unsubscribes are checked against.
	clients []*client
}

// choose returns who gets an event: the members of the server's data centre, or else all; of them one by chance, or all
// when the topic is broadcast.
func (g *group) choose(topic, idc string) []member {
	t := g.topics[topic]
	if t == nil {
		return nil
	}
	var near, all []member
	for _, m := range t.members {
		if !m.takes() {
			continue
		}
		all = append(all, m)
		if m.idc() == idc {
			near = append(near, m)
		}
	}
	if len(near) > 0 {
		all = near
	}
	if len(all) == 0 || t.mode == broadcasting {
		return all
	}
	return []member{all[rand.IntN(len(all))]} //nolint:gosec // not a secret
}

// dispatch gives an event to the group, and reports false when it has nobody to take it.
func (g *group) dispatch(m *message, idc string) bool {
	chosen := g.choose(m.topic, idc)
	for _, c := range chosen {
		c.push(m, g, g.topics[m.topic])
	}
	return len(chosen) > 0
}

func (g *group) topicNames() []string { return slices.Sorted(maps.Keys(g.topics)) }
