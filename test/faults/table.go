package faults

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
)

// table collects the accounts of all scenarios.
var table struct {
	sync.Mutex
	lines map[string]string
}

func report(with setting, a *account) {
	handed := fmt.Sprint(a.handed)
	if a.blind {
		handed = "?"
	}
	line := fmt.Sprintf("%s\t%s\t%s\t%d\t%d\t%s\t%d\t%d\t%d\t%s\t%d\t%s\t%d\n",
		scenarioOf(with), with.transport, with.buffer, a.published, a.confirmed, handed, a.taken, a.dead, a.spooled,
		reasons(a.lostByEventMesh), len(a.lostBySource), reasons(a.duplicates), len(a.disorder))
	table.Lock()
	defer table.Unlock()
	if table.lines == nil {
		table.lines = map[string]string{}
	}
	table.lines[with.t.Name()] = line
	if long { // which takes so long that one wants to see how far it is
		fmt.Print(line)
	}
}

// scenarioOf is the test's name without what has columns of its own.
func scenarioOf(with setting) string {
	var parts []string
	for _, part := range strings.Split(with.t.Name(), "/") {
		if part != with.transport && part != with.buffer {
			parts = append(parts, part)
		}
	}
	return strings.ReplaceAll(strings.TrimPrefix(strings.Join(parts, " "), "Test"), "_", " ")
}

// printTable prints a line for each scenario.
func printTable(w io.Writer) error {
	table.Lock()
	defer table.Unlock()
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if _, err := fmt.Fprintln(tw, "scenario\tover\tbuffer\tpublished\tconfirmed\thanded out\ttaken\tdead\tspooled\tlost by EventMesh\tLOST BY THE SOURCE\tduplicates\tdisorder"); err != nil {
		return fmt.Errorf("printing the table: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(table.lines)) {
		if _, err := io.WriteString(tw, table.lines[name]); err != nil {
			return fmt.Errorf("printing the table: %w", err)
		}
	}
	return tw.Flush()
}

// reasons prints counts as "3: 2 answer lost, 1 …".
func reasons(counts map[string]int) string {
	total := 0
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		total += counts[reason]
		parts = append(parts, fmt.Sprintf("%d %s", counts[reason], reason))
	}
	if total == 0 {
		return "0"
	}
	return fmt.Sprintf("%d: %s", total, strings.Join(parts, ", "))
}

// lost counts what EventMesh has lost.
func (a *account) lost() int {
	n := 0
	for _, count := range a.lostByEventMesh {
		n += count
	}
	return n
}
