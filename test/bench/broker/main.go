package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"knative.dev/eventing/pkg/client/clientset/versioned"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// bench is a run of measurements.
type bench struct {
	core     *kubernetes.Clientset
	eventing *versioned.Clientset
	meter    *meter
	began    time.Time
	idle     map[program]float64 // cores that a program uses at rest

	rounds, window, size int
	rate                 float64       // the most events a second in blocks
	burst, length, rest  time.Duration // how long a round of rates, a block, and the measurement of rest take
}

// layout is how many Triggers a Broker has, and how many of them match, in one case after the other.
type layout struct {
	triggers int
	matching []int
}

func run(ctx context.Context, arguments []string) error {
	flags := flag.NewFlagSet("broker", flag.ContinueOnError)
	out := flags.String("out", "", "`folder` to write broker.json and broker.md to; without it the tables go to the standard output alone")
	short := flags.Bool("short", false, "two of the cases, in one round")
	b := &bench{meter: newMeter(), began: time.Now(), idle: map[program]float64{}}
	flags.IntVar(&b.rounds, "rounds", 3, "`rounds` in which the Brokers take turns")
	flags.IntVar(&b.window, "window", 16, "`events` under way while rates are measured")
	flags.IntVar(&b.size, "size", 1024, "`bytes` of an event's data")
	flags.Float64Var(&b.rate, "rate", 500, "the most `events` a second in blocks in which CPU and latencies are measured")
	flags.DurationVar(&b.burst, "burst", 4*time.Second, "`time` of a round of rates")
	flags.DurationVar(&b.length, "block", 15*time.Second, "`time` of a block")
	flags.DurationVar(&b.rest, "rest", 30*time.Second, "`time` in which is measured what programs use at rest")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	layouts := []layout{{1, []int{1}}, {10, []int{1, 10}}, {100, []int{1, 10}}}
	if *short {
		layouts, b.rounds = []layout{{1, []int{1}}, {10, []int{10}}}, 1
	}
	if err := b.connect(); err != nil {
		return err
	}
	r, err := b.measured(ctx, layouts)
	if err != nil {
		return err
	}
	fmt.Print(r.markdown())
	if *out == "" {
		return nil
	}
	return r.write(*out)
}

func (b *bench) connect() error {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return fmt.Errorf("reading KUBECONFIG: %w", err)
	}
	config.QPS = -1
	config.WarningHandler = rest.NoWarnings{}
	if b.core, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	b.meter.core = b.core
	b.eventing, err = versioned.NewForConfig(config)
	return err
}

// measured measures all layouts, while the meter watches.
func (b *bench) measured(ctx context.Context, layouts []layout) (r Report, err error) {
	ctx, cancel := context.WithCancel(ctx)
	watched := make(chan error, 1)
	go func() {
		watched <- b.meter.watch(ctx)
		cancel()
	}()
	r, err = b.all(ctx, layouts)
	cancel()
	return r, errors.Join(<-watched, err)
}

func (b *bench) all(ctx context.Context, layouts []layout) (Report, error) {
	r := newReport(b)
	for _, l := range layouts {
		b.progress("%d Triggers", l.triggers)
		s, err := b.prepare(ctx, l.triggers)
		if err != nil {
			return r, err
		}
		for _, s.matching = range l.matching {
			b.progress("of which %d match", s.matching)
			c, err := s.compare(ctx)
			if err != nil {
				return r, err
			}
			r.Cases = append(r.Cases, c)
		}
		if err := s.forget(ctx); err != nil {
			return r, err
		}
	}
	r.AtRest = map[string]float64{}
	for p, cores := range b.idle {
		r.AtRest[p.name] = 1000 * cores
	}
	r.Restarts = b.meter.restartsOf(classes)
	r.Seconds = time.Since(b.began).Seconds()
	return r, nil
}

func (b *bench) progress(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, "%4.0f s  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, arguments...))
}
