//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	err := run(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// roles are what this program becomes with one of these names as its first argument; more arguments follow it.
var roles = map[string]func(arguments []string) (any, error){
	"mesh":    func([]string) (any, error) { return newMesh() },
	"feed":    func(a []string) (any, error) { return newFeeding(a) },
	"read":    func(a []string) (any, error) { return newReading(a[0], a[1]) },
	"post":    func(a []string) (any, error) { return newPosting(a[0], number(a[1]), number(a[2])) },
	"forward": func(a []string) (any, error) { return newForwarding(a[0], a[1], a[2], number(a[3])) },
	"answer":  func([]string) (any, error) { return newAnswering(func() error { return nil }) },
	"relay":   func(a []string) (any, error) { return newRelaying(a[0], a[1], number(a[2]), number(a[3])) },
	"publish": func(a []string) (any, error) { return newPublishing(a[0], a[1], number(a[2]), number(a[3])) },
}

// number is for arguments that this program has written itself.
func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

func run(arguments []string) (err error) {
	if len(arguments) > 0 {
		if as := roles[arguments[0]]; as != nil {
			service, err := as(arguments[1:])
			if err != nil {
				return err
			}
			return serveRole(service)
		}
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	out := flags.String("out", "", "`folder` to write report.json and report.md to, which keep what -only and -transports leave out; without it the tables go to the standard output")
	check := flags.String("check", "", "`file` with the report of an earlier run: measure a few cases only, and fail where allocations or a ratio to the floor are 20 % worse")
	only := flags.String("only", "", "comma separated `parts`: source, sink, footprint, curves (default all)")
	over := flags.String("transports", "", "comma separated `transports`: grpc, tcp, http (default all that there is an EventMesh for)")
	rounds := flags.Int("rounds", 5, "`rounds` in which subjects take turns")
	duration := flags.Duration("duration", 150*time.Millisecond, "`time` that a subject works in a round")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "Bench measures what the source and the sink cost, side by side with the least that could do the same work.\nWith EVENTMESH_GRPC_URL, EVENTMESH_TCP_URL or EVENTMESH_HTTP_URL it runs against that EventMesh.\n\nFlags:")
		flags.PrintDefaults()
	}
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unknown argument %q; see -help", flags.Arg(0))
	}
	b, err := newBench(*rounds, *duration)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if *over != "" {
		b.over = strings.Split(*over, ",")
		for _, transport := range b.over {
			if b.addresses[transport] == "" {
				return fmt.Errorf("-transports %s: there is no EventMesh for it; see -help", transport)
			}
		}
	}
	if *check != "" {
		return b.check(*check)
	}
	report, err := b.run(*only)
	if err != nil {
		return err
	}
	if *out != "" {
		if *only != "" || *over != "" {
			before, err := readReport(filepath.Join(*out, reportJSON))
			if err != nil {
				return err
			}
			report = before.with(report)
		}
		return report.write(*out)
	}
	_, err = fmt.Print(report.markdown())
	return err
}

// newBench builds the adapters, divides the cores, and starts the mesh.
func newBench(rounds int, duration time.Duration) (*bench, error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	b := &bench{rounds: rounds, duration: duration, halfLoad: 200 * time.Millisecond, dir: dir, began: time.Now()}
	b.progress("building")
	if err := build(dir, "source", "sink"); err != nil {
		return nil, err
	}
	c, err := splitCores()
	if err != nil {
		return nil, err
	}
	if b.on, err = newLauncher(c.subjects); err != nil {
		return nil, err
	}
	driving, err := newLauncher(c.drivers)
	if err != nil {
		return nil, err
	}
	if err := bind(&c.drivers); err != nil {
		return nil, err
	}
	arguments, named := []string{"mesh"}, []string{"feed"}
	for _, transport := range transports {
		url := os.Getenv("EVENTMESH_" + strings.ToUpper(transport) + "_URL")
		named = append(named, url)
		b.real = b.real || url != ""
	}
	if b.real {
		arguments = named
	}
	if b.feeder, err = startRole(driving, arguments[0], arguments[1:]...); err != nil {
		return nil, err
	}
	b.mesh = b.feeder.process
	return b, b.feeder.call("URLs", Nothing{}, &b.addresses)
}

// close ends the mesh, and removes what was written.
func (b *bench) close() error { return errors.Join(b.feeder.stop(), os.RemoveAll(b.dir)) }

// topic returns a name that no other subscription has had: an EventMesh can lose events of a group that comes back.
func (b *bench) topic(of string) string {
	b.topics++
	return fmt.Sprintf("bench-%d-%s-%d", os.Getpid(), of, b.topics)
}

func (b *bench) path(program string) string { return filepath.Join(b.dir, program) }

// transports are those that there is an EventMesh for.
func (b *bench) transports() (all []string) {
	for _, transport := range transports {
		if b.addresses[transport] != "" && (b.over == nil || slices.Contains(b.over, transport)) {
			all = append(all, transport)
		}
	}
	return all
}

func (b *bench) progress(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, "%4.0f s  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, arguments...))
}

// run measures some parts, or all of them.
func (b *bench) run(only string) (r Report, err error) {
	parts := map[string]bool{"source": true, "sink": true, "footprint": true, "curves": true}
	if only != "" {
		known := parts
		parts = map[string]bool{}
		for name := range strings.SplitSeq(only, ",") {
			if !known[name] {
				return r, fmt.Errorf("-only %s: there is no such part; see -help", name)
			}
			parts[name] = true
		}
	}
	r = newReport(b)
	if parts["source"] {
		if r.Source, err = b.source(b.transports(), []int{100, 1 << 10, 64 << 10}, []int{1, 16, 128}); err != nil {
			return r, err
		}
	}
	if parts["sink"] {
		for _, transport := range b.transports() {
			modes, sizes, connections := []string{binaryMode, structuredMode, batchMode}, []int{100, 1 << 10, 64 << 10}, []int{1, 64, 512}
			if transport != grpcTransport { // on the way from HTTP to it nothing is different
				modes, connections = []string{binaryMode}, []int{64}
			}
			cases, err := b.sink(transport, modes, sizes, connections)
			if err != nil {
				return r, err
			}
			r.Sink = append(r.Sink, cases...)
		}
	}
	if parts["footprint"] {
		if r.Footprints, err = b.footprints(); err != nil {
			return r, err
		}
	}
	if parts["curves"] {
		if r.Curves, err = b.curves([]int{0, 10_000, 1_000_000}); err != nil {
			return r, err
		}
	}
	r.Seconds = time.Since(b.began).Seconds()
	return r, nil
}
