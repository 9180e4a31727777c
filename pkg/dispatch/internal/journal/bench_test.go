package journal

import (
	"testing"
	"time"
)

// BenchmarkCommit keeps 100 entries by each call, and is done with the 100 before. The disk syncs nothing, so that it is about the
// processor.
func BenchmarkCommit(b *testing.B) {
	for name, readers := range map[string]int{"1 reader": 1, "100 readers": 100} {
		b.Run(name, func(b *testing.B) {
			j := mustOpen(b, b.TempDir(), Options{})
			var all []Reader
			for i := range readers {
				all = append(all, ReaderOf(string(rune('a'+i))))
			}
			record := make([]byte, 1<<10)
			var done []Done
			b.ReportAllocs()
			for b.Loop() {
				add := make([]Entry, 100)
				var next []Done
				for i := range add {
					add[i] = Entry{Seq: j.Last() + uint64(i) + 1, Received: time.Unix(1, 0), Size: 1 << 10, Readers: all, Record: record}
					for _, r := range all {
						next = append(next, Done{add[i].Seq, r})
					}
				}
				mustCommit(b, j, add, done...)
				done = next
			}
		})
	}
}
