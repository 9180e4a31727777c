package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// summary is the part of the kubelet's /stats/summary that counts here.
type summary struct{ Pods []podSummary }

type podSummary struct {
	PodRef     struct{ Name, Namespace string }
	Containers []struct {
		CPU struct {
			// Time is when the kubelet has looked, of which the parts of a second are cut off.
			Time                 time.Time
			UsageCoreNanoSeconds int64
		}
		Memory struct{ WorkingSetBytes, RSSBytes int64 }
	}
}

// sample is what a pod had used when the kubelet looked.
type sample struct {
	at                   time.Time
	cpu                  time.Duration // since the pod's start
	resident, workingSet int64         // bytes
}

// program is one that runs in pods whose names begin with its own.
type program struct{ namespace, name string }

// meter keeps what the kubelets say of pods with one container, in the order in which they have looked.
type meter struct {
	core *kubernetes.Clientset

	mu      sync.Mutex
	samples map[program][]sample // by the namespaces and whole names of pods
	// restarts is how often containers of pods were replaced, by the pods' names.
	restarts map[string]int
}

func newMeter() *meter { return &meter{samples: map[program][]sample{}, restarts: map[string]int{}} }

// restartsOf returns how often containers of the classes' programs were replaced, by the names of programs, of those that were.
func (m *meter) restartsOf(classes []class) map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	found := map[string]int{}
	for i := range classes {
		for _, p := range slices.Concat(classes[i].measured(), classes[i].controllers) {
			for pod, n := range m.restarts {
				if strings.HasPrefix(pod, p.name+"-") {
					found[p.name] += n
				}
			}
		}
	}
	return found
}

// interval is how often the kubelets are asked.
const interval = 2 * time.Second

// watch asks until the context ends.
func (m *meter) watch(ctx context.Context) error {
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	for {
		if err := m.ask(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
	}
}

func (m *meter) ask(ctx context.Context) error {
	nodes, err := m.core.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	var pods []podSummary
	for _, node := range nodes.Items {
		text, err := m.core.CoreV1().RESTClient().Get().Resource("nodes").Name(node.Name).SubResource("proxy").Suffix("stats/summary").DoRaw(ctx)
		if err != nil {
			return fmt.Errorf("asking the kubelet of %s: %w", node.Name, err)
		}
		var s summary
		if err := json.Unmarshal(text, &s); err != nil {
			return fmt.Errorf("reading what the kubelet of %s says: %w", node.Name, err)
		}
		pods = append(pods, s.Pods...)
	}
	m.note(pods)
	return nil
}

// note takes samples that are new, and forgets pods that are gone.
func (m *meter) note(pods []podSummary) {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := make(map[program][]sample, len(pods))
	for _, pod := range pods {
		if len(pod.Containers) != 1 || pod.Containers[0].CPU.Time.IsZero() {
			continue
		}
		c, of := pod.Containers[0], program{pod.PodRef.Namespace, pod.PodRef.Name}
		known := m.samples[of]
		if n := len(known); n > 0 && c.CPU.UsageCoreNanoSeconds < known[n-1].cpu.Nanoseconds() {
			m.restarts[of.name]++
		}
		if n := len(known); n == 0 || c.CPU.Time.After(known[n-1].at) {
			known = append(known, sample{
				c.CPU.Time, time.Duration(c.CPU.UsageCoreNanoSeconds), c.Memory.RSSBytes, c.Memory.WorkingSetBytes,
			})
		}
		next[of] = known
	}
	m.samples = next
}

// of returns the samples of a program's pods.
func (m *meter) of(p program) [][]sample {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all [][]sample
	for _, pod := range slices.SortedFunc(maps.Keys(m.samples), func(a, b program) int { return cmp.Compare(a.name, b.name) }) {
		if pod.namespace == p.namespace && strings.HasPrefix(pod.name, p.name+"-") {
			all = append(all, slices.Clone(m.samples[pod]))
		}
	}
	return all
}

// use is what the pods of a program have used from one time to another.
type use struct {
	cpu    time.Duration
	window time.Duration // in which that was; with several pods the mean
	// memory is the most of all samples, of all pods together, in bytes.
	resident, workingSet int64
}

// between returns what was used from the last look before one time to the first look after another, which has to have been.
func (m *meter) between(p program, from, to time.Time) (u use, err error) {
	pods := m.of(p)
	for _, samples := range pods {
		first, last := bounds(samples, from, to)
		if first < 0 || last < 0 {
			return use{}, fmt.Errorf("%s: the kubelet has not looked before %s and after %s", p.name, from, to)
		}
		u.cpu += samples[last].cpu - samples[first].cpu
		u.window += samples[last].at.Sub(samples[first].at) / time.Duration(len(pods))
		var resident, workingSet int64
		for _, s := range samples[first : last+1] {
			resident, workingSet = max(resident, s.resident), max(workingSet, s.workingSet)
		}
		u.resident, u.workingSet = u.resident+resident, u.workingSet+workingSet
	}
	if len(pods) == 0 {
		return use{}, fmt.Errorf("%s has no pods in %s", p.name, p.namespace)
	}
	return u, nil
}

// bounds are the indices of the last sample before from, and of the first after to; -1 where there is none.
func bounds(samples []sample, from, to time.Time) (first, last int) {
	first = -1
	for i, s := range samples {
		if !s.at.Add(time.Second).After(from) {
			first = i
		}
	}
	return first, slices.IndexFunc(samples, func(s sample) bool { return !s.at.Before(to) })
}

// settle waits until the kubelet has looked at all pods of some programs since a time.
func (m *meter) settle(ctx context.Context, programs []program, since time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	ticks := time.NewTicker(interval / 4)
	defer ticks.Stop()
	for {
		missing := slices.IndexFunc(programs, func(p program) bool {
			return slices.ContainsFunc(m.of(p), func(samples []sample) bool { return samples[len(samples)-1].at.Before(since) })
		})
		if missing < 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the kubelet to look at %s: %w", programs[missing].name, ctx.Err())
		case <-ticks.C:
		}
	}
}
