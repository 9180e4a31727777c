package controller

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	duckv1 "knative.dev/pkg/apis/duck/v1"
)

// checkDependency says whether the source is ready that the annotation knative.dev/dependency names, if there is one.
func (r *triggers) checkDependency(ctx context.Context, t *eventingv1.Trigger) error {
	text, ok := t.Annotations[eventingv1.DependencyAnnotation]
	if !ok {
		t.Status.MarkDependencySucceeded()
		return nil
	}
	of, err := eventingv1.GetObjRefFromDependencyAnnotation(text)
	if err != nil {
		t.Status.MarkDependencyFailed("ReferenceError", "annotation %s is no reference: %v", eventingv1.DependencyAnnotation, err)
		return fmt.Errorf("annotation %s: %w", eventingv1.DependencyAnnotation, err)
	}
	if err := r.sources.TrackInNamespace(ctx, t)(of); err != nil {
		t.Status.MarkDependencyUnknown("TrackingError", "%s %s cannot be watched: %v", of.Kind, of.Name, err)
		return fmt.Errorf("watching %s %s: %w", of.Kind, of.Name, err)
	}
	return r.markDependency(t, of)
}

var errNoSource = errors.New("it has not the form of a source")

func (r *triggers) markDependency(t *eventingv1.Trigger, of corev1.ObjectReference) error {
	lister, err := r.sources.ListerFor(of)
	if err != nil {
		t.Status.MarkDependencyUnknown("ListerDoesNotExist", "%s %s cannot be read: %v", of.Kind, of.Name, err)
		return fmt.Errorf("reading %s %s: %w", of.Kind, of.Name, err)
	}
	object, err := lister.ByNamespace(t.Namespace).Get(of.Name)
	if err != nil {
		if apierrors.IsNotFound(err) {
			t.Status.MarkDependencyFailed("DependencyDoesNotExist", "%s %s does not exist", of.Kind, of.Name)
		} else {
			t.Status.MarkDependencyUnknown("DependencyGetFailed", "%s %s cannot be read: %v", of.Kind, of.Name, err)
		}
		return fmt.Errorf("reading %s %s: %w", of.Kind, of.Name, err)
	}
	source, ok := object.(*duckv1.Source)
	if !ok {
		return fmt.Errorf("reading %s %s: %w", of.Kind, of.Name, errNoSource)
	}
	if source.GetGeneration() != source.Status.ObservedGeneration {
		t.Status.MarkDependencyUnknown("GenerationNotEqual", "%s %s has changed, and its status not yet", of.Kind, of.Name)
		return nil
	}
	t.Status.PropagateDependencyStatus(source)
	return nil
}
