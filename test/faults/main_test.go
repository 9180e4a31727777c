package faults

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"

	"go.uber.org/goleak"
)

// parallel is how many scenarios are played at once: most of the time they wait.
const parallel = "12"

func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set(parallel) // a number
	}
	if given := os.Getenv("FAULTS_SEED"); given != "" {
		var err error
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			fmt.Fprintf(os.Stderr, "FAULTS_SEED is %q: want a number\n", given)
			os.Exit(2)
		}
	}
	fmt.Printf("random faults come from FAULTS_SEED=%d\n", seed)
	var err error
	if programs, err = os.MkdirTemp("", "eventmesh-faults-"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := printTable(os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		_ = os.RemoveAll(programs)
		os.Exit(code)
	}))
}
