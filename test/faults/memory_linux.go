package faults

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/processtest"
)

// memory is the memory of a process, in KiB, as the kernel tells it.
type memory struct {
	// peak is all of it at its most, pages of files included; anonymous is its own, at its most of all samples.
	peak, anonymous int
}

// watchMemory samples a process' memory until the returned function is called.
func watchMemory(t *testing.T, p *processtest.Program) (stop func() memory) {
	t.Helper()
	var m memory
	sample := func() {
		status := readStatus(p.Process.Pid)
		m.peak, m.anonymous = max(m.peak, status["VmHWM"]), max(m.anonymous, status["RssAnon"])
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(500 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				sample()
			case <-quit:
				return
			}
		}
	}()
	return func() memory {
		close(quit)
		<-done
		sample()
		return m
	}
}

// readStatus returns the numbers of /proc/<pid>/status.
func readStatus(pid int) map[string]int {
	numbers := map[string]int{}
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return numbers
	}
	defer f.Close()
	for scanner := bufio.NewScanner(f); scanner.Scan(); {
		if fields := strings.Fields(scanner.Text()); len(fields) > 1 {
			if n, err := strconv.Atoi(fields[1]); err == nil {
				numbers[strings.TrimSuffix(fields[0], ":")] = n
			}
		}
	}
	return numbers
}
