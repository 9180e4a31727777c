package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

func main() {
	bin := flag.String("bin", "bin", "`folder` that holds the programs")
	timeout := flag.Duration("timeout", 0, "`time` that the whole demo may take (default 1m, and 15m with RocketMQ)")
	m := declareMesh(flag.CommandLine)
	flag.Parse()
	if err := m.validate(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if *timeout == 0 {
		*timeout = m.timeout()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	ok := play(ctx, &stage{bin: *bin, mesh: m, out: newOutput(os.Stdout)}, *timeout)
	stop()
	if !ok {
		os.Exit(1)
	}
}

// play plays the demo, tells how it went, and returns whether all events arrived whole.
func play(ctx context.Context, s *stage, timeout time.Duration) bool {
	// The kernel ends the children with the thread that started them, so it has to be one that lasts.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("not finished in %s", timeout))
	defer cancel()
	began := time.Now()
	defer s.close() // after a panic too
	err := s.play(ctx)
	s.close()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
			err = fmt.Errorf("%w: %w", cause, err)
		}
		s.out.printf("\nThe demo failed: %s\n", err)
		for _, p := range s.processes {
			s.out.printf("\nThe end of the log of %s:\n%s", p.name, p.tail())
		}
	}
	s.out.printf("\n%d of %d events arrived whole:\n", len(s.arrived), len(s.mesh.transports())*2+brokerEvents)
	for _, line := range s.arrived {
		s.out.printf("  ✓ %s\n", line)
	}
	s.out.printf("Took %s. No process is left.\n", time.Since(began).Round(time.Millisecond))
	return err == nil
}
