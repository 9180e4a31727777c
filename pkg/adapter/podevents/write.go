package podevents

import (
	"context"
	"encoding/json"
	stderrors "errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// errNothing says that there is nothing to be written.
var errNothing = stderrors.New("nothing to write")

func reference(namespace string, pod Pod) corev1.ObjectReference {
	return corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: namespace, Name: pod.PodName, UID: types.UID(pod.PodUID)}
}

// write writes what is next, if anything. The error is errNothing, or that of Kubernetes, which has been told.
func (r *Recorder) write(ctx context.Context, last bool) error {
	r.mu.Lock()
	next, found := r.ledger.next(time.Now(), last)
	r.mu.Unlock()
	if !found {
		return errNothing
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	name, count, err := r.put(ctx, next)
	if err != nil {
		r.complain(next, err)
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ledger.wrote(next, name, count, time.Now())
	return nil
}

// put counts up the earlier Event, or makes one where there is none, or none any more.
func (r *Recorder) put(ctx context.Context, e entry) (name string, count int32, err error) {
	if e.earlier.name != "" {
		count = e.earlier.count + e.times
		err = r.countUp(ctx, e.earlier.name, count)
		if !errors.IsNotFound(err) {
			return e.earlier.name, count, err
		}
	}
	event, err := r.events.Create(ctx, r.event(e), metav1.CreateOptions{})
	if err != nil {
		return "", 0, fmt.Errorf("creating an Event: %w", err)
	}
	return event.Name, e.times, nil
}

func (r *Recorder) countUp(ctx context.Context, name string, count int32) error {
	patch, err := json.Marshal(map[string]any{"count": count, "lastTimestamp": metav1.Now()})
	if err != nil {
		return fmt.Errorf("encoding a patch: %w", err)
	}
	if _, err := r.events.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("counting up Event %s: %w", name, err)
	}
	return nil
}

// event is made as older clients of Kubernetes make theirs, with a count: kubectl describe shows that.
func (r *Recorder) event(e entry) *corev1.Event {
	kind := corev1.EventTypeWarning
	if e.reason == Recovered {
		kind = corev1.EventTypeNormal
	}
	now := metav1.Now()
	return &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{GenerateName: r.pod.Name + ".", Namespace: r.pod.Namespace},
		InvolvedObject: r.pod, Type: kind, Reason: string(e.reason), Message: e.message,
		FirstTimestamp: now, LastTimestamp: now, Count: e.times,
		Source: corev1.EventSource{Component: r.component}, ReportingController: r.component, ReportingInstance: r.pod.Name,
	}
}

// complain says once that rights are missing; nothing is written after that.
func (r *Recorder) complain(e entry, err error) {
	switch {
	case !errors.IsForbidden(err):
		r.logger.Debugw("an Event of the pod cannot be recorded for now", "reason", e.reason, zap.Error(err))
	case errors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		r.logger.Debugw("no Events of the pod are recorded any more: its namespace ends", "reason", e.reason)
	default:
		r.logger.Infow("no Events of the pod are recorded: apply the Role of config/pod-events, and restart the pod", "reason", e.reason, zap.Error(err))
	}
}
