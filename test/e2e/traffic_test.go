//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// interval is the time between two events.
const interval = 20 * time.Millisecond

// traffic posts numbered events to a Broker. One that the Broker does not take is posted again, under the same number.
type traffic struct {
	namespace string
	stop      context.CancelFunc
	done      sync.WaitGroup
	mu        sync.Mutex
	accepted  int
}

func startTraffic(t *testing.T, namespace string) *traffic {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	f := &traffic{namespace: namespace, stop: stop}
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
		if f.once(ctx, n) {
			f.mu.Lock()
			f.accepted = n
			f.mu.Unlock()
			n++
		}
	}
}

// once posts through the API server, so that the Broker can be reached from anywhere.
func (f *traffic) once(ctx context.Context, n int) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	status := 0
	err := cluster.CoreV1().RESTClient().Post().
		Namespace("knative-eventing").Resource("services").Name("http:broker-ingress:80").SubResource("proxy").Suffix(f.namespace, "default").
		SetHeader("Ce-Specversion", "1.0").SetHeader("Ce-Type", "number").SetHeader("Ce-Source", "e2e").SetHeader("Ce-Id", fmt.Sprintf("n%06d", n)).
		SetHeader("Content-Type", "text/plain").Body([]byte("data")).
		Do(ctx).StatusCode(&status).Error()
	return err == nil && status == http.StatusAccepted
}

// count tells how many events the Broker has taken, which are numbered from 1.
func (f *traffic) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.accepted
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

// received returns how often the receiver of a namespace has got each number.
func received(t *testing.T, namespace string) map[int]int {
	t.Helper()
	got := map[int]int{}
	for _, pod := range pods(t, namespace, "receiver") {
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

// missing returns the numbers from first to last that have not been received.
func missing(got map[int]int, first, last int) []int {
	var all []int
	for n := first; n <= last; n++ {
		if got[n] == 0 {
			all = append(all, n)
		}
	}
	return all
}
