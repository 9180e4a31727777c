package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	corelisters "k8s.io/client-go/listers/core/v1"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/dataplane"
)

// Roles of the pods of the data plane, by the label app.kubernetes.io/name.
const (
	nameLabel      = "app.kubernetes.io/name"
	roleIngress    = "eventmesh-broker-ingress"
	roleDispatcher = "eventmesh-broker-dispatcher"
	// portName is that of the port on which they serve their status.
	portName = "status"
)

const (
	// askEvery is the time from one question to the pods to the next.
	askEvery = 500 * time.Millisecond
	// answerIn is how long an answer may take.
	answerIn = time.Second
	// believedFor is how long what was served before is believed to be, while no pod serves it: connections break and come back.
	believedFor = 30 * time.Second
	// maxStatus is how large an answer may be, in bytes.
	maxStatus = 64 << 20
)

// pods asks the pods of the data plane what they serve.
type pods struct {
	lister corelisters.PodLister
	client *http.Client
	now    func() time.Time

	mu    sync.Mutex
	known map[string]*report   // by the UID of the pod
	good  map[string]time.Time // when a role has served a Broker the last time, by both
}

// report is what a pod said the last time.
type report struct {
	role   string
	ready  bool // as Kubernetes sees it: one that is not only tells why
	tag    string
	status dataplane.Status
	err    error // it does not answer
}

func newPods(lister corelisters.PodLister) *pods {
	return &pods{
		lister: lister, client: &http.Client{Timeout: answerIn, Transport: &http.Transport{MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute}},
		now: time.Now, known: map[string]*report{}, good: map[string]time.Time{},
	}
}

// run asks until the context ends, and calls asked after each round.
func (p *pods) run(ctx context.Context, asked func()) {
	ticker := time.NewTicker(askEvery)
	defer ticker.Stop()
	for {
		p.ask(ctx)
		asked()
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// ask asks all pods at once.
func (p *pods) ask(ctx context.Context) {
	found, err := p.lister.List(labels.Everything())
	if err != nil {
		return // it is in memory
	}
	next := map[string]*report{}
	var asking sync.WaitGroup
	var mu sync.Mutex
	for _, pod := range found {
		url := statusURL(pod)
		if url == "" {
			continue
		}
		p.mu.Lock()
		before := p.known[string(pod.UID)]
		p.mu.Unlock()
		asking.Go(func() {
			r := p.one(ctx, url, before)
			r.role, r.ready = pod.Labels[nameLabel], isReady(pod)
			mu.Lock()
			defer mu.Unlock()
			next[string(pod.UID)] = r
		})
	}
	asking.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known = next
	for _, r := range next {
		for uid, b := range r.status.Brokers {
			if b.Problem == nil && r.ready {
				p.good[r.role+uid] = p.now()
			}
		}
	}
	for key, at := range p.good {
		if p.now().Sub(at) > believedFor {
			delete(p.good, key)
		}
	}
}

func isReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue })
}

// statusURL is where a pod tells its status, and "" for one that cannot be asked.
func statusURL(pod *corev1.Pod) string {
	if pod.DeletionTimestamp != nil || pod.Status.PodIP == "" {
		return ""
	}
	for i := range pod.Spec.Containers {
		for _, port := range pod.Spec.Containers[i].Ports {
			if port.Name == portName {
				return "http://" + net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(int(port.ContainerPort))) + dataplane.StatusPath
			}
		}
	}
	return ""
}

// one asks one pod. What it has said before need not be said again.
func (p *pods) one(ctx context.Context, url string, before *report) *report {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return &report{err: err}
	}
	if before != nil && before.tag != "" {
		request.Header.Set("If-None-Match", before.tag)
	}
	response, err := p.client.Do(request)
	if err != nil {
		return &report{err: err}
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode == http.StatusNotModified && before != nil:
		return &report{tag: before.tag, status: before.status}
	case response.StatusCode != http.StatusOK:
		return &report{err: fmt.Errorf("it answers %d", response.StatusCode)}
	}
	r := &report{tag: response.Header.Get("ETag")}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxStatus))
	if err == nil {
		err = json.Unmarshal(body, &r.status)
	}
	if err != nil {
		return &report{err: err}
	}
	return r
}
