package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// phase is a part of an event's way, by the histogram in seconds that a program has of it.
type phase struct {
	program
	name, metric string
}

// total is what a histogram has counted.
type total struct {
	seconds float64
	count   float64
}

// phases reads what the programs of a class have counted, by the names of phases.
func (b *bench) phases(ctx context.Context, c *class) (map[string]total, error) {
	all := map[string]total{}
	for _, p := range c.phases {
		pods, err := b.core.CoreV1().Pods(p.namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + p.program.name})
		if err != nil {
			return nil, err
		}
		for _, pod := range pods.Items {
			text, err := b.core.CoreV1().RESTClient().Get().Namespace(p.namespace).Resource("pods").Name(pod.Name + ":9092").SubResource("proxy").Suffix("metrics").DoRaw(ctx)
			if err != nil {
				return nil, fmt.Errorf("reading metrics of %s: %w", pod.Name, err)
			}
			one := totalOf(string(text), p.metric)
			all[p.name] = total{all[p.name].seconds + one.seconds, all[p.name].count + one.count}
		}
	}
	return all, nil
}

// totalOf adds all time series of a histogram, in the form of Prometheus.
func totalOf(text, metric string) (t total) {
	for line := range strings.Lines(text) {
		for suffix, to := range map[string]*float64{"_sum{": &t.seconds, "_count{": &t.count} {
			if !strings.HasPrefix(line, metric+suffix) {
				continue
			}
			fields := strings.Fields(line)
			if v, err := strconv.ParseFloat(fields[len(fields)-1], 64); err == nil {
				*to += v
			}
		}
	}
	return t
}

// since is the mean of what was counted since another time, in milliseconds; 0 where nothing was.
func (t total) since(before total) float64 {
	if t.count == before.count {
		return 0
	}
	return (t.seconds - before.seconds) / (t.count - before.count) * float64(time.Second/time.Millisecond)
}
