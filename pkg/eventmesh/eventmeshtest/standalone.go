package eventmeshtest

// standalone is EventMesh's storage in memory, with the defects of the 1.12 one: it never forgets who subscribed to a
// topic first, and destroys the topic whenever any consumer of it ends.
type standalone struct {
	b *broker
	// channels are the topics that exist; the value says whether anybody reads them.
	channels map[string]bool
	// owners are the groups that were first to subscribe; they are never forgotten.
	owners map[string]*group
}

func newStandalone(b *broker) *standalone {
	return &standalone{b: b, channels: map[string]bool{}, owners: map[string]*group{}}
}

func (*standalone) check(*message) error { return nil }

func (s *standalone) publish(m *message) error {
	started, exists := s.channels[m.topic]
	switch {
	case !exists:
		return &unpublished{m.topic, "has no subscriber"}
	case !started:
		return &unpublished{m.topic, "has lost its last subscriber, and stays dead until the server restarts"}
	}
	s.b.record(m)
	if !s.owners[m.topic].dispatch(m, s.b.options.IDC) {
		s.b.loseDelivery(s.b.handOut(m, nil), m, "no session of group %q listens", s.owners[m.topic].name)
	}
	return nil
}

func (s *standalone) attach(topic string, g *group) {
	if owner, ok := s.owners[topic]; ok {
		if _, exists := s.channels[topic]; !exists {
			s.channels[topic] = false
		}
		s.b.options.Logf("group %q gets no events of topic %q: group %q was there first, and it is never forgotten", g.name, topic, owner.name)
		return
	}
	s.owners[topic] = g
	s.channels[topic] = true
}

func (s *standalone) detach(topic string, g *group) {
	if s.channels[topic] {
		s.b.options.Logf("topic %q is dead until the server restarts: group %q has left it", topic, g.name)
	}
	delete(s.channels, topic)
}

func (s *standalone) regroup(g *group, before, now []string) {
	for _, topic := range before {
		s.detach(topic, g)
	}
	for _, topic := range now {
		s.attach(topic, g)
	}
}

func (*standalone) exists(string) bool              { return true }
func (*standalone) listen(*group)                   {}
func (*standalone) acknowledge(*message, *group)    {}
func (*standalone) abandon(*message, *group) string { return "" }
func (*standalone) requests() bool                  { return false }

func (s *standalone) restart(bool) {
	clear(s.channels)
	clear(s.owners)
}
