// Package journal keeps entries on disk until all who read them are done with them.
//
// A journal is a directory of segments: files that are only appended to. What is written of one call of Commit is one write and one
// sync, however many entries it has and however many readers an entry has. To be done with an entry is an entry of its own kind, so
// nothing is ever changed in place; what has been read by all goes away with its segment. Reading the segments in order gives the
// state again, which RAM has too: some 40 bytes for each entry, and 8 for each of its readers.
//
// What Commit has returned nil for survives the end of the process and of the machine. Being done with an entry survives the end of
// the process, and that of the machine once something else has been synced; before that the entry comes again.
//
// A disk that is full, fails or hangs makes calls fail or wait, and no call leaves anything behind that a later one has to repair by
// hand. Damage in a file costs the entries that it is in, and they are reported, not left out.
//
// One process at a time has the directory. Methods may be called by many goroutines, but for Commit and Check, which are for one at
// a time.
package journal
