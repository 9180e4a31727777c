package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/version"
)

const (
	exitFailure = 1
	exitUsage   = 2
)

// verb is one of the things that devmesh does.
type verb struct {
	name, summary string
	// data tells whether the data of an event may follow the flags.
	data bool
	// declare declares the flags, and returns what to do once they have been parsed.
	declare func(*flag.FlagSet) action
}

// action does a verb's work. args holds the data of an event, if some was given.
type action func(ctx context.Context, s streams, args []string) error

type streams struct {
	in       io.Reader
	out, err io.Writer
}

// usageError is an error of the caller: of flags or arguments.
type usageError string

func (e usageError) Error() string { return string(e) }

// run does what the arguments say, and returns the exit status.
func run(ctx context.Context, args []string, s streams) int {
	if len(args) == 0 {
		printUsage(s.err)
		return exitUsage
	}
	if slices.Contains([]string{"help", "-h", "-help", "--help"}, args[0]) {
		if args[0] != "help" || len(args) == 1 {
			printUsage(s.out)
			return 0
		}
		args = []string{args[1], "--help"}
	}
	if version.Asked(args) {
		fmt.Fprintln(s.out, version.Line("devmesh"))
		return 0
	}
	i := slices.IndexFunc(verbs, func(v verb) bool { return v.name == args[0] })
	if i < 0 {
		fmt.Fprintf(s.err, "devmesh: unknown verb %q; devmesh --help lists the verbs\n", args[0])
		return exitUsage
	}
	return verbs[i].run(ctx, args[1:], s)
}

func (v verb) run(ctx context.Context, args []string, s streams) int {
	flags := flag.NewFlagSet(v.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	act := v.declare(flags)
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		v.printHelp(s.out, flags)
		return 0
	case err != nil:
		err = usageError(err.Error())
	default:
		if err = v.checkArguments(flags.Args()); err == nil {
			err = act(ctx, s, flags.Args())
		}
	}
	var usage usageError
	switch {
	case errors.As(err, &usage):
		fmt.Fprintf(s.err, "devmesh %s: %s; devmesh %s --help explains\n", v.name, usage, v.name)
		return exitUsage
	case err != nil:
		fmt.Fprintf(s.err, "devmesh %s: %s\n", v.name, err)
		return exitFailure
	}
	return 0
}

func (v verb) checkArguments(args []string) error {
	allowed := 0
	if v.data {
		allowed = 1
	}
	if len(args) <= allowed {
		return nil
	}
	if strings.HasPrefix(args[allowed], "-") {
		return usageError(fmt.Sprintf("flag %s has to stand before the data", args[allowed]))
	}
	return usageError(fmt.Sprintf("unexpected argument %q", args[allowed]))
}

func printUsage(w io.Writer) {
	fmt.Fprint(w, "An Apache EventMesh for a laptop, and the means to look at what any EventMesh carries.\n\n"+
		"Usage: devmesh VERB [flags]\n\nVerbs:\n")
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, v := range verbs {
		fmt.Fprintf(table, "  %s\t%s\n", v.name, v.summary)
	}
	_ = table.Flush() // a terminal that is gone needs no help
	fmt.Fprint(w, "\ndevmesh VERB --help explains a verb and its flags, devmesh --version prints the version.\n")
}

func (v verb) printHelp(w io.Writer, flags *flag.FlagSet) {
	arguments := ""
	if v.data {
		arguments = " [DATA | -]"
	}
	fmt.Fprintf(w, "Usage: devmesh %s [flags]%s\n\n%s%s.\n", v.name, arguments, strings.ToUpper(v.summary[:1]), v.summary[1:])
	if v.data {
		fmt.Fprint(w, "DATA is the event's data; - reads it from the standard input, and without either the event has none.\n")
	}
	fmt.Fprint(w, "\nFlags:\n")
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	flags.VisitAll(func(f *flag.Flag) {
		value, usage := flag.UnquoteUsage(f)
		if f.DefValue != "" && f.DefValue != "false" {
			usage += fmt.Sprintf(" (default %s)", f.DefValue)
		}
		fmt.Fprintf(table, "  --%s %s\t%s\n", f.Name, value, usage)
	})
	_ = table.Flush()
}
