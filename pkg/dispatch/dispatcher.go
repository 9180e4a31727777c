package dispatch

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Options are what the lanes of a dispatcher share.
type Options struct {
	// Workers is how many requests are under way at once; by default 16. It costs nothing while they are not needed.
	Workers int
	// MaxEvents and MaxBytes bound what is kept, in memory or on disk: an event counts once for each of its lanes, with its data, the names
	// and values of its attributes, 128 bytes for each extension, and 1 KiB. 0 is no bound. A larger event is kept alone. See also
	// [LaneOptions].
	MaxEvents, MaxBytes int64
	// Disk keeps events, also when the process dies. Without it they are in memory. The dispatcher closes it.
	Disk *Disk
	// Acknowledge is told of messages that are safe: on disk, or, in memory, at their places of rest. It may be called by several
	// goroutines at once, also while the dispatcher drains, and should not take long: nothing is written meanwhile.
	Acknowledge func([]*Message)
	// Undecodable makes an event, for dead letters, of a record on disk that cannot be read. It is needed with a Disk alone.
	Undecodable func(topic string, raw []byte) event.Event
	// Telemetry counts and measures; nil: what is measured goes nowhere.
	Telemetry *Telemetry
	// Logger is told of changes; nil: nobody is.
	Logger *zap.SugaredLogger
}

// Dispatcher keeps events and sends them to the destinations of its lanes. Its methods may be called by several goroutines.
type Dispatcher struct {
	options Options
	store   store
	sampled *zap.SugaredLogger // for failures that repeat

	abandon context.CancelFunc // gives up what is under way
	workers sync.WaitGroup

	mu        sync.Mutex
	hired     int       // workers
	idle      int       // of them
	changed   sync.Cond // there may be an event to send
	room      sync.Cond
	wakeAt    time.Time // when changed is signalled by a timer, if ever
	lanes     []*Lane
	active    []*Lane // those that may have something to send
	turn      int     // of which of the active lanes it is
	sequence  uint64
	before    uint64 // the last event of earlier processes
	events    int64
	bytes     int64
	endless   budget // of repeats that have no end
	numbered  budget // of those that have
	inFlight  int64
	secondary int // attempts in flight that are not their events' first
	waiting   int // messages for room
	unbounded bool
	stopped   bool
	drained   chan struct{} // closed when stopped and nothing is left to hand out
	stage     string        // of Drain
}

// store keeps messages, and their items until they rest.
type store interface {
	// attach adds a lane, with what is kept for it already, and detach forgets what is kept for one, but for items that are in flight. It
	// returns the messages that are to be acknowledged now. The dispatcher's lock is held.
	attach(l *Lane)
	detach(l *Lane) []*Message
	// sweep forgets what is kept for lanes that there are not, and returns how many events that were. The lock is held.
	sweep() int64
	// prepare tells whether a message can be kept.
	prepare(m *Message) error
	// admits tells whether there is room for it, besides the bounds. The lock is held.
	admits(m *Message) bool
	// put keeps a message, and adds its items to their lanes once they may be sent. The lock is held.
	put(m *Message)
	// rested forgets an item that has found its place of rest. It returns the message where that is to be acknowledged now. The lock is
	// held.
	rested(it *item) *Message
	// refill brings more of a lane's events into its queue.
	refill(l *Lane)
	// load brings back the event of an item that is not in memory. An error is one that may pass.
	load(it *item) error
	// stop leaves of a lane's items those that are still to be handed out. The lock is held.
	stop(l *Lane)
	// status adds what the store has to say. The lock is held.
	status(s *Status)
	// oldest is when the oldest event was received that is kept for a lane which has some. The lock is held.
	oldest(l *Lane) time.Time
	// start begins to write, flush returns when all that has been put is safe, and finish writes what is to be forgotten, and ends it.
	start(ctx context.Context)
	flush(ctx context.Context)
	finish(ctx context.Context)
}

// New returns a dispatcher without lanes. It works from Start to Drain.
func New(o Options) *Dispatcher {
	if o.Workers <= 0 {
		o.Workers = 16
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop().Sugar()
	}
	if o.Telemetry == nil {
		o.Telemetry, _ = NewTelemetry(TelemetryOptions{Provider: noop.NewMeterProvider(), Prefix: "dispatch"})
	}
	if o.Acknowledge == nil {
		o.Acknowledge = func([]*Message) {}
	}
	d := &Dispatcher{
		options: o, sampled: sampled(o.Logger), abandon: func() {}, drained: make(chan struct{}),
		endless: budget{every: repeatEvery}, numbered: budget{every: finiteRepeatEvery},
	}
	d.changed.L, d.room.L = &d.mu, &d.mu
	if o.Disk == nil {
		d.store = &memory{dispatcher: d}
	} else {
		d.store = o.Disk
		d.before = o.Disk.use(d)
		d.sequence = d.before
	}
	o.Telemetry.dispatcher.Store(d)
	return d
}

// sampled returns a logger for failures that repeat: of each message it writes one a second.
func sampled(logger *zap.SugaredLogger) *zap.SugaredLogger {
	return logger.Desugar().WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, time.Second, 1, 0)
	})).Sugar()
}

// Lane adds a destination. What is kept for a lane of that name on disk is sent to it.
func (d *Dispatcher) Lane(o LaneOptions) *Lane {
	l := newLane(d, o)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lanes = append(d.lanes, l)
	d.store.attach(l)
	l.openBeside()
	d.changed.Signal()
	return l
}

// Sweep forgets what is on disk for lanes that there are not, such as those that were closed while no process had the directory, and returns
// how many events that were. It is for when all lanes are there.
func (d *Dispatcher) Sweep() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.store.sweep()
}

// Start begins to write and to send.
func (d *Dispatcher) Start() {
	var ctx context.Context
	ctx, d.abandon = context.WithCancel(context.Background())
	d.store.start(ctx)
	context.AfterFunc(ctx, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.changed.Broadcast()
	})
	d.with(func() { d.hire(ctx) })
}

// Prepare tells whether a message can be kept: on disk not everything can that is in memory. Put does so, too, where it was not done.
func (d *Dispatcher) Prepare(m *Message) error {
	if m.Received.IsZero() {
		m.Received = time.Now()
	}
	if m.Undecodable != nil {
		SetError(&m.Event, "", m.Undecodable)
	}
	m.key = orderingKey(&m.Event, m.Topic)
	m.size = sizeOf(&m.Event)
	if err := d.store.prepare(m); err != nil {
		m.size = 0
		return err
	}
	return nil
}

// Put keeps a message for lanes, and waits until there is room for it. With a Disk it does not wait until the event is there: see
// [Options.Acknowledge]. A message for no lane that is open is acknowledged at once. Put is called before Drain. The error is the context's, or
// Prepare's.
func (d *Dispatcher) Put(ctx context.Context, m *Message, lanes ...*Lane) error {
	if m.size == 0 {
		if err := d.Prepare(m); err != nil {
			return err
		}
	}
	kept, err := d.keep(ctx, m, lanes)
	if err == nil && !kept {
		d.options.Acknowledge([]*Message{m})
	}
	return err
}

// keep keeps a message, if it is for a lane that is open once there is room.
func (d *Dispatcher) keep(ctx context.Context, m *Message, lanes []*Lane) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m.items = make([]item, len(lanes))
	if err := d.awaitRoom(ctx, m, lanes); err != nil {
		return false, err
	}
	if slices.ContainsFunc(lanes, (*Lane).isClosed) {
		lanes = slices.DeleteFunc(slices.Clone(lanes), (*Lane).isClosed)
		m.items = m.items[:len(lanes)]
	}
	if len(lanes) == 0 {
		return false, nil
	}
	m.open = len(lanes)
	d.sequence++
	m.seq = d.sequence
	for i, l := range lanes {
		l = l.keeper(m.size)
		m.items[i] = item{
			lane: l, message: m, seq: m.seq, key: m.key, topic: m.Topic, received: m.Received, size: m.size, event: m.Event,
			undecodable: m.Undecodable != nil,
		}
		l.events, l.bytes = l.events+1, l.bytes+m.size
	}
	d.events, d.bytes = d.events+int64(len(lanes)), d.bytes+m.size*int64(len(lanes))
	d.store.put(m)
	return true, nil
}

// ready adds an item to those that may be sent.
func (d *Dispatcher) ready(it *item) {
	it.lane.queue.add(it)
	d.activate(it.lane)
	d.changed.Signal()
}

func (d *Dispatcher) activate(l *Lane) {
	if !l.active && !l.isClosed() {
		l.active = true
		d.active = append(d.active, l)
	}
}
