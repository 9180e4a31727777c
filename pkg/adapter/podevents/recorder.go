package podevents

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
)

const (
	// interval is the time between two looks at readiness.
	interval = time.Second
	// writeTimeout bounds one write, and lastTimeout all those at the end.
	writeTimeout = 5 * time.Second
	lastTimeout  = time.Second
)

// Pod is the part of a configuration that says which Pod the program runs in.
type Pod struct {
	// PodName is its metadata.name.
	PodName string `envconfig:"POD_NAME" desc:"name of the pod; together with POD_UID, NAMESPACE and a token of Kubernetes it lets the program record why it does not work, as Events of its pod" want:"metadata.name of the downward API, as config/pod-events sets it"`
	// PodUID is its metadata.uid.
	PodUID string `envconfig:"POD_UID" desc:"UID of the pod" want:"metadata.uid of the downward API, with POD_NAME"`
}

// Recorder records Events of one Pod. Its methods may be called by several goroutines, and do nothing where it is nil.
type Recorder struct {
	events    corev1client.EventInterface
	component string
	pod       corev1.ObjectReference
	logger    *zap.SugaredLogger

	mu     sync.Mutex
	ledger *ledger
}

type clientKey struct{}

// WithClient returns a context from which New takes the client for Kubernetes.
func WithClient(ctx context.Context, client corev1client.EventsGetter) context.Context {
	return context.WithValue(ctx, clientKey{}, client)
}

// New returns the Recorder of a program, or nil where it is not known in which Pod that runs, or there is no client in the context.
func New(ctx context.Context, component, namespace string, pod Pod, logger *zap.SugaredLogger) *Recorder {
	client, _ := ctx.Value(clientKey{}).(corev1client.EventsGetter)
	if client == nil || namespace == "" || pod.PodName == "" || pod.PodUID == "" {
		logger.Debugw("no Events of the pod are recorded: its name, its UID, its namespace or a token is missing", "pod", pod.PodName)
		return nil
	}
	return &Recorder{
		events: client.Events(namespace), component: component, logger: logger, ledger: newLedger(),
		pod: reference(namespace, pod),
	}
}

// Note takes what is worth an Event without being a state. Where others wait to be written, it may be forgotten.
func (r *Recorder) Note(reason Reason, message string) {
	if r == nil {
		return
	}
	message = messageOf(message)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ledger.note(reason, message)
}

// Watch records what ready says, and what is noted, until the context ends. The returned function ends it as well, and waits for it: what
// is left is written then, within a second.
func (r *Recorder) Watch(ctx context.Context, ready func() error) (stop func()) {
	if r == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	writing, abort := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() { time.AfterFunc(lastTimeout, abort) })
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.run(ctx, writing, ready)
	}()
	return func() {
		cancel()
		<-ended
		abort()
	}
}

func (r *Recorder) run(ctx, writing context.Context, ready func() error) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			for r.write(writing, true) == nil {
			}
			return
		case <-ticker.C:
		}
		if ctx.Err() == nil { // or it says that the program ends
			r.observe(ready())
		}
		if errors.IsForbidden(r.write(writing, false)) {
			return
		}
	}
}

func (r *Recorder) observe(err error) {
	reason, message := ReasonOf(err), ""
	if err != nil {
		message = messageOf(err.Error())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ledger.observe(reason, message, time.Now())
}
