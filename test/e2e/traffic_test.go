//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// interval is the time between two events.
const interval = 20 * time.Millisecond

// knativeIngress is the Service at which Knative's own Brokers get events.
const knativeIngress = "broker-ingress"

// traffic posts numbered events to a Broker. One that the Broker does not take is posted again, under the same number.
type traffic struct {
	ingress   string
	namespace string
	stop      context.CancelFunc
	done      sync.WaitGroup
	mu        sync.Mutex
	accepted  int
	refused   int
}

// startTraffic starts it at Broker default of a namespace, which an ingress serves.
func startTraffic(t *testing.T, ingress, namespace string) *traffic {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	f := &traffic{ingress: ingress, namespace: namespace, stop: stop}
	f.done.Go(func() { f.post(ctx) })
	t.Cleanup(func() { f.end() })
	return f
}

func (f *traffic) post(ctx context.Context) {
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	for n := 1; ; {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		status, _ := post(context.WithoutCancel(ctx), f.ingress, f.namespace, evenOrOdd(n), n)
		f.mu.Lock()
		if status == http.StatusAccepted {
			f.accepted = n
			n++
		} else {
			f.refused++
		}
		f.mu.Unlock()
	}
}

// evenOrOdd returns the type of a numbered event by which the Trigger even filters.
func evenOrOdd(n int) string { return [...]string{"even", "odd"}[n%2] }

// post posts a numbered event to Broker default of a namespace, through the API server, so that it can be reached from anywhere. It tells the
// status of the answer, 0 for none, and the error, if it is one.
func post(ctx context.Context, ingress, namespace, eventType string, n int) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err = cluster.CoreV1().RESTClient().Post().MaxRetries(0).
		Namespace(knative).Resource("services").Name("http:"+ingress+":80").SubResource("proxy").Suffix(namespace, "default").
		SetHeader("Ce-Specversion", "1.0").SetHeader("Ce-Type", eventType).SetHeader("Ce-Source", "e2e").SetHeader("Ce-Id", fmt.Sprintf("n%06d", n)).
		SetHeader("Content-Type", "text/plain").Body([]byte("data")).
		Do(ctx).StatusCode(&status).Error()
	if refusal := apierrors.APIStatus(nil); errors.As(err, &refusal) {
		status = int(refusal.Status().Code)
	}
	return status, err
}

// count tells how many events the Broker has taken, which are numbered from 1.
func (f *traffic) count() int {
	accepted, _ := f.counts()
	return accepted
}

// counts tells how often the Broker has not taken one, too.
func (f *traffic) counts() (accepted, refused int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.accepted, f.refused
}

// flow waits until as many more events have been taken as are to flow before and after each fault.
func (f *traffic) flow(t *testing.T) {
	t.Helper()
	want := f.count() + between
	eventually(t, func() string {
		if got := f.count(); got < want {
			return fmt.Sprintf("the Broker has taken %d events, want %d", got, want)
		}
		return ""
	})
}

// end stops the traffic, and tells the last number.
func (f *traffic) end() int {
	f.stop()
	f.done.Wait()
	return f.count()
}

var numberPattern = regexp.MustCompile(`(?m)^  id: n(\d+)$`)

// received returns how often a receiver has got each number.
func received(t *testing.T, namespace, program string) map[int]int {
	t.Helper()
	got := map[int]int{}
	for _, pod := range pods(t, namespace, program) {
		text, err := logs(t.Context(), namespace, pod.Name, &corev1.PodLogOptions{})
		if err != nil {
			t.Log(err) // and look again
		}
		for _, match := range numberPattern.FindAllStringSubmatch(text, -1) {
			if n, err := strconv.Atoi(match[1]); err == nil {
				got[n]++
			}
		}
	}
	return got
}

// missing returns the numbers from first to last, each so much more than the one before, that have not been received.
func missing(got map[int]int, first, last, step int) []int {
	var all []int
	for n := first; n <= last; n += step {
		if got[n] == 0 {
			all = append(all, n)
		}
	}
	return all
}
